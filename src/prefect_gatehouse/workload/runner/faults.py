"""What a cell may say of an error, and what a run makes of it.

A fault is a record of identifiers and numbers. The run looks up each: exceptions among Python's own classes, places in the digested files, names of
modules among those that the files import, sentences in the closed list of refusals. What a compiler says of a file it asks the compiler itself. What
is none of these tells only that something is wrong. Whoever wrote the record may be the workload.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection
from typing import Any

from prefect_gatehouse.errors import GatehouseError, UnusableAnswer, WorkloadFailed
from prefect_gatehouse.foreign import builtin_names
from prefect_gatehouse.workload.frame import TYPES
from prefect_gatehouse.workload.imports import MOST_BYTES, imported_names
from prefect_gatehouse.workload.load import missing_module, syntax_error
from prefect_gatehouse.workload.lower import is_kind
from prefect_gatehouse.workload.refusals import Refusal, error_of, read_refusal, refusal_of
from prefect_gatehouse.workload.runner.wire import NotInForm
from prefect_gatehouse.workload.sources import FoundWorkload, raised

_RAISED, _MISSING, _SYNTAX = "the workload raised ", "ModuleNotFoundError: ", "SyntaxError: "


def record_of(error: GatehouseError) -> bytes:
    """The record of an error, as the cell writes it."""
    if isinstance(error, UnusableAnswer):
        refusal = refusal_of(error)
        return _json(fault="refusal", sentence=refusal.sentence, slots=dict(refusal.slots))
    if not isinstance(error, WorkloadFailed):
        return _json(fault="no-generator")
    where, message = error.where, error.message
    if message.startswith(_SYNTAX):
        return _json(fault="syntax", where=where)
    if message.startswith(_MISSING):
        return _json(fault="missing", where=where, name=message.rsplit(" ", 1)[1].strip("'"))
    return _json(fault="raised", where=where, kind=message.removeprefix(_RAISED).partition(";")[0])


def changed() -> bytes:
    """The record that says that the files in the cell are not those that were digested."""
    return _json(fault="changed")


def _json(**record: Any) -> bytes:
    return json.dumps(record).encode()


def error_from(content: bytes, workload: FoundWorkload, declared: Collection[str]) -> GatehouseError:
    """The error of a record that anybody may have written.

    Raises:
        NotInForm: It is no record.
    """
    try:
        record = json.loads(content)
        fault = record["fault"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise NotInForm from None
    name = workload.file.name
    if fault == "refusal":
        types = TYPES | builtin_names()
        found = read_refusal(record.get("sentence"), record.get("slots"), declared, types, is_kind)
        return error_of(found or Refusal("circuit-unreadable"), name)
    if fault == "no-generator":
        return workload.no_generator()
    if fault == "raised":
        kind = record.get("kind")
        return raised(kind if isinstance(kind, str) and kind in builtin_names() else "BaseException", _place(record.get("where"), workload))
    if fault == "missing":
        return _missing(record.get("name"), _place(record.get("where"), workload), workload)
    if fault == "syntax":
        return _syntax(_place(record.get("where"), workload), workload)
    raise NotInForm


def _place(where: object, workload: FoundWorkload) -> str:
    """A line of the digested files, if it is one; otherwise the entry file."""
    if isinstance(where, str):
        file, _, line = where.rpartition(":")
        if line.isdecimal() and len(line) < 8:
            return workload.sources.place(str(workload.sources.root / file), int(line)) or workload.file.name
    return workload.file.name


def _missing(name: object, place: str, workload: FoundWorkload) -> WorkloadFailed:
    if isinstance(name, str) and name in imported_names(workload.sources.code.values()):
        return missing_module(name, place)
    return raised("ModuleNotFoundError", place)


def _syntax(place: str, workload: FoundWorkload) -> WorkloadFailed:
    """What the compiler says of the file, asked again; it reads the file and runs nothing of it."""
    file = workload.sources.root / place.rpartition(":")[0] if ":" in place else workload.file
    source = workload.sources.files[file]
    if len(source) > MOST_BYTES:
        return raised("SyntaxError", place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        return syntax_error(error.msg, workload.sources.place(str(file), error.lineno) or file.name)
    except (ValueError, RecursionError, MemoryError):
        pass
    return raised("SyntaxError", place)
