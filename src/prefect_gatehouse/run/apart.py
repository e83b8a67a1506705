"""The workload of a run, and the files beside it that are not its own: those have digests of their own, or are where results go."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from prefect_gatehouse.data.sources.interface import FilesPlace
from prefect_gatehouse.data.sources.place import place_of
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.endpoints import declared_endpoint
from prefect_gatehouse.manifest.models import Manifest
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
    return workload_beside(settings, admitted.manifest, Path(admitted.folder) / admitted.file)


def workload_beside(settings: Settings, manifest: Manifest, file: Path) -> FoundWorkload:
    """The files of a manifest's workload as they are now; nothing of them runs.

    Args:
        settings: The installation.
        manifest: What the file says.
        file: The manifest's.

    Raises:
        InputError: There is no such file, or what lies beside it is too much.
    """
    return find_workload(manifest.workload.entrypoint, file.parent, apart_from(settings, manifest, file))


def unseen(admitted: AdmittedRun) -> frozenset[Path]:
    """What a cell must not be able to read, wherever it lies: the files of the source, and the databases that the manifest names."""
    return _data(admitted.manifest, Path(admitted.folder))


def _data(manifest: Manifest, folder: Path) -> frozenset[Path]:
    found = {place for name in _source(manifest, folder) for place in (folder.resolve() / name, (folder / name).resolve())}
    return frozenset(found | _databases(manifest, folder))


def apart_from(settings: Settings, manifest: Manifest, file: Path) -> frozenset[Path]:
    """What is not a workload's own: the manifest, the suites, the source, the databases that the manifest names, and Gatehouse's home."""
    folder = file.parent
    names = (file.name, manifest.data.suite, manifest.output.suite)
    found = {place for name in names for place in (folder.resolve() / name, (folder / name).resolve())}
    return frozenset({*found, settings.home.resolve(), *_data(manifest, folder)})


def _source(manifest: Manifest, folder: Path) -> list[str]:
    with suppress(InputError):  # a pattern that matches nothing any more: then there is nothing to leave out
        place = place_of(manifest, folder)
        if isinstance(place, FilesPlace):
            return list(place.names)
    return []


def _databases(manifest: Manifest, folder: Path) -> set[Path]:
    endpoints = (declared_endpoint(system.endpoint, folder) for system in manifest.systems)
    return {Path(each.removeprefix(_SQLITE) + ending) for each in endpoints if each.startswith(_SQLITE) for ending in _BESIDE_SQLITE}
