"""Runs a suite over a frame with Great Expectations and reduces the outcome to what holds nothing of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import pandas as pd

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.validation.gx_import import context, quiet, registry
from prefect_gatehouse.validation.suite import Suite, build
from prefect_gatehouse.values import CheckResult, SuiteReport

if TYPE_CHECKING:
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation

ROWS_PRESENT = "gatehouse_rows_present"
NOT_ALL_NULL = "gatehouse_column_not_all_null"

_SOURCE = "gatehouse"
_COLUMNS = ("column", "column_A", "column_B")
_COLUMN_LISTS = ("column_list", "column_set")


def validate(suite: Suite, frame: pd.DataFrame) -> SuiteReport:
    """The outcome of every expectation, and of two checks of our own: the frame has rows, and no column is missing throughout.

    An expectation that raises counts as failed and ``errored``; what it raised is not kept, because it may quote a cell.

    Raises:
        DataRefused: Another number of expectations was loaded or answered than the suite declares, or the frame's columns are not
            distinct names.
        InputError: An expectation does not load.
    """
    if not all(isinstance(name, str) for name in frame.columns) or not frame.columns.is_unique:
        raise DataRefused("the columns of the frame are not distinct names", where=suite.name)
    known = registry()
    built = [
        build(known, cast("str", each["type"]), cast("Mapping[str, Json]", each["kwargs"]), f"{suite.name}: expectations[{place}]")
        for place, each in enumerate(suite.expectations)
    ]
    results = _run(built, frame)
    if not 0 < suite.declared == len(built) == len(results):
        raise DataRefused(
            f"{suite.declared} expectations are declared, {len(built)} were loaded and {len(results)} answered",
            where=suite.name,
            advice="a suite counts only as a whole",
        )
    results += _own_checks(frame)
    return SuiteReport(
        suite=suite.name,
        suite_sha256=suite.sha256,
        rows=len(frame),
        declared=suite.declared,
        loaded=len(built),
        results=tuple(results),
        success=all(each.success and not each.errored for each in results),
    )


def _run(expectations: Sequence[Expectation], frame: pd.DataFrame) -> list[CheckResult]:
    """One result per expectation, in their order; none if the library can't take the frame at all.

    Each runs on its own: in one go, an expectation that stumbles in the library's own code takes the whole suite with it.
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
    kind, column = expectation.expectation_type, _column(expectation)
    try:
        result = batch.validate(expectation, result_format="BOOLEAN_ONLY")
        errored = _raised(result.exception_info)
        return CheckResult(type=kind, column=column, success=result.success is True and not errored, errored=errored)
    except Exception:  # noqa: BLE001  whatever it was, its text may quote a cell
        return CheckResult(type=kind, column=column, success=False, errored=True)


def _raised(info: object) -> bool:
    """Whether an exception is recorded: flat for an expectation, nested by metric for one that its metrics raised."""
    if not isinstance(info, Mapping):
        return False
    return bool(info.get("raised_exception")) or any(_raised(nested) for nested in info.values())


def _column(expectation: Expectation) -> str | None:
    single = [getattr(expectation, key, None) for key in _COLUMNS]
    several = [name for key in _COLUMN_LISTS for name in getattr(expectation, key, None) or ()]
    return ", ".join(str(name) for name in (*single, *several) if name is not None) or None


def _own_checks(frame: pd.DataFrame) -> list[CheckResult]:
    rows = len(frame) > 0
    checks = [CheckResult(type=ROWS_PRESENT, column=None, success=rows, errored=False)]
    empty = [str(name) for name in frame.columns if rows and bool(frame[name].isna().all())]
    return checks + [CheckResult(type=NOT_ALL_NULL, column=name, success=False, errored=False) for name in empty]
