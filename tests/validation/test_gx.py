"""Running a suite: the outcome and the silence."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.validation.suite import Suite
from prefect_gatehouse.validation.validate import validate

FRAME = pd.DataFrame(
    {
        "text": ["CANARYa", "CANARYb", None],
        "objects": pd.Series([b"CANARYbytes", {"CANARY": 1}, "CANARYc"], dtype=object),
        "number": [1.0, 2.0, 424242424242.0],
        "gone": [None, None, None],
    }
)
ROWS = ("expect_table_row_count_to_be_between", {"min_value": 1})


@pytest.fixture(params=["arrow", "great-expectations"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As a rule checks are computed on record batches; with a release that was not compared, everything is Great Expectations'."""
    if request.param == "great-expectations":
        monkeypatch.setattr("prefect_gatehouse.validation.validate.proven", lambda: False)
    return str(request.param)


def suite_of(*expectations: tuple[str, Mapping[str, object]], declared: int | None = None) -> Suite:
    entries: Any = tuple({"type": kind, "kwargs": kwargs} for kind, kwargs in expectations)
    return Suite(name="suite.json", sha256="0" * 64, expectations=entries, declared=len(entries) if declared is None else declared)


def good() -> pd.DataFrame:
    return pd.DataFrame({"a": ["x", "y"], "b": [0.5, 1.0]})


GOOD = (
    ROWS,
    ("expect_column_values_to_not_be_null", {"column": "a"}),
    ("expect_column_values_to_be_between", {"column": "b", "min_value": 0}),
)


def test_a_passing_suite(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types, columns and success come through, with the check for rows of our own; neither the frame nor the disk changes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    frame = good()
    report = validate(suite_of(*GOOD), frame)
    assert report.success
    assert (report.suite, report.rows, report.declared, report.loaded) == ("suite.json", 2, 3, 3)
    assert [(each.type, each.column, each.success, each.errored) for each in report.results] == [
        ("expect_table_row_count_to_be_between", None, True, False),
        ("expect_column_values_to_not_be_null", "a", True, False),
        ("expect_column_values_to_be_between", "b", True, False),
        ("gatehouse_rows_present", None, True, False),
    ]
    pd.testing.assert_frame_equal(frame, good())
    assert list(tmp_path.iterdir()) == []


def test_failures_and_errors_are_told_apart(engine: str) -> None:
    """A failed check is not errored; one on a column that does not exist, or that raises, is, and neither passes."""
    report = validate(
        suite_of(
            ROWS,
            ("expect_column_values_to_not_be_null", {"column": "text"}),
            ("expect_column_mean_to_be_between", {"column": "objects", "min_value": 0}),
            ("expect_column_values_to_be_unique", {"column": "missing"}),
            ("expect_column_pair_values_to_be_equal", {"column_A": "number", "column_B": "number"}),
            ("expect_compound_columns_to_be_unique", {"column_list": ["number", "text"]}),
        ),
        FRAME,
    )
    assert [(each.column, each.success, each.errored) for each in report.results] == [
        (None, True, False),
        ("text", False, False),
        ("objects", False, True),
        ("missing", False, True),
        ("number, number", True, False),
        ("number, text", True, False),
        (None, True, False),
        ("gone", False, False),
    ]
    assert not report.success


def test_an_empty_frame_and_an_all_null_column_fail(engine: str) -> None:
    """What the library lets pass: a suite whose every expectation holds on nothing is a failure here."""
    lenient = suite_of(("expect_column_values_to_be_unique", {"column": "a"}), ("expect_column_to_exist", {"column": "a"}))
    empty = validate(lenient, pd.DataFrame({"a": pd.Series([], dtype="str")}))
    assert [each.success for each in empty.results] == [True, True, False]
    assert empty.results[-1].type == "gatehouse_rows_present"
    nulls = validate(lenient, pd.DataFrame({"a": [None, None], "b": [np.nan, 1.0]}))
    assert [(each.type, each.column) for each in nulls.results if not each.success] == [("gatehouse_column_not_all_null", "a")]
    assert not empty.success
    assert not nulls.success


NOISY: tuple[tuple[str, Mapping[str, object]], ...] = (
    ("expect_column_mean_to_be_between", {"column": "text", "min_value": 0}),
    ("expect_column_mean_to_be_between", {"column": "objects", "min_value": 0}),
    ("expect_column_stdev_to_be_between", {"column": "text", "min_value": 0}),
    ("expect_column_median_to_be_between", {"column": "objects", "min_value": 0}),
    ("expect_column_sum_to_be_between", {"column": "objects", "min_value": 0}),
    ("expect_column_max_to_be_between", {"column": "objects", "min_value": 0}),
    (
        "expect_column_quantile_values_to_be_between",
        {"column": "text", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 1]]}},
    ),
    ("expect_column_kl_divergence_to_be_less_than", {"column": "text", "partition_object": None, "threshold": 0.1}),
    ("expect_column_values_to_be_between", {"column": "text", "min_value": 0}),
    ("expect_column_values_to_be_in_set", {"column": "text", "value_set": ["x"]}),
    ("expect_column_values_to_be_dateutil_parseable", {"column": "text"}),
    ("expect_column_values_to_match_strftime_format", {"column": "text", "strftime_format": "%Y"}),
    ("expect_column_values_to_match_regex", {"column": "objects", "regex": "("}),
    ("expect_column_values_to_be_unique", {"column": "objects"}),
    ("expect_column_value_z_scores_to_be_less_than", {"column": "text", "threshold": 1, "double_sided": True}),
    ("expect_column_value_lengths_to_equal", {"column": "objects", "value": 1}),
    ("expect_column_distinct_values_to_be_in_set", {"column": "objects", "value_set": ["x"]}),
    ("expect_column_most_common_value_to_be_in_set", {"column": "text", "value_set": ["x"]}),
)


def test_nothing_shows_a_value(
    engine: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Expectations that quote cells in exceptions, results or logs: no canary in the report, output, logs or warnings."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("great_expectations.validator").setLevel(logging.DEBUG)
    report = validate(suite_of(ROWS, *NOISY), FRAME)
    out, err = capfd.readouterr()
    shown = [report.model_dump_json(), repr(report), out, err, caplog.text, *(str(each.message) for each in recwarn)]
    assert report.loaded == len(NOISY) + 1
    assert not report.success
    assert sum(each.errored for each in report.results) >= 5, "the attack must reach the library's exceptions"
    assert not any("CANARY" in text or "424242" in text for text in shown)
    assert (out, err) == ("", "")


def test_a_broken_library_says_nothing_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the library itself raises, the expectation counts as errored and the report holds nothing of what it raised."""
    from great_expectations.datasource.fluent.interfaces import Batch

    def explode(*_: object, **__: object) -> None:
        raise ValueError("CANARYa")

    monkeypatch.setattr(Batch, "validate", explode)
    monkeypatch.setattr("prefect_gatehouse.validation.validate.proven", lambda: False)
    report = validate(suite_of(*GOOD), good())
    assert [(each.success, each.errored) for each in report.results] == [(False, True)] * 3 + [(True, False)]
    assert not report.success
    assert "CANARY" not in report.model_dump_json()


def test_the_library_lets_go_of_the_data(engine: str) -> None:
    """After the report nothing in the process holds the frame: the library's newest context would otherwise keep it."""
    validate(suite_of(*GOOD), pd.DataFrame({"a": ["CANARYgone"], "b": [1.0]}))
    gc.collect()
    # By its type: an object of another test may stand for one that is gone, and asked for its class it raises.
    held = [each for each in gc.get_objects() if issubclass(type(each), pd.DataFrame) and "a" in each and "CANARYgone" in set(each["a"])]
    assert held == []


def test_a_suite_counts_only_as_a_whole() -> None:
    """Fewer loaded than declared, more than declared, and none at all are refused."""
    for broken in (suite_of(*GOOD, declared=4), suite_of(*GOOD, declared=2), suite_of()):
        with pytest.raises(DataRefused, match="declared"):
            validate(broken, good())


def test_what_does_not_load_is_an_input_error() -> None:
    """A suite that was made without load_suite gets the same errors."""
    for broken in (suite_of(("expect_nothing", {})), suite_of(("expect_column_to_exist", {"colum": "a"}))):
        with pytest.raises(InputError):
            validate(broken, good())


@pytest.mark.parametrize("frame", [pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[1]])])
def test_columns_must_be_distinct_names(frame: pd.DataFrame) -> None:
    """Two columns of one name, or a number as a name, can't be told apart in a report."""
    with pytest.raises(DataRefused, match="distinct names"):
        validate(suite_of(*GOOD), frame)


def test_import_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    """In a fresh process: no analytics, the warnings still go where they went, nothing is written to the home."""
    script = """
        import os, sys, warnings
        before = warnings.showwarning
        import pandas as pd
        from prefect_gatehouse.validation.gx_import import registry
        from prefect_gatehouse.validation.suite import load_suite
        from prefect_gatehouse.validation.validate import validate
        assert "great_expectations" not in sys.modules
        report = validate(load_suite(__import__("pathlib").Path("suite.json")), pd.DataFrame({"a": ["CANARY"]}))
        assert report.success
        assert "great_expectations" not in sys.modules, "every check of this suite is computed on record batches"
        registry()
        assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
        assert warnings.showwarning is before
        assert "posthog" not in sys.modules
    """
    (tmp_path / "home").mkdir()
    (tmp_path / "suite.json").write_text(
        '{"name": "s", "expectations": [{"type": "expect_table_row_count_to_equal", "kwargs": {"value": 1}},'
        ' {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}}]}'
    )
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("GX_ANALYTICS_ENABLED", None)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["home", "suite.json"]
