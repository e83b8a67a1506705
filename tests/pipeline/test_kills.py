"""Invariants 3 and 6: kill -9 anywhere; the resumed run ends with the same rows, no effect twice, and nothing left behind."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.support.pipeline import ROWS

from prefect_gatehouse.flows.clean_up import sweep
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify

ROUNDS = 2
SHOTS = 64
# Basis states: the counts, and so the rows, are the same whatever the seed.
WORKLOAD = """
import pandas as pd


def solve(features, parameters):
    from qiskit import QuantumCircuit

    features = features.sort_values("subject", ignore_index=True)
    total = 0
    for turn in range(parameters["rounds"]):
        circuits = []
        for wires in ([], [0], [0, 1]):
            circuit = QuantumCircuit(2, 2)
            for wire in wires:
                circuit.x(wire)
            circuit.measure([0, 1], [0, 1])
            circuits.append(circuit)
        counts = yield circuits
        total += (turn + 1) * (counts[0]["00"] + 2 * counts[1]["01"] + 3 * counts[2]["11"])
    return pd.DataFrame({"subject": features["subject"], "score": float(total) + features.index % 1})
"""
SCORE = float(sum((turn + 1) * 6 * SHOTS for turn in range(ROUNDS)))

PLACES = [
    ("before", "admit"),
    ("before", "minimise"),  # the artifact is written, nobody knows
    ("after", "asked"),  # asked, not yet suspended
    ("before", "answer"),  # answered, not yet judged
    ("after", "intended"),  # the intent is there, the job is not
    ("before", "submitted"),  # the job is there, its handle is not
    ("before", "settled"),
    ("before", "write_back"),  # published, nobody knows
    ("before", "clean_up"),  # all is gone, the run is not closed
    ("after", "ending"),
]


def run_with_a_death(pipeline: Any, tap: Path, kill: dict[str, Any], *, after_approval: bool | None = None) -> bool:
    """Drives a run to its end through one death, restarting it as an operator would.

    Returns:
        Whether the process was killed at all: one that ended sooner was not.
    """
    run_id = pipeline.start()
    killed = False
    for _ in range(8):
        paused = pipeline.ledger.run(run_id) is not None and bool(pipeline.ledger.events(run_id, "approval-asked"))
        armed = not killed and after_approval in (None, paused)
        ended = pipeline.process(run_id, tap=str(tap), **({"kill": kill} if armed else {}))
        killed = killed or ended["signal"] == 9
        if pipeline.ledger.run(run_id) is not None and pipeline.ledger.run(run_id).ending is not None:
            break
        if pipeline.state(run_id).is_paused():
            pipeline.answer(run_id)
        else:
            assert ended["signal"] == 9, pipeline.log.read_text()[-3000:]
            pipeline.restart(run_id)
    check(pipeline, run_id, tap)
    return killed


def check(pipeline: Any, run_id: str, tap: Path) -> None:
    """The same rows as without a death; each effect once; nothing left; a ledger that verifies."""
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()[-3000:]
    rows = pipeline.rows()
    assert len(rows) == ROWS
    assert {row[0] for row in rows} == pipeline.source_subjects()
    assert {row[1] for row in rows} == {SCORE}
    effects = Counter(tuple(json.loads(line)[:2]) for line in tap.read_text().splitlines())
    assert {key for kind, key in effects if kind == "job"} <= {f"{run_id}:{turn}:0:0" for turn in range(ROUNDS)}
    # Noted after the effect: a process that died in between left no note, but a second effect would leave a second one.
    assert set(effects.values()) == {1}, effects
    submitted = [event.data["job"] for event in pipeline.ledger.events(run_id, "job-submitted")]
    assert len(submitted) == len(set(submitted)) == ROUNDS
    passed = Counter((event.data["gate"], event.data.get("round")) for event in pipeline.ledger.events(run_id, "gate-passed"))
    assert all(count == 1 for (gate, _), count in passed.items() if gate != "fetch_credential"), passed
    assert pipeline.left_behind() == []
    if not (pipeline.home / "ledger.vkey").exists():
        sweep(pipeline.settings)  # killed between its last event and the first head: the hourly sweeper signs it
    found = verify(pipeline.ledger, VerifierKey.parse((pipeline.home / "ledger.vkey").read_text()))
    assert found.ok, found.problems


@pytest.mark.parametrize(("side", "event"), PLACES, ids=[f"{side}-{event}" for side, event in PLACES])
def test_a_death_at_a_delicate_place(make_pipeline: Any, tmp_path: Path, side: str, event: str) -> None:
    """Killed just before or after an event is written: the run is resumed, and ends as if nothing had happened."""
    pipeline = make_pipeline(workload=WORKLOAD)
    assert run_with_a_death(pipeline, tmp_path / "tap", {"event": event, "side": side})


def test_a_death_as_soon_as_the_run_is_suspended(make_pipeline: Any, tmp_path: Path) -> None:
    """The form and its plan are there when the run is: killed the moment Prefect has it suspended, it is answered as any other."""
    from prefect.input import read_flow_run_input

    pipeline = make_pipeline(workload=WORKLOAD)
    run_id, tap = pipeline.start(), tmp_path / "tap"
    assert pipeline.process(run_id, tap=str(tap), kill={"suspended": True})["signal"] == 9
    keys = pipeline.state(run_id).state_details.run_input_keyset
    assert "What the workload sees" in read_flow_run_input(keys["description"], UUID(run_id))
    pipeline.answer(run_id)
    pipeline.process(run_id, tap=str(tap))
    check(pipeline, run_id, tap)


def test_two_live_processes_make_one_job(make_pipeline: Any, tmp_path: Path) -> None:
    """A process that froze between intent and submission wakes up after another has finished the run: it makes no job and leaves nothing."""
    pipeline, tap = make_pipeline(workload=WORKLOAD), tmp_path / "tap"
    run_id = pipeline.start()
    pipeline.approved(run_id)
    frozen = pipeline.process(run_id, tap=str(tap), kill={"event": "intended", "side": "after", "signal": "STOP"})["stopped"]
    pipeline.restart(run_id)
    pipeline.process(run_id, tap=str(tap))
    check(pipeline, run_id, tap)
    size = pipeline.ledger.size()
    pipeline.zygote.run(thaw=frozen)
    assert pipeline.ledger.size() == size
    check(pipeline, run_id, tap)


@pytest.mark.drill
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("after_approval", [False, True], ids=["before-approval", "after-approval"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_drill_a_death_at_every_transaction(make_pipeline: Any, tmp_path: Path, side: str, after_approval: bool) -> None:
    """Killed before and after every transaction that a run makes, one run each."""
    for boundary in range(1, 200):
        pipeline = make_pipeline(f"p{boundary}", workload=WORKLOAD)
        if not run_with_a_death(pipeline, tmp_path / f"tap{boundary}", {"boundary": boundary, "side": side}, after_approval=after_approval):
            break
        print(f"{side} transaction {boundary}, {'after' if after_approval else 'before'} the approval: survived")
    assert boundary > 8


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_drill_a_death_at_random_moments(make_pipeline: Any, tmp_path: Path) -> None:
    """Killed at 25 random moments, wherever that is."""
    chance = random.Random(20261124)
    killed = 0
    for turn in range(25):
        pipeline = make_pipeline(f"p{turn}", workload=WORKLOAD)
        kill = {"seconds": chance.uniform(0.05, 2.5)}
        killed += run_with_a_death(pipeline, tmp_path / f"tap{turn}", kill, after_approval=bool(turn % 2))
        print(f"{kill['seconds']:.2f} s, {'after' if turn % 2 else 'before'} the approval: survived")
    assert killed >= 15
