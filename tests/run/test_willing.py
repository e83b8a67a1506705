"""The circuit breaker: read from the events of all runs, open after three refused rounds in a row, closed by the probe that is accepted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.jobs import JobSubmitted, SubmissionRefused
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.planned import BackendSnapshot
from prefect_gatehouse.run.willing import REST_SECONDS, WITHIN_SECONDS, label_of, resting_until


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as opened:
        yield opened


def told(ledger: Ledger, *facts: Fact) -> None:
    with ledger.transaction() as tx:
        for fact in facts:
            tx.append(f"e{tx.newest()}", "ledger", fact)


def no(run: str, job: int = 0, backend: str = "b/one") -> Fact:
    return SubmissionRefused(key=f"{run}:0:{job}:0", backend=backend, reason="no")


def yes(run: str, backend: str = "b/one") -> Fact:
    return JobSubmitted(key=f"{run}:0:0:0", backend=backend, job="j", environment="local")


def is_open(ledger: Ledger, backend: str = "b/one", after: float = 0.0) -> bool:
    return resting_until(ledger, backend, time.time() + after) is not None


def test_three_rounds_in_a_row_open_it(ledger: Ledger) -> None:
    """Of whichever runs; a round of many jobs is one refusal, and another backend's are not its own."""
    told(ledger, *(no("one", job) for job in range(9)), no("two"), *(no("three", backend="b/two") for _ in range(2)))
    assert not is_open(ledger)
    told(ledger, no("four"))
    assert is_open(ledger) and not is_open(ledger, "b/two")


def test_an_accepted_round_between_them_keeps_it_closed(ledger: Ledger) -> None:
    """In a row: a refusal that is about one run's circuits says nothing about the device."""
    told(ledger, no("one"), no("two"), yes("three"), no("four"))
    assert not is_open(ledger)


def test_the_probe(ledger: Ledger) -> None:
    """After its rest the next round is tried: accepted it closes, refused it opens again at once."""
    told(ledger, no("one"), no("two"), no("three"))
    assert is_open(ledger, after=REST_SECONDS - 5) and not is_open(ledger, after=REST_SECONDS + 5)
    told(ledger, no("four"))
    assert is_open(ledger)
    told(ledger, yes("five"))
    assert not is_open(ledger)


def test_refusals_far_apart(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal a day is a device's way, not an outage."""
    monkeypatch.setattr("prefect_gatehouse.run.willing.WITHIN_SECONDS", 0.0)
    told(ledger, no("one"))
    time.sleep(0.01)
    told(ledger, no("two"), no("three"))
    assert WITHIN_SECONDS and not is_open(ledger)


def test_labels() -> None:
    """The first backend is no news; what stood in for it is told by what both are."""

    def backends(*simulators: bool) -> tuple[BackendSnapshot, ...]:
        fields = {"provider": "p", "version": "1", "qubits": 1, "jobs": 1, "cost_first_round": 0, "cost_worst_case": 0}
        return tuple(BackendSnapshot.model_validate({"name": str(place), "simulator": each, **fields}) for place, each in enumerate(simulators))

    assert [label_of(backends(False, True, False), place) for place in range(3)] == ["primary", "simulator", "substitute"]
    assert [label_of(backends(True, True, False), place) for place in range(3)] == ["primary", "fallback", "substitute"]
