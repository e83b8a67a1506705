"""An outage drill finds what is wrong: a drill that passes whatever happens would prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_gatehouse.operate.drill.exercise import Drill, Drilled
from prefect_gatehouse.operate.drill.installation import embedded
from prefect_gatehouse.operate.drill.outages import Outage, chosen
from prefect_gatehouse.operate.drill.service import IBM, Braket
from prefect_gatehouse.providers.braket.submission import Submitter
from prefect_gatehouse.testing import BraketEmulator, IBMEmulator


def outage(name: str, provider: str = "braket") -> Outage:
    (found,) = chosen(provider, [name])
    return found


@pytest.fixture
def drill(tmp_path: Path, braket: BraketEmulator) -> Iterator[Callable[[Outage], Drilled]]:
    with closing(Drill(tmp_path, Braket(braket))) as made:
        yield lambda wanted: next(made.run([wanted]))


def test_a_job_that_is_made_twice(drill: Callable[[Outage], Drilled], monkeypatch: pytest.MonkeyPatch) -> None:
    """A submitter that does not look for its task makes another one where tokens are forgotten: seen, though the run has its result."""
    monkeypatch.setattr(Submitter, "_found", lambda self, key: None)
    found = drill(outage("forgotten-token"))
    assert (found.label, found.jobs) == ("primary", 2)
    assert found.problems == [
        "made 2 jobs for one",
        "paid 2 times",
        "1 job that nobody knows",
        "the provider bills 0.6580 USD, the ledger has 0.3290",
    ]


def test_a_result_that_is_lost(drill: Callable[[Outage], Drilled]) -> None:
    """A run that ends without what it could have given."""
    found = drill(replace(outage("refused"), result=True))
    assert (found.ending, found.jobs, found.problems) == ("denied", 0, ["the result is lost"])


def test_a_device_of_ibm_that_is_retired(tmp_path: Path, ibm: IBMEmulator) -> None:
    """Its job fails in the queue: reconcile has the run go on, which says so; nothing is paid, and the ledger holds."""
    with closing(Drill(tmp_path, IBM(ibm, embedded(tmp_path, tmp_path / "tiers.yaml")))) as drill:
        (found,) = drill.run([outage("retired", "ibm")])
        assert ([step.did for step in found.steps], found.verdict) == (["run", "reconcile", "abandon"], "no result, nothing paid")
        assert (found.ending, drill.ledger_problems()) == ("abandoned", [])
