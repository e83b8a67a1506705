"""The first cell of a process that drives one run and ends: started while the flow is still imported, and importing beside it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from prefect_gatehouse.run.ahead import Early, is_early, keep_early
from prefect_gatehouse.run.packages import CACHE, look_aside
from prefect_gatehouse.settings import Settings, load_settings
from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.runner import cell as _cell  # noqa: F401 - a thread that imports may wait for what waits for it
from prefect_gatehouse.workload.runner.choose import choose, spare_of
from prefect_gatehouse.workload.runner.interface import Limits


def start_early() -> bool:
    """Starts a cell for the run that this process will drive, and returns when its process is started; then has what is installed looked at.

    Whoever imports a flow is a thread that ends, and bubblewrap's process dies with the thread that started it: so a thread of its own does, which
    waits until this process ends.

    Returns:
        Whether one was started: then a workload has a process of its own, whatever its tier asks for.
    """
    started = threading.Event()
    threading.Thread(target=_stay, args=[started], name="gatehouse-cell", daemon=True).start()
    started.wait()
    with suppress(Exception):  # as below
        look_aside(load_settings().home / CACHE)
    return is_early()


def cell_setting(settings: Settings) -> CellName | None:
    """The cell that an installation names; None where it is the strongest that there is."""
    return None if settings.cell == "auto" else settings.cell


def limits_of(settings: Settings) -> Limits:
    """What a cell may use."""
    return Limits(settings.cell_cpu_seconds, settings.cell_wall_seconds, settings.cell_memory_mb << 20, settings.cell_file_mb << 20)


def without_workload(settings: Settings) -> Early | None:
    """A cell that is started now; None where the installation's has to know its workload first.

    Raises:
        Unavailable: It can't be started.
    """
    cell, at = choose(cell_setting(settings)), time.time_ns()
    spare = spare_of(cell, limits_of(settings))
    return None if spare is None else Early(cell, at, spare)


def _stay(started: threading.Event) -> None:
    try:
        with suppress(Exception):  # it saves time and nothing else: whoever drives the run is told what is wrong
            early = without_workload(load_settings())
            if early is not None:
                keep_early(early)
    finally:
        started.set()
    threading.Event().wait()
