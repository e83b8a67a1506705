"""How exactly_once.py counts: by the service's tasks, never by what a side says of itself."""

from __future__ import annotations

import importlib.util
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

_ONCE = Path(__file__).resolve().parents[2] / "benchmarks" / "once"


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"once_{name}", _ONCE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


books, fates = _module("books"), _module("fates")
PRICE = Decimal("0.329")


def task(arn: str, piece: int, status: str = "COMPLETED") -> Any:
    return books.Task(arn, piece, status, PRICE if status == "COMPLETED" else Decimal(0))


def count(tasks: list[Any], known: dict[int, set[str]], delivered: set[int], pieces: int = 3) -> Any:
    made = books.Books()
    made.enter(tasks)
    return made.count(pieces, known, delivered)


def test_nothing_went_wrong() -> None:
    """A task for each piece, all known and delivered: nothing to count but the money."""
    found = count([task("a", 0), task("b", 1), task("c", 2)], {0: {"a"}, 1: {"b"}, 2: {"c"}}, {0, 1, 2})
    assert found == books.Count(runs=3, submitted=3, billed=3, usd=3 * PRICE, duplicates=0, lost=0, orphans=0)


def test_a_piece_that_was_made_three_times() -> None:
    """Two duplicates; one of them runs, one is billed, and both are nobody's."""
    found = count([task("a", 0), task("b", 0), task("c", 0, "RUNNING"), task("d", 1), task("e", 2)], {0: {"a"}, 1: {"d"}, 2: {"e"}}, {0, 1, 2})
    assert (found.submitted, found.billed, found.duplicates, found.lost, found.orphans) == (5, 4, 2, 0, 2)


def test_a_duplicate_that_somebody_knows_is_no_orphan() -> None:
    """It is paid twice all the same."""
    found = count([task("a", 0), task("b", 0)], {0: {"a", "b"}}, {0}, pieces=1)
    assert (found.duplicates, found.orphans) == (1, 0)


def test_a_result_that_nobody_got() -> None:
    """A task whose owner gave up is lost and an orphan; one that was cancelled costs nothing and is no orphan; a piece without a task is lost."""
    found = count([task("a", 0), task("b", 1, "CANCELLED")], {0: set(), 1: set()}, set())
    assert (found.lost, found.orphans, found.duplicates, found.usd) == (3, 1, 0, PRICE)


def test_a_task_that_is_seen_again() -> None:
    """Counted once, as it is the last time."""
    made = books.Books()
    made.enter([task("a", 0, "RUNNING")])
    made.enter([task("a", 0)])
    assert made.count(1, {0: {"a"}}, {0}).billed == 1


@pytest.mark.parametrize(("tasks", "known"), [([task("a", 7)], {}), ([task("a", 0)], {0: {"b"}})])
def test_books_that_do_not_fit_the_drill(tasks: list[Any], known: dict[int, set[str]]) -> None:
    """A task of no piece, or a handle of no task, is the drill's mistake and no figure."""
    with pytest.raises(ValueError, match="task"):
        count(tasks, {0: set(), **known}, set())


def test_everybody_meets_the_same_fates() -> None:
    """The same seed gives the same; every piece dies once or twice within the time of a calm one."""
    plan = fates.fates(200, 5)
    assert plan == fates.fates(200, 5) != fates.fates(200, 6)
    assert {len(fate.kills) for fate in plan} == {1, 2} and all(0 <= moment <= 1 for fate in plan for moment in fate.kills)
    assert 100 < sum(bool(fate.faults) for fate in plan) < 170
