"""A run's ticket at gates 1 and 7: checked and not typed, with a no in the ledger and nothing submitted where it is not in order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN
from tests.support.ticket_server import JIRA, NOW, SUMMARY, TOKEN, TicketServer, ticket_server

from prefect_gatehouse.errors import Denied, GatehouseError, InputError, Unavailable
from prefect_gatehouse.ledger.events import PolicyDecided, PolicyDenied, TicketChecked
from prefect_gatehouse.run.plan_view import sections, ticket_in_words
from prefect_gatehouse.run.values import ApprovedPlan, Submission
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.tasks.submit import submit


@pytest.fixture(scope="module")
def server_() -> Iterator[TicketServer]:
    with ticket_server() as server:
        yield server


@pytest.fixture
def server(server_: TicketServer) -> TicketServer:
    server_.reset()
    server_.put()
    return server_


@pytest.fixture
def desk(tmp_path: Path, server: TicketServer) -> Iterator[Desk]:
    """A run in a tier that wants a ticket system, and an installation that names one."""
    made = Desk(tmp_path, rounds=2, rehearsal="skip")
    wants(made, "system")
    made.settings.tickets_file().write_text(JIRA.format(url=server.url))
    made.secrets["secret/tickets"] = TOKEN
    yield made
    made.ledger.close()


def wants(desk: Desk, proof: str) -> None:
    """Every tier that took anything takes this."""
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("ticket: none", f"ticket: {proof}"))


def sent(desk: Desk, approved: ApprovedPlan) -> Submission:
    batch, summary = desk.first_round(approved.plan)
    return submit.in_round(0, desk.attempt, approved, batch, summary, 0, Fetching())


def refused(desk: Desk, rule: str, kind: type[GatehouseError], approved: ApprovedPlan | None = None) -> PolicyDenied:
    """The gate says no for this rule, the ledger has the no and what would satisfy it, and no job was made."""
    with pytest.raises(kind, match=rf"\[{rule}\]") as caught:
        desk.admitted() if approved is None else sent(desk, approved)
    denial = desk.ledger.facts(PolicyDenied, RUN)[-1].fact
    assert (denial.action, denial.reasons) == ("request" if approved is None else "submit", (rule,))
    assert denial.advice == caught.value.advice != ""
    assert desk.entries() == []
    assert [each.fact for each in desk.ledger.facts(PolicyDecided, RUN) if each.fact.action == "submit"] == []
    return denial


def test_a_ticket_in_order(desk: Desk, server: TicketServer) -> None:
    """Asked at admission and before the round; plan and form say what was found; of its text nothing is anywhere, nor of the token."""
    approved = desk.approved()
    plan = approved.plan
    words = ticket_in_words(plan.admitted)
    assert words.startswith("CHG-7 (Implementing), approved, window until ") and f" in jira at 127.0.0.1:{server.server_address[1]}" in words
    assert ("Ticket", words) in sections(plan)[0].rows
    jobs = sent(desk, approved).jobs
    assert jobs
    found = desk.ledger.facts(TicketChecked, RUN)
    assert [(each.fact.gate, each.fact.round) for each in found] == [("admit", None), ("submit", 0)]
    assert all(each.fact.block == "secret/tickets" and each.fact.open and each.fact.in_window for each in found)
    told = "".join(str(each.data) for each in desk.ledger.events(RUN))
    assert SUMMARY not in told and TOKEN not in told


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "closed": ({"category": "done"}, "ticket-not-open"),
    "not-approved": ({"state": "Draft"}, "ticket-not-approved"),
    "of-another-pipeline": ({"names": ["test-tenant/other"]}, "ticket-of-another-pipeline"),
    "of-another-tenant": ({"names": ["other-tenant/small"]}, "ticket-of-another-pipeline"),
    "outside-its-window": ({"start": NOW + timedelta(hours=2), "end": NOW + timedelta(hours=3)}, "ticket-outside-window"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_under_a_ticket_that_is_not_in_order(desk: Desk, server: TicketServer, name: str) -> None:
    change, rule = REFUSED[name]
    server.put(**change)
    refused(desk, rule, Denied)
    assert desk.ledger.events(RUN, "run-admitted") == []


def test_a_ticket_that_is_not_there(desk: Desk, server: TicketServer) -> None:
    server.tickets.clear()
    with pytest.raises(Denied, match="ticket-not-open"):
        desk.admitted()


def test_ticket_closed_between_admit_and_submit(desk: Desk, server: TicketServer) -> None:
    """And what else may become of it while people decide; each is a no, and the run ends."""
    approved = desk.approved()
    server.put(category="done")
    refused(desk, "ticket-not-open", Denied, approved)
    desk.attempt = desk.next_attempt()
    server.put(end=NOW - timedelta(seconds=1))
    refused(desk, "ticket-outside-window", Denied, approved)
    desk.attempt = desk.next_attempt()
    server.put(names=[])
    refused(desk, "ticket-of-another-pipeline", Denied, approved)


@pytest.mark.parametrize("fault", ["cut", "html", "large", "redirect"])
def test_server_down_at_submit(desk: Desk, server: TicketServer, fault: str) -> None:
    """Nothing is sent, and the no is in the ledger; once the server answers the same approved run goes on."""
    approved = desk.approved()
    server.fault = fault
    denial = refused(desk, "ticket-not-checked", Unavailable, approved)
    assert "jira at 127.0.0.1" in denial.advice and TOKEN not in denial.advice and "Log in" not in denial.advice
    assert desk.ledger.facts(TicketChecked, RUN)[-1].fact.unchecked != ""
    server.fault = ""
    desk.attempt = desk.next_attempt()
    assert sent(desk, approved).jobs


def test_nothing_says_where_tickets_are(desk: Desk) -> None:
    """No file of tickets, or one that is only the installation's own where the tier wants a system; a malformed one is an error with its place."""
    file = desk.settings.tickets_file()
    file.unlink()
    assert "no ticket system is set up" in refused(desk, "ticket-not-checked", Unavailable).advice
    file.write_text("kind: file\ntickets: {}\n")
    assert "the tier prototype wants a ticket system" in refused(desk, "ticket-not-checked", Unavailable).advice
    file.write_text("kind: jira\n")
    with pytest.raises(InputError) as caught:
        desk.admitted()
    assert str(file) in caught.value.where


def test_its_credential_can_not_be_read(desk: Desk) -> None:
    def none(_: str) -> SecretText:
        raise Unavailable("the store does not answer", where="secret/tickets")

    desk.attempt.read_secret = none
    assert "its credential can't be read" in refused(desk, "ticket-not-checked", Unavailable).advice


def test_the_installations_own_file(desk: Desk, server: TicketServer) -> None:
    """Enough for a tier that says so; nobody is asked."""
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("ticket: system", "ticket: file"))
    entry = 'tenant: test-tenant, pipelines: [small], state: open, approved: {}, start: "2026-01-01T00:00:00Z", end: "2126-01-01T00:00:00Z"'
    desk.settings.tickets_file().write_text(f"kind: file\ntickets:\n  CHG-7: {{{entry.format('false')}}}\n")
    refused(desk, "ticket-not-approved", Denied)
    desk.settings.tickets_file().write_text(f"kind: file\ntickets:\n  CHG-7: {{{entry.format('true')}}}\n")
    assert "in the installation's file" in ticket_in_words(desk.admitted())
    assert server.asked == []


def test_the_prototype_tier_says_that_nobody_looked(tmp_path: Path, server: TicketServer) -> None:
    """As it ships: no ticket system, no question, and the plan says so."""
    made = Desk(tmp_path, rehearsal="skip")
    admitted = made.admitted()
    assert ticket_in_words(admitted) == "CHG-7, not checked: the tier prototype takes it as it is typed"
    assert made.ledger.facts(TicketChecked, RUN) == [] and server.asked == []
    made.ledger.close()
