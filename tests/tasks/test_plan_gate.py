"""Gate 4: nobody is asked for what can't run: a first round that is none, that a backend can't take or that the envelope can't hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.gates import TWO_ROUNDS, Desk
from tests.support.plans import RUN

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.errors import Denied, InputError, WorkloadFailed


def test_a_first_round_that_does_not_fit_is_not_even_planned(tmp_path: Path) -> None:
    """The approver is not asked for what the envelope can't hold."""
    desk = Desk(tmp_path, jobs=2, backends="braket-local")
    with pytest.raises(Denied, match="needs 3 jobs for the first round, the envelope has 2"):
        desk.planned()


TOO_WIDE = "def solve(features, parameters):\n    made = QuantumCircuit(29, 29)\n    made.measure(0, 0)\n    yield [made]\n"
NOT_AT_BRAKET = "def solve(features, parameters):\n    made = QuantumCircuit(1, 1)\n    made.reset(0)\n    made.measure(0, 0)\n    yield [made]\n"


def test_circuits_that_a_backend_can_not_run_are_not_planned(tmp_path: Path) -> None:
    """Too many qubits, or a reset where there is none, ends the run before anybody is asked, with the backend's name."""
    with pytest.raises(Denied, match="aer has 28 qubits, the circuits need 29"):
        Desk(tmp_path / "wide", TOO_WIDE).planned()
    with pytest.raises(InputError, match="a circuit resets"):
        Desk(tmp_path / "reset", NOT_AT_BRAKET).planned()


NO_FIRST_ROUND = {
    "returns": "    return pd.DataFrame({'a': [1]})\n    yield\n",
    "empty": "    yield []\n",
    "numbers": "    yield [1]\n",
    "raises": "    raise ValueError('CANARY')\n    yield\n",
}


@pytest.mark.parametrize("name", NO_FIRST_ROUND)
def test_a_workload_without_a_first_round_is_not_planned(tmp_path: Path, name: str) -> None:
    """No circuits, no plan."""
    desk = Desk(tmp_path, "def solve(features, parameters):\n" + NO_FIRST_ROUND[name])
    with pytest.raises(WorkloadFailed) as caught:
        desk.planned()
    assert "CANARY" not in str(caught.value)
    assert "CANARY" not in "".join(str(dict(event.data)) for event in desk.ledger.events())


def test_the_plan_is_left_as_a_page(tmp_path: Path) -> None:
    """Entered in the ledger before anybody is asked, with its digest and how long it stays; no drawing is in the ledger, which never forgets."""
    desk = Desk(tmp_path, backends="aer")
    made = desk.planned()
    written = {event.data["gate"]: event.data for event in desk.ledger.events(RUN, "report-written")}["plan"]
    content = (desk.settings.home / written["path"]).read_bytes()
    assert sha256_bytes(content) == written["sha256"]
    assert written["retain_days"] == made.admitted.manifest.retention.evidence.days
    assert made.digest in content.decode() and "Ry(\u03b8[0])" in content.decode()
    assert "3 settings of its 1 angle" in content.decode()
    assert not any("\u03b8" in str(dict(event.data)) or "\u2524" in str(dict(event.data)) for event in desk.ledger.events())


def test_what_only_a_job_would_show_is_not_planned(tmp_path: Path) -> None:
    """The gate rehearses: a frame that nobody could write back is told before anybody is asked, and the same run is planned once it is mended."""
    desk = Desk(tmp_path, TWO_ROUNDS.replace('"subject": ', '"person": '))
    with pytest.raises(WorkloadFailed, match=r"missing \['subject'\], 1 more; in the rehearsal"):
        desk.planned()
    assert desk.gates("gate-failed") == ["plan"] and desk.entries() == []
    desk.write(TWO_ROUNDS)
    desk.attempt = desk.next_attempt()
    plan = desk.planned()
    assert plan.rehearsal.rehearsed and plan.rehearsal.rows == 3
    assert plan.body.digest() == plan.digest
