"""Values, or rows of several columns, that occur once."""

from __future__ import annotations

from prefect_gatehouse.validation.pushdown.arguments import Arguments, NotPlain
from prefect_gatehouse.validation.pushdown.interface import Bind, Check, Table, Undecided
from prefect_gatehouse.validation.pushdown.repetition import Repetition
from prefect_gatehouse.validation.pushdown.shares import enough
from prefect_gatehouse.validation.pushdown.view import Batch, kind_of

KINDS = {"int", "float", "text"}


class FloatedWholes:
    """Whole numbers that pandas turns into floats because one is missing: beyond 2^53 different ones become equal."""

    def __init__(self) -> None:
        self._large = self._missing = False

    def look(self, batch: Batch, columns: tuple[str, ...]) -> None:
        """Stops at a column that has both."""
        for view in (batch.view(name) for name in columns):
            self._large = self._large or not view.exact
            self._missing = self._missing or view.count < view.rows
        if self._large and (self._missing or len(columns) > 1):
            raise Undecided


class _Unique:
    def __init__(self, columns: tuple[str, ...], mostly: float, rows: int, missing: str) -> None:
        self.columns = columns
        self._mostly = mostly
        self._floated = FloatedWholes()
        self._repetition = Repetition(columns, rows, "any" if mostly == 1 else "counts", missing)

    def update(self, batch: Batch) -> None:
        self._floated.look(batch, self.columns)
        self._repetition.update(batch)

    def again(self) -> bool:
        return self._repetition.again()

    def success(self) -> bool:
        return enough(self._repetition.considered, self._repetition.repeated_rows, self._mostly)


def values_unique(arguments: Arguments) -> Bind:
    """``expect_column_values_to_be_unique``."""
    return _bind((arguments.name(),), arguments.mostly(), "all_values_are_missing")


def compound_unique(arguments: Arguments) -> Bind:
    """``expect_compound_columns_to_be_unique``."""
    columns, mostly = arguments.names("column_list"), arguments.mostly()
    if len(columns) < 2:
        raise NotPlain
    missing = arguments.word("ignore_row_if", "all_values_are_missing", ("all_values_are_missing", "any_value_is_missing", "never"))
    return _bind(columns, mostly, missing)


def _bind(columns: tuple[str, ...], mostly: float, missing: str) -> Bind:
    def bind(table: Table) -> Check | None:
        if not all(name in table.types and kind_of(table.types[name]) in KINDS for name in columns):
            return None
        return _Unique(columns, mostly, table.rows, missing)

    return bind
