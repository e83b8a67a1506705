"""The Arrow type of a query's column: by the type that PostgreSQL names, or by the first values where a driver names none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa

from prefect_gatehouse.data.sources.query import WHERE
from prefect_gatehouse.errors import InputError

_DIGITS = 38  # of a decimal of 128 bits

_NUMERIC, _UUID = 1700, 2950
# PostgreSQL's own numbers of its types (catalog pg_type, the same in every installation).
_POSTGRESQL: dict[int, pa.DataType] = {
    16: pa.bool_(),
    21: pa.int16(),
    23: pa.int32(),
    20: pa.int64(),
    # A float4 arrives as the shortest double that means it: 0.1 stays 0.1.
    700: pa.float64(),
    701: pa.float64(),
    25: pa.string(),
    1042: pa.string(),
    1043: pa.string(),
    19: pa.string(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", tz="UTC"),
}
_REFUSED = {17: "holds bytes", 114: "holds JSON", 3802: "holds JSON", 1083: "holds times of day", 1266: "holds times of day", 1186: "holds intervals"}


def postgresql_type(code: int, precision: int | None, scale: int | None) -> pa.DataType | str:
    """The type of a column, ``uuid`` where the database has to write it as text, or what is in the way.

    Args:
        code: PostgreSQL's number of the type.
        precision: Digits of a numeric column, where it declares them.
        scale: Those behind the point.
    """
    if code == _UUID:
        return "uuid"
    if code == _NUMERIC:
        if precision is None or scale is None:
            return "is numeric without digits; say numeric(digits, decimals) or double precision"
        return pa.decimal128(precision, scale) if 0 <= scale <= precision <= _DIGITS else f"has more than {_DIGITS} digits"
    return _POSTGRESQL.get(code) or _REFUSED.get(code, "has a type that is not read")


def learnt_type(name: str, values: Sequence[object]) -> pa.DataType:
    """The one type of a column's first values; null where there are none.

    Raises:
        InputError: They are of several types, or of one that is not read.
    """
    kinds = {type(value) for value in values}
    if not kinds:
        return pa.null()
    if kinds == {int}:
        return pa.int64()
    if kinds <= {int, float}:
        return pa.float64()
    if kinds == {Decimal}:
        return _decimal(name, [value for value in values if isinstance(value, Decimal)])
    if kinds == {datetime}:
        zones = {value.tzinfo is not None for value in values if isinstance(value, datetime)}
        if len(zones) == 1:
            return pa.timestamp("us", tz="UTC" if zones.pop() else None)
    for kind, found in ((str, pa.string()), (bool, pa.bool_()), (date, pa.date32())):
        if kinds == {kind}:
            return found
    what = "bytes" if bytes in kinds else "values of several types, or of one that is not read"
    raise InputError(f"column '{name}' holds {what}", where=WHERE, advice="cast it to one type in the query")


def _decimal(name: str, values: Sequence[Decimal]) -> pa.DataType:
    exponents = [value.as_tuple().exponent for value in values]
    if not all(isinstance(exponent, int) for exponent in exponents):
        raise InputError(f"column '{name}' holds a decimal that is not finite", where=WHERE, advice="leave it out in the query")
    # All digits that the type has: the next value may have more before the point.
    return pa.decimal128(_DIGITS, max(0, *(-exponent for exponent in exponents if isinstance(exponent, int))))
