"""The options that say how a CSV is written, in the words of ``data.csv`` in a manifest."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option("--delimiter", help="What parts the fields of a CSV: , ; | : tab or space."),
    click.option("--encoding", help="How its text is written, for example cp1252."),
    click.option("--header", type=click.Choice(["row", "none"]), help="Whether its first row holds names."),
    click.option("--skip-rows", type=click.IntRange(min=0), help="Lines before the header or the data that are left out."),
    click.option(
        "--names", callback=lambda context, option, value: tuple(value.split(",")) if value else None, help="All columns' names, with commas."
    ),
    click.option("--trim/--no-trim", default=None, help="Take away blanks at both ends of every field."),
    click.option("--missing", multiple=True, help="A field that means a missing value; may be repeated."),
    click.option("--decimal-comma", multiple=True, help="Name of a column of numbers with decimal commas; may be repeated."),
)
_SETTINGS = ("delimiter", "encoding", "header", "skip_rows", "names", "trim", "missing", "decimal_comma")


def csv_options(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the options; the function gets those that were given as ``csv``."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> None:
        found = {name: kwargs.pop(name) for name in _SETTINGS}
        function(*args, csv={name: value for name, value in found.items() if value is not None and value != ()}, **kwargs)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called
