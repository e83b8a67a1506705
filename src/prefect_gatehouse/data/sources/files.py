"""CSV and Parquet files below the manifest's folder as a source."""

from __future__ import annotations

from pathlib import Path

from prefect_gatehouse.data.sources.collection import Collection, Item
from prefect_gatehouse.data.sources.interface import FilesPlace, Rejects
from prefect_gatehouse.data.sources.kinds import check_ending
from prefect_gatehouse.data.sources.opened import local_state, open_local
from prefect_gatehouse.data.sources.patterns import files_below, is_pattern
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.csv_form import STANDARD, CsvForm


def files_place(folder: Path, pattern: str, form: CsvForm = STANDARD) -> FilesPlace:
    """The files that a manifest's source names: one, or those that a pattern matches.

    Raises:
        InputError: Nothing matches the pattern, or it leads out of the folder.
    """
    return FilesPlace(folder, files_below(folder, pattern) if is_pattern(pattern) else (pattern,), form)


def files_source(place: FilesPlace, rejects: Rejects) -> Collection:
    """The files as a source, each looked at at once: a missing one is told before anything is read.

    Raises:
        InputError: There is no file, or one is missing, not a file, of another kind, or a link out of the folder.
        DataRefused: One is empty.
        StorageError: One can't be read.
    """
    if not place.names:
        raise InputError("no file is named", where="data.source", advice="name at least one")
    items = []
    for name in place.names:
        check_ending(name)
        mark, size = local_state(place.folder, name)
        items.append(Item(name, mark, size))
    return Collection(lambda: tuple(items), lambda name, mark: open_local(place.folder, name, mark), rejects, place.form)
