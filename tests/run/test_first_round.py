"""The first round is kept with the plan: what was approved is sent without waiting for the workload, which has to give the same before it goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prefect_gatehouse.errors import StorageError, Superseded, Tampered, WorkloadFailed
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.ledger.events import ArtifactStored
from prefect_gatehouse.run import first_round, journal
from prefect_gatehouse.run.first_round import keep_first_round, kept_first_round
from prefect_gatehouse.run.values import ApprovedPlan, Plan
from prefect_gatehouse.tasks.clean_up import clean_up
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.plain_form import circuits_digest, decode
from prefect_gatehouse.workload.rounds import Finished
from prefect_gatehouse.workload.runner.cell import Cell
from tests.support.cells import require
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN


@pytest.fixture
def approved(tmp_path: Path) -> tuple[Desk, ApprovedPlan]:
    """A run that was rehearsed in a cell and approved."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap")
    return desk, desk.approved()


def _file(desk: Desk, plan: Plan) -> Path:
    assert plan.first_round is not None
    return desk.attempt.store.root / plan.first_round.uri.removeprefix("artifact:")


def test_it_is_the_planned_one_encrypted_and_goes_with_the_run(approved: tuple[Desk, ApprovedPlan]) -> None:
    """Its circuits have the digest that was approved; nobody reads them on the disk; it has an owner, and the end of the run deletes it."""
    desk, plan = approved[0], approved[1].plan
    kept = kept_first_round(desk.attempt, plan)
    assert kept is not None
    assert circuits_digest(kept) == plan.body.circuits.digest
    path = _file(desk, plan)
    content = path.read_bytes()
    assert b"gatehouse-circuits" not in content and not any(table.tobytes() in content for table in kept.angles if table.size)
    (stored,) = [each.fact for each in desk.ledger.facts(ArtifactStored, RUN) if each.fact.uri == plan.first_round.uri]  # type: ignore[union-attr]
    assert stored.owner == plan.admitted.manifest.owner
    clean_up(desk.attempt, "completed", Fetching())
    assert not path.exists()


def test_jobs_are_made_before_the_workload_has_said_anything(approved: tuple[Desk, ApprovedPlan], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent is what was kept, and the workload's own first round is taken behind it, before it is given counts."""
    desk, plan = approved
    order: list[str] = []
    answer, ask, intend = Cell.answer, Cell.ask, journal.intend

    def answered(self: Cell) -> CircuitBatch | Finished:
        order.append("answered")
        return answer(self)

    def asked(self: Cell, counts: object) -> None:
        order.append("asked" if counts is None else "given counts")
        ask(self, counts)  # type: ignore[arg-type]

    def intended(*args: object, **kwargs: object) -> object:
        order.append("intended")
        return intend(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Cell, "answer", answered)
    monkeypatch.setattr(Cell, "ask", asked)
    monkeypatch.setattr(journal, "intend", intended)
    outcome = run_rounds(desk.attempt, plan)
    assert order == ["intended", "asked", "asked", "answered", "given counts", "answered", "intended", "given counts", "answered"]
    assert outcome.rounds[0].submission.circuits == plan.plan.body.circuits
    first = journal.entries(desk.attempt, 0)[0]
    assert circuits_digest(decode(journal.payload_of(desk.attempt, first))[0]) == plan.plan.body.circuits.digest


def test_a_workload_that_gives_another_one_is_given_no_counts(approved: tuple[Desk, ApprovedPlan], monkeypatch: pytest.MonkeyPatch) -> None:
    """The approved circuits were sent, once; the workload does not go on from what it did not ask for."""
    desk, plan = approved
    answer, given = Cell.answer, list[object]()

    def another(self: Cell) -> CircuitBatch | Finished:
        step = answer(self)
        assert isinstance(step, CircuitBatch)
        return CircuitBatch(step.templates, step.order, tuple(np.asarray(table + 0.5) for table in step.angles))

    ask = Cell.ask
    monkeypatch.setattr(Cell, "ask", lambda self, counts: (given.append(counts), ask(self, counts)))
    monkeypatch.setattr(Cell, "answer", another)
    with pytest.raises(WorkloadFailed, match="round 1 has other circuits than before"):
        run_rounds(desk.attempt, plan)
    assert set(given) == {None}
    assert desk.entries() == [(0, 0, "aer", "settled")]
    monkeypatch.setattr(Cell, "answer", answer)
    desk.attempt = desk.next_attempt()
    assert len(run_rounds(desk.attempt, plan).rounds) == 2
    assert len(desk.ledger.events(RUN, "job-submitted")) == 2


def test_one_that_was_changed_is_not_sent(approved: tuple[Desk, ApprovedPlan]) -> None:
    """Another byte in its file: the run stops before anything is intended."""
    desk, plan = approved
    path = _file(desk, plan.plan)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Tampered):
        run_rounds(desk.attempt, plan)
    assert desk.entries() == []


def test_one_that_is_gone_is_asked_for(approved: tuple[Desk, ApprovedPlan]) -> None:
    """The workload gives it, as without a plan that kept it."""
    desk, plan = approved
    _file(desk, plan.plan).unlink()
    outcome = run_rounds(desk.attempt, plan)
    assert outcome.rounds[0].submission.circuits == plan.plan.body.circuits
    assert desk.entries() == [(0, 0, "aer", "settled"), (1, 0, "aer", "settled")]


# Circuits that it asks for again, with other ones between, or at once.
AGAIN = """
import pandas as pd


def solve(features, parameters):
    from qiskit import QuantumCircuit

    asked = {}
    for turn in parameters["turns"]:
        circuit = QuantumCircuit(1, 1)
        if turn == "b":
            circuit.x(0)
        circuit.measure(0, 0)
        counts = yield [circuit]
        (only,) = counts
        asked.setdefault(turn, []).append(sum(only.values()))
    shots = {turn: sum(each) / len(each) for turn, each in asked.items()}
    return pd.DataFrame({"subject": features["subject"], "score": shots["a"]})
"""


@pytest.mark.parametrize("turns", ["aaa", "bab"])
def test_the_same_circuits_in_a_later_round(tmp_path: Path, turns: str) -> None:
    """A workload that wants more shots of the same: each round is its own, and is given its own counts."""
    require("bubblewrap")
    desk = Desk(tmp_path, cell="bubblewrap", rounds=3)
    desk.write(AGAIN.replace('parameters["turns"]', repr(turns)))
    approved = desk.approved()
    assert approved.plan.first_round is not None
    outcome = run_rounds(desk.attempt, approved)
    assert [each.state for each in journal.entries(desk.attempt)] == ["settled"] * 3
    assert len(desk.ledger.events(RUN, "job-submitted")) == 3
    assert set(desk.frame(outcome)["score"]) == {approved.plan.body.circuits.shots}
    desk.attempt = desk.next_attempt()
    assert run_rounds(desk.attempt, approved) == outcome


@pytest.mark.parametrize(("harm", "error"), [("gone", StorageError), ("changed", Tampered)])
def test_no_job_is_made_for_data_that_is_lost(approved: tuple[Desk, ApprovedPlan], harm: str, error: type[Exception]) -> None:
    """Without what the workload is given nobody could do anything with the counts."""
    desk, plan = approved
    path = desk.attempt.store.root / plan.plan.validated.minimised.artifact.uri.removeprefix("artifact:")
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(error):
        run_rounds(desk.attempt, plan)
    assert desk.entries() == []


def test_a_process_that_was_superseded_writes_over_no_other_s(approved: tuple[Desk, ApprovedPlan]) -> None:
    """It hung in its plan while another attempt made the one that was approved."""
    desk, plan = approved
    old = desk.attempt
    desk.attempt = desk.next_attempt()
    batch = kept_first_round(old, plan.plan)
    assert batch is not None
    before = _file(desk, plan.plan).read_bytes()
    keep_first_round(desk.attempt, plan.plan.validated.minimised, batch, "bubblewrap", plan.plan.rehearsal)
    assert _file(desk, plan.plan).read_bytes() == before
    with pytest.raises(Superseded):
        keep_first_round(old, plan.plan.validated.minimised, batch, "bubblewrap", plan.plan.rehearsal)


def test_a_round_that_was_sent_is_not_read_again(approved: tuple[Desk, ApprovedPlan]) -> None:
    """What the journal has needs no kept circuits: an attempt that goes on does without."""
    desk, plan = approved
    outcome = run_rounds(desk.attempt, plan)
    _file(desk, plan.plan).write_bytes(b"rotten")
    desk.attempt = desk.next_attempt()
    assert run_rounds(desk.attempt, plan) == outcome


def test_a_large_round_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take several times its size; the workload is asked, as without a plan that keeps it."""
    require("bubblewrap")
    monkeypatch.setattr(first_round, "_BYTES", 64)
    desk = Desk(tmp_path, cell="bubblewrap")
    approved = desk.approved()
    assert approved.plan.first_round is None
    assert len(run_rounds(desk.attempt, approved).rounds) == 2


def test_nothing_is_kept_where_nobody_can_tell(tmp_path: Path) -> None:
    """Without a cell a workload may read what changes; without a rehearsal nobody has seen that it gives the same twice."""
    assert Desk(tmp_path / "none").planned().first_round is None
    require("bubblewrap")
    assert Desk(tmp_path / "skip", cell="bubblewrap", rehearsal="skip").planned().first_round is None
