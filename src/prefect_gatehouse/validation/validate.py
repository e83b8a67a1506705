"""Runs a suite over data: what can be computed on record batches is, the rest by Great Expectations on the columns that it needs.

The verdicts are those of Great Expectations on the same data; see ``pushdown``. Great Expectations is imported only if something is
left for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import DataRefused, GatehouseError
from prefect_gatehouse.validation.batches import Data, Reading
from prefect_gatehouse.validation.forms import Form, form_of, understood
from prefect_gatehouse.validation.gx import label, run
from prefect_gatehouse.validation.gx_import import registry
from prefect_gatehouse.validation.pushdown.interface import Check
from prefect_gatehouse.validation.pushdown.registry import parse, proven
from prefect_gatehouse.validation.pushdown.view import Batch
from prefect_gatehouse.validation.report import CheckResult, SuiteReport
from prefect_gatehouse.validation.suite import Suite, build

ROWS_PRESENT = "gatehouse_rows_present"
NOT_ALL_NULL = "gatehouse_column_not_all_null"

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

_QUOTES = '"[]`'


def validate(suite: Suite, data: Data) -> SuiteReport:
    """The outcome of every expectation, and of two checks of our own: the data has rows, and no column is missing throughout.

    Args:
        suite: What to check.
        data: A frame, a table, or a source of record batches that can be read more than once; the last is never held in memory as a
            whole, but for the columns that Great Expectations needs.

    Raises:
        DataRefused: Another number of expectations was loaded or answered than the suite declares, the columns are not distinct
            names, or a source has another number of rows than it declares.
        InputError: An expectation does not load.
    """
    reading = Reading(data, suite.name)
    entries = [(cast("str", each["type"]), cast("Mapping[str, Json]", each["kwargs"])) for each in suite.expectations]
    checks = {place: check for place, (kind, kwargs) in enumerate(entries) if (check := _check(kind, kwargs, reading)) is not None}
    lasting = _Lasting(reading)
    answers = _pushed_down(reading, checks, lasting)
    results = {place: _result(*entries[place], success, errored=False) for place, success in answers.items()}
    for place, (kind, kwargs) in enumerate(entries):
        if place not in checks and _is_about_nothing(kind, kwargs, reading):
            results[place] = _result(kind, kwargs, success=False, errored=True)
    results |= _by_great_expectations(suite, entries, [place for place in range(len(entries)) if place not in results], reading)
    if not 0 < suite.declared == len(entries) == len(results):
        raise DataRefused(
            f"{suite.declared} expectations are declared, {len(entries)} were loaded and {len(results)} answered",
            where=suite.name,
            advice="a suite counts only as a whole",
        )
    all_ = [results[place] for place in range(len(entries))] + lasting.own_checks()
    return SuiteReport(
        suite=suite.name,
        suite_sha256=suite.sha256,
        rows=reading.rows,
        declared=suite.declared,
        loaded=len(entries),
        results=tuple(all_),
        success=all(each.success and not each.errored for each in all_),
    )


class _Lasting:
    """Columns in which no value was seen so far."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._unseen = set(reading.names)

    def look(self, batch: Batch, columns: Sequence[str]) -> None:
        """Looks for values in the columns where none was seen."""
        self._unseen -= {name for name in columns if name in self._unseen and batch.view(name).count}

    def own_checks(self) -> list[CheckResult]:
        """The result for the rows, and one for each column without any value."""
        rows = self._reading.rows > 0
        checks = [CheckResult(type=ROWS_PRESENT, column=None, success=rows, errored=False)]
        if rows:
            self._look_at_the_rest()
        empty = [name for name in self._reading.names if rows and name in self._unseen]
        return checks + [CheckResult(type=NOT_ALL_NULL, column=name, success=False, errored=False) for name in empty]

    def _look_at_the_rest(self) -> None:
        """Columns that no check has read; as a rule the first batch settles them."""
        types = self._reading.table.types
        own = [name for name in self._reading.names if name in self._unseen and name not in types]
        if own:
            frame = self._reading.frame(own)
            self._unseen -= {name for name in own if bool(frame[name].notna().any())}
        rest = [name for name in self._reading.names if name in self._unseen and name in types]
        for batch in self._reading.batches(rest) if rest else ():
            self.look(Batch(batch), rest)
            if self._unseen.isdisjoint(rest):
                return


def _check(kind: str, kwargs: Mapping[str, Json], reading: Reading) -> Check | None:
    bind = parse(kind, kwargs) if proven() else None
    return bind(reading.table) if bind is not None else None


def _pushed_down(reading: Reading, checks: Mapping[int, Check], lasting: _Lasting) -> dict[int, bool]:
    """The verdicts of the checks that reach one; all of them see one pass, and some see more."""
    running = dict(checks)
    answers: dict[int, bool] = {}
    first = True
    while running:
        columns = [name for name in reading.names if any(name in check.columns for check in running.values())]
        for batch in reading.batches(columns) if columns else ():
            _update(running, Batch(batch), columns, lasting if first else None)
        first = False
        for place, check in list(running.items()):
            try:
                if not check.again():
                    del running[place]
                    answers[place] = check.success()
            except Exception:  # noqa: BLE001  undecided, or its text may quote a cell; either way it is Great Expectations' to decide
                running.pop(place, None)
    return answers


def _update(running: dict[int, Check], batch: Batch, columns: Sequence[str], lasting: _Lasting | None) -> None:
    for place, check in list(running.items()):
        try:
            check.update(batch)
        except Exception:  # noqa: BLE001  undecided, or its text may quote a cell; either way it is Great Expectations' to decide
            del running[place]
    if lasting is not None:
        lasting.look(batch, columns)


def _is_about_nothing(kind: str, kwargs: Mapping[str, Json], reading: Reading) -> bool:
    """Whether an expectation is about a column that does not exist, also not under a name that Great Expectations takes for its own."""
    if not proven() or parse(kind, kwargs) is None:
        return False
    known = {name.casefold().strip(_QUOTES) for name in reading.names}
    return any(name.casefold().strip(_QUOTES) not in known for name in _columns(kwargs))


def _columns(kwargs: Mapping[str, Json]) -> list[str]:
    single = [kwargs.get(key) for key in ("column", "column_A", "column_B")]
    several = kwargs.get("column_list")
    return [name for name in (*single, *(several if isinstance(several, list) else ())) if isinstance(name, str)]


def _by_great_expectations(
    suite: Suite, entries: Sequence[tuple[str, Mapping[str, Json]]], places: Sequence[int], reading: Reading
) -> dict[int, CheckResult]:
    if not places:
        return {}
    known = registry()
    types = reading.written
    forms = {place: form_of(*entries[place], types) for place in places}
    results: dict[int, CheckResult] = {}
    for form in dict.fromkeys(forms.values()):
        alike = [place for place in places if forms[place] == form]
        built = [build(known, entries[place][0], understood(entries[place][1], types), f"{suite.name}: expectations[{place}]") for place in alike]
        results |= dict(zip(alike, _run(built, [entries[place][1] for place in alike], reading, form), strict=False))
    return results


def _run(built: Sequence[Expectation], arguments: Sequence[Mapping[str, Json]], reading: Reading, form: Form) -> list[CheckResult]:
    """The library's results over one frame, none if it can't be made."""
    columns = [_columns(each) for each in arguments]
    needed = {name for each in columns for name in each}
    # About the table, or about a column under another name: all of it.
    everything = needed - set(reading.names) or not all(columns)
    try:
        frame = reading.frame([name for name in reading.names if everything or name in needed], form)
    except GatehouseError:
        raise
    except Exception:  # noqa: BLE001  whatever it was, its text may quote a cell
        return []
    return run(built, frame)


def _result(kind: str, kwargs: Mapping[str, Json], success: bool, *, errored: bool) -> CheckResult:
    return CheckResult(type=kind, column=label(kwargs), success=success, errored=errored, engine="arrow")
