"""Sources of many columns: work and memory grow with the cells, counted in calls and bytes, not in seconds."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from click.testing import CliRunner

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.data.minimise import minimise
from prefect_gatehouse.data.sources import FilesPlace
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.profile.profile import data_section, profile
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.store.run_keys import RunKeys

FEW, MANY = 200, 1600
# Eight times the columns may cost ten times the calls and bytes; the square would be sixty-four times.
GROWTH = 10.0


def wide(folder: Path, columns: int, *, rows: int = 5) -> Path:
    """Numbers, words, addresses and dates by turns, under a header."""
    cells: tuple[Callable[[int, int], str], ...] = (
        lambda row, column: str((row * 7 + column) % 1000),
        lambda row, column: f"word{(row + column) % 5}",
        lambda row, column: f"user{row}.{column}@example.org",
        lambda row, column: f"2026-{1 + column % 12:02d}-{1 + row % 28:02d}",
    )
    path = folder / f"wide{columns}.csv"
    lines = [",".join(f"c{place}" for place in range(columns))]
    lines += [",".join(cells[place % 4](row, place) for place in range(columns)) for row in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def calls_of(work: Callable[[], object]) -> int:
    """Calls of Python functions and of functions in C that some work makes."""
    made = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def peak_of(work: Callable[[], object]) -> int:
    """Most bytes that some work has taken at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def profiled(path: Path) -> Callable[[], object]:
    """A profile and its YAML."""
    return lambda: data_section(profile(path))


def minimised(path: Path, folder: Path) -> Callable[[], object]:
    """The gate over all columns."""
    names = path.read_text().split("\n", 1)[0].split(",")
    rules = ({"rule": "keep"}, {"rule": "keep"}, {"rule": "drop"}, {"rule": "generalise", "to": "year"})
    data = Data.model_validate(
        {
            "source": path.name,
            "suite": "s.json",
            "columns": {name: rules[place % 4] for place, name in enumerate(names)},
            "quasi_identifiers": names[3::400],
            "k": 2,
            "malformed": "quarantine",
        }
    )

    def work() -> object:
        folder.mkdir()
        key = RunKeys(folder / "keys").obtain("run")
        store = ArtifactStore(folder / "artifacts")
        return minimise(data, FilesPlace(path.parent, (path.name,)), None, tenant="t", run_id="run", store=store, key=key)

    return work


@pytest.mark.parametrize("measure", [calls_of, peak_of])
def test_a_profile_grows_with_the_columns(tmp_path: Path, measure: Callable[[Callable[[], object]], int]) -> None:
    """Eight times the columns, about eight times the work and the memory."""
    profiled(wide(tmp_path, 8))()  # what is imported and compiled once
    few, many = (measure(profiled(wide(tmp_path, columns))) for columns in (FEW, MANY))
    assert many < GROWTH * few


def test_a_column_of_few_rows_costs_few_calls(tmp_path: Path) -> None:
    """Arrow compiles a pattern in each call: for five rows none of the thirty patterns goes there."""
    import pyarrow.compute as pc

    patterns = 0

    def count(*arguments: object, **options: object) -> object:
        nonlocal patterns
        patterns += 1
        return original(*arguments, **options)

    original = pc.match_substring_regex
    pc.match_substring_regex = count
    try:
        profiled(wide(tmp_path, FEW))()
    finally:
        pc.match_substring_regex = original
    assert patterns <= FEW // 4


@pytest.mark.parametrize("measure", [calls_of, peak_of])
def test_minimising_grows_with_the_columns(tmp_path: Path, measure: Callable[[Callable[[], object]], int]) -> None:
    """The same for the gate, with groups and with rows that may be set aside."""
    minimised(wide(tmp_path, 8), tmp_path / "first")()
    few, many = (measure(minimised(wide(tmp_path, columns), tmp_path / str(columns))) for columns in (FEW, MANY))
    assert many < GROWTH * few


def test_what_is_shown_of_thousands_of_columns_can_be_read(tmp_path: Path) -> None:
    """Columns that are alike share a line; the section to paste has every one."""
    path = wide(tmp_path, MANY)
    shown = CliRunner().invoke(main, ["profile", str(path)], prog_name="gatehouse")
    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) < 100
    assert "more" in shown.output
    section = CliRunner().invoke(main, ["profile", str(path), "--manifest"], prog_name="gatehouse")
    assert section.output.count("rule:") == MANY
