"""What of a project would run, by the digests of what was read: that which a review is of, and which a commit is compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prefect_gatehouse.canonical import digest, sha256_file
from prefect_gatehouse.manifest.load import manifest_digest
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.run.apart import apart_from, workload_beside
from prefect_gatehouse.run.plan import lock_digest
from prefect_gatehouse.run.values import AdmittedRun, PlanBody
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.sources import FoundWorkload, locate


@dataclass(frozen=True)
class Content:
    """What would run, as it was read: nothing of it is read again.

    Attributes:
        folder: The manifest's, links followed.
        file: The manifest's name in it.
        manifest: Digest of what it says.
        files: Each file of the workload, and of the suites, with its SHA-256; in order of the paths.
        root: The workload's folder; None where it is an installed package.
        apart: What lies below it and is not the workload's.
        lock: SHA-256 of the lock file that counts; None where there is none.
        lock_is_own: Whether that is the project's: the installation's is no part of a commit.
    """

    folder: Path
    file: str
    manifest: str
    files: tuple[tuple[Path, str], ...]
    root: Path | None
    apart: frozenset[Path]
    lock: str | None
    lock_is_own: bool

    @cached_property
    def digest(self) -> str:
        """SHA-256 over manifest and files, by their paths below the manifest's folder."""
        names = {Path(os.path.relpath(path, self.folder)).as_posix(): sha256 for path, sha256 in self.files}
        return digest({"manifest": self.manifest, "files": dict(sorted(names.items()))})


def content_beside(settings: Settings, manifest: Manifest, file: Path, found: FoundWorkload | None = None) -> Content:
    """What lies beside a manifest now.

    Args:
        settings: The installation.
        manifest: What the file says.
        file: The manifest's.
        found: Its workload, where it was read already.

    Raises:
        InputError: There is no such workload, what lies beside it is too much, or the lock file can't be read.
    """
    found = workload_beside(settings, manifest, file) if found is None else found
    suites = {name: _sha256_of(file.parent / name) for name in (manifest.data.suite, manifest.output.suite)}
    top = None if found.package is not None else found.sources.root
    return _content(settings, manifest, file, top, found.sources.root, dict(found.sources.digests), suites, lock_digest(settings, file.parent))


def content_planned(settings: Settings, admitted: AdmittedRun, body: PlanBody) -> Content:
    """What a plan says would run, by its own digests: no file is read.

    Raises:
        InputError: There is no such workload any more.
    """
    manifest, file = admitted.manifest, Path(admitted.folder) / admitted.file
    located, package = locate(manifest.workload.entrypoint, file.parent)
    suites = {manifest.data.suite: body.input_suite_sha256, manifest.output.suite: body.output_suite_sha256}
    files = {each.path: each.sha256 for each in body.files}
    top = None if package is not None else located.parent
    return _content(settings, manifest, file, top, located.parent, files, suites, body.lock_digest)


def _content(
    settings: Settings,
    manifest: Manifest,
    file: Path,
    top: Path | None,
    root: Path,
    files: Mapping[str, str],
    suites: Mapping[str, str],
    lock: str | None,
) -> Content:
    folder = file.parent.resolve()
    read = {root / path: sha256 for path, sha256 in files.items()} | {Path(os.path.normpath(folder / name)): each for name, each in suites.items()}
    return Content(
        folder=folder,
        file=file.name,
        manifest=manifest_digest(manifest),
        files=tuple(sorted(read.items())),
        root=top,
        apart=apart_from(settings, manifest, file),
        lock=lock,
        lock_is_own=settings.lock is None,
    )


def _sha256_of(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return ""  # which no file has
