"""Runs expectations over a frame with Great Expectations and reduces the outcome to what holds nothing of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prefect_gatehouse.validation.gx_import import context, quiet
from prefect_gatehouse.validation.report import CheckResult

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation

_SOURCE = "gatehouse"
_COLUMNS = ("column", "column_A", "column_B")
_COLUMN_LISTS = ("column_list", "column_set")


def run(expectations: Sequence[Expectation], frame: pd.DataFrame) -> list[CheckResult]:
    """One result per expectation, in their order; none if the library can't take the frame at all.

    An expectation that raises counts as failed and ``errored``; what it raised is not kept, because it may quote a cell. Each runs on
    its own: in one go, an expectation that stumbles in the library's own code takes the whole suite with it.
    """
    with quiet():
        made = context()
        try:
            asset = made.data_sources.add_pandas(_SOURCE).add_dataframe_asset("frame")
            # A copy of the frame's shell: an expectation that adds a column adds it there.
            batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame.copy(deep=False)})
            return [_checked(batch, expectation) for expectation in expectations]
        except Exception:  # noqa: BLE001  whatever it was, its text may quote a cell
            return []
        finally:
            # The library keeps the newest context for the life of the process, and with it the data.
            made.data_sources.delete(_SOURCE)


def _checked(batch: Batch, expectation: Expectation) -> CheckResult:
    kind = expectation.expectation_type
    success, errored = False, True
    try:
        result = batch.validate(expectation, result_format="BOOLEAN_ONLY")
        errored = _raised(result.exception_info)
        # Some expectations answer with numpy's True, which is not True; anything else but these two is no success.
        success = isinstance(result.success, bool | np.bool_) and bool(result.success) and not errored
    except Exception:  # noqa: BLE001  whatever it was, its text may quote a cell
        success, errored = False, True
    column = label({key: getattr(expectation, key, None) for key in (*_COLUMNS, *_COLUMN_LISTS)})
    return CheckResult(type=kind, column=column, success=success, errored=errored, engine="great-expectations")


def _raised(info: object) -> bool:
    """Whether an exception is recorded: flat for an expectation, nested by metric for one that its metrics raised."""
    if not isinstance(info, Mapping):
        return False
    return bool(info.get("raised_exception")) or any(_raised(nested) for nested in info.values())


def label(arguments: Mapping[str, object]) -> str | None:
    """The columns of an expectation as a report names them, None where it is about the table."""
    single = [arguments.get(key) for key in _COLUMNS]
    lists = [arguments.get(key) for key in _COLUMN_LISTS]
    several = [name for each in lists if isinstance(each, list | tuple | set | frozenset) for name in each]
    return ", ".join(str(name) for name in (*single, *several) if name is not None) or None
