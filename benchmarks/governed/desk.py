"""The governed side of ``overhead.py``: manifests laid out, two identities, and runs whose approval takes nobody's time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from governed.cost import Cost, cost_of
from workloads.table import Workload

from prefect_gatehouse.cli.demo import Desk, make_desk
from prefect_gatehouse.cli.stack import Stack
from prefect_gatehouse.settings import Settings

READS = 3.0
"""Seconds that somebody takes for reading, which are left out; nobody answers sooner, and a process that stays, or that a worker forked ahead, gets
ready meanwhile."""

WARM = "warm"
"""The pool and the deployment that the gatehouse worker serves; what runs cold has a pool without a worker."""


@dataclass(frozen=True)
class Warm:
    """What a run took whose processes a gatehouse worker forks.

    Attributes:
        wall: Seconds from the request to the waiting run, and from the approval to the end, as the ledger has them; polling is in them.
        approval_to_submit: Seconds from the approval to the first job at its provider.
    """

    wall: float
    approval_to_submit: float


class GovernedSide:
    """The installation that the governed runs belong to.

    Args:
        folder: Holds everything.
    """

    def __init__(self, folder: Path) -> None:
        self._desk: Desk = make_desk(folder, Settings(home=folder / "home"))
        self._targets: dict[str, Path] = {}
        self._manifests: dict[str, Path] = {}
        self._worker: subprocess.Popen[bytes] | None = None

    def save_token_key(self) -> None:
        """The tokens' root key, in a block of Prefect's; the server has to be up."""
        import base64
        import secrets

        from prefect.blocks.system import Secret

        Secret(value=base64.b64encode(secrets.token_bytes(32)).decode()).save("tumour-token-key", overwrite=True)

    def lay_out(self, name: str, workload: Workload, parameters: dict[str, Any]) -> Path:
        """Lays out a workload's project; its source is the one that all sides read.

        Args:
            name: The workload.
            workload: What it is.
            parameters: The generator's parameters, where they are not the manifest's.

        Returns:
            The source's path.
        """
        from prefect.blocks.system import Secret

        place = self._desk.folder / "trust-zone" / "projects" / name
        shutil.copytree(workload.folder, place, ignore=shutil.ignore_patterns("*.sqlite*", "__pycache__", "source.csv"))
        if not (place / workload.file.name).exists():
            shutil.copy(workload.file, place)
        if not (place / workload.source).exists():
            shutil.copy(self._desk.manifest.parent / workload.source, place)
        path, target, block = place / "gatehouse.yaml", place / "target.sqlite", f"target-{name.replace('_', '-')}"
        manifest = yaml.safe_load(path.read_text())
        if manifest["execution"]["shots"] != workload.shots:
            raise SystemExit(f"{name}: the manifest asks for other shots than the other sides take")
        manifest["workload"]["entrypoint"] = f"{workload.file.name}:solve"
        manifest["workload"]["parameters"].update({**workload.parameters, **parameters})
        (system,) = manifest["systems"]
        system["endpoint"] = f"sqlite:///{target.name}"
        manifest["credentials"].update(preflight=f"secret/{block}", write_back=f"secret/{block}")
        path.write_text(yaml.safe_dump(manifest, sort_keys=False))
        Secret(value=f"sqlite:///{target}").save(block, overwrite=True)
        self._targets[name], self._manifests[name] = target, path
        return place / workload.source

    def run(self, name: str) -> Cost:
        """One run that is answered while its process waits: one process, as a process worker starts it.

        Raises:
            SystemExit: The run did not complete.
        """
        return self._run(name, lambda run_id, command, environment: self._stays(name, run_id, command, environment))

    def run_twice(self, name: str) -> Cost:
        """One run that is answered when its process has left: two processes, and none waits between them.

        Raises:
            SystemExit: The run did not complete.
        """
        return self._run(name, lambda run_id, command, environment: self._leaves(name, run_id, command, environment))

    def _run(self, name: str, process: Callable[[str, list[str], dict[str, str]], Cost]) -> Cost:
        from prefect_gatehouse.ledger.store import Ledger
        from prefect_gatehouse.operate import runs as control
        from prefect_gatehouse.workload.hashing import SEED

        self._targets[name].unlink(missing_ok=True)
        run_id = control.start(self._desk.settings, self._manifests[name], signed=True)
        cost = process(run_id, [sys.executable, "-m", "prefect.engine"], {**os.environ, "PREFECT__FLOW_RUN_ID": run_id, "PYTHONHASHSEED": SEED})
        ledger = Ledger(self._desk.settings.ledger())
        try:
            row = ledger.run(run_id)
            if row is None or row.ending != "completed":
                raise SystemExit(f"{name}: the governed run did not complete: {row.message if row else 'unknown'}")
        finally:
            ledger.close()
        return cost

    def _stays(self, name: str, run_id: str, command: list[str], environment: dict[str, str]) -> Cost:
        def answered() -> float:
            waits = self._suspended(run_id)
            time.sleep(READS)
            self._approve(name, run_id)
            return time.monotonic() - waits

        return cost_of(command, environment, self._desk.folder / "logs" / f"{name}.log", answered)

    def _leaves(self, name: str, run_id: str, command: list[str], environment: dict[str, str]) -> Cost:
        environment = {**environment, "GATEHOUSE_LINGER_SECONDS": "0"}
        first = cost_of(command, environment, self._desk.folder / "logs" / f"{name}-first.log")
        self._approve(name, run_id)
        return first.then(cost_of(command, environment, self._desk.folder / "logs" / f"{name}-second.log"))

    def _suspended(self, run_id: str) -> float:
        """When Prefect shows that the run waits for people, by ``time.monotonic``.

        Until the run is about to be suspended its ledger is asked, not the server: fifteen questions a second would keep busy the server that
        the run waits for, and the other sides' flows are asked nothing.
        """
        from prefect.client.orchestration import get_client

        from prefect_gatehouse.ledger.store import Ledger

        ledger = Ledger(self._desk.settings.ledger())
        try:
            self._until(ledger, run_id, "waiting")
        finally:
            ledger.close()
        with get_client(sync_client=True) as client:
            until = time.monotonic() + 300
            while time.monotonic() < until:
                state = client.read_flow_run(UUID(run_id)).state
                if state is not None and state.is_paused():
                    return time.monotonic()
                if state is not None and state.is_final():
                    break
                time.sleep(0.05)
        raise SystemExit(f"{run_id} does not wait for an approval")

    def _approve(self, name: str, run_id: str) -> None:
        from prefect_gatehouse.ledger.store import Ledger
        from prefect_gatehouse.operate import runs as control

        ledger = Ledger(self._desk.settings.ledger())
        try:
            row = ledger.run(run_id)
            if row is None or row.status != "waiting":
                raise SystemExit(f"{name}: the governed run does not wait for its approval: {row.message if row else 'unknown'}")
            control.answer(run_id, "approve", proof=control.sign_answer(self._desk.approver, ledger, run_id, "approve"))
        finally:
            ledger.close()

    def start_warm(self, stack: Stack) -> None:
        """Starts a gatehouse worker, frozen but for its own turns."""
        from prefect.client.orchestration import get_client

        from prefect_gatehouse.flows.governed_pipeline import governed_pipeline
        from prefect_gatehouse.worker.configuration import DEPLOYMENTS, FOLDERS
        from prefect_gatehouse.worker.orders import OWN_FLOWS

        stack.environment.update({FOLDERS: str(self._desk.folder / "trust-zone"), DEPLOYMENTS: f"governed-pipeline/{WARM}"})
        stack.create_pool("gatehouse", WARM)
        with get_client(sync_client=True) as client:
            flow = client.create_flow(governed_pipeline)
            client.create_deployment(flow_id=flow, name=WARM, work_pool_name=WARM, entrypoint=OWN_FLOWS["governed-pipeline"], pull_steps=[])
        self._worker = stack.start_worker("gatehouse", WARM)
        log = self._desk.folder / "logs" / "worker.log"
        until = time.monotonic() + 300
        while "is warm" not in log.read_text():
            if time.monotonic() > until or self._worker.poll() is not None:
                raise SystemExit(f"the gatehouse worker does not get warm: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        os.kill(self._worker.pid, signal.SIGSTOP)

    def let_go(self) -> None:
        """Thaws the worker, so that it can be told to stop."""
        if self._worker is not None:
            with suppress(ProcessLookupError):
                os.kill(self._worker.pid, signal.SIGCONT)

    @contextmanager
    def thawed(self) -> Iterator[None]:
        """The worker polls, which costs the other sides time; so it does that only here."""
        assert self._worker is not None  # started before the first pair
        os.kill(self._worker.pid, signal.SIGCONT)
        try:
            yield
        finally:
            os.kill(self._worker.pid, signal.SIGSTOP)

    def run_warm(self, name: str) -> Warm:
        """One run by the gatehouse worker.

        Raises:
            SystemExit: The run did not complete.
        """
        from prefect_gatehouse.ledger.events import RunEnded, RunSuspended
        from prefect_gatehouse.ledger.jobs import JobSubmitted
        from prefect_gatehouse.ledger.store import Ledger
        from prefect_gatehouse.operate import runs as control
        from prefect_gatehouse.operate.answering import asked

        self._targets[name].unlink(missing_ok=True)
        ledger = Ledger(self._desk.settings.ledger())
        try:
            with self.thawed():
                began = time.time()
                run_id = control.start(self._desk.settings, self._manifests[name], signed=True, deployment=f"governed-pipeline/{WARM}")
                self._until(ledger, run_id, "waiting")
                asked(ledger, run_id)
                time.sleep(READS)
                proof = control.sign_answer(self._desk.approver, ledger, run_id, "approve")
                approved = time.time()
                control.answer(run_id, "approve", proof=proof)
                self._until(ledger, run_id, "ended")
            waits, job, end = (ledger.facts(kind, run_id)[0].when.timestamp() for kind in (RunSuspended, JobSubmitted, RunEnded))
            return Warm(waits - began + end - approved, job - approved)
        finally:
            ledger.close()

    def _until(self, ledger: Any, run_id: str, status: str) -> None:
        until = time.monotonic() + 300
        while time.monotonic() < until:
            row = ledger.run(run_id)
            if row is not None and row.status in {status, "failed", "ended"}:
                if row.status != status or row.ending not in {None, "completed"}:
                    raise SystemExit(f"the run did not go its way: {row.status} {row.ending} {row.message}")
                return
            time.sleep(0.02)
        raise SystemExit(f"the run is not {status} in five minutes")
