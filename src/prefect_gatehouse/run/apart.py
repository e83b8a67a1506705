"""The workload of a run, and the files beside it that are not its own: those have digests of their own, or are where results go."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from prefect_gatehouse.data.sources.interface import FilesPlace
from prefect_gatehouse.data.sources.place import place_of
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.endpoints import declared_endpoint
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.sources import FoundWorkload, find_workload

_SQLITE = "sqlite:///"
_BESIDE_SQLITE = ("", "-journal", "-wal", "-shm")
"""A database and what SQLite writes beside it (sqlite.org/tempfiles.html)."""


def find_workload_of(settings: Settings, admitted: AdmittedRun) -> FoundWorkload:
    """The files of a run's workload as they are now; nothing of them runs.

    Raises:
        InputError: There is no such file, or what lies beside it is too much.
    """
    return find_workload(admitted.manifest.workload.entrypoint, Path(admitted.folder), _apart(settings, admitted))


def unseen(admitted: AdmittedRun) -> frozenset[Path]:
    """What a cell must not be able to read, wherever it lies: the files of the source, and the databases that the manifest names."""
    folder = Path(admitted.folder)
    return frozenset({place for name in _source(admitted) for place in (folder.resolve() / name, (folder / name).resolve())} | _databases(admitted))


def _apart(settings: Settings, admitted: AdmittedRun) -> frozenset[Path]:
    """The manifest, the suites, the source and the databases that the manifest names, and where Gatehouse keeps its state."""
    folder, manifest = Path(admitted.folder), admitted.manifest
    names = (admitted.file, manifest.data.suite, manifest.output.suite)
    found = {place for name in names for place in (folder.resolve() / name, (folder / name).resolve())}
    return frozenset({*found, settings.home.resolve(), *unseen(admitted)})


def _source(admitted: AdmittedRun) -> list[str]:
    with suppress(InputError):  # a pattern that matches nothing any more: then there is nothing to leave out
        place = place_of(admitted.manifest, Path(admitted.folder))
        if isinstance(place, FilesPlace):
            return list(place.names)
    return []


def _databases(admitted: AdmittedRun) -> set[Path]:
    endpoints = (declared_endpoint(system.endpoint, Path(admitted.folder)) for system in admitted.manifest.systems)
    return {Path(each.removeprefix(_SQLITE) + ending) for each in endpoints if each.startswith(_SQLITE) for ending in _BESIDE_SQLITE}
