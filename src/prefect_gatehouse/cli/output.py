"""How commands speak: tables for people, JSON for programs, one clear message for an error, and never a traceback."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from prefect_gatehouse.errors import GatehouseError, InputError

UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read has read enough (``| head``): no error, though the library would make one of it."""
        raise BrokenPipeError


def console(*, err: bool = False) -> Console:
    """Where tables go."""
    return _Console(highlight=False, soft_wrap=False, stderr=err)


def gatehouse_command(name: str, help_text: str, *, reads: str = "") -> Callable[[Callable[..., None]], click.Command]:
    """A command with ``--json`` whose errors are told in one message.

    Args:
        name: Its name.
        help_text: Its first line of help.
        reads: The argument that names a file which has to be there.
    """

    def wrap(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def guarded(*args: Any, as_json: bool, **kwargs: Any) -> None:
            try:
                if reads:
                    _require_file(kwargs[reads])
                function(*args, as_json=as_json, **kwargs)
            except GatehouseError as error:
                fail(error, as_json)
            except (click.exceptions.Exit, click.ClickException, click.Abort):
                raise
            except KeyboardInterrupt:
                raise SystemExit(130) from None
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise SystemExit(0) from None
            except Exception as error:  # noqa: BLE001 - the last net: no traceback reaches a user
                _unexpected(error, as_json)

        guarded.__doc__ = function.__doc__ or help_text
        option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
        return click.command(name, help=function.__doc__ or help_text, short_help=help_text)(option(guarded))

    return wrap


def plain(text: str) -> str:
    """Text that may come from a file, with every character that a terminal would obey, or that hides or reorders text, written out."""
    return "".join(character if character.isprintable() or character == "\n" else ascii(character)[1:-1] for character in text)


def fail(error: GatehouseError, as_json: bool) -> NoReturn:
    """Tells an error and ends with its exit code."""
    if as_json:
        click.echo(json.dumps(error.as_dict()))
    else:
        err = Console(stderr=True, highlight=False, soft_wrap=True)
        place = f"{escape(plain(error.where))}: " if error.where else ""
        err.print(f"[bold red]error[/]: {place}{escape(plain(error.message))}")
        if error.advice:
            err.print(f"  [dim]{escape(plain(error.advice))}[/]")
    raise SystemExit(error.exit_code)


def _unexpected(error: Exception, as_json: bool) -> NoReturn:
    if os.environ.get("GATEHOUSE_DEBUG") == "1":
        traceback.print_exc()
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    message = f"unexpected {type(error).__name__} at {place}"
    if as_json:
        click.echo(json.dumps({"error": "unexpected", "message": message}))
    else:
        click.echo(f"error: {message}\n  run again with GATEHOUSE_DEBUG=1 and report what it prints", err=True)
    raise SystemExit(UNEXPECTED)


def confirm(question: str) -> None:
    """Asks before something that can't be taken back; a no ends the command.

    Raises:
        InputError: Nobody is there to answer.
    """
    try:
        said = click.confirm(plain(question), err=True)
    except click.Abort:  # Ctrl-C at a terminal; elsewhere the input has ended
        if sys.stdin.isatty():
            raise
        raise InputError("this asks before it acts, and nobody said yes", where="--yes", advice="add --yes to go on without being asked") from None
    if not said:
        raise click.Abort


def _require_file(path: Path) -> None:
    if not path.exists():
        raise InputError("there is no such file", where=str(path), advice="check the path")
    if path.is_dir():
        raise InputError("this is a folder", where=str(path), advice="name a file")


def emit(data: object, as_json: bool, render: Callable[[], None]) -> None:
    """Prints data as JSON, or lets ``render`` print it for people."""
    if as_json:
        click.echo(json.dumps(data, indent=2, default=str))
    else:
        render()


def table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table; text is never read as markup."""
    drawn = Table(
        title=escape(title), title_justify="left", title_style="bold", show_header=any(headers), box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for header in headers:
        drawn.add_column(header, overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(plain(cell)) for cell in row))
    out = console()
    out.print(drawn)
    out.print()
