"""Gates 4, 7 and 8 over a Braket device, with the journal: a plan with its price, a round as one task, a lost answer that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.gates import Desk

from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.providers.interface import Backend, Connection
from prefect_gatehouse.providers.registry import connect
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.testing import BraketEmulator

BACKEND = "braket/garnet-eu"


@pytest.fixture
def run(tmp_path: Path, braket: BraketEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A run whose only backend is the machine; its settings come from here, as they will from a block."""
    braket.create_bucket(f"gates-{tmp_path.name.strip('_').replace('_', '-')[-40:]}")
    settings = braket.settings(f"gates-{tmp_path.name.strip('_').replace('_', '-')[-40:]}", grace_seconds=1.0, call_seconds=0.8)

    def backend(self: Attempt, name: str) -> Backend:
        return connect(name, Connection(self.kept_by("braket"), self.sealer, settings))

    monkeypatch.setattr(Attempt, "backend", backend)
    made = Desk(tmp_path, backends=BACKEND)
    made.change("credentials:\n", "credentials:\n  submit: secret/aws\n")
    made.secrets["secret/aws"] = braket.credential
    tiers = made.settings.tiers
    tiers.write_text(tiers.read_text().replace("backends: [aer, braket-local]", f"backends: [aer, {BACKEND}]"))
    with closing(made.ledger):
        yield made


def test_a_whole_run(run: Desk, braket: BraketEmulator) -> None:
    """Planned with the price of one task, two rounds as two tasks, what is settled equals the bill, the counts decide the second round."""
    approved = run.approved()
    (snapshot,) = approved.plan.body.backends
    assert (snapshot.name, snapshot.simulator) == (BACKEND, False)
    outcome = run_rounds(run.attempt, approved)
    tasks = braket.tasks()
    assert [task["executables"] for task in tasks] == [3, 1]
    settled = [Decimal(event.data["cost_usd"]) for event in run.ledger.events(run.attempt.run_id, "job-settled")]
    assert settled == [Decimal(task["billed"]) for task in tasks]
    assert [task["tags"]["gatehouse-key"] for task in tasks] == [f"{run.attempt.run_id}:{number}:0:0" for number in range(2)]
    assert set(run.frame(outcome)["score"]) <= set(range(101)) and run.entries()[0][2:] == (BACKEND, "settled")


def test_answers_that_are_lost(run: Desk, braket: BraketEmulator) -> None:
    """Every first answer is lost and the tokens are forgotten: two rounds are two tasks all the same."""
    approved = run.approved()
    braket.conduct(forget_tokens=True, search_lag_seconds=0.2)
    braket.fault("CreateQuantumTask", "drop-after", times=2)
    run_rounds(run.attempt, approved)
    assert len(braket.tasks()) == 2 and [entry[3] for entry in run.entries()] == ["settled", "settled"]


def test_an_outage_between_submission_and_result(run: Desk, braket: BraketEmulator) -> None:
    """The service is away while the round waits: the run is interrupted, not ended, and another attempt takes up the same task."""
    approved = run.approved()
    braket.fault("GetQuantumTask", "error", times=3)
    with pytest.raises(Unavailable):
        run_rounds(run.attempt, approved)
    run.attempt = run.next_attempt()
    run_rounds(run.attempt, approved)
    assert len(braket.tasks()) == 2
