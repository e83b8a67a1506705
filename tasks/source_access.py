"""The source of a run: where it is, and the leased access to it where it is not a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from prefect_gatehouse.blocks.source_access import BlockSecret, SecretAccess
from prefect_gatehouse.data.sources import FilesPlace, Place, SqlPlace
from prefect_gatehouse.data.sources.place import place_of
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.endpoints import endpoint_of
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.policy_questions import ask_read_source
from prefect_gatehouse.run.values import AdmittedRun


@contextmanager
def source_of(attempt: Attempt, admitted: AdmittedRun, fetch: Fetch) -> Iterator[tuple[Place, SecretAccess | None]]:
    """The place and the access of a run's source; the lease ends with the context.

    Raises:
        Denied: The policy or the store says no, or the address is not the declared system.
        InputError: A pattern matches nothing.
        Unavailable: The store does not answer.
    """
    place = place_of(admitted.manifest, Path(admitted.folder))
    if isinstance(place, FilesPlace):
        yield place, None
        return
    with fetch(attempt, admitted, Purpose.READ_SOURCE) as lease:
        access = SecretAccess(partial(lease.held, Purpose.READ_SOURCE))
        if isinstance(place, SqlPlace):
            _refuse_undeclared(attempt, admitted, place, access.address())
        else:
            block = admitted.manifest.credentials.read_source or ""
            ask_read_source(attempt.policy, admitted, block, True, attempt.settings.environment)
        yield place, access


def worker_access(manifest: Manifest) -> SecretAccess | None:
    """The access for another process: it holds the block's reference and reads the block there; None where a file needs none."""
    block = manifest.credentials.read_source
    return SecretAccess(BlockSecret(block)) if block is not None and not isinstance(manifest.data.source, str) else None


def _refuse_undeclared(attempt: Attempt, admitted: AdmittedRun, place: SqlPlace, url: str) -> None:
    """The address came from a secret store: it must be the system that the manifest declared."""
    matches = endpoint_of(url, "read_source") == place.endpoint
    ask_read_source(attempt.policy, admitted, place.system, matches, attempt.settings.environment)
    if not matches:
        raise Denied("the source address is not the declared system", where=f"systems.{place.system}", advice="correct the block or the manifest")
