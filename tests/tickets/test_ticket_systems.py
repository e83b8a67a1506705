"""Jira and ServiceNow, asked over a wire: what they say is taken as it is, and what is no answer of theirs is none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.ticket_server import JIRA, NOW, SERVICENOW, SUMMARY, TOKEN, TicketServer, ticket_server

from prefect_gatehouse.errors import InputError, Unavailable
from prefect_gatehouse.tickets import http
from prefect_gatehouse.tickets.check import TicketCheck, judged
from prefect_gatehouse.tickets.config import load_tickets
from prefect_gatehouse.tickets.interface import TicketSystem

FORMS = {"jira": JIRA, "servicenow": SERVICENOW}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[TicketServer, TicketServer]]:
    with ticket_server() as one, ticket_server() as other:
        yield one, other


@pytest.fixture
def server(servers: tuple[TicketServer, TicketServer]) -> TicketServer:
    for each in servers:
        each.reset()
    return servers[0]


@pytest.fixture(params=FORMS)
def system(request: Any, server: TicketServer, tmp_path: Path) -> TicketSystem:
    (tmp_path / "tickets.yaml").write_text(FORMS[request.param].format(url=server.url))
    found = load_tickets(tmp_path / "tickets.yaml")
    assert found is not None
    return found


def told(system: TicketSystem, key: str = "CHG-7", tenant: str = "test-tenant", pipeline: str = "small") -> TicketCheck:
    return judged(system.look_up(key, TOKEN), key, system.source, tenant, pipeline, NOW)


def test_a_ticket_in_order(system: TicketSystem, server: TicketServer) -> None:
    """Open, approved, this pipeline's, in its window; only the fields that matter were asked for, and people read where and until when."""
    server.put()
    found = told(system)
    assert (found.open, found.approved, found.names_pipeline, found.in_window) == (True, True, True, True)
    assert (found.start, found.end) == (NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    assert "description" not in server.asked[0] and "summary" not in server.asked[0]
    kind = system.source.partition(" ")[0]
    at = f"{NOW:%Y-%m-%d %H:%M} UTC in {kind} at {server.url.removeprefix('http://')}"
    assert found.in_words().endswith(f", approved, window until {found.end:%Y-%m-%d %H:%M} UTC, checked at {at}")
    assert SUMMARY not in found.model_dump_json()


NOT_IN_ORDER: dict[str, tuple[dict[str, Any], str]] = {
    "closed": ({"state": "Closed", "category": "done"}, "open"),
    "other-pipeline": ({"names": ["test-tenant/other"]}, "names_pipeline"),
    "other-tenant": ({"names": ["other-tenant/small"]}, "names_pipeline"),
    "part-of-the-name": ({"names": ["test-tenant/small-one", "small"]}, "names_pipeline"),
    "names-none": ({"names": []}, "names_pipeline"),
    "before-its-window": ({"start": NOW + timedelta(seconds=1)}, "in_window"),
    "after-its-window": ({"end": NOW}, "in_window"),
    "no-window": ({"start": None, "end": None}, "in_window"),
    "half-a-window": ({"end": None}, "in_window"),
}


@pytest.mark.parametrize("name", NOT_IN_ORDER)
def test_a_ticket_that_is_not_in_order(system: TicketSystem, server: TicketServer, name: str) -> None:
    change, fact = NOT_IN_ORDER[name]
    server.put(**change)
    assert not told(system).unchecked and getattr(told(system), fact) is False


def test_a_ticket_that_nobody_approved(system: TicketSystem, server: TicketServer) -> None:
    """In Jira the workflow's status says so, in ServiceNow a field."""
    server.put(approved=False, **({"state": "Draft"} if system.source.startswith("jira") else {}))
    assert (told(system).open, told(system).approved) == (True, False)


def test_there_is_no_such_ticket(system: TicketSystem) -> None:
    found = told(system)
    assert (found.state, found.open, found.unchecked) == ("not found", False, "")


NO_ANSWERS = {
    "html": "is no JSON",
    "html_as_json": "not of the form",
    "large": "larger than 256 kB",
    "redirect": "sends elsewhere",
    "compressed": "compressed",
    "busy": "answers 503",
    "nothing_here": "is no JSON",
    "nothing_in_words": "not of the form",
    "forbidden": "does not take the credential",
    "deep": "not of the form",
    "other_fields": "not of the form",
    "cut": "does not answer",
}


@pytest.mark.parametrize("fault", NO_ANSWERS)
def test_what_is_no_answer(system: TicketSystem, servers: tuple[TicketServer, TicketServer], server: TicketServer, fault: str) -> None:
    """Told in our words, with nothing of theirs and nothing of the token; and nobody else was told the token."""
    other = servers[1]
    server.put()
    other.put()
    server.fault, server.elsewhere = fault, other.url
    with pytest.raises(Unavailable, match=NO_ANSWERS[fault]) as caught:
        system.look_up("CHG-7", TOKEN)
    assert other.asked == []
    text = json.dumps(caught.value.as_dict())
    assert TOKEN not in text and "Log in" not in text and caught.value.__cause__ is None


def test_a_credential_that_is_not_taken(system: TicketSystem, server: TicketServer) -> None:
    """Jira Cloud answers as if there were no such ticket: that says nothing about the ticket."""
    server.put()
    with pytest.raises(Unavailable, match="does not take the credential"):
        system.look_up("CHG-7", f"{TOKEN}-of-yesterday")


def test_a_proxy_of_the_environment(
    system: TicketSystem, servers: tuple[TicketServer, TicketServer], server: TicketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes without TLS goes to no proxy: it would read the credential."""
    server.put()
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, servers[1].url)
    assert told(system).open and servers[1].asked == []


def test_a_server_that_is_down(system: TicketSystem, server: TicketServer) -> None:
    nowhere = system.model_copy(update={"url": "http://127.0.0.1:9"})  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match="does not answer"):
        nowhere.look_up("CHG-7", TOKEN)


def test_one_that_is_busy_once(system: TicketSystem, server: TicketServer) -> None:
    """It is asked again, a little later."""
    server.put()
    server.fault, server.times = "busy", 1
    assert told(system).open and len(server.asked) == 2


@pytest.mark.parametrize("later", ["1", "a date"])
def test_one_that_says_when(system: TicketSystem, server: TicketServer, later: str) -> None:
    """It is asked again no sooner."""
    server.put()
    server.fault, server.times = "limited", 1
    server.later = later if later == "1" else format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)  # cut to a second
    begun = time.monotonic()
    assert told(system).open and len(server.asked) == 2
    assert 1 <= time.monotonic() - begun < 8


@pytest.mark.parametrize("later", ["11", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_one_that_says_much_later(system: TicketSystem, server: TicketServer, later: str) -> None:
    """No run waits for it, and it is not asked before."""
    server.fault, server.later = "limited", later
    with pytest.raises(Unavailable, match="answers 429"):
        system.look_up("CHG-7", TOKEN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("later", ["soon", "-1", "", "Fri, 99 Foo 2026", "\xb2"])
def test_one_that_says_no_time(system: TicketSystem, server: TicketServer, later: str) -> None:
    server.put()
    server.fault, server.times, server.later = "limited", 1, later
    assert told(system).open


def test_one_that_never_comes_to_an_end(system: TicketSystem, server: TicketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then, within the time between two bytes: the whole answer has a time as well."""
    monkeypatch.setattr(http, "_ALL", 1)
    server.fault = "trickle"
    with pytest.raises(Unavailable, match="no answer within 1 s"):
        system.look_up("CHG-7", TOKEN)


def test_another_ticket_than_was_asked_for(system: TicketSystem, server: TicketServer) -> None:
    """An issue that was moved, or a query that nobody understood: what somebody approved there is not this."""
    server.put(answers_as="CHG-8")
    with pytest.raises(Unavailable, match="not of the form"):
        told(system)


def test_two_changes_of_one_number(server: TicketServer, tmp_path: Path) -> None:
    (tmp_path / "tickets.yaml").write_text(SERVICENOW.format(url=server.url))
    system = load_tickets(tmp_path / "tickets.yaml")
    assert system is not None
    server.put("CHG0031042", copies=2)
    with pytest.raises(Unavailable, match="not of the form"):
        told(system, "CHG0031042")
    server.put("CHG0031042")
    assert told(system, "CHG0031042").open


INJECTIONS = {
    "path-traversal": "../../../rest/api/3/search",
    "encoded-traversal": "..%2F..%2Fmyself",
    "another-resource": "CHG-7/comment",
    "a-query": "CHG-7?fields=*all",
    "jql": 'CHG-7" OR project = OTHER ORDER BY key "',
    "encoded-query": "CHG-7^ORnumber=CHG-8",
    "javascript": "javascript:gs.getUserID()",
    "a-header": "CHG-7\r\nX-Evil: 1",
    "a-line-end": "CHG-7\n",
    "another-script": "CHG-\uff17",
    "nothing": "",
}


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_key_that_is_more_than_a_key(system: TicketSystem, server: TicketServer, name: str) -> None:
    """Nothing is asked."""
    with pytest.raises(InputError, match="no ticket's key"):
        system.look_up(INJECTIONS[name], TOKEN)
    assert server.asked == []


@pytest.mark.parametrize("token", ["", "a token", "a\r\nX-Evil: 1", "ä"])
def test_a_secret_that_is_no_token(system: TicketSystem, server: TicketServer, token: str) -> None:
    with pytest.raises(Unavailable, match="no token") as caught:
        system.look_up("CHG-7", token)
    assert server.asked == [] and "Evil" not in str(caught.value)


def test_a_token_without_a_user(server: TicketServer, tmp_path: Path) -> None:
    """As a bearer token."""
    server.put()
    for form in FORMS.values():
        (tmp_path / "tickets.yaml").write_text(form.format(url=server.url).replace("user: gatehouse@example.org\n", ""))
        system = load_tickets(tmp_path / "tickets.yaml")
        assert system is not None and told(system).open


WRONG = {
    "no-tls": ("{url}", "http://tickets.example.org", "url"),
    "a-user-in-it": ("{url}", "https://ann:pw@tickets.example.org", "url"),
    "a-query": ("{url}", "https://tickets.example.org/?a=b", "url"),
    "no-scheme": ("{url}", "tickets.example.org", "url"),
    "another-kind": ("kind: jira", "kind: bugzilla", ""),
    "the-secret-itself": ("credential: secret/tickets", "credential: ATATT-a-token-nobody-may-see", "credential"),
    "no-statuses": ("approved: [Implementing]", "approved: []", "approved"),
    "a-field-of-text": ("pipelines: labels", "pipelines: summary", "pipelines"),
    "more": ("kind: jira", "kind: jira\nproxy: x", "proxy"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_wrong(tmp_path: Path, name: str) -> None:
    """One error with file and field, and nothing of what stands there."""
    old, new, field = WRONG[name]
    path = tmp_path / "tickets.yaml"
    assert old in JIRA
    path.write_text(JIRA.replace(old, new).format(url="https://tickets.example.org"))
    with pytest.raises(InputError) as caught:
        load_tickets(path)
    assert str(path) in caught.value.where and caught.value.where.endswith(field)
    assert "ATATT" not in str(caught.value) and "ann:pw" not in str(caught.value)
