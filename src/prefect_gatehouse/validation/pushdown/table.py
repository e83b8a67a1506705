"""How many rows and columns there are, and how the columns are named."""

from __future__ import annotations

from collections.abc import Callable

from prefect_gatehouse.validation.pushdown.arguments import Arguments, Bounds, NotPlain
from prefect_gatehouse.validation.pushdown.interface import Bind, OnePass, Table
from prefect_gatehouse.validation.pushdown.view import Batch


class _Known(OnePass):
    """A verdict that follows from names and counts alone."""

    columns: tuple[str, ...] = ()

    def __init__(self, success: bool) -> None:
        self._success = success

    def update(self, batch: Batch) -> None:
        """Nothing to see."""

    def success(self) -> bool:
        return self._success


def _known(holds: Callable[[Table], bool]) -> Bind:
    return lambda table: _Known(holds(table))


def row_count_between(arguments: Arguments) -> Bind:
    """``expect_table_row_count_to_be_between``."""
    bounds = Bounds(arguments, whole=True)
    return _known(lambda table: bounds.hold(table.rows))


def row_count_equal(arguments: Arguments) -> Bind:
    """``expect_table_row_count_to_equal``."""
    value = _whole(arguments)
    return _known(lambda table: table.rows == value)


def column_count_between(arguments: Arguments) -> Bind:
    """``expect_table_column_count_to_be_between``."""
    bounds = Bounds(arguments, strict=False)
    return _known(lambda table: bounds.hold(len(table.names)))


def column_count_equal(arguments: Arguments) -> Bind:
    """``expect_table_column_count_to_equal``."""
    value = _whole(arguments)
    return _known(lambda table: len(table.names) == value)


def columns_match_set(arguments: Arguments) -> Bind:
    """``expect_table_columns_to_match_set``."""
    names, exact = set(arguments.names("column_set")), arguments.flag("exact_match", default=True)
    return _known(lambda table: names == set(table.names) if exact else names <= set(table.names))


def columns_match_ordered_list(arguments: Arguments) -> Bind:
    """``expect_table_columns_to_match_ordered_list``."""
    names = arguments.names("column_list")
    return _known(lambda table: names == table.names)


def column_exists(arguments: Arguments) -> Bind:
    """``expect_column_to_exist``; with an index of 0 any place will do, as in Great Expectations."""
    name, place = arguments.name(), arguments.number("column_index", whole=True)
    if place is not None and place < 0:
        raise NotPlain
    index = int(place or 0)
    return _known(lambda table: table.names[index : index + 1] == (name,) if index else name in table.names)


def _whole(arguments: Arguments) -> int:
    value = arguments.number("value", whole=True)
    if value is None:
        raise NotPlain
    return int(value)
