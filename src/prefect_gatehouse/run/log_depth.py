"""The least severe records that leave a run's own processes, by its tier: what is less severe reaches no handler of this process.

Prefect's handlers write what its loggers let through into Prefect's database, which whoever has its address reads, and into the worker's output. The
floor is Python's own override of all loggers: it holds whatever level a logger has or is given later, as when Prefect configures its own once more,
and a process that is stricter stays so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from prefect_gatehouse.vocabulary import LogDepth

_LEAST: Mapping[LogDepth, int] = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_before: list[int] = []
"""What the process withheld without us; empty while no floor of a tier's holds."""


def log_from(depth: LogDepth) -> None:
    """Withholds what is less severe than this, in place of what the tier of another run had withheld."""
    log_as_before()
    _before[:] = [logging.root.manager.disable]
    logging.disable(max(_before[0], _LEAST[depth] - 1))


def log_as_before() -> None:
    """Takes the floor back: the process goes on with another run, whose tier nobody knows yet."""
    if _before:
        logging.disable(_before.pop())
