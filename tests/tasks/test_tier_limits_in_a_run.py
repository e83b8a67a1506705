"""What a tier limits, in a run under its gates: told before anybody is asked, and again before a round is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.gates import TWO_ROUNDS, Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import Denied, Expired, Unavailable, Waiting
from prefect_gatehouse.evidence.approvals import problems
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.events import PolicyDecided
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.policy.hours import SubmitHours
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.run import approvals
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge
from prefect_gatehouse.run.proven import missing_approvals
from prefect_gatehouse.tasks.await_approval import await_approval
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.vocabulary import Role

# The first round has one circuit, the second ten.
GROWING = TWO_ROUNDS.replace('for x in sorted(features["x"])', "for x in [0.1]").replace("yield [circuit(share", "yield 10 * [circuit(share")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A run of two rounds of 64 shots: three circuits, then one."""
    made = Desk(tmp_path, backends="aer")
    with closing(made.ledger):
        yield made


def limit(desk: Desk, text: str) -> None:
    """Writes a limit into the prototype tier, which is the run's."""
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("  drift: tell\n", f"  drift: tell\n  {text}\n"))


def denied(desk: Desk) -> list[tuple[str, list[str]]]:
    return [(event.data["action"], event.data["reasons"]) for event in desk.ledger.events(RUN, "policy-denied")]


def test_one_shot_too_many(desk: Desk) -> None:
    """Three circuits of 64 shots in each of two rounds: nobody is asked where the tier allows one less."""
    limit(desk, "shots: 383")
    with pytest.raises(Denied, match=r"\[shots-above-tier\]") as caught:
        desk.planned()
    assert "384 shots were asked for, the tier prototype allows 383" in caught.value.advice
    assert (denied(desk), desk.gates("gate-failed"), desk.entries()) == ([("plan", ["shots-above-tier"])], ["plan"], [])


def test_as_many_shots_as_the_tier_allows(desk: Desk) -> None:
    """The run goes to its end, and the ledger has the policy's yes to the plan before it."""
    limit(desk, "shots: 384")
    run_rounds(desk.attempt, desk.approved())
    kinds = [(event.kind, event.data.get("action", event.data.get("gate"))) for event in desk.ledger.events(RUN)]
    assert kinds.index(("policy-decided", "plan")) < kinds.index(("gate-passed", "plan"))


def test_a_round_that_grows_beyond_the_tier_s_shots(tmp_path: Path) -> None:
    """The plan says that it did so in the rehearsal; the first round is sent, the second is not."""
    desk = Desk(tmp_path, GROWING, backends="aer")
    desk.change("jobs: 10,", "jobs: 10, round_bits: 100000,")
    limit(desk, "shots: 700")
    with closing(desk.ledger):
        approved = desk.approved()
        assert "whether it needs more than the tier's 700 shots, as it did" in approved.plan.rehearsal.doubts
        with pytest.raises(Denied, match=r"\[shots-above-tier\]") as caught:
            run_rounds(desk.attempt, approved)
        assert "704 shots were asked for" in caught.value.advice
        assert [(entry[0], entry[3]) for entry in desk.entries()] == [(0, "settled")]


def hours(opens: int, closes: int) -> str:
    """The tier's hours, from now."""
    now = datetime.now(UTC)
    first, last = (f"{now + timedelta(hours=each):%H:%M}" for each in (opens, closes))
    return f'submit_hours: {{from: "{first}", to: "{last}"}}'


def test_outside_of_the_tier_s_hours(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The round waits for the next ones, before a credential is fetched, and the ledger has the policy's no; then it goes on."""
    desk.change("deadline: 1h", "deadline: 3h")
    limit(desk, hours(2, 3))
    approved, fetch = desk.approved(), Fetching()
    circuits, summary = desk.first_round(approved.plan)
    with pytest.raises(Waiting, match=r"waits until .* UTC: jobs are submitted on mon, .* from .* \(UTC\)") as caught:
        submit.in_round(0, desk.attempt, approved, circuits, summary, 0, fetch)
    assert 3600 < (caught.value.resume_at or 0) - datetime.now(UTC).timestamp() <= 7200
    assert (fetch.purposes, desk.entries(), denied(desk)) == ([], [], [("submit", ["outside-hours"])])
    late = approved.model_copy(update={"decided_at": approved.decided_at - timedelta(hours=2)})
    with pytest.raises(Expired, match="deadline comes first"):
        submit.in_round(0, desk.attempt, late, circuits, summary, 0, fetch)
    desk.attempt = desk.next_attempt()
    monkeypatch.setattr(SubmitHours, "is_open", lambda *_: True)
    made = submit.in_round(0, desk.attempt, approved, circuits, summary, 0, fetch)
    assert made.label == "primary"


def test_within_the_tier_s_hours(desk: Desk) -> None:
    """Then it is no matter."""
    limit(desk, hours(-1, 2))
    run_rounds(desk.attempt, desk.approved())
    assert denied(desk) == []


def test_hours_that_end_while_a_round_is_with_its_provider(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies with the job made and its handle written: another one finds it at any hour, and makes none."""
    limit(desk, hours(-1, 2))
    approved = desk.approved()
    circuits, summary = desk.first_round(approved.plan)

    def dies(*_: object, **__: object) -> None:
        raise Unavailable("the process dies", where="test", advice="")

    with monkeypatch.context() as patch:
        patch.setattr("prefect_gatehouse.tasks.submit.label_of", dies)
        with pytest.raises(Unavailable):
            submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())
    before = desk.entries()
    monkeypatch.setattr(SubmitHours, "is_open", lambda *_: False)
    desk.attempt = desk.next_attempt()
    assert submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching()).label == "primary"
    assert [entry[3] for entry in before] == ["submitted"] and desk.entries() == before


def test_a_job_that_was_only_intended_waits_for_the_hours(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows that it was sent, so sending it is what has an hour."""
    limit(desk, hours(-1, 2))
    approved = desk.approved()
    circuits, summary = desk.first_round(approved.plan)

    def lost(*_: object) -> str:
        raise Unavailable("no answer", where="test", advice="")

    with monkeypatch.context() as patch:
        patch.setattr(AerBackend, "submit", lost)
        with pytest.raises(Unavailable):
            submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())
    monkeypatch.setattr(SubmitHours, "is_open", lambda *_: False)
    desk.attempt = desk.next_attempt()
    with pytest.raises((Waiting, Expired)):
        submit.in_round(0, desk.attempt, approved, circuits, summary, 0, Fetching())
    assert denied(desk) == [("submit", ["outside-hours"])]


def test_a_run_that_no_data_owner_approved(desk: Desk) -> None:
    """It waits; with a data owner's approval it goes to its end, and whoever verifies counts the roles again."""
    limit(desk, "approver_roles: [approver, data-owner]")
    made = desk.planned()
    with pytest.raises(Denied, match="nobody with the role data-owner"):
        desk.approve(made)
    people, key = People(desk.settings.people_folder()), desk.folder.parent / "olga"
    roles = frozenset[Role]({"approver", "data-owner"})
    people.add("olga", key=generate_key(key, ""), roles=roles, totp=False, clearance=DataClass.RESTRICTED)
    statement, _ = ask(desk.attempt, made, "k2")
    judge(desk.attempt, made, "k2", Answer(decision="approve", approver="olga", proof=sshsig.sign(key, statement.message())))
    run_rounds(desk.attempt, await_approval(desk.attempt, made))
    assert (missing_approvals(desk.ledger, RUN), list(problems(desk.ledger)), denied(desk)) == ([], [], [])


def test_a_submission_that_no_data_owner_approved_is_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a process had not counted the roles: what its ledger has says so."""
    limit(desk, "approver_roles: [data-owner]")
    monkeypatch.setattr(approvals, "missing_roles", lambda *_: ())
    approved = desk.approved()
    decision = PolicyDecided(action="submit", allowed=True, reasons=("permitted",), policy_digest=desk.attempt.policy.digest)
    desk.attempt.permit("decided:1:0", decision)
    assert approved.approvals[0].roles == ("approver",)
    (told,) = problems(desk.ledger)
    assert "it was submitted, and not approved by somebody with the role data-owner" in told


def test_an_envelope_that_is_dearer_than_the_tier_allows(desk: Desk) -> None:
    """It is not even admitted."""
    limit(desk, "cost: 4.9999")
    with pytest.raises(Denied, match=r"\[cost-above-tier\]"):
        desk.admitted()
    assert denied(desk) == [("request", ["cost-above-tier"])]


def test_a_manifest_that_keeps_artifacts_for_longer_than_the_tier_allows(desk: Desk) -> None:
    """Nor is one that lets its evidence go too soon: before a row is read."""
    limit(desk, "artifacts_at_most: 23h\n  evidence_at_least: 3651d")
    with pytest.raises(Denied, match=r"\[artifacts-kept-too-long\].*\[evidence-kept-too-short\]"):
        desk.admitted()
    assert denied(desk) == [("request", ["artifacts-kept-too-long", "evidence-kept-too-short"])]
