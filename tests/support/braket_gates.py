"""A run of the small project whose only backend is the emulator's machine, and the look at all open jobs."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.errors import Waiting
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.ledger.events import RunQueued
from prefect_gatehouse.run.reconciliation import Found, Reconciliation
from prefect_gatehouse.testing import BraketEmulator
from tests.support.gates import Desk

BACKEND, BLOCK = "braket/garnet-eu", "braket-device/garnet-eu"


def desk_at(folder: Path, braket: BraketEmulator, backends: str = BACKEND, execution: str = "", **settings: Any) -> Desk:
    """The desk; ``execution`` is more of that part of the manifest."""
    bucket = f"gates-{uuid.uuid4()}"
    braket.create_bucket(bucket)
    made = Desk(folder, backends=backends)
    made.blocks[BLOCK] = braket.settings(bucket, **{"grace_seconds": 1.0, "call_seconds": 0.8, **settings})
    made.attempt = made.next_attempt()
    made.change("credentials:\n", "credentials:\n  submit: secret/aws\n")
    made.change("  shots: 64\n", f"  shots: 64\n  queue_wait: 1s\n{execution}")
    made.secrets["secret/aws"] = braket.credential
    tiers = made.settings.tiers
    tiers.write_text(tiers.read_text().replace("backends: [aer, braket-local]", f"backends: [aer, {BACKEND}]"))
    return made


def queue(desk: Desk) -> Waiting:
    """To the end of this process's patience, and what a flow writes down then."""
    approved = desk.approved()
    with pytest.raises(Waiting) as caught:
        run_rounds(desk.attempt, approved)
    waiting = caught.value
    fact = RunQueued(message=waiting.message, backend=waiting.where, jobs=waiting.jobs, position=waiting.position, until=time.time() + 3600)
    desk.attempt.record(f"queued:{desk.attempt.number}", fact)
    return waiting


def look(desk: Desk, now: float | None = None) -> Found:
    """One look, as the deployment makes it every few minutes."""
    return Reconciliation(desk.settings, desk.ledger, desk.attempt.read_secret, now).look()
