"""Types of columns that refuse what somebody put there with another tool: SQLite takes a text where a number stands, and any bytes for a text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect, String
from sqlalchemy.types import TypeDecorator, TypeEngine

from prefect_gatehouse.errors import Tampered

_LATEST = 253402300800.0
"""The end of the year 9999, seconds since the epoch: later times can't be shown."""


class Cell(TypeDecorator[Any]):
    """A column's type whose values are looked at when they are read.

    Args:
        place: Table and column, for the error.
        stored: The type in the database.
        kinds: The Python types of its values.
    """

    impl = String
    cache_ok = True

    def __init__(self, place: str, stored: TypeEngine[Any], *kinds: type) -> None:
        super().__init__()
        self.place = place
        self.stored = stored
        self.kinds = kinds

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type in the database."""
        return dialect.type_descriptor(self.stored)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """What a column is compared with has the column's type."""
        return self.stored

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Reads a value, or says where it is none."""
        read = self.stored.dialect_impl(dialect).result_processor(dialect, coltype)

        def checked(value: Any) -> Any:
            try:
                found = value if read is None else read(value)
            except (TypeError, ValueError, ArithmeticError):
                raise self._refused() from None
            if found is not None and not self._fits(found):
                raise self._refused()
            return found

        return checked

    def _fits(self, value: Any) -> bool:
        if not isinstance(value, self.kinds) or isinstance(value, bool):
            return False
        return not isinstance(value, float) or (math.isfinite(value) and 0 <= value < _LATEST)

    def _refused(self) -> Tampered:
        return Tampered("a cell of the ledger holds what Gatehouse never writes there", where=self.place, advice="run: gatehouse verify")
