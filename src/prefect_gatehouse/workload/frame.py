"""The frame that a workload returns, as an Arrow table of plain columns; what can't be one is told by its place and the kind of its values.

Names of columns and of types can be data, so neither is repeated: a column is named only if the manifest declares it, and a type only if
it is one of those below or Python's own.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import re
import zoneinfo
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.foreign import builtin_name
from prefect_gatehouse.workload.refusals import Refusal

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_NO_TYPE = "no type that is known"
TYPES = frozenset(
    {
        "int", "float", "bool", "float of more than 64 bits", "complex", "record", "Period", "Interval", "timedelta", "datetime", "date",
        "time", "Decimal", _NO_TYPE,
    }
)  # fmt: skip
"""What the type of a value may be called beside Python's own names."""


@dataclass(frozen=True)
class Unusable:
    """Why something is no frame.

    Attributes:
        message: What is wrong and where.
        advice: What to do.
        refusal: The same as a record.
    """

    message: str
    advice: str
    refusal: Refusal | None = field(default=None, compare=False)


def _unusable(sentence: str, **slots: Any) -> Unusable:
    refusal = Refusal(sentence, slots)
    return Unusable(refusal.message, refusal.advice, refusal)


def table_of(value: object, declared: Collection[str] = ()) -> pa.Table | Unusable:
    """A returned frame as a table, its index left out.

    Reads the value's attributes, which may be anybody's code: whoever calls it is ready for any exception.

    Args:
        value: What the workload returned.
        declared: The columns that the manifest declares.
    """
    import pandas as pd
    import pyarrow as pa

    if not isinstance(value, pd.DataFrame):
        return _no_frame(value)
    frame = pd.DataFrame(value)  # plain, whatever a subclass adds
    problem = _names_fault(frame, declared)
    if problem is not None:
        return problem
    if frame.empty:
        return _unusable("empty")
    try:
        for place, kind in enumerate(frame.dtypes):
            dense = _dense(frame, place, kind)
            if dense is not None:
                frame.isetitem(place, dense.array)
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except Exception:  # noqa: BLE001 - pyarrow raises errors of many types, and a column's own class what it likes; which column, is asked below
        table = None
    if table is not None and all(is_plain(field.type) for field in table.schema):
        return table
    for place, name in enumerate(frame.columns):
        if not _fits(frame.iloc[:, place]):
            return _unfit(frame.iloc[:, place], column=place + 1, name=name if name in declared else None)
    return _unusable("unreadable")


def _no_frame(value: object) -> Unusable:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if value is None:
        return _unusable("none")
    known: tuple[tuple[type, str], ...] = ((pd.Series, "series"), (pd.Index, "index"), (np.ndarray, "array"), (pa.Table, "table"))
    sentence = next((name for kind, name in known if issubclass(type(value), kind)), None)
    return _unusable("value", type=builtin_name(value)) if sentence is None else _unusable(sentence)


def _names_fault(frame: pd.DataFrame, declared: Collection[str]) -> Unusable | None:
    if frame.columns.nlevels > 1:
        return _unusable("levels", count=frame.columns.nlevels)
    names: dict[str, int] = {}
    for place, name in enumerate(frame.columns):
        if not isinstance(name, str):
            return _unusable("name-no-text", column=place + 1, type=_kind(name))
        if not _is_unicode(name):
            return _unusable("name-no-unicode", column=place + 1)
        if names.setdefault(name, place) != place:
            return _unusable("same-name", other=names[name] + 1, column=place + 1, name=name if name in declared else None)
    missing = sorted(set(declared) - set(names))
    levels = [name for name in missing if name in frame.index.names]
    if levels:
        return _unusable("is-index", declared=levels[0])
    return None


def _dense(frame: pd.DataFrame, place: int, kind: object) -> pd.Series[Any] | None:
    """Categories, sparse columns and halves as columns of what they stand for; None for a column that is as it should be."""
    import numpy as np
    import pandas as pd

    if isinstance(kind, pd.CategoricalDtype):
        return frame.iloc[:, place].astype(object)
    if isinstance(kind, pd.SparseDtype):
        return pd.Series(np.asarray(frame.iloc[:, place]))
    return frame.iloc[:, place].astype("float32") if kind == np.float16 else None


def _fits(series: pd.Series[Any]) -> bool:
    import pyarrow as pa

    try:
        return is_plain(pa.array(series, from_pandas=True).type)
    except Exception:  # noqa: BLE001 - as above
        return False


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column of this Arrow type is numbers, truth values, text, dates or times."""
    import pyarrow.types as of

    plain = (
        of.is_integer, of.is_floating, of.is_decimal, of.is_boolean, of.is_null,
        of.is_string, of.is_large_string, of.is_date, of.is_time,
    )  # fmt: skip
    return any(test(kind) for test in plain) or (of.is_timestamp(kind) and _is_zone(kind.tz))


def _is_zone(name: str | None) -> bool:
    """Whether a time zone is one that everybody has, or an offset: Arrow takes any text for its name, and types are told in messages and pages."""
    return name is None or name in _zones() or re.fullmatch(r"[+-][0-2][0-9]:[0-5][0-9]", name) is not None


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset({"UTC", *zoneinfo.available_timezones()})


def _unfit(series: pd.Series[Any], **where: Any) -> Unusable:
    try:
        values = [value for value in series.dropna() if value is not None]
    except Exception:  # noqa: BLE001 - values that can't be looked at, such as times of a zone that nobody knows
        return _unusable("type", type=_NO_TYPE, **where)
    kinds = sorted({_kind(value) for value in values})
    if len(kinds) > 1:
        return _unusable("several-types", types=kinds, **where)
    only = kinds[0] if kinds else _NO_TYPE
    if only == "int":
        return _unusable("wide", **where)
    if only == "Decimal" and not all(value.is_finite() for value in values):
        return _unusable("infinite-decimal", **where)
    if only == "str" and not all(map(_is_unicode, values)):
        return _unusable("no-unicode", **where)
    return _unusable("type", type=only, **where)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    """The type of a value, by a name that is known beforehand."""
    import numpy as np
    import pandas as pd

    known: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "bool"),
        (np.bool_, "bool"),
        (np.integer, "int"),
        (np.longdouble, "float of more than 64 bits"),
        (np.floating, "float"),
        (np.complexfloating, "complex"),
        (np.void, "record"),
        (pd.Period, "Period"),
        (pd.Interval, "Interval"),
        (datetime.timedelta, "timedelta"),
        (datetime.datetime, "datetime"),
        (datetime.date, "date"),
        (datetime.time, "time"),
        (decimal.Decimal, "Decimal"),
    )
    return next((name for kind, name in known if issubclass(type(value), kind)), builtin_name(value))
