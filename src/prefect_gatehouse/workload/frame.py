"""The frame that a workload returns, as an Arrow table of plain columns; what can't be one is told by its place and the kind of its values.

Names of columns and of types can be data, so neither is repeated: a column is named only if the manifest declares it, and a type only if
it is one of those below or Python's own.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.foreign import builtin_name

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_FLAT = "return columns of numbers, truth values, text, dates and times"
_SHOWN = 3  # kinds of values in one message


@dataclass(frozen=True)
class Unusable:
    """Why something is no frame.

    Attributes:
        message: What is wrong and where.
        advice: What to do.
    """

    message: str
    advice: str


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
        return Unusable("the workload returned an empty frame", "return at least one row")
    try:
        for place, kind in enumerate(frame.dtypes):
            dense = _dense(frame, place, kind)
            if dense is not None:
                frame.isetitem(place, dense.array)
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except Exception:  # noqa: BLE001 - pyarrow raises errors of many types, and a column's own class what it likes; which column, is asked below
        table = None
    if table is not None and all(_is_plain(field.type) for field in table.schema):
        return table
    for place, name in enumerate(frame.columns):
        if not _fits(frame.iloc[:, place]):
            return _unfit(frame.iloc[:, place], f"column {place + 1} of the workload's frame{_quoted(name, declared)}")
    return Unusable("the workload's frame can't be read", _FLAT)


def _no_frame(value: object) -> Unusable:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    advice = "return a pandas DataFrame; other tables have to_pandas()"
    known: tuple[tuple[type, str, str], ...] = (
        (pd.Series, "a pandas Series", "return a DataFrame: to_frame() makes one of a Series, and the key is a column of it"),
        (pd.Index, "a pandas Index", "return a DataFrame, in which the key is a column"),
        (np.ndarray, "a NumPy array", "return a pandas DataFrame, in which every column has its name"),
        (pa.Table, "a PyArrow Table", advice),
    )
    found = (f"a value of type {builtin_name(value)}", advice) if value is not None else ("None", advice)
    named = next(((name, what) for kind, name, what in known if issubclass(type(value), kind)), found)
    return Unusable(f"the workload returned no pandas frame, but {named[0]}", named[1])


def _names_fault(frame: pd.DataFrame, declared: Collection[str]) -> Unusable | None:
    if frame.columns.nlevels > 1:
        return Unusable(f"the workload's frame has columns of {frame.columns.nlevels} levels", "give each column one name")
    names: dict[str, int] = {}
    for place, name in enumerate(frame.columns):
        if not isinstance(name, str):
            return Unusable(f"the name of column {place + 1} of the workload's frame is no text ({_kind(name)})", "name each column by a text")
        if not _is_unicode(name):
            return Unusable(f"the name of column {place + 1} of the workload's frame is no valid Unicode", "name each column by a text")
        if names.setdefault(name, place) != place:
            both = f"columns {names[name] + 1} and {place + 1}"
            return Unusable(f"{both} of the workload's frame have the same name{_quoted(name, declared)}", "give each column a name of its own")
    missing = sorted(set(declared) - set(names))
    levels = [name for name in missing if name in frame.index.names]
    if levels:
        return Unusable(f"{levels[0]} is the index of the workload's frame, not a column", "call reset_index() on the frame before returning it")
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
        return _is_plain(pa.array(series, from_pandas=True).type)
    except Exception:  # noqa: BLE001 - as above
        return False


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow.types as of

    plain = (
        of.is_integer, of.is_floating, of.is_decimal, of.is_boolean, of.is_null,
        of.is_string, of.is_large_string, of.is_date, of.is_time, of.is_timestamp,
    )  # fmt: skip
    return any(test(kind) for test in plain)


def _unfit(series: pd.Series[Any], where: str) -> Unusable:
    values = [value for value in series.dropna() if value is not None]
    kinds = sorted({_kind(value) for value in values})
    if len(kinds) > 1:
        return Unusable(f"{where} holds values of several types: {_listed(kinds)}", "return columns of one type each")
    only = kinds[0] if kinds else "no type that is known"
    if only == "int":
        return Unusable(f"{where} holds whole numbers of more than 64 bits", "return them as text")
    if only == "Decimal" and not all(value.is_finite() for value in values):
        return Unusable(f"{where} holds a decimal that is not finite", "return finite numbers; None, or NaN, is a missing value")
    if only == "str" and not all(map(_is_unicode, values)):
        return Unusable(f"{where} holds text that is no valid Unicode", "return Unicode text")
    return Unusable(f"{where} holds values of type {only}", _FLAT)


def _quoted(name: str, declared: Collection[str]) -> str:
    return f" ('{name}')" if name in declared else ""


def _listed(kinds: Iterable[str]) -> str:
    shown = list(kinds)
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")


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
