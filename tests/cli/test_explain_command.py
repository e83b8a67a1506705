"""``gatehouse explain``: which rule decided about a run, or would about a question, and what would satisfy it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner, Result
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.evidence.supposed_acts import _SUPPOSED
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.vocabulary import ActAction


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A run in an installation that the command line finds, and somebody who may ask."""
    made = Desk(tmp_path, rehearsal="skip")
    monkeypatch.setenv("GATEHOUSE_HOME", str(made.settings.home))
    monkeypatch.setenv("GATEHOUSE_TIERS", str(made.settings.tiers))
    people = People(made.settings.people_folder())
    people.add("ann", key=generate_key(tmp_path / "ann", ""), roles=frozenset({"requester"}), clearance=DataClass.RESTRICTED)
    people.add("aud", key=generate_key(tmp_path / "aud", ""), roles=frozenset({"auditor"}), clearance=DataClass.PUBLIC)
    yield made
    made.ledger.close()


def explain(*words: str) -> Result:
    return CliRunner().invoke(main, ["explain", *words], prog_name="gatehouse")


def told(*words: str, code: int = 0) -> dict[str, Any]:
    done = explain(*words, "--json")
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def test_the_decisions_about_a_run(desk: Desk) -> None:
    """In their order with event, rule and sentence: admitted, and denied by the gate itself when its approver was gone."""
    approved = desk.approved()
    batch, summary = desk.first_round(approved.plan)
    People(desk.settings.people_folder()).revoke("bob")
    with pytest.raises(Denied) as caught:
        submit.in_round(0, desk.attempt, approved, batch, summary, 0, Fetching())
    found = told(RUN[:8])
    assert found["run"] == RUN
    first = found["decisions"][0]
    assert (first["asked"], first["allowed"], first["rules"]) == (
        "request",
        True,
        [{"id": "permitted", "sentence": "the pipeline's tier permits this"}],
    )
    last = found["decisions"][-1]
    assert (last["asked"], last["allowed"], last["satisfy"]) == ("submit", False, caught.value.advice)
    assert last["rules"] == [{"id": "denied", "sentence": f"{caught.value.where}: {caught.value.message}"}]
    events = [each["event"] for each in found["decisions"]]
    assert events == sorted(events) and all(events)
    shown = explain(RUN[:8]).output
    assert "Decisions about 3f0d5a3e" in shown and "[permitted]" in shown


def test_a_run_that_was_not_admitted(desk: Desk) -> None:
    """Every rule that said no, with the sentence of then and what would have satisfied it; told once, though the gate failed with it too."""
    desk.change("environment: local", "environment: production")
    desk.change("backends: [aer, braket-local]", "backends: [elsewhere]")
    with pytest.raises(Denied):
        desk.admitted()
    (only,) = told(RUN)["decisions"]
    assert {rule["id"]: rule["sentence"] for rule in only["rules"]} == {
        "backend-not-in-tier": "a backend of the manifest is not among the tier's",
        "environment-mismatch": "the manifest names another environment than the one this process runs in",
    }
    assert (only["asked"], only["allowed"]) == ("request", False)
    assert "run it where GATEHOUSE_ENVIRONMENT is production" in only["satisfy"] and "aer, braket-local" in only["satisfy"]


def test_what_somebody_might_ask(desk: Desk) -> None:
    """Yes, and exit code 0; facts that nobody knows yet are supposed to be in order, and said."""
    found = told("--as", "ann", "--action", "submit", "--manifest", str(desk.manifest))
    assert (found["allowed"], [each["id"] for each in found["rules"]], found["satisfy"]) == (True, ["permitted"], "")
    assert found["facts"]["supposed"]["approvals"] == 1 and found["facts"]["known"]["tier_approvers"] == 1
    shown = explain("--as", "ann", "--action", "submit", "--manifest", str(desk.manifest)).output
    assert "ann, submit: yes" in shown and "Supposed to be in order: ticket_checked=true" in shown


NO = {
    "no-approval": (("ann", "submit", "approvals=0"), "not-enough-approvals", "have the plan approved"),
    "dear": (("ann", "submit", "cost_microdollars=999999999999"), "cost-above-envelope", "raise execution.envelope.cost"),
    "closed-ticket": (("ann", "request", "ticket_open=false"), "ticket-not-open", "open CHG-7"),
    "elsewhere": (("ann", "write_back", "running_environment=production"), "environment-mismatch", "set environment: production"),
    "not-cleared": (("aud", "re_identify", "column=x"), "class-above-clearance", "--clearance restricted"),
    "no-role": (("aud", "read_secret", "purpose=submit"), "not-a-requester", "gatehouse people add aud --role requester"),
}


@pytest.mark.parametrize("name", NO)
def test_a_no(desk: Desk, name: str) -> None:
    """Exit code 3, the rule's identifier, and what would satisfy it."""
    (person, action, fact), rule, words = NO[name]
    found = told("--as", person, "--action", action, "--manifest", str(desk.manifest), "--with", fact, code=3)
    assert not found["allowed"] and rule in [each["id"] for each in found["rules"]]
    assert words in found["satisfy"]


def test_what_a_question_is_about(desk: Desk) -> None:
    """The block follows the purpose, the backends are the manifest's, and a set is written with commas."""
    about = ("--as", "ann", "--manifest", str(desk.manifest))
    secret = told(*about, "--action", "read_secret", "--with", "purpose=tokenise", "--with", "cell=bubblewrap")["facts"]
    assert (secret["known"]["block"], secret["given"]) == ("secret/key", {"purpose": "tokenise", "cell": "bubblewrap"})
    assert told(*about, "--action", "request")["facts"]["known"]["backends"] == ["aer", "braket-local"]
    sent = told(*about, "--action", "submit", "--with", "devices=ibm/a,ibm/b")
    assert sent["facts"]["given"] == {"devices": ["ibm/a", "ibm/b"]}
    assert "devices=ibm/a,ibm/b" in explain(*about, "--action", "submit", "--with", "devices=ibm/a,ibm/b").output


def test_who_may_sign_an_act(desk: Desk) -> None:
    """By roles of the registry: with a manifest where it is about a pipeline, without where it is not; the sentence and the advice of the rule."""
    People(desk.settings.people_folder()).add("tess", roles=frozenset({"approver"}), key=generate_key(desk.folder / "tess", ""))
    promote = ("--action", "promote", "--manifest", str(desk.manifest))
    found = told("--as", "tess", *promote)
    assert ([each["id"] for each in found["rules"]], found["facts"]["known"]["owner"]) == (["act-permitted"], "test-owner")
    no = told("--as", "ann", *promote, code=3)
    assert no["rules"][0]["id"] == "not-an-approver" and no["rules"][0]["sentence"].startswith("a workload is promoted by somebody who may approve")
    assert "gatehouse people add NAME --role approver" in no["satisfy"]
    assert told("--as", "tess", "--action", "quarantine", "--with", "scope=backend", "--with", "name=aer")["allowed"]
    assert told("--as", "tess", "--action", "classify", code=3)["rules"][0]["id"] == "not-a-data-owner"
    assert told("--as", "unverified", "--action", "change_policy", code=3)["rules"][0]["id"] == "not-in-the-registry"
    assert "tess, set_budget: yes" in explain("--as", "tess", "--action", "set_budget").output
    approve = ("--action", "approve", "--manifest", str(desk.manifest))
    assert told("--as", "tess", *approve)["facts"]["known"] == {
        "backends": ["aer", "braket-local"],
        "output_class": 3,
        "cost_microdollars": 5_000_000,
    }
    assert told("--as", "ann", *approve, code=3)["rules"][0]["id"] == "not-an-approver"
    assert told("--as", "tess", "--action", "promote", code=2)["where"] == "--manifest"
    longer = told("--as", "tess", "--action", "extend_retention", "--manifest", str(desk.manifest), "--with", "kept=pages,results", code=3)
    assert (longer["rules"][0]["id"], longer["facts"]["known"]) == ("not-a-data-owner", {"output_class": 3})
    assert told("--as", "tess", "--action", "extend_retention", code=2)["where"] == "--manifest"


def test_an_act_asks_for_no_more_than_its_manifest(desk: Desk) -> None:
    """Nobody signs the workload's files with it, so they may be elsewhere; and what is about nobody's pipeline reads no manifest."""
    People(desk.settings.people_folder()).add("tess", roles=frozenset({"approver"}), key=generate_key(desk.folder / "tess", ""))
    (desk.folder / "workload.py").unlink()
    assert told("--as", "tess", "--action", "promote", "--manifest", str(desk.manifest))["allowed"]
    desk.manifest.write_text("name: [")
    assert told("--as", "tess", "--action", "approve_provider", "--manifest", str(desk.manifest))["allowed"]
    assert told("--as", "tess", "--action", "set_budget", "--manifest", str(desk.manifest), code=2)["advice"]


def test_about_a_run(desk: Desk) -> None:
    """With the manifest that the ledger has, whatever stands in the folder since."""
    desk.admitted()
    desk.manifest.unlink()
    assert told(RUN, "--as", "ann", "--action", "request")["allowed"]
    assert told(RUN, "--as", "unverified", "--action", "request")["allowed"]
    events = len(desk.ledger.events(RUN))
    told(RUN, "--as", "ann", "--action", "submit", "--with", "approvals=0", code=3)
    assert len(desk.ledger.events(RUN)) == events


WRONG: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "RUN"),
    "no-such-run": (["ffffffff"], "RUN"),
    "half-a-question": (["--as", "ann"], "--as, --action"),
    "no-such-person": (["--as", "nobody", "--action", "request", "--manifest", "MANIFEST"], "--as"),
    "no-such-fact": (["--as", "ann", "--action", "request", "--manifest", "MANIFEST", "--with", "approvals=0"], "--with"),
    "another-type": (["--as", "ann", "--action", "submit", "--manifest", "MANIFEST", "--with", "approvals=many"], "--with"),
    "both": (["3f0d", "--as", "ann", "--action", "submit", "--manifest", "MANIFEST"], "--manifest"),
    "no-question": (["3f0d", "--with", "approvals=0"], "--manifest, --with"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_be_explained(desk: Desk, name: str) -> None:
    words, where = WRONG[name]
    found = told(*(word.replace("MANIFEST", str(desk.manifest)) for word in words), code=2)
    assert found["where"] == where and found["advice"]


def test_every_act_has_what_is_supposed_of_it() -> None:
    """An action that the policy knows and the command does not would end it with an error of the program's own."""
    assert set(_SUPPOSED) == set(get_args(ActAction))
