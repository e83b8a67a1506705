"""The columns of a frame against their declared types: nothing else comes back, and free text only where it is declared.

No error repeats a value; columns are named, since the manifest names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.models import Output
from prefect_gatehouse.manifest.output_columns import Boolean, Category, Date, Integer, Number, OutputColumn, Text, Timestamp

if TYPE_CHECKING:
    import pyarrow as pa

_DIGITS = 18  # of a decimal that 64 bits hold
_WHOLE = 2**53  # beyond it a double has no neighbours of one apart


def refuse_undeclared(table: pa.Table, output: Output, *, free_text: bool) -> None:
    """Stops a frame that holds something else than its manifest says.

    Args:
        table: The frame, with all of the output's columns.
        output: What the manifest says.
        free_text: Whether a column without a declared type may hold text.

    Raises:
        DataRefused: Names the column and what is wrong with it.
    """
    types = output.types
    for name in output.names:
        column = table.column(name)
        if types is None:
            problem = "" if free_text else _free(column)
            advice = "declare the columns' types in output.columns: category with its values, or text with its length"
        else:
            problem = fault_of(column, types[name])
            advice = "mend the workload, or declare the column's type as it is"
        if problem:
            raise DataRefused(f"column '{name}' of the workload's frame {problem}", where=f"output.columns.{name}", advice=advice)


def _free(column: pa.ChunkedArray) -> str:
    """What is wrong with a column whose type nobody declared."""
    if _is_text(column):
        return "holds text, and its type is not declared"
    return _long_decimal(column)


def fault_of(column: pa.ChunkedArray, declared: OutputColumn) -> str:
    """What is wrong with a column, empty if it is as declared; one without any value is."""
    import pyarrow.types as of

    kind = column.type
    if of.is_null(kind):
        return ""
    if isinstance(declared, Number):
        return _long_decimal(column) if of.is_decimal(kind) else "" if of.is_integer(kind) or of.is_floating(kind) else _other(declared)
    if isinstance(declared, Integer):
        return _integer(column, declared)
    if isinstance(declared, Category):
        return _category(column, declared) if _is_text(column) else _other(declared)
    if isinstance(declared, Text):
        return _text(column, declared) if _is_text(column) else _other(declared)
    fits = {Boolean: of.is_boolean, Date: of.is_date32, Timestamp: of.is_timestamp}[type(declared)](kind)
    return "" if fits else _other(declared)


def _other(declared: OutputColumn) -> str:
    return f"is not of its declared type, {declared.type}"


def _is_text(column: pa.ChunkedArray) -> bool:
    import pyarrow.types as of

    return bool(of.is_string(column.type) or of.is_large_string(column.type))


def _long_decimal(column: pa.ChunkedArray) -> str:
    import pyarrow.types as of

    long = of.is_decimal(column.type) and column.type.precision > _DIGITS
    return f"holds decimals of more than {_DIGITS} digits" if long else ""


def _integer(column: pa.ChunkedArray, declared: Integer) -> str:
    import pyarrow.compute as pc
    import pyarrow.types as of

    if of.is_floating(column.type):
        # What pandas makes of whole numbers with a gap among them.
        column = column.drop_null()
        if not pc.all(pc.and_(pc.equal(pc.floor(column), column), pc.less_equal(pc.abs(column), _WHOLE)), min_count=0).as_py():
            return _other(declared)
    elif not of.is_integer(column.type):
        return _other(declared)
    found = pc.min_max(column)
    low, high = found["min"].as_py(), found["max"].as_py()
    if declared.minimum is None or declared.maximum is None or low is None:
        return ""
    return "" if declared.minimum <= low and high <= declared.maximum else "holds numbers beyond its declared minimum and maximum"


def _category(column: pa.ChunkedArray, declared: Category) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.is_in(column, value_set=pa.array(declared.values, column.type))
    others = pc.sum(pc.and_(pc.invert(known), pc.is_valid(column))).as_py() or 0
    return f"holds values in {others} rows that are none of its declared ones" if others else ""


def _text(column: pa.ChunkedArray, declared: Text) -> str:
    import pyarrow.compute as pc

    longest = pc.max(pc.utf8_length(column)).as_py() or 0
    return f"holds text of more than {declared.length} characters" if longest > declared.length else ""
