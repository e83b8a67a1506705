"""Where a manifest says that its data is."""

from __future__ import annotations

from pathlib import Path

from prefect_gatehouse.data.sources.files import files_place
from prefect_gatehouse.data.sources.interface import Place, S3Place, SqlPlace
from prefect_gatehouse.manifest.data import S3Objects
from prefect_gatehouse.manifest.endpoints import declared_endpoint
from prefect_gatehouse.manifest.models import Manifest


def place_of(manifest: Manifest, folder: Path) -> Place:
    """The place of a manifest's source.

    Args:
        manifest: The manifest.
        folder: Its folder.

    Raises:
        InputError: A pattern matches no file, or leads out of the folder.
    """
    source = manifest.data.source
    if isinstance(source, str):
        return files_place(folder, source, manifest.data.csv)
    if isinstance(source, S3Objects):
        return S3Place(source.s3, manifest.data.csv)
    declared = next(system for system in manifest.systems if system.name == source.system)
    return SqlPlace(source.sql, declared.name, declared_endpoint(declared.endpoint, folder))
