"""Great Expectations without its side effects: no analytics, no progress bars, no log records, no warnings, nothing on disk."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from great_expectations.expectations.expectation import Expectation

_LOGGER = "great_expectations"


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that runs inside prints, warns or logs through Great Expectations: any of it may quote a cell."""
    nowhere = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        yield


def registry() -> Mapping[str, Callable[..., Expectation]]:
    """Every ``expect_*`` type by name; imports Great Expectations on the first call."""
    with quiet():
        _load()
        from great_expectations.expectations.registry import get_expectation_impl, list_registered_expectation_implementations

        return {name: get_expectation_impl(name) for name in list_registered_expectation_implementations() if name.startswith("expect_")}


def context() -> EphemeralDataContext:
    """A new context that lives in memory."""
    with quiet():
        _load()
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        made = gx.get_context(mode="ephemeral")
        made.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        return made


def _load() -> None:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    before = warnings.showwarning
    import great_expectations  # noqa: F401

    # The import sends the warnings of the whole process to the log; nobody asked for that.
    if warnings.showwarning is not before:
        logging.captureWarnings(False)
    # Its records hold tracebacks with cells. Children with a level of their own end here too.
    logger = logging.getLogger(_LOGGER)
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
