"""What a worker was told at its start, by a file or by its own environment; nothing of it comes from Prefect's API."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.value import Value

CONFIG = "GATEHOUSE_WORKER_CONFIG"
FOLDERS = "GATEHOUSE_WORKER_FOLDERS"
DEPLOYMENTS = "GATEHOUSE_WORKER_DEPLOYMENTS"
QUERY = "GATEHOUSE_WORKER_QUERY_SECONDS"
OWN_DEPLOYMENTS = ("governed-pipeline/governed-pipeline", "clean-up/clean-up", "reconcile/reconcile")


class WorkerConfiguration(Value):
    """What a worker runs, and under which settings."""

    folders: Annotated[tuple[Path, ...], Field(min_length=1)]
    deployments: Annotated[tuple[str, ...], Field(min_length=1)] = OWN_DEPLOYMENTS
    query_seconds: Annotated[float, Field(ge=0.05, le=60)] = 0.15
    settings: Mapping[str, str] = Field(default_factory=dict, description="GATEHOUSE_* as the runs' processes have them.")

    @field_validator("folders")
    @classmethod
    def _whole(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        for folder in folders:
            if not folder.is_dir():
                raise ValueError("no such folder")
        return tuple(folder.resolve() for folder in folders)

    @field_validator("settings")
    @classmethod
    def _ours(cls, settings: Mapping[str, str]) -> Mapping[str, str]:
        if any(not name.startswith("GATEHOUSE_") or name.startswith("GATEHOUSE_WORKER_CONFIG") for name in settings):
            raise ValueError("not a setting of Gatehouse")
        return dict(settings)

    def admits(self, manifest: Path) -> bool:
        """Whether a manifest, links followed, lies in a folder that manifests are taken from."""
        return any(manifest.is_relative_to(folder) for folder in self.folders)


def load_configuration(environment: Mapping[str, str]) -> WorkerConfiguration:
    """The configuration: the file that the environment names, or else the environment.

    Raises:
        InputError: The file can't be read, its user could write it, or something in it is not understood.
    """
    named = environment.get(CONFIG, "")
    where = named or FOLDERS
    given = _from_file(Path(named)) if named else _from_environment(environment)
    if not given.get("folders"):
        advice = f"name the folders that manifests are taken from: gatehouse worker --folder DIR, {FOLDERS}, or folders in the file"
        raise InputError("a worker takes manifests from no folder", where=where, advice=advice)
    try:
        return WorkerConfiguration.model_validate(given)
    except ValidationError as error:
        fields = sorted({str(part["loc"][0]) for part in error.errors(include_input=False, include_url=False)})
        advice = "folders exist; deployments are FLOW/DEPLOYMENT; query_seconds is 0.05 to 60; settings are texts named GATEHOUSE_..."
        raise InputError(f"this is not understood: {', '.join(fields)}", where=where, advice=advice) from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {"folders": [part for part in environment.get(FOLDERS, "").split(os.pathsep) if part]}
    if environment.get(DEPLOYMENTS):
        given["deployments"] = [part.strip() for part in environment[DEPLOYMENTS].split(",")]
    if environment.get(QUERY):
        given["query_seconds"] = environment[QUERY]
    return given


def _from_file(path: Path) -> dict[str, Any]:
    try:
        _refuse_writable(path)
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the worker's file can't be read: {error.strerror}", where=str(path), advice=f"correct {CONFIG}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise InputError("the worker's file is no TOML", where=str(path), advice="see docs/operators.md for an example") from None


def _refuse_writable(path: Path) -> None:
    """A file that the worker's own user may write is one that a run's code may write; root may write any, so there others must not.

    Who may write a folder on the way to it may put another in its place, and who may write the folder of a link may let it lead elsewhere.
    """
    named = Path(os.path.abspath(path))  # noqa: PTH100 - links stay
    folders = {each.parent for each in (named, path.resolve())}
    for place in (path.resolve(), *folders):
        _refuse(place, place.stat())
    for place in {further for folder in folders for further in folder.parents}:
        found = place.stat()
        shared = found.st_mode & stat.S_ISVTX and found.st_uid == 0  # as /tmp is: nobody moves what is somebody else's
        if not shared:
            _refuse(place, found)


def _refuse(place: Path, found: os.stat_result) -> None:
    me = os.geteuid()
    theirs = me != 0 and (found.st_uid == me or os.access(place, os.W_OK))
    if theirs or stat.S_IMODE(found.st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
        advice = "give file and folders to root, or to another user than the worker's, with mode 0644 and 0755"
        raise InputError("the worker's file may be changed by the worker's own user or by others", where=str(place), advice=advice)
