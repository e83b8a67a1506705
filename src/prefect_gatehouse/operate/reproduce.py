"""Running a run again: what was kept of its jobs, on a model of their devices as they were."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prefect_gatehouse.errors import GatehouseError, InputError
from prefect_gatehouse.ledger.events import RunReproduced
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.providers.calibration import Errors, read_errors
from prefect_gatehouse.providers.simulator.modelled import modelled
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.comparison import BATCHES, Comparison, Verdict, compare
from prefect_gatehouse.run.reproducible import FILES, KeptJob, read_kept
from prefect_gatehouse.run.result_question import ask_to_look
from prefect_gatehouse.settings import Settings

CalibrationNow = Callable[[KeptJob], bytes]
"""The raw calibration of a job's device as it is now; empty where the provider tells none.

Raises:
    GatehouseError: It can't be asked.
"""


@dataclass(frozen=True)
class Again:
    """A job that was run again.

    Attributes:
        job: What was kept.
        model: What it ran on: ``calibration`` or ``ideal``.
        found: The comparison.
        change: What has changed of the device since, in words; empty where nobody was asked.
    """

    job: KeptJob
    model: str
    found: Comparison
    change: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: nothing of circuits and counts."""
        job, found = self.job, self.found
        return {
            "job": job.key,
            "backend": job.backend,
            "device": job.device,
            "handle": job.handle,
            "at": job.at.isoformat(),
            "circuits": len(job.places),
            "of": job.circuits,
            "shots": job.shots,
            "queue_seconds": job.queue_seconds,
            "run_seconds": job.run_seconds,
            "settings": job.settings,
            "versions": job.versions,
            "model": self.model,
            "distance": found.distance,
            "interval": [found.low, found.high],
            "verdict": found.verdict,
            "change": self.change,
        }


@dataclass(frozen=True)
class Reproduction:
    """A run that was run again.

    Attributes:
        jobs: One by one.
        whole: All circuits together.
        verdict: Of all together, or ``incident`` where a job by itself is one.
    """

    jobs: tuple[Again, ...]
    whole: Comparison
    verdict: Verdict


def reproduce(settings: Settings, ledger: Ledger, run_id: str, calibration_now: CalibrationNow | None = None) -> Reproduction:
    """Runs what was kept of a run again and compares.

    Args:
        settings: The installation's.
        ledger: The open ledger.
        run_id: The run.
        calibration_now: Asks the provider; None asks nobody.

    Raises:
        Denied: The policy lets the caller not see it.
        InputError: Nothing is kept of the run, or a circuit is too wide to be modelled.
        StorageError: What is kept is gone, or the look at it can't be recorded.
        Tampered: What is kept is not what was written.
    """
    look = ask_to_look(settings, ledger, Chain(ledger, run_id), "reproduce")
    if look is not None and FILES.of_run(ledger, run_id):
        look.record()
    kept = read_kept(settings, ledger, run_id)
    if not kept:
        advice = "write reproduce: {keep: 3d} into the manifest of the next run"
        raise InputError("nothing is kept of this run: its manifest did not ask for it, or the retention has passed", where=run_id, advice=advice)
    measured, models, jobs = [], [], []
    for job in kept:
        errors, seed = read_errors(job.calibrated), _seed(job)
        model = modelled(job.batch, BATCHES * job.shots, errors, seed)
        measured += list(job.counts)
        models += model
        change = _change(job, errors, calibration_now) if calibration_now is not None else ""
        jobs.append(Again(job, "calibration" if errors is not None else "ideal", compare(job.counts, model, seed), change))
    whole = compare(measured, models, _seed(kept[0]))
    worst = any(each.found.verdict == "incident" for each in jobs)
    made = Reproduction(tuple(jobs), whole, "incident" if worst else whole.verdict)
    fact = RunReproduced(verdict=made.verdict, jobs=len(jobs), distance=whole.distance, low=whole.low, high=whole.high)
    with ledger.transaction() as tx:
        tx.append(f"{run_id}:reproduced:{secrets.token_hex(4)}", run_id, fact)
    return made


def _seed(job: KeptJob) -> int:
    """Of the job's key: the same run gives the same answer."""
    return int.from_bytes(hashlib.sha256(job.key.encode()).digest()[:4])


def _change(job: KeptJob, then: Errors | None, calibration_now: CalibrationNow) -> str:
    try:
        raw = calibration_now(job)
    except GatehouseError as error:
        return f"the provider was not asked: {error.message}"
    if raw == job.calibrated:
        return "the same calibration" if raw else "the backend has no calibration"
    now = read_errors(raw)
    if then is None or now is None:
        return "another calibration, whose errors do not read"
    return _in_words(then.change_to(now)) or "another calibration, with the same errors but for a tenth"


_NAMES = {"readout": "read-out error", "one": "error of one-qubit gates", "two": "error of two-qubit gates"}


def _in_words(changes: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(f"{_NAMES[name]} {before:.2g} -> {after:.2g}" for name, (before, after) in changes.items())
