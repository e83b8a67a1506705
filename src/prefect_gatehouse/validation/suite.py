"""A suite of expectations as a JSON file in the format of Great Expectations 1.x, loaded fail-closed.

The library itself drops what it does not know. Here anything unknown is an error, and so is a suite that could pass on nothing:
no expectations, no count of the rows, no check for missing values, bounds without a bound, rows picked by a condition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.errors import DataRefused, InputError, StorageError
from prefect_gatehouse.validation.forms import understood
from prefect_gatehouse.validation.gx_import import quiet, registry
from prefect_gatehouse.validation.pushdown.registry import parse, proven

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

LARGEST = 1 << 20
"""Bytes; a suite of 1 MiB has several thousand expectations."""

# Written by Great Expectations beside what counts; none of it changes a result.
_SUITE_KEYS = {"name", "expectations", "meta", "notes", "id"}
_KEYS = {"type", "kwargs", "meta", "notes", "id", "description", "severity"}
# Picking rows or columns by a condition can pick none; the others decide what a result shows, which is not the suite's to decide.
_REFUSED_KWARGS = {
    "row_condition",
    "condition_parser",
    "result_format",
    "catch_exceptions",
    "windows",
    "rendered_content",
    "batch_id",
}
_COUNTS = {"expect_table_row_count_to_be_between": "min_value", "expect_table_row_count_to_equal": "value"}
_NOT_NULL = "expect_column_values_to_not_be_null"


@dataclass(frozen=True)
class Suite:
    """A suite that was checked.

    Attributes:
        name: The file's name.
        sha256: Of the file's bytes.
        expectations: Each with ``type`` and ``kwargs`` only; all of them count, whatever severity the file gives them.
        declared: How many the file declares.
    """

    name: str
    sha256: str
    expectations: tuple[Mapping[str, Json], ...]
    declared: int


def load_suite(path: Path) -> Suite:
    """Reads and checks a suite.

    An expectation that is computed on record batches is read here as strictly as there; only for another one is Great Expectations
    imported, which takes seconds.

    Raises:
        InputError: The file is missing, too large, malformed, names something unknown, or could pass on nothing.
        StorageError: The file can't be read.
    """
    data = _read(path)
    entries = _entries(data, path.name)
    known: Mapping[str, Callable[..., Expectation]] | None = None
    expectations: list[Mapping[str, Json]] = []
    seen: set[bytes] = set()
    for place, entry in enumerate(entries):
        where = f"{path.name}: expectations[{place}]"
        kind, kwargs = _shape(entry, where)
        if not proven() or parse(kind, kwargs) is None:
            known = registry() if known is None else known
            build(known, kind, understood(kwargs), where)
        _substantial(kind, kwargs, where)
        expectation: Mapping[str, Json] = {"type": kind, "kwargs": kwargs}
        if canonical(expectation) in seen:
            raise InputError("the same expectation is declared twice", where=where, advice="remove one")
        seen.add(canonical(expectation))
        expectations.append(expectation)
    _not_vacuous(expectations, path.name)
    return Suite(name=path.name, sha256=hashlib.sha256(data).hexdigest(), expectations=tuple(expectations), declared=len(entries))


def absent_columns(suite: Suite, present: Iterable[str]) -> list[tuple[int, str]]:
    """Place and column of each expectation that is about a column which will not be there, so that it can't be met.

    Args:
        suite: The suite.
        present: The columns that will be there; names are compared as Great Expectations does, without case and quotes.
    """
    known = {_plain(name) for name in present}
    return [
        (place, name)
        for place, expectation in enumerate(suite.expectations)
        for name in _named(cast("Mapping[str, Json]", expectation["kwargs"]))
        if _plain(name) not in known
    ]


def require_present(suite: Suite, present: Iterable[str], where: str) -> None:
    """Stops a suite that can't pass, before anything is done for it.

    Raises:
        DataRefused: An expectation is about a column that will not be there.
    """
    absent = absent_columns(suite, present)
    if absent:
        place = f"{suite.name}: expectations[{absent[0][0]}]"
        raise DataRefused(
            f"{place} is about a column that will not be there", where=where, advice="correct the suite; gatehouse check names them all"
        )


def _named(kwargs: Mapping[str, Json]) -> list[str]:
    single = [kwargs.get(key) for key in ("column", "column_A", "column_B")]
    several = [name for key in ("column_list", "column_set") if isinstance(names := kwargs.get(key), list) for name in names]
    return [name for name in (*single, *several) if isinstance(name, str)]


def _plain(name: str) -> str:
    return name.casefold().strip("\"'`")


def build(known: Mapping[str, Callable[..., Expectation]], kind: str, kwargs: Mapping[str, object], where: str) -> Expectation:
    """The expectation of a type with its arguments, which may be moments where the suite has text (``forms``).

    Raises:
        InputError: The type is unknown, or an argument is unknown, missing or of the wrong type; the message names the argument
            and no value.
    """
    if kind not in known:
        raise InputError("the type of the expectation is unknown", where=where, advice="check its spelling")
    with quiet():
        try:
            return known[kind](**kwargs)
        # Whatever an expectation's validators raise means that it does not load.
        except Exception as error:  # noqa: BLE001
            listed = getattr(error, "errors", None)
            details: list[dict[str, tuple[object, ...]]] = listed() if callable(listed) else []
    named = sorted({str(detail["loc"][0]) for detail in details if detail.get("loc")})
    what = f"arguments are unknown, missing or wrong: {', '.join(named)}" if named else "the arguments do not fit the expectation"
    raise InputError(what, where=where, advice="compare them with the expectation's documentation")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        advice = "write the suite or correct its path; it is relative to the manifest"
        raise InputError("the suite does not exist", where=str(path), advice=advice) from None
    except OSError as error:
        raise StorageError(f"the suite can't be read: {error.strerror or 'input/output error'}", where=path.name) from None
    if len(data) > LARGEST:
        raise InputError("the suite is larger than 1 MiB", where=path.name, advice="split it, or shorten its value sets")
    return data


def _entries(data: bytes, name: str) -> list[object]:
    try:
        document = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        advice = "write plain JSON in UTF-8, each key once, without NaN"
        raise InputError(f"the suite is not valid JSON{line}", where=name, advice=advice) from None
    if not isinstance(document, dict) or not isinstance(document.get("name"), str) or not document["name"]:
        raise InputError("the suite has no name", where=name, advice='write {"name": ..., "expectations": [...]}')
    if document.keys() - _SUITE_KEYS:
        raise InputError("the suite has unknown keys", where=name, advice="use name, expectations and meta")
    entries = document.get("expectations")
    if not isinstance(entries, list) or not entries:
        raise InputError("the suite has no expectations", where=name, advice="declare at least a row count and a not-null check")
    return entries


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _no_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _shape(entry: object, where: str) -> tuple[str, dict[str, Json]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str) or not isinstance(entry.get("kwargs", {}), dict):
        raise InputError("the expectation needs a type and kwargs", where=where, advice='write {"type": "expect_...", "kwargs": {...}}')
    if entry.keys() - _KEYS:
        raise InputError("the expectation has unknown keys", where=where, advice="use type, kwargs and meta")
    kwargs = entry.get("kwargs", {})
    refused = sorted(kwargs.keys() & _REFUSED_KWARGS)
    if refused:
        raise InputError(f"not allowed here: {', '.join(refused)}", where=where, advice="check all rows; results never show values")
    return entry["type"], cast("dict[str, Json]", kwargs)


def _substantial(kind: str, kwargs: Mapping[str, Json], where: str) -> None:
    mostly = kwargs.get("mostly", 1.0)
    if not isinstance(mostly, int | float) or isinstance(mostly, bool) or not 0 < mostly <= 1:
        raise InputError("mostly must be above 0 and at most 1", where=where, advice="a check that no row must pass checks nothing")
    if kind.endswith("_to_be_between") and kwargs.get("min_value") is None and kwargs.get("max_value") is None:
        raise InputError("the bounds have no bound", where=where, advice="give min_value or max_value")


def _not_vacuous(expectations: list[Mapping[str, Json]], name: str) -> None:
    counts = [_least_rows(expectation) for expectation in expectations if expectation["type"] in _COUNTS]
    if not any(rows is not None and rows >= 1 for rows in counts):
        advice = "add expect_table_row_count_to_be_between with min_value 1 or more"
        raise InputError("the suite passes on an empty table: it does not count rows", where=name, advice=advice)
    if all(expectation["type"] != _NOT_NULL for expectation in expectations):
        raise InputError("the suite passes on missing values only", where=name, advice=f"add {_NOT_NULL} for at least one column")


def _least_rows(expectation: Mapping[str, Json]) -> int | None:
    kwargs = cast("Mapping[str, Json]", expectation["kwargs"])
    value = kwargs.get(_COUNTS[cast("str", expectation["type"])])
    return value if isinstance(value, int) and not isinstance(value, bool) else None
