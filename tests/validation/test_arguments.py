"""Reading arguments without the library: never less strict than the library."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.validation.gx_import import registry
from prefect_gatehouse.validation.pushdown.registry import CHECKS, parse
from prefect_gatehouse.validation.suite import build

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            False,
            0,
            1,
            5,
            -1,
            2**53,
            10**400,
            0.5,
            1.5,
            "",
            "a",
            "x",
            "any",
            "2020-01-01",
            [],
            ["x"],
            ["x", "y"],
            [1, 2],
            ["x", "x"],
            [1, "a"],
        ]
    ),
    st.sampled_from(
        [
            {},
            {"$PARAMETER": "p"},
            {"quantiles": [0.5], "value_ranges": [[0, 1]]},
            {"quantiles": [2], "value_ranges": [[1, 0]]},
            [None],
            [[1]],
            "never",
            "neither",
        ]
    ),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
)


@pytest.mark.parametrize("kind", CHECKS)
def test_what_is_accepted_here_loads_there(kind: str) -> None:
    """Whatever the arguments: none that the library refuses, in name, presence or type, is accepted without asking it."""
    names = sorted(set(registry()[kind].__fields__) - {"id", "meta", "notes", "description", "severity", "rendered_content"})  # type: ignore[attr-defined]

    @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(kwargs=st.dictionaries(st.sampled_from([*names, "colum"]), VALUES, max_size=5), base=st.booleans())
    def try_(kwargs: dict[str, Any], base: bool) -> None:
        given_ = {"column": "x", **kwargs} if base and "column" in names else kwargs
        if parse(kind, given_) is not None:
            build(registry(), kind, given_, "x")

    try_()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"colum": "a"},
        {"column": "a", "row_condition": "x"},
        {"column": ""},
        {"column": 1},
        {"column": "a", "mostly": "1"},
        {"column": "a", "mostly": True},
    ],
)
def test_what_is_not_plain_is_left_to_the_library(kwargs: dict[str, Any]) -> None:
    """Unknown, missing and odd arguments are never read here."""
    assert parse("expect_column_values_to_be_unique", kwargs) is None


def test_a_misspelt_suite_is_still_refused(tmp_path: Path) -> None:
    """The strictness of loading has not changed: the library is asked where this reader is not sure."""
    with pytest.raises(InputError):
        build(registry(), "expect_column_values_to_be_unique", {"colum": "a"}, "x")


def test_a_plain_suite_loads_and_runs_without_the_library(tmp_path: Path) -> None:
    """In a fresh process neither loading nor running imports it, which would take seconds; an expectation of its own does."""
    script = """
        import pathlib, sys
        import pyarrow as pa
        from prefect_gatehouse.validation.suite import load_suite
        from prefect_gatehouse.validation.validate import validate
        suite = load_suite(pathlib.Path(sys.argv[1]))
        report = validate(suite, pa.table({"a": [1, 2]}))
        assert report.success and {each.engine for each in report.results} == {"arrow", "gatehouse"}
        assert not {"great_expectations", "prefect", "scipy"} & set(sys.modules)
    """
    suite = tmp_path / "suite.json"
    suite.write_text(
        '{"name": "s", "expectations": [{"type": "expect_table_row_count_to_equal", "kwargs": {"value": 2}},'
        ' {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}},'
        ' {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "a"}}]}'
    )
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(suite)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
