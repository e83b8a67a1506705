"""A result of before stands for an identical request: nothing is sent or paid, everybody is told, and nothing else than the identical is taken."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.braket_gates import desk_at
from tests.support.gates import Desk

from prefect_gatehouse.errors import Denied, Tampered
from prefect_gatehouse.evidence.kept import problems
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.jobs import JobSettled, ResultReused, SubmissionIntended
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.operate import quarantine
from prefect_gatehouse.run import journal, reusable
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.plan_words import words_of
from prefect_gatehouse.run.round_view import HEADERS, view_of
from prefect_gatehouse.run.values import RoundOutcome
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.vocabulary import Ending

DAY = 86_400.0


@dataclass
class Ran:
    """What a run came to, read before its end took the counts away."""

    run_id: str
    label: str
    states: list[str]
    scores: list[float]
    cost: Decimal


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, backends="aer")
    made.change("  shots: 64\n", "  shots: 64\n  reuse: 1d\n")
    with closing(made.ledger):
        yield made


def take_over(desk: Desk, run_id: str) -> None:
    before = desk.attempt
    desk.attempt = Attempt(desk.settings, desk.ledger, run_id, before.read_secret, read_settings=before.read_settings)


def another(desk: Desk) -> None:
    """The desk's next run is another one, of the manifest as it is then."""
    take_over(desk, str(uuid.uuid4()))


def run(desk: Desk, ending: Ending = "completed") -> Ran:
    """A run from its plan through gate 9 to its end."""
    outcome = run_rounds(desk.attempt, desk.approved())
    validate_output(desk.attempt, outcome)
    states, scores = [entry.state for entry in journal.entries(desk.attempt)], desk.frame(outcome)["score"].tolist()
    end(desk.attempt, ending)
    cost = sum((each.cost + each.submission.reserved for each in outcome.rounds), Decimal(0))
    return Ran(desk.attempt.run_id, outcome.label, states, scores, cost)


def proven(desk: Desk) -> None:
    desk.attempt.seal()
    found = verify(desk.ledger, VerifierKey.parse((desk.settings.home / "ledger.vkey").read_text()))
    assert found.ok, found.problems


def test_nothing_is_sent_again(tmp_path: Path, braket: BraketEmulator) -> None:
    """The second run of the same makes no task and costs nothing; plan, form, label and ledger say so; it answers for nobody in its turn."""
    desk = desk_at(tmp_path, braket, execution="  reuse: 1d\n")
    with closing(desk.ledger):
        first = run(desk)
        paid = braket.tasks()
        another(desk)
        planned = desk.planned()
        assert "labelled cached" in dict(words_of(planned))["Earlier results"]
        rows = {row[0]: row[1] for section in sections(planned) for row in section.rows if len(row) == 2}
        assert "labelled cached" in rows["Earlier results"] and "Kept to answer" in rows
        second = run(desk)
        assert (first.label, first.states, second.label, second.states) == ("primary", ["settled"] * 2, "cached", ["reused"] * 2)
        assert (second.scores, second.cost) == (first.scores, 0) and braket.tasks() == paid and len(paid) == 2
        told = desk.ledger.facts(ResultReused, second.run_id)
        assert [event.fact.of for event in told] == [f"{first.run_id}:{number}:0:0" for number in range(2)]
        assert desk.ledger.facts(SubmissionIntended, second.run_id) == []
        assert sum(event.fact.cost_usd for event in desk.ledger.facts(JobSettled)) == sum(Decimal(task["billed"]) for task in paid)
        assert reusable.FILES.of_run(desk.ledger, second.run_id) == []
        collected = desk.attempt.chain.read(f"{RoundOutcome.gate}:0", RoundOutcome)
        assert collected is not None
        cells = dict(zip(HEADERS, view_of(desk.attempt, collected.submission, collected).cells(), strict=True))
        assert (cells["Label"], cells["Backend"]) == ("cached", "braket/garnet-eu")
        assert {Decimal(usd) for usd in cells["USD reserved / settled"].split(" / ")} == {Decimal(0)}
        assert list(problems(desk.settings, desk.ledger)) == []
        proven(desk)


CHANGES = {
    "another tenant": ("tenant: test-tenant", "tenant: other-tenant"),
    "another pipeline": ("name: small", "name: smaller"),
    "other shots": ("shots: 64", "shots: 65"),
    "another class": ("subject: {class: restricted", "subject: {class: confidential"),
    "not asked for": ("  reuse: 1d\n", ""),
    "too old for it": ("reuse: 1d", "reuse: 1s"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_the_identical(desk: Desk, change: str) -> None:
    """Whatever is another one, of the request or of who asks, is asked of the backend."""
    run(desk)
    desk.change(*CHANGES[change])
    another(desk)
    if change == "too old for it":
        time.sleep(1)
    found = run(desk)
    assert (found.label, found.states) == ("primary", ["settled", "settled"])


@pytest.mark.parametrize("what", ["backend:aer", "pipeline:small"])
def test_what_has_been_in_quarantine_since(desk: Desk, tmp_path: Path, what: str) -> None:
    """Released or not: its reason may be these counts. What is computed after it answers again."""
    run(desk)
    tess, uma = (desk.settings.model_copy(update={"identity": tmp_path / name}) for name in ("tess", "uma"))
    for who in (tess, uma):
        line = generate_key(who.identity_key(), "")
        People(desk.settings.people_folder()).add(who.identity_key().name, key=line, roles=frozenset({"approver"}))
    quarantine.impose(tess, desk.ledger, what, "wrong counts since Tuesday")
    quarantine.release(uma, desk.ledger, what, "mended")
    another(desk)
    assert run(desk).label == "primary"
    another(desk)
    assert run(desk).label == "cached"


def test_a_run_that_did_not_complete(desk: Desk) -> None:
    """Its counts need not have passed gate 9: they answer for nothing."""
    run(desk, "abandoned")
    another(desk)
    assert run(desk).label == "primary"


def test_an_attempt_that_dies_in_between(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the journal and its gate's end: the next attempt goes on with the same, though the kept result is gone by then."""
    run(desk)
    another(desk)
    approved = desk.approved()
    with monkeypatch.context() as dying:
        dying.setattr("prefect_gatehouse.tasks.submit.Submission", lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_rounds(desk.attempt, approved)
    reusable.FILES.delete_due(desk.settings, desk.ledger, time.time() + 2 * DAY)
    take_over(desk, desk.attempt.run_id)
    outcome = run_rounds(desk.attempt, approved)
    assert outcome.label == "cached" and [entry.state for entry in journal.entries(desk.attempt)] == ["reused", "settled"]
    proven(desk)


def test_what_was_changed_is_not_taken(desk: Desk) -> None:
    """Counts that are not those of the ledger, sealed by somebody who has the key."""
    ours = run(desk).run_id
    ((uri, _), *_) = reusable.FILES.of_run(desk.ledger, ours)
    kept = reusable.KeptResult.model_validate_json(reusable.FILES.read(desk.settings, uri))
    other = kept.model_copy(update={"counts": tuple({"11": 64} for _ in kept.counts)})
    sealer = RunKeys(desk.settings.home / "reuse-keys").load(ours).sealer()
    (desk.settings.home / "reuse" / ours / kept.request).write_bytes(sealer.seal(other.model_dump_json().encode()))
    another(desk)
    with pytest.raises(Tampered, match="not what the job gave"):
        run(desk)


def test_its_time_is_over(desk: Desk) -> None:
    """It stays through the clean-up for what the manifest says, sealed; then the sweeper deletes it, key and all."""
    kept = reusable.FILES.of_run(desk.ledger, run(desk).run_id)
    files = [path for path in (desk.settings.home / "reuse").rglob("*") if path.is_file()]
    assert len(kept) == len(files) == 2 and not any(b"counts" in path.read_bytes() for path in files)
    assert reusable.FILES.delete_due(desk.settings, desk.ledger, time.time() + 0.9 * DAY) == []
    gone = reusable.FILES.delete_due(desk.settings, desk.ledger, time.time() + 1.1 * DAY)
    assert [each.deleted for each in gone] == [True, True] and not list((desk.settings.home / "reuse-keys").glob("*.key"))
    another(desk)
    assert run(desk).label == "primary"
    proven(desk)


def test_a_tier_that_forbids_it(desk: Desk) -> None:
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("reuse: allowed", "reuse: forbidden"))
    with pytest.raises(Denied, match="forbids earlier results"):
        desk.planned()


def test_a_class_that_lets_nothing_stay_so_long(desk: Desk) -> None:
    desk.change("reuse: 1d", "reuse: 400d")
    with pytest.raises(Denied, match="results to reuse of class"):
        desk.planned()


def test_counts_of_a_weaker_cell_answer_for_nothing(desk: Desk) -> None:
    """A workload that runs in the run's own process may make them up."""
    plan = desk.planned()
    mine = reusable.request_of(plan, "0" * 64, 0, 0, 1)
    assert mine == reusable.request_of(plan, "0" * 64, 0, 0, 1)
    tier = plan.body.tier
    others = [
        {"cell": "landlock"},
        {"tier": tier.model_copy(update={"name": "integration"})},
        {"tier": tier.model_copy(update={"worker": "gatehouse"})},
    ]
    for change in others:
        other = plan.model_copy(update={"body": plan.body.model_copy(update=change)})
        assert reusable.request_of(other, "0" * 64, 0, 0, 1) != mine
