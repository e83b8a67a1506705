"""Following a run in the terminal: each gate as it is passed, from the ledger."""

from __future__ import annotations

import time

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from prefect_gatehouse.cli.outlook import next_step
from prefect_gatehouse.cli.output import console, plain
from prefect_gatehouse.errors import Interrupted, Refused, Unavailable
from prefect_gatehouse.evidence.questions import Passage, passages, reason_of
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.settings import Settings

RESTING = ("waiting", "queued", "suspended", "failed", "ended")
"""States in which no process drives the run."""
_MARKS = {"passed": "[green]\u2714[/]", "failed": "[red]\u2718[/]", "entered": "[yellow]\u2026[/]"}
_EVERY = 0.4  # seconds between two looks at the ledger


def gate_table(found: list[Passage], title: str = "") -> Table:
    """The gates of a run with their time and outcome."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title or None, title_justify="left", title_style="bold")
    for header in ("", "Gate", "Seconds", "Note"):
        drawn.add_column(header, overflow="fold", justify="right" if header == "Seconds" else "left")
    for item in found:
        name = item.gate if item.round is None else f"{item.gate} (round {item.round})"
        drawn.add_row(_MARKS[item.outcome], name, "" if item.seconds is None else f"{item.seconds:.2f}", escape(plain(item.note)))
    return drawn


def follow_run(
    settings: Settings,
    run_id: str,
    *,
    since: int = 0,
    until: tuple[str, ...] = RESTING,
    seconds: float | None = None,
    quiet: bool = False,
) -> RunRow:
    """Shows a run's gates until its status is one of ``until``: for as long as its process gives signs of life.

    Args:
        settings: The installation's.
        run_id: The run.
        since: The newest attempt when the run was scheduled; what an earlier process left behind is no news. 0 for a new run.
        until: The statuses to wait for.
        seconds: The longest to wait, where somebody wants a limit.
        quiet: Show nothing.

    Raises:
        Interrupted: The run's process is dead.
        Unavailable: Nobody took the run up, or the limit has passed.
    """
    from prefect_gatehouse.operate.watching import Watch

    with open_ledger(settings) as ledger:
        watch = Watch(ledger, run_id, since)
        limit = None if seconds is None else time.monotonic() + seconds
        out = console()
        with Live(console=out, auto_refresh=False, transient=not out.is_terminal) as live:
            while limit is None or time.monotonic() < limit:
                row = watch.row()
                if row is not None and not quiet and out.is_terminal:
                    live.update(gate_table(passages(ledger, run_id)), refresh=True)
                if row is not None and (row.status in until or row.ending is not None):
                    return row
                watch.look()
                time.sleep(_EVERY)
    raise Unavailable(f"the run is not there after {seconds:.0f} s", where=run_id, advice=f"look at: gatehouse show {run_id[:8]}")


def follow_to_the_end(settings: Settings, run_id: str, *, since: int = 0, quiet: bool) -> None:
    """Follows a run until it waits or ends, and says which; a run that did not come well so far makes the command fail.

    Raises:
        Unavailable: Nobody took the run up.
        Interrupted: The run failed, or its process died, and can be resumed.
        Refused: The run ended without completing.
    """
    try:
        row = follow_run(settings, run_id, since=since, quiet=quiet)
    except KeyboardInterrupt:
        if not quiet:
            console().print(f"the run goes on without you; look at: gatehouse show {run_id[:8]}", markup=False)
        raise
    if row.ending not in {None, "completed"}:
        raise Refused(f"the run was {row.ending}: {_reason(settings, run_id)}", where=run_id, advice=f"look at: gatehouse show {run_id[:8]}")
    if row.status in {"failed", "suspended"}:
        raise Interrupted(row.message or f"the run is {row.status}", where=run_id, advice=f"the run {next_step(row)} --follow")
    if not quiet:
        console().print(f"run {run_id}: {row.ending or next_step(row)}", markup=False, soft_wrap=True)


def _reason(settings: Settings, run_id: str) -> str:
    with open_ledger(settings) as ledger:
        return reason_of(ledger, run_id)
