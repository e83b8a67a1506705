"""A flow of gates that do nothing and of empty Prefect tasks, in turn; writes the milliseconds of each as JSON.

Run as ``empty_gate.py <file> <times>`` against a Prefect server and a ``GATEHOUSE_HOME``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.ledger.heartbeat import beating
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.gate_value import GateValue
from prefect_gatehouse.settings import load_settings
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.progress import progress_of


class Passed(GateValue):
    """What the empty gate returns."""

    gate = "nothing"

    round: int

    @property
    def passage(self) -> str:
        """One for each round."""
        return f"{self.gate}:{self.round}"


@gate(Passed)
def nothing(_: Attempt, number: int) -> Passed:
    """A gate that does nothing."""
    return Passed(round=number)


@task(cache_policy=NO_CACHE, persist_result=False)
def nothing_at_all() -> None:
    """A task that does nothing."""


def milliseconds(what: Callable[[], object]) -> float:
    """Of one call."""
    started = time.perf_counter()
    what()
    return 1000 * (time.perf_counter() - started)


@flow(name="empty-gates", persist_result=False)
def empty_gates(times: int) -> dict[str, list[float]]:
    """Passes the gate and runs the task so many times, each first every other time; the very first of each warms up and is not kept."""
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None  # it is a flow
    settings, run_id = load_settings(), str(context.flow_run.id)
    settings.folder("")
    found: dict[str, list[float]] = {"gate": [], "task": []}
    with closing(Ledger(settings.ledger())) as ledger:
        attempt = Attempt(settings, ledger, run_id, read_secret, progress_of, prefect_flow=str(context.flow_run.flow_id))
        with beating(ledger, run_id, attempt.number):
            for number in range(times + 1):

                def through_the_gate(number: int = number) -> object:
                    return nothing.in_round(number, attempt, number)

                turns = {"gate": through_the_gate, "task": nothing_at_all}
                for name in sorted(turns, reverse=bool(number % 2)):
                    found[name].append(milliseconds(turns[name]))
    return {name: each[1:] for name, each in found.items()}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(empty_gates(int(sys.argv[2]))))
