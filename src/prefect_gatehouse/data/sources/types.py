"""What several files' columns have in common: the narrowest Arrow type that holds the values of all of them unchanged."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.tokens.columns import is_text

_UNITS = ("s", "ms", "us", "ns")
_DIGITS = 38  # of a decimal of 128 bits


def common_schema(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """One schema for all files, in the first one's order.

    Args:
        schemas: Name and schema of each file.

    Raises:
        InputError: A file has other columns, or a column a type that does not go with the others.
    """
    first_name, first = schemas[0]
    types = {field.name: field.type for field in first}
    for name, schema in schemas:
        check_names(first_name, first.names, name, schema.names)
        for field in schema:
            wider = _wider(types[field.name], field.type)
            if wider is None:
                raise InputError(
                    f"column '{field.name}' has type {field.type}, other files have {types[field.name]}",
                    where=name,
                    advice="write the files with one schema",
                )
            types[field.name] = wider
    return pa.schema(list(types.items()))


def check_names(first: str, expected: Sequence[str], name: str, found: Sequence[str]) -> None:
    """Compares the columns of a file with the first one's, in any order.

    Raises:
        InputError: They differ, or a name occurs twice; no name is repeated, it could be a value of a file without a header.
    """
    if len(set(found)) != len(found):
        raise InputError("a column name occurs twice", where=name, advice="rename one of them")
    if set(found) != set(expected):
        message = f"its {len(found)} columns are not the {len(expected)} of {first}"
        raise InputError(message, where=name, advice="read files of one schema together, and no others")


def converted(batch: pa.RecordBatch, common: pa.Schema) -> pa.RecordBatch:
    """A batch in the common types.

    Raises:
        pyarrow.ArrowInvalid: A value does not fit; none does not for a type that ``common_schema`` found, but for times out of range.
    """
    arrays = []
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        arrays.append(plain.cast(common.field(name).type))
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    one, other = (kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (one, other))
    if pa.types.is_null(one) or one == other:
        return other
    if pa.types.is_null(other):
        return one
    if is_text(one) and is_text(other):
        return pa.string()
    for family in (pa.types.is_signed_integer, pa.types.is_unsigned_integer, pa.types.is_floating):
        if family(one) and family(other):
            return one if one.bit_width >= other.bit_width else other
    if pa.types.is_timestamp(one) and pa.types.is_timestamp(other) and one.tz == other.tz:
        return one if _UNITS.index(one.unit) >= _UNITS.index(other.unit) else other
    if pa.types.is_decimal(one) and pa.types.is_decimal(other):
        scale = max(one.scale, other.scale)
        digits = max(one.precision - one.scale, other.precision - other.scale) + scale
        return pa.decimal128(digits, scale) if digits <= _DIGITS else None
    return None
