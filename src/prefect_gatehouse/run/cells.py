"""The workload of a run, where it runs: which cell it gets, what it is given there, and what the ledger says of it.

A cell is a process that imports for most of a second before it can begin. So it is started ahead, as soon as it is known that one will be
wanted, and imports while the gates before it work. It serves one way through one workload and is never handed on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.ledger.events import GatePassed, WorkloadRan
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.ahead import (
    Ahead,
    Early,
    Features,
    Unassigned,
    drop_spare,
    keep_spare,
    prepared,
    set_aside,
    take_aside,
    take_early,
    take_spare,
)
from prefect_gatehouse.run.apart import unseen
from prefect_gatehouse.run.attempt import Attempt, no_blocks
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.early import cell_setting, limits_of, without_workload
from prefect_gatehouse.run.parts import Parts
from prefect_gatehouse.run.under import packages_of
from prefect_gatehouse.run.values import AdmittedRun, MinimisedData, Plan, RawOutcome
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.runner.choose import choose, run_in
from prefect_gatehouse.workload.runner.interface import Runner, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.vocabulary import CellName
    from prefect_gatehouse.workload.sources import FoundWorkload


def cell_of(attempt: Attempt, admitted: AdmittedRun) -> CellName:
    """The cell that a workload gets here.

    Raises:
        InputError: The setting names one that is weaker than the tier's weakest.
        Unavailable: There is none that is strong enough.
    """
    return choose(cell_setting(attempt.settings), admitted.tier.cell)


def start_spares(settings: Settings, ledger: Ledger, run_id: str, before: RunRow | None) -> None:
    """Starts cells before anything else of an attempt, as many as it will drive workloads in; they import meanwhile.

    A run that has no plan yet has two: its rehearsal starts the workload once more.

    Args:
        settings: The installation.
        ledger: The open ledger.
        run_id: The run.
        before: What the ledger says of it, None where it has not begun.
    """
    with suppress(GatehouseError):  # the attempt is told
        chain = Chain(ledger, run_id)
        if before is None:
            get_spares(settings, 2)
        elif before.ending is None and chain.read(RawOutcome.gate, RawOutcome) is None:
            get_spares(settings, 1 if chain.read(Plan.gate, Plan) is not None else 2)
        else:
            drop_spare()


def get_spares(settings: Settings, number: int = 1) -> None:
    """Starts cells for whatever run this process will drive, unless it has so many.

    They know no run and no workload, serve the first workloads that this process starts, and are ended where one of these wants another cell. What
    is installed is looked at while they import; one that started since shortly before anything of that was changed may have imported something else.

    Args:
        settings: The installation.
        number: How many.
    """
    with suppress(GatehouseError):  # whoever wants a cell starts its own, or is told what is wrong
        started: list[Early] = []
        try:
            for _ in range(prepared(), number):
                early = take_early(choose(cell_setting(settings))) or without_workload(settings)
                if early is None:
                    return
                started.append(early)
            packages = packages_of(settings) if started else None
            while packages is not None and started and packages.unchanged_since(started[0].started):
                early = started.pop(0)
                keep_spare(Unassigned(early.cell, packages.digest, early.spare))
        finally:
            for early in started:
                early.spare.close()


def start_ahead(attempt: Attempt, admitted: AdmittedRun, cell: CellName | None = None, *, draws: bytes | None = None) -> None:
    """Starts the cell that will be wanted next; where it can't be, whoever wants it is told why.

    Args:
        attempt: Who will drive it.
        admitted: The run.
        cell: The one that the plan names; where there is no plan yet, the one that the run gets here.
        draws: What its process is asked to draw before it has the workload, where it was started before (``Runner.drawn``).
    """
    with suppress(GatehouseError):
        where = cell or cell_of(attempt, admitted)
        if where != "none" and attempt.ahead is None:
            workload = attempt.parts.workload(admitted)
            packages = packages_of(attempt.settings).digest
            kept = take_aside(attempt.run_id, where, workload, packages)
            attempt.ahead = kept or _ahead(attempt.settings, attempt.run_id, admitted, where, workload, packages, draws)


def begin_ahead(attempt: Attempt, minimised: MinimisedData) -> None:
    """Has the workload compute its first round while the gates before it are still at work; it was given the same before the plan was made.

    Nothing of what it computes is taken before whoever drives it asks.
    """
    if attempt.ahead is not None:
        attempt.ahead.features.read = _reader(attempt, minimised)
        with suppress(GatehouseError):  # whoever drives it is told
            attempt.ahead.runner.ask(None)


def keep_ahead(attempt: Attempt) -> None:
    """Starts the cell that the run wants when it is answered, and keeps it beyond the attempt: for the next one that this process begins.

    It has the workload's code and nothing that the run is about; one that was given data is ended.
    """
    if attempt.ahead is not None and attempt.ahead.features.read is not None:
        attempt.ahead.close()
        attempt.ahead = None
    with suppress(GatehouseError):  # then the next one starts its own
        admitted, plan = attempt.chain.read(AdmittedRun.gate, AdmittedRun), attempt.chain.read(Plan.gate, Plan)
        returned = attempt.find(RawOutcome.gate, GatePassed) is not None  # then people are asked about what it gave
        if admitted is not None and plan is not None and not returned:
            start_ahead(attempt, admitted, plan.body.cell)
    if attempt.ahead is not None:
        set_aside(attempt.ahead)
        attempt.ahead = None


def start_aside(settings: Settings, ledger: Ledger, run_id: str) -> None:
    """Starts the cell that a run with a plan wants when it goes on, for the attempt that this process is about to begin.

    It imports while the process makes itself known to Prefect. What it is given is the plan's or nothing; whether the run may go on at all, and
    whether other packages are installed by now, the attempt finds out, and ends a cell that it does not take.
    """
    with suppress(GatehouseError):  # then the attempt starts its own, or says what is wrong
        chain = Chain(ledger, run_id)
        admitted, plan = chain.read(AdmittedRun.gate, AdmittedRun), chain.read(Plan.gate, Plan)
        if admitted is not None and plan is not None and plan.body.cell != "none" and chain.read(RawOutcome.gate, RawOutcome) is None:
            workload = Parts(settings, chain, lambda: False, no_blocks).workload_files(admitted)
            set_aside(_ahead(settings, run_id, admitted, plan.body.cell, workload))


def _ahead(
    settings: Settings,
    run_id: str,
    admitted: AdmittedRun,
    cell: CellName,
    workload: FoundWorkload,
    packages: str | None = None,
    draws: bytes | None = None,
) -> Ahead:
    features = Features()
    runner, imported = _start(settings, admitted, cell, workload, features, packages, draws)
    return Ahead(run_id, cell, workload, features, runner, imported)


def rounds_of(attempt: Attempt, minimised: MinimisedData, cell: CellName) -> Runner:
    """The workload, ready to run over the minimised data from its start.

    Args:
        attempt: Who drives it.
        minimised: What it is given.
        cell: Where it runs: the one that the plan names.

    Raises:
        InputError: Its files are not there.
        PlanChanged: They are other ones than the plan's, or other packages are installed.
        Unavailable: There is no such cell here.
    """
    workload = attempt.parts.workload(minimised.admitted)
    ahead, attempt.ahead = attempt.ahead, None
    if ahead is not None:
        if (ahead.cell, ahead.workload) == (cell, workload):
            ahead.features.read = _reader(attempt, minimised)
            return ahead.runner
        ahead.close()
    features, packages = Features(_reader(attempt, minimised)), packages_of(attempt.settings).digest
    return _start(attempt.settings, minimised.admitted, cell, workload, features, packages)[0]


def _reader(attempt: Attempt, minimised: MinimisedData) -> Callable[[], pa.Table]:
    return lambda: attempt.store.read(minimised.artifact, attempt.key)


def _start(
    settings: Settings,
    admitted: AdmittedRun,
    cell: CellName,
    workload: FoundWorkload,
    features: Features,
    packages: str | None,
    draws: bytes | None = None,
) -> tuple[Runner, str | None]:
    """The cell, and what was installed when it imported, if that was before anybody knew the workload."""
    manifest = admitted.manifest
    task = Task(workload, features, manifest.workload.parameters, {manifest.output.key, *manifest.output.names})
    own = [settings.home, settings.people_folder(), settings.identity_key(), settings.worker_key_file(), Path.home(), *_prefect_home()]
    secret = [*own, *sorted(unseen(admitted))]
    where, limits = choose(cell, cell), limits_of(settings)
    spare = take_spare(cell, packages)
    if spare is None:
        return run_in(where, task, limits, secret), None
    if draws is not None:
        spare.spare.draw(draws)
    return run_in(where, task, limits, secret, spare.spare), spare.packages


@contextmanager
def driven(
    attempt: Attempt, minimised: MinimisedData, cell: CellName, step: Literal["plan", "rehearsal", "rounds"], time: int = 1
) -> Iterator[Runner]:
    """A workload that is driven; where it ran and how much of its output was dropped is in the ledger, however it ends.

    Args:
        attempt: Who drives it.
        minimised: What it is given.
        cell: Where it runs.
        step: What for.
        time: Which time in this step.

    Raises:
        GatehouseError: As ``rounds_of``.
    """
    with rounds_of(attempt, minimised, cell) as rounds:
        try:
            yield rounds
        finally:
            attempt.record(f"workload:{attempt.number}:{step}:{time}", WorkloadRan(step=step, cell=cell, suppressed_lines=rounds.suppressed))


def _prefect_home() -> list[Path]:
    named = os.environ.get("PREFECT_HOME")
    return [Path(named)] if named else []
