"""Which type pandas gives a column; only where pandas has one for the whole column, never where it looks at each cell."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from prefect_gatehouse.validation.pushdown.arguments import Arguments
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, OnePass, Table, Undecided
from prefect_gatehouse.validation.pushdown.view import Batch, kind_of

# Python's names beside those of numpy and pandas, as Great Expectations maps them.
_NATIVE: dict[str, type] = {
    "none": type(None),
    "bool": bool,
    "int": int,
    "long": int,
    "float": float,
    "bytes": bytes,
    "complex": complex,
    "str": str,
    "string_types": str,
    "list": list,
    "dict": dict,
}


class _Typed(OnePass):
    def __init__(self, column: str, type_: pa.DataType, names: tuple[str, ...]) -> None:
        self.columns: tuple[str, ...] = (column,)
        self._type = type_
        self._names = names

    def update(self, batch: Batch) -> None:
        """Nothing to see: a gap changes no type."""

    def success(self) -> bool:
        import pandas as pd

        # pandas is asked for the type that it gives such a column where nothing is missing.
        seen = pd.Series(pa.array([], self._type).to_pandas()).dtype.type
        if seen is np.object_:
            raise Undecided
        wanted = [each for name in self._names for each in _types(name)]
        return any(seen is each for each in wanted)


def _types(name: str) -> list[type]:
    import pandas as pd
    from pandas.core.dtypes import dtypes as pd_dtypes

    found: list[object] = []
    try:
        found.append(np.dtype(name).type)
    except TypeError:
        found += [getattr(pd, name, None), getattr(pd_dtypes, name, None)]
    found.append(_NATIVE.get(name.lower()))
    return [each for each in found if isinstance(each, type)]


def of_type(arguments: Arguments) -> Bind:
    """``expect_column_values_to_be_of_type``."""
    return _bind(arguments.name(), arguments.mostly(), (arguments.text("type_"),), {"int", "float", "text"})


def in_type_list(arguments: Arguments) -> Bind:
    """``expect_column_values_to_be_in_type_list``; of a text column's type pandas and Great Expectations have several notions."""
    return _bind(arguments.name(), arguments.mostly(), arguments.texts("type_list"), {"int", "float"})


def _bind(column: str, mostly: float, names: tuple[str, ...], kinds: set[str]) -> Bind:
    def bind(table: Table) -> Check | None:
        type_ = table.types.get(column)
        # A share of a whole column's type means nothing; Great Expectations ignores it too, but let it say so.
        if type_ is None or column in table.decimals or mostly != 1 or kind_of(type_) not in kinds or not all(names):
            return None
        return _Typed(column, type_, names)

    return bind
