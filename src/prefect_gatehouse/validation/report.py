"""What a suite's checks gave, free of values."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefect_gatehouse.value import Digest, Value


class CheckResult(Value):
    """One expectation's outcome: nothing of the data."""

    type: str
    column: str | None = None
    success: bool
    errored: bool = False
    engine: Literal["gatehouse", "arrow", "great-expectations"] = Field(
        "gatehouse", description="What computed it: a check of our own, record batches, or Great Expectations on a frame."
    )


class SuiteReport(Value):
    """A suite's outcome, free of values."""

    suite: str
    suite_sha256: Digest
    rows: int
    declared: int
    loaded: int
    results: tuple[CheckResult, ...]
    success: bool
