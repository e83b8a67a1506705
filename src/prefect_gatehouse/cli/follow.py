"""Following a run in the terminal: each gate as it is passed, from the ledger."""

from __future__ import annotations

import time

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from prefect_gatehouse.cli.output import console
from prefect_gatehouse.errors import Interrupted, Refused, Unavailable
from prefect_gatehouse.evidence import Crossing, crossings
from prefect_gatehouse.ledger.store import Ledger, RunRow
from prefect_gatehouse.settings import Settings

_MARKS = {"passed": "[green]\u2714[/]", "failed": "[red]\u2718[/]", "entered": "[yellow]\u2026[/]"}
_EVERY = 0.4  # seconds between two looks at the ledger


def gate_table(found: list[Crossing], title: str = "") -> Table:
    """The gates of a run with their time and outcome."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title or None, title_justify="left", title_style="bold")
    for header in ("", "Gate", "Seconds", "Note"):
        drawn.add_column(header, overflow="fold", justify="right" if header == "Seconds" else "left")
    for item in found:
        name = item.gate if item.round is None else f"{item.gate} (round {item.round})"
        drawn.add_row(_MARKS[item.outcome], name, "" if item.seconds is None else f"{item.seconds:.2f}", escape(item.note))
    return drawn


def follow_run(
    settings: Settings, run_id: str, *, until: tuple[str, ...] = ("waiting", "failed", "ended"), seconds: float = 600, quiet: bool = False
) -> RunRow:
    """Shows a run's gates until its status is one of ``until``.

    Raises:
        Unavailable: Nothing happened in time.
    """
    ledger = Ledger(settings.ledger())
    limit = time.monotonic() + seconds
    out = console()
    try:
        with Live(console=out, auto_refresh=False, transient=not out.is_terminal) as live:
            while time.monotonic() < limit:
                row = ledger.run(run_id)
                if row is not None and not quiet and out.is_terminal:
                    live.update(gate_table(crossings(ledger, run_id)), refresh=True)
                if row is not None and row.status in until:
                    return row
                time.sleep(_EVERY)
    finally:
        ledger.close()
    raise Unavailable("the run made no progress in time", where=run_id, advice="is a worker running? look at the run in the Prefect UI")


def follow_to_the_end(settings: Settings, run_id: str, *, quiet: bool) -> None:
    """Follows a run until it waits or ends, and says which; a run that did not come well so far makes the command fail.

    Raises:
        Unavailable: Nothing happened in time.
        Interrupted: The run failed and can be resumed.
        Refused: The run ended without completing.
    """
    row = follow_run(settings, run_id, quiet=quiet)
    if row.status == "failed":
        raise Interrupted(row.message, where=run_id, advice=f"then run: gatehouse resume {run_id[:8]}")
    if row.ending not in {None, "completed"}:
        raise Refused(f"the run was {row.ending}", where=run_id, advice=f"look at: gatehouse show {run_id[:8]}")
    if not quiet:
        console().print(f"run {run_id}: {row.message or row.ending}", markup=False)
