"""The access to a run's source: for a worker the reference of a block, never what it holds."""

from __future__ import annotations

from pathlib import Path

from tests.support.plans import admitted_run, write_project

from prefect_gatehouse.blocks.source_access import BlockSecret, SecretAccess
from prefect_gatehouse.manifest.data import S3Objects
from prefect_gatehouse.tasks.source_access import worker_access


def test_what_a_worker_is_given(tmp_path: Path) -> None:
    """The reference of the manifest's block; nothing where the source is a file."""
    write_project(tmp_path / "project")
    manifest = admitted_run(tmp_path / "project").manifest
    assert worker_access(manifest) is None
    data = manifest.data.model_copy(update={"source": S3Objects(s3="p.csv")})
    credentials = manifest.credentials.model_copy(update={"read_source": "s3-bucket/zone"})
    assert worker_access(manifest.model_copy(update={"data": data, "credentials": credentials})) == SecretAccess(BlockSecret("s3-bucket/zone"))
