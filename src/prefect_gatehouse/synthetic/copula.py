"""A Gaussian copula: how columns move together, apart from what their values are.

Correlations are those of normal scores (van der Waerden), over the rows where both columns have a value. A staircase marginal weakens
them; the latent correlations are raised until the simulated scores correlate as the source's do (NORTA, Cario and Nelson 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from prefect_gatehouse.synthetic.marginals import Steps

Array = np.ndarray[Any, np.dtype[Any]]

_MOST = 0.995
_ROUNDS, _ROWS = 5, 20_000
# A sample of fewer allowed rows tells nothing of correlations; the drawing says what is wrong then.
_LEAST_ALLOWED = 0.02
# Columns from which one round of calibration has to do: each costs rows times columns squared.
_MANY = 400


def score_correlation(scores: Array) -> Array:
    """Correlations of columns (rows x columns, NaN where there is no value) over the rows where both have one; 0 where none can be told."""
    there = ~np.isnan(scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        filled = np.where(there, scores, 0.0)
        filled -= np.where(there, filled.sum(axis=0) / there.sum(axis=0), 0.0)
        mask = there.astype(float)
        square = (filled**2).T @ mask
        found = (filled.T @ filled) / np.sqrt(square * square.T)
    found = np.clip(np.where(np.isfinite(found), found, 0.0), -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def factor(correlation: Array) -> Array:
    """A root of the nearest correlation matrix by eigenvalue clipping: rows of unit length, root @ root.T positive semidefinite."""
    try:
        root: Array = np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlation)
        root = vectors * np.sqrt(np.maximum(values, 1e-9))
    return np.asarray(root / np.linalg.norm(root, axis=1, keepdims=True))


def fit(scores: Array, steps: Sequence[Steps], rng: np.random.Generator, allowed: Callable[[Array], Array]) -> Array:
    """The root of the latent correlation matrix whose samples, through the marginals' steps, correlate as the scores do.

    Args:
        scores: Normal scores of the source.
        steps: Each variable's staircase.
        rng: Source of randomness.
        allowed: Which rows of a matrix of normal deviates will be kept, so that what is left correlates as wanted.
    """
    wanted = score_correlation(scores)
    columns = len(steps)
    coarse = [place for place, step in enumerate(steps) if not step.smooth]
    if not coarse:
        return factor(wanted)
    rows = _ROWS if columns <= _MANY else 4000
    weakening = np.ones(columns)
    plain = rng.standard_normal(rows)
    for place in coarse:
        weakening[place] = max(float(np.std(steps[place].collapse(plain))), 0.05)
    latent = _bounded(wanted / np.outer(weakening, weakening))
    for _ in range(_ROUNDS if columns <= _MANY else 1):
        root = factor(latent)
        sample = rng.standard_normal((rows, columns)) @ root.T
        sample = sample[allowed(sample)]
        if len(sample) < _LEAST_ALLOWED * rows:
            break
        for place in coarse:
            sample[:, place] = steps[place].collapse(sample[:, place])
        # From the matrix that was used, not from the one that was asked for: they differ where the latter is not definite.
        latent = _bounded(root @ root.T + wanted - score_correlation(sample))
    return factor(latent)


def _bounded(correlation: Array) -> Array:
    bounded: Array = np.clip(correlation, -_MOST, _MOST)
    np.fill_diagonal(bounded, 1.0)
    return bounded
