"""The floor under a process's records: no deeper than the tier, no deeper than the process itself, and taken back."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from prefect_gatehouse.run.log_depth import log_as_before, log_from
from prefect_gatehouse.vocabulary import LogDepth

LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class Kept(logging.Handler):
    """A handler such as Prefect's, which takes whatever it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.levels.append(record.levelno)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("tests.log-depth.runs")
    made.setLevel(logging.DEBUG)
    made.propagate = False
    before = logging.root.manager.disable
    yield made
    log_as_before()
    assert logging.root.manager.disable == before


def let_through(logger: logging.Logger) -> tuple[int, ...]:
    kept = Kept()
    logger.addHandler(kept)
    for level in LEVELS:
        logger.log(level, "a record")
    logger.removeHandler(kept)
    return tuple(kept.levels)


@pytest.mark.parametrize(("depth", "first"), [("debug", 0), ("info", 1), ("warning", 2), ("error", 3)])
def test_what_each_depth_lets_through(logger: logging.Logger, depth: LogDepth, first: int) -> None:
    """From its own level on; a logger that is configured afterwards, as Prefect does, gets no more."""
    log_from(depth)
    assert let_through(logger) == LEVELS[first:]
    logger.setLevel(logging.NOTSET + 1)
    assert let_through(logger) == LEVELS[first:]


def test_a_stricter_process_stays_so(logger: logging.Logger) -> None:
    """Whether its loggers are, or all of it."""
    logger.setLevel(logging.ERROR)
    log_from("debug")
    assert let_through(logger) == LEVELS[3:]
    logger.setLevel(logging.DEBUG)
    log_as_before()
    logging.disable(logging.WARNING)
    try:
        log_from("info")
        assert let_through(logger) == LEVELS[3:]
        log_as_before()
        assert let_through(logger) == LEVELS[3:]
    finally:
        logging.disable(logging.NOTSET)


def test_another_run_in_the_same_process(logger: logging.Logger) -> None:
    """The last run's floor is gone, be it by another tier's or because nobody knows one yet."""
    log_from("error")
    log_from("info")
    assert let_through(logger) == LEVELS[1:]
    log_as_before()
    log_as_before()
    assert let_through(logger) == LEVELS
