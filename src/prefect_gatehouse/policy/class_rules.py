"""The classes of data: a file that says, for each, who may read it, how long it stays, and whether it may be written back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.manifest.fields import DataClass, Duration, Strict
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.policy.rules import ClassRules
from prefect_gatehouse.policy.yaml_file import read_rules
from prefect_gatehouse.vocabulary import Role


class _Class(Strict):
    readers: tuple[Role, ...]
    artifacts: Duration
    evidence: Duration
    write_back: Annotated[bool, Field(strict=True)]


@cache
def _form() -> TypeAdapter[dict[DataClass, _Class]]:
    return TypeAdapter(dict[DataClass, _Class])


def load_class_rules(path: Path) -> Mapping[DataClass, ClassRules]:
    """The rules of every class.

    Raises:
        InputError: The file is missing or malformed, a class is not defined, or a higher class is more open than a lower one.
    """
    found = read_rules(path, _form(), "the classes of data", "GATEHOUSE_CLASSES")
    missing = [str(name) for name in DataClass if name not in found]
    if missing:
        raise InputError(f"classes are missing: {', '.join(missing)}", where=str(path), advice="define all four")
    for lower, higher in zip(DataClass, list(DataClass)[1:], strict=False):
        _refuse_more_open(path, lower, found[lower], higher, found[higher])
    return {
        name: ClassRules(
            data_class=name,
            readers=rules.readers,
            artifacts_seconds=int(rules.artifacts.total_seconds()),
            evidence_seconds=int(rules.evidence.total_seconds()),
            write_back=rules.write_back,
        )
        for name, rules in found.items()
    }


def _refuse_more_open(path: Path, lower: DataClass, below: _Class, higher: DataClass, above: _Class) -> None:
    """A slip in the file must not make declaring a higher class the way to more."""
    more = [
        field
        for field, opens in (
            ("readers", not set(above.readers) <= set(below.readers)),
            ("artifacts", above.artifacts > below.artifacts),
            ("evidence", above.evidence > below.evidence),
            ("write_back", above.write_back and not below.write_back),
        )
        if opens
    ]
    if more:
        raise InputError(
            f"{higher} allows more than {lower}", where=f"{path}: {higher}.{more[0]}", advice="a higher class never allows more than a lower one"
        )


def refuse_long_retention(manifest: Manifest, rules: ClassRules) -> None:
    """Stops a run that would keep data of its class for longer than the class allows.

    Raises:
        Denied: Names the field of the manifest.
    """
    again = manifest.reproduce.keep if manifest.reproduce is not None else timedelta(0)
    reuse = manifest.execution.reuse or timedelta(0)
    for what, field, wanted, longest in (
        ("artifacts", "retention.artifacts", manifest.retention.artifacts, rules.artifacts_seconds),
        ("evidence", "retention.evidence", manifest.retention.evidence, rules.evidence_seconds),
        ("circuits to run again", "reproduce.keep", again, rules.artifacts_seconds),
        ("results to reuse", "execution.reuse", reuse, rules.artifacts_seconds),
    ):
        if wanted > timedelta(seconds=longest):
            raise Denied(
                f"{what} of class {rules.data_class} stay at most {_words(longest)}, the manifest asks for more",
                where=field,
                advice="ask for less, or have the class of the columns looked at",
            )


def _words(seconds: int) -> str:
    size, unit = next((size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")) if seconds % size == 0)
    return f"{seconds // size} {unit}"
