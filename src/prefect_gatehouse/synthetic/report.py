"""What was measured of a synthetic file, the limits it is held to, and the verdict: counts and distances, never a value."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from prefect_gatehouse.value import Digest, Value

GENERATOR = "gatehouse-copula-2"
"""Name and version of the method; another number where the output of the same seed differs."""


class Limits(Value):
    """Limits for infinitely many rows; a measure of finite tables gets the sampling error on top (see ``noise``)."""

    marginal: float = Field(0.05, description="Kolmogorov-Smirnov distance or total variation of a column; also null rates.")
    correlation_max: float = Field(0.12, description="Greatest absolute difference of two correlations of normal scores.")
    correlation_mean: float = Field(0.03, description="Their mean absolute difference.")
    nearest_ratio: float = Field(0.5, description="Least ratio of the 5th percentiles: synthetic to source over source to source.")
    nearest_excess: float = Field(0.05, description="Share of synthetic rows nearer than that percentile, above the source's own.")
    advantage: float = Field(0.05, description="How much more often an attacker is right with the file than with rows of other people.")


class ColumnReport(Value):
    """One column."""

    column: str
    kind: Literal["levels", "wide", "dense", "made-up", "empty"]
    distance: float | None = Field(description="KS distance (wide, dense) or total variation (levels); None for made-up and empty columns.")
    limit: float | None
    null_difference: float
    null_limit: float
    pooled: float = Field(description="Share of the source's values that fewer than k rows have, of columns with few values.")
    values_copied: int | None = Field(description="Values that fewer than k rows of the source have; None where values may repeat.")


class Correlations(Value):
    """Normal scores, over pairs of variables."""

    pairs: int
    max_difference: float
    mean_difference: float
    max_limit: float
    mean_limit: float


class Combined(Value):
    """Combinations of columns with few values."""

    columns: int
    order: int = Field(description="How many columns a combination is of.")
    left_out: int = Field(description="Columns with so many levels that they were not combined.")
    rare_copied: int


class Nearest(Value):
    """Distances to the nearest of the same source rows, from synthetic rows and from other source rows."""

    rows: int
    against: int
    synthetic: tuple[float, ...] = Field(description="Percentiles 1, 5, 25, 50, 75, 95.")
    source: tuple[float, ...]
    ratio_5th: float | None = Field(description="None where the source's own 5th percentile is 0.")
    ratio_limit: float
    share_below: float = Field(description="Synthetic rows at most as far as the source's 5th percentile.")
    source_share_below: float
    share_limit: float


class Disclosure(Value):
    """One column, guessed from all others by the nearest row."""

    column: str
    with_synthetic: float = Field(description="Share of right guesses with the synthetic file.")
    with_others: float = Field(description="With as many source rows of other people.")
    with_marginal: float = Field(description="With the most frequent value.")
    limit: float = Field(description="Greatest difference allowed between the first and the better of the others.")


class Report(Value):
    """Everything measured."""

    generator: str
    seeded: bool = Field(description="Whether the caller gave a seed: then whoever knows it and the source can make the file again.")
    k: int
    source_rows: int
    rows: int
    source_sha256: Digest
    sha256: Digest
    columns: tuple[ColumnReport, ...]
    correlations: Correlations
    rows_copied: int
    combinations: Combined
    nearest: Nearest | None = Field(description="None where no column has a distance.")
    disclosure: tuple[Disclosure, ...]
    limits: Limits

    def failures(self) -> list[str]:
        """Every measure beyond its limit, in words."""
        found = []
        for column in self.columns:
            if column.distance is not None and column.limit is not None and not column.distance <= column.limit:
                found.append(f"marginal of '{column.column}' ({column.distance:.3f} > {column.limit:.3f})")
            if not column.null_difference <= column.null_limit:
                found.append(f"nulls of '{column.column}' ({column.null_difference:.3f} > {column.null_limit:.3f})")
            if column.values_copied:
                found.append(f"values copied in '{column.column}' ({column.values_copied})")
        correlations = self.correlations
        if not correlations.max_difference <= correlations.max_limit:
            found.append(f"greatest difference of correlations ({correlations.max_difference:.3f} > {correlations.max_limit:.3f})")
        if not correlations.mean_difference <= correlations.mean_limit:
            found.append(f"mean difference of correlations ({correlations.mean_difference:.3f} > {correlations.mean_limit:.3f})")
        if self.rows_copied:
            found.append(f"rows copied ({self.rows_copied})")
        if self.combinations.rare_copied:
            found.append(f"rows with a rare combination ({self.combinations.rare_copied})")
        return found + self._near() + self._disclosed()

    def _near(self) -> list[str]:
        near = self.nearest
        if near is None:
            return []
        found = []
        if near.ratio_5th is not None and not near.ratio_5th >= near.ratio_limit:
            found.append(f"nearest rows ({near.ratio_5th:.3f} < {near.ratio_limit:.3f})")
        if not near.share_below <= near.share_limit:
            found.append(f"share of near rows ({near.share_below:.3f} > {near.share_limit:.3f})")
        return found

    def _disclosed(self) -> list[str]:
        found = []
        for item in self.disclosure:
            advantage = item.with_synthetic - max(item.with_others, item.with_marginal)
            if not advantage <= item.limit:
                found.append(f"disclosure of '{item.column}' ({advantage:.3f} > {item.limit:.3f})")
        return found


def noise(rows: int, others: int) -> float:
    """Standard error of the difference of two means of unit variance: sqrt(1/n + 1/m)."""
    return math.sqrt(1 / max(rows, 1) + 1 / max(others, 1))
