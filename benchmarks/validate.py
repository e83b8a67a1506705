"""What validating costs: 20 checks over 1 M rows against the same 20 written by hand in pandas, and the memory of 10 M rows.

CPU time of one process that runs ours and pandas' in turns, medians; every round compares the verdicts. Great Expectations itself
stands in the table, once. The memory is the peak of a fresh process that streams 10 M rows out of a Parquet file, with as many checks,
and another one that streams a tenth of them shows how flat it is. The last line is one JSON object: our CPU time over pandas' (lower
is better) and that peak in MB (10^6 bytes). ``--quick`` takes a tenth of the rows.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from prefect_gatehouse.validation import validate as module
from prefect_gatehouse.validation.suite import Suite
from prefect_gatehouse.validation.validate import validate

ROUNDS = 7
BATCH = 1 << 16
REGIONS = ["north", "south", "east", "west", "centre"]
DIGITS = np.frombuffer(b"0123456789abcdefghijklmnopqrstuv", dtype=np.uint8)  # base32hex
TOKEN = 25


def on(column: str, kind: str, **kwargs: object) -> dict[str, Any]:
    return {"type": f"expect_column_{kind}", "kwargs": {"column": column, **kwargs}}


CHECKS = [
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
    on("token", "values_to_not_be_null"),
    on("token", "values_to_be_unique"),
    on("token", "value_lengths_to_equal", value=TOKEN),
    on("token", "values_to_match_regex", regex="^[0-9a-v]+$"),
    on("age", "values_to_not_be_null"),
    on("age", "values_to_be_between", min_value=0, max_value=120),
    on("age", "mean_to_be_between", min_value=30, max_value=80),
    on("age", "unique_value_count_to_be_between", min_value=50, max_value=121),
    on("dose", "values_to_not_be_null", mostly=0.9),
    on("dose", "values_to_be_between", min_value=0, max_value=1, mostly=0.99),
    on("dose", "min_to_be_between", min_value=0),
    on("dose", "max_to_be_between", max_value=1),
    on("dose", "mean_to_be_between", min_value=0.4, max_value=0.6),
    on("dose", "stdev_to_be_between", min_value=0.2, max_value=0.4),
    on("dose", "median_to_be_between", min_value=0.4, max_value=0.6),
    on("region", "values_to_not_be_null"),
    on("region", "values_to_be_in_set", value_set=REGIONS),
    on("region", "values_to_match_regex", regex="^[a-z]+$"),
    {"type": "expect_column_pair_values_a_to_be_greater_than_b", "kwargs": {"column_A": "age", "column_B": "visits"}},
]
SUITE = Suite("bench.json", "0" * 64, tuple(CHECKS), len(CHECKS))


def by_hand(frame: pd.DataFrame) -> list[bool]:
    """The same 20 checks as somebody writes them down."""
    token, age, dose, region, visits = (frame[name] for name in ("token", "age", "dose", "region", "visits"))
    present = dose.dropna()
    return [
        len(frame) >= 1,
        bool(token.notna().all()),
        token.is_unique,
        bool((token.str.len() == TOKEN).all()),
        bool(token.str.contains("^[0-9a-v]+$").all()),
        bool(age.notna().all()),
        bool(age.between(0, 120).all()),
        30 <= age.mean() <= 80,
        50 <= age.nunique() <= 121,
        dose.notna().mean() >= 0.9,
        present.between(0, 1).mean() >= 0.99,
        dose.min() >= 0,
        dose.max() <= 1,
        0.4 <= dose.mean() <= 0.6,
        0.2 <= dose.std() <= 0.4,
        0.4 <= dose.median() <= 0.6,
        bool(region.notna().all()),
        bool(region.isin(REGIONS).all()),
        bool(region.str.contains("^[a-z]+$").all()),
        bool((age > visits).all()),
    ]


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of made-up patients; nothing in them is anybody's."""
    random = np.random.default_rng(1)
    for start in range(0, rows, BATCH):
        count = min(BATCH, rows - start)
        letters = DIGITS[random.integers(0, 32, count * TOKEN)]
        offsets = np.arange(count + 1, dtype=np.int32) * TOKEN
        token = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(letters))
        dose = pa.array(random.random(count), mask=random.random(count) < 0.05)
        region = pa.array(REGIONS).take(pa.array(random.integers(0, len(REGIONS), count)))
        columns = [token, pa.array(random.integers(20, 100, count)), dose, region, pa.array(random.integers(0, 20, count))]
        yield pa.record_batch(columns, names=["token", "age", "dose", "region", "visits"])


class File:
    """A Parquet file as a source of batches."""

    def __init__(self, path: Path) -> None:
        with pq.ParquetFile(path) as file:
            self.schema, self.rows = file.schema_arrow, file.metadata.num_rows
        self._path = path

    def __call__(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of these columns."""
        with pq.ParquetFile(self._path, pre_buffer=False) as file:
            yield from file.iter_batches(BATCH, columns=list(columns), use_threads=False)


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU, all threads of the process."""
    before = time.process_time()
    work()
    return time.process_time() - before


def speed(rows: int) -> tuple[float, float, float]:
    """Median seconds of ours and of pandas, and seconds of Great Expectations."""
    table = pa.Table.from_batches(batches(rows))
    frame = table.to_pandas()
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        theirs.append(cpu(lambda: by_hand(frame)))
        ours.append(cpu(lambda: validate(SUITE, table)))
    results = validate(SUITE, table).results[: len(CHECKS)]
    assert all(each.engine == "arrow" for each in results)
    assert [each.success for each in results] == by_hand(frame) == [True] * len(CHECKS)
    module.proven = lambda: False  # type: ignore[assignment]  # everything to Great Expectations
    validate(Suite("warm.json", "0" * 64, tuple(CHECKS[:1]), 1), frame.head())
    library = cpu(lambda: validate(SUITE, frame))
    return statistics.median(ours), statistics.median(theirs), library


def peak(path: Path) -> float:
    """MB (10^6 bytes) of a fresh process that validates the file."""
    done = subprocess.run([sys.executable, __file__, "--peak", str(path)], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    if "--peak" in sys.argv:
        report = validate(SUITE, File(Path(sys.argv[-1])))
        assert report.success and "great_expectations" not in sys.modules
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6)
        return
    share = 10 if "--quick" in sys.argv else 1
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for rows in (1_000_000 // share, 10_000_000 // share):
            path = Path(folder) / "rows.parquet"
            made = batches(rows)
            first = next(made)
            with pq.ParquetWriter(path, first.schema) as writer:
                writer.write_batch(first)
                for batch in made:
                    writer.write_batch(batch)
            peaks.append(peak(path))
            print(f"peak of {rows:>10,} rows streamed from Parquet: {peaks[-1]:.0f} MB")
    ours, theirs, library = speed(1_000_000 // share)
    print(f"{1_000_000 // share:,} rows x {len(CHECKS)} checks, CPU seconds (medians of {ROUNDS}; Great Expectations once):")
    print(f"  ours {ours:.3f}\n  pandas by hand {theirs:.3f}\n  Great Expectations {library:.2f}")
    print(json.dumps({"vs_pandas_1m_20": round(ours / theirs, 2), "peak_mb_10m": round(peaks[-1])}))


if __name__ == "__main__":
    main()
