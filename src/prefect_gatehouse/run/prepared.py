"""A round as it will be sent to one backend: prepared for it, its angles on the plan's grid; and whether it is what was approved."""

from __future__ import annotations

from dataclasses import replace

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import InputError, PlanChanged
from prefect_gatehouse.providers.interface import Backend, Prepared
from prefect_gatehouse.run.planned import BackendSnapshot, Preparation
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.workload.angles import on_grid
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.plain_form import circuits_digest
from prefect_gatehouse.workload.summary import CircuitsSummary


def prepare(provider: Backend, batch: CircuitBatch, shots: int, step: float | None, lease: CredentialLease, *, where: str) -> Prepared:
    """What a backend makes of a round, on the grid that the manifest puts angles on: a transpiler's own angles are off it.

    Args:
        provider: The backend.
        batch: The round as the workload yielded it, on the grid.
        shots: Of each circuit.
        step: Of the grid, in radians; None where there is none.
        lease: For submitting.
        where: The backend's name.

    Raises:
        InputError: What it made are other circuits.
    """
    found = provider.prepare(batch, shots, lease)
    if found.batch is batch:
        return found
    if len(found.batch) != len(batch) or list(found.batch.clbits()) != list(batch.clbits()):
        raise InputError("the provider prepared other circuits than it was given", where=where, advice="mend the provider's prepare")
    return replace(found, batch=on_grid(found.batch, step))


def digest_of(found: Prepared, batch: CircuitBatch, summary: CircuitsSummary) -> str:
    """Names the circuits as they will be sent; the workload's own digest where they are the same."""
    return summary.digest if found.batch is batch else circuits_digest(found.batch)


def record(found: Prepared, digest: str) -> Preparation:
    """What the plan tells of it."""
    return Preparation(
        settings=dict(found.settings),
        circuits_digest=digest,
        depth_before=found.depth_before,
        depth_after=found.depth_after,
        two_qubit_before=found.two_qubit_before,
        two_qubit_after=found.two_qubit_after,
        quality=None if found.quality is None else round(found.quality, 6),
    )


def refuse_other(planned: BackendSnapshot, found: Prepared, digest: str, number: int) -> None:
    """Stops a round that was prepared in another way than was approved, and a first round that came out as another one.

    Raises:
        PlanChanged: Says which setting is another one.
    """
    before = planned.prepared
    settings = before.settings if before is not None else {}
    names = sorted(name for name in {*settings, *found.settings} if canonical(settings.get(name)) != canonical(found.settings.get(name)))
    if before is None or names or (number == 0 and digest != before.circuits_digest):
        what = ", ".join(names) or "circuits"
        advice = "start a new run and have it approved"
        raise PlanChanged(f"changed since the approval: how circuits are prepared for {planned.name} ({what})", where="plan", advice=advice)
