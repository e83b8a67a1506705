"""A round of many settings of one template, from the workload to its payload, sealed, inspected and journalled.

The workload runs in its cell, as it does in a run. The clock starts when the cell has imported and is handed its features, so the making of the
settings is in the figure; memory is the process's and the cell's together.

No Prefect server: the gates run as in a dry run. Two processes, as of a real run: ``prepare`` plans and approves, ``measure`` drives the
round with the simulator's own encoding and the boundary guard, and stops when the provider is first asked about a job whose intent is in
the journal. Run as ``settings_round.py prepare|measure <folder> <settings>``; ``measure`` prints JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import NoReturn

import yaml

from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings

RUN = "3f0d5a3e-0000-4000-8000-000000000012"
WORKLOADS = Path(__file__).resolve().parents[1] / "workloads"


class Journalled(BaseException):
    """The payload is in the journal. No ``Exception``: a gate would turn that into a failure."""


def attempt_in(folder: Path, ledger: Ledger) -> Attempt:
    """An attempt at the run."""
    return Attempt(settings_in(folder), ledger, RUN, lambda _: SecretText(f"sqlite:///{folder / 'project' / 'results.sqlite'}"))


def settings_in(folder: Path) -> Settings:
    """The installation's settings."""
    return Settings(home=folder / "home")


def prepare(folder: Path, settings: int) -> None:
    """Lays out the project, plans, and approves."""
    from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
    from prefect_gatehouse.identity import sshsig
    from prefect_gatehouse.identity.keys import generate_key
    from prefect_gatehouse.identity.people import People
    from prefect_gatehouse.manifest.fields import DataClass
    from prefect_gatehouse.run.answer import Answer
    from prefect_gatehouse.run.approvals import ask, judge
    from prefect_gatehouse.tasks.await_approval import await_approval

    project = folder / "project"
    shutil.copytree(WORKLOADS / "random_circuits", project, ignore=shutil.ignore_patterns("__pycache__", "workload.py"))
    shutil.copy(WORKLOADS / "settings.py", project)
    manifest = yaml.safe_load((project / "gatehouse.yaml").read_text())
    manifest["workload"] = {"entrypoint": "settings.py:solve", "parameters": {"settings": settings}}
    manifest["execution"]["rehearsal"] = "skip"  # a first round that a plan keeps does not come from the workload
    (project / "gatehouse.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    installed = settings_in(folder)
    installed.folder("")
    key = folder / "approver"
    people = People(installed.people_folder())
    people.add("approver@example.org", key=generate_key(key, ""), roles=frozenset({"approver"}), totp=False, clearance=DataClass.PUBLIC)
    with closing(Ledger(installed.ledger())) as ledger:
        attempt = attempt_in(folder, ledger)
        planned = up_to_the_plan(attempt, str(project / "gatehouse.yaml"), None)
        approve, _ = ask(attempt, planned, "k")
        judge(attempt, planned, "k", Answer(decision="approve", approver="approver@example.org", proof=sshsig.sign(key, approve.message())))
        await_approval(attempt, planned)


def measure(folder: Path, settings: int) -> dict[str, float]:
    """Drives the round to the journal, and looks at what is there."""
    from prefect_gatehouse.flows.rounds import run_rounds
    from prefect_gatehouse.providers.simulator.aer import AerBackend
    from prefect_gatehouse.tasks.await_approval import await_approval
    from prefect_gatehouse.workload.runner.cell import Cell

    begin, at_start = Cell._begin, {}  # noqa: SLF001 - a benchmark looks in

    def begun(cell: Cell) -> None:
        begin(cell)
        at_start.update(clock=time.perf_counter(), memory=sum(status_mb(each, "VmRSS") for each in family(os.getpid())))

    Cell._begin = begun  # type: ignore[method-assign] # noqa: SLF001

    def stop(*_: object) -> NoReturn:
        at_start.update(journalled=time.perf_counter(), peak=sum(status_mb(each, "VmHWM") for each in family(os.getpid())))
        raise Journalled

    AerBackend.find_by_key = stop  # type: ignore[method-assign]
    with closing(Ledger(settings_in(folder).ledger())) as ledger:
        attempt = attempt_in(folder, ledger)
        approved = await_approval.kept(attempt)
        if approved is None:
            raise SystemExit("the run is not approved")
        with suppress(Journalled):
            run_rounds(attempt, approved)
        (entry,) = journal.entries(attempt)
        if entry.circuits != settings or entry.state != "intended":
            raise SystemExit(f"the journal has {entry.circuits} circuits, {entry.state}")
        size = len(journal.payload_of(attempt, entry))
    return {
        "settings": settings,
        "seconds": at_start["journalled"] - at_start["clock"],
        "before_mb": at_start["memory"],
        "peak_mb": at_start["peak"],
        "payload_mb": size / 2**20,
    }


def family(process: int) -> list[int]:
    """A process and all that it started."""
    children = [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [process, *(each for child in children for each in family(child))]


def status_mb(process: int, field: str) -> float:
    """Resident memory of a process in MiB: ``VmRSS`` now, ``VmHWM`` at its peak; unlike ``ru_maxrss`` that does not count what the parent held."""
    (line,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    place = Path(sys.argv[2])
    if sys.argv[1] == "prepare":
        prepare(place, int(sys.argv[3]))
    else:
        print(json.dumps(measure(place, int(sys.argv[3]))))
