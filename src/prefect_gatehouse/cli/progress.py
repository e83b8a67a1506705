"""Progress bars in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from prefect_gatehouse.providers.interface import Progress as Report


@contextmanager
def bars(*, hidden: bool) -> Iterator[Callable[[str], Report]]:
    """Gives a maker of progress reporters; each is a bar on standard error, where that is a terminal."""
    out = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=out,
        disable=hidden or not out.is_terminal,
        transient=True,
    ) as progress:

        def start(what: str) -> Report:
            task = progress.add_task(what, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield start
