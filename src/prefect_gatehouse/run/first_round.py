"""The first round, kept with the plan: its circuits are what people approved by their digest, so nobody waits for the workload to give them again.

They are kept where a rehearsal has shown that the workload gives the same each time, in a cell that reads nothing but what the plan names. It is
asked for them anyway before it is given counts, while their jobs run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_gatehouse.errors import StorageError
from prefect_gatehouse.workload.plain_form import decode, write

if TYPE_CHECKING:
    from prefect_gatehouse.run.attempt import Attempt
    from prefect_gatehouse.run.rehearsed import Rehearsal
    from prefect_gatehouse.run.values import MinimisedData, Plan
    from prefect_gatehouse.store.artifact import Artifact
    from prefect_gatehouse.vocabulary import CellName
    from prefect_gatehouse.workload.batch import CircuitBatch

_COLUMN = "circuits"
_BYTES = 64 << 20
"""A larger round is not kept: writing and reading it takes several times its size, and the workload computes meanwhile."""


def keep_first_round(attempt: Attempt, minimised: MinimisedData, batch: CircuitBatch, cell: CellName, rehearsal: Rehearsal) -> Artifact | None:
    """Keeps it, encrypted, in its plain form; None where nobody can tell whether the workload would give it again.

    Args:
        attempt: Who makes the plan.
        minimised: What the workload was given.
        batch: The round.
        cell: Where the workload runs; without one it may read what changes.
        rehearsal: Whether it was started a second time.

    Raises:
        StorageError: No disk.
    """
    if cell == "none" or not rehearsal.rehearsed or not attempt.goes_on or sum(table.nbytes for table in batch.angles) > _BYTES:
        return None
    manifest = minimised.admitted.manifest
    payload = write(batch, manifest.execution.shots)
    if len(payload) > _BYTES:
        return None
    import pyarrow as pa  # which whoever made the round has imported

    # By the attempt's own name: one that was superseded meanwhile writes over nobody's, before the fence stops it.
    name, table = f"first_round-{attempt.number}", pa.table({_COLUMN: pa.array([payload], pa.large_binary())})
    artifact = attempt.store.write(attempt.run_id, name, table, attempt.key, random=[_COLUMN])
    attempt.own(artifact, manifest)
    return artifact


def kept_first_round(attempt: Attempt, plan: Plan) -> CircuitBatch | None:
    """The circuits, None where they were not kept or are gone: then the workload is asked.

    Raises:
        StorageError: What the workload is given is gone: without it nobody could do anything with what comes back.
        Tampered: That, or the circuits, are not what was kept.
    """
    if plan.first_round is None:
        return None
    attempt.store.require(plan.validated.minimised.artifact)
    try:
        table = attempt.store.read(plan.first_round, attempt.key)
    except StorageError:
        return None
    return decode(table.column(_COLUMN)[0].as_py())[0]
