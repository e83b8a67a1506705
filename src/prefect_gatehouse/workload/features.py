"""A table as the pandas frame that a workload is given and a database is filled from: every value as it is, missing is missing.

numpy has no missing whole number: pandas' own way is to make the whole column floats, which changes what lies beyond 2^53 and turns a
key into another type. So a column of whole numbers or truth values with gaps gets the nullable type of its width (``Int64``,
``boolean``); without gaps it stays plain numpy. Decimals are ``decimal.Decimal``, dates ``datetime.date``, times of day
``datetime.time``; timestamps keep their unit and zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd


def as_frame(table: pa.Table) -> pd.DataFrame:
    """The frame, with a plain index.

    Args:
        table: Columns of the types that leave gate 2 (``data.order.one_form``) or that a workload returned.
    """
    frame: pd.DataFrame = table.to_pandas()
    for place, column in enumerate(table.columns):
        nullable = _nullable(column.type) if column.null_count else None
        if nullable is not None:
            frame.isetitem(place, column.to_pandas(types_mapper={column.type: nullable}.get).array)
    return frame


def _nullable(kind: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    """The type that holds gaps, None where the one that pandas gives already does."""
    import pandas as pd

    widths: dict[pa.DataType, type[pd.api.extensions.ExtensionDtype]] = {
        pa.bool_(): pd.BooleanDtype,
        pa.int8(): pd.Int8Dtype,
        pa.int16(): pd.Int16Dtype,
        pa.int32(): pd.Int32Dtype,
        pa.int64(): pd.Int64Dtype,
        pa.uint8(): pd.UInt8Dtype,
        pa.uint16(): pd.UInt16Dtype,
        pa.uint32(): pd.UInt32Dtype,
        pa.uint64(): pd.UInt64Dtype,
    }
    found = widths.get(kind)
    return found() if found is not None else None
