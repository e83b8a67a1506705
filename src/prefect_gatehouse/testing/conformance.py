"""The suite of providers as a plugin of pytest: ``pytest_plugins = ["prefect_gatehouse.testing.conformance"]`` in a ``conftest.py``.

Say what is to prove itself, and take the fixture::

    @pytest.fixture(scope="module")
    def conformance_bench(tmp_path_factory):
        subject = subject_of("mine/device", tmp_path_factory.mktemp("jobs"), settings={...}, leases=with_secret("..."))
        with bench_of(subject, circuits=400, most_usd=5) as bench:
            yield bench

    def test_conforms(conformance_check):
        conformance_check()

There is a test for each check, under the check's name. It is no entry point of pytest: nobody's tests load it who do not ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from prefect_gatehouse.providers.conformance.bench import Bench, Extent, Subject
from prefect_gatehouse.providers.conformance.subject import subject_of, with_secret
from prefect_gatehouse.providers.conformance.suite import CHECKS

__all__ = ["Subject", "bench_of", "conformance_bench", "conformance_check", "subject_of", "with_secret"]


@contextmanager
def bench_of(
    subject: Subject, *, shots: int = 1000, circuits: int = 4000, most_usd: Decimal | int = 0, patience_seconds: float = 3600.0
) -> Iterator[Bench]:
    """What the checks run on; every job is deleted in the end.

    Args:
        subject: The backend.
        shots: Of each circuit whose counts are looked at statistically.
        circuits: Of the largest sweep.
        most_usd: What all jobs may cost at worst.
        patience_seconds: How long a job is waited for.
    """
    bench = Bench(subject, Extent(shots=shots, circuits=circuits, most_usd=Decimal(most_usd), patience_seconds=patience_seconds))
    try:
        yield bench
    finally:
        bench.close()


@pytest.fixture(scope="module")
def conformance_bench() -> Bench:
    """To be replaced: what the checks run on."""
    pytest.fail("write a fixture conformance_bench that says which backend is to prove itself; prefect_gatehouse.testing.conformance shows how")


@pytest.fixture(params=sorted(CHECKS))
def conformance_check(request: pytest.FixtureRequest, conformance_bench: Bench) -> Callable[[], None]:
    """One check after the other, ready to be called."""
    return lambda: CHECKS[request.param](conformance_bench)
