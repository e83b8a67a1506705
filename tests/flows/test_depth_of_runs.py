"""From when to when a process that drives runs withholds records: by the tier of the run that it drives, and of no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.plans import RUN, admitted_run, tier_rules, write_project

from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.flows import lifecycle
from prefect_gatehouse.ledger.events import GatePassed
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.log_depth import log_as_before
from prefect_gatehouse.settings import Settings

OTHER = RUN[:-1] + "2"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An installation that a run's process finds."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(lifecycle, "require_fixed_hashing", lambda: None)
    made = Settings(home=tmp_path / "home")
    made.folder("")
    yield made
    log_as_before()


@pytest.fixture
def drives(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Drives a run, as far as its first failure; gives what was withheld when its gates began."""

    def drive(run_id: str, does: Callable[[Attempt], object] = lambda _attempt: None) -> list[int]:
        withheld = []

        def pipeline(attempt: Attempt) -> None:
            withheld.append(logging.root.manager.disable)
            does(attempt)
            raise Unavailable("nothing goes on", where="test", advice="")

        monkeypatch.setattr(lifecycle, "_flow_run", lambda: (run_id, ""))
        assert lifecycle._driven(pipeline).is_failed()
        return withheld

    return drive


def test_a_process_that_goes_on_with_another_run(drives: Callable[..., list[int]]) -> None:
    """The depth stays until the next run begins, so that the end of this one is told by it, and is gone then."""
    before = logging.root.manager.disable
    assert drives(RUN, lambda attempt: attempt.log_from("error")) == [before]
    assert logging.root.manager.disable == logging.ERROR - 1
    assert drives(OTHER) == [before]
    assert logging.root.manager.disable == before


def test_a_later_process_of_a_run(drives: Callable[..., list[int]], settings: Settings, tmp_path: Path) -> None:
    """It has the depth of the run's tier, as the ledger has it from the admission, before any of its gates begins."""
    write_project(tmp_path / "project")
    admitted = admitted_run(tmp_path / "project", tier=tier_rules(logging="warning"))
    drives(RUN)
    with closing(Ledger(settings.ledger())) as ledger, ledger.transaction() as tx:
        tx.append(f"{RUN}:{admitted.passage}", RUN, GatePassed(gate=admitted.gate, value=Chain(ledger, RUN).stored(admitted)), attempt=1)
    assert drives(RUN) == [logging.WARNING - 1]
