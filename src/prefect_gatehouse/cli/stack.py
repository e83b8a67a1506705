"""A Prefect server and workers of one's own, on SQLite and a free port, stopped surely: for the demo and for the tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from prefect_gatehouse.cli.quiet import QUIET
from prefect_gatehouse.errors import Unavailable
from prefect_gatehouse.vocabulary import WorkerKind
from prefect_gatehouse.worker.template import PLAIN

POOL = "gatehouse"
_HEALTHY_SECONDS = 180.0  # a cold server on a busy machine migrates its database first
_PREFECT_YAML = Path(__file__).resolve().parents[1] / "deployments" / "prefect.yaml"


class Stack:
    """A server and workers below one folder.

    Args:
        folder: Holds Prefect's home, its database and the logs.
        home: ``GATEHOUSE_HOME`` of the worker.
        extra: More of the environment.
    """

    def __init__(self, folder: Path, home: Path, extra: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **QUIET,
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": f"{self.url}/api",
            # The page in the browser asks port 4200 unless it is told.
            "PREFECT_UI_API_URL": f"{self.url}/api",
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect' / 'prefect.db'}",
            "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(folder / "prefect" / "storage"),
            "PREFECT_WORKER_QUERY_SECONDS": "0.5",
            "PREFECT_WORKER_PREFETCH_SECONDS": "1",
            "GATEHOUSE_HOME": str(home),
            # A request that was refused because the database was busy shows in the log instead of nowhere.
            "PREFECT_SERVER_LOG_RETRYABLE_ERRORS": "true",
            "PYTHONUNBUFFERED": "1",
            **(extra or {}),
        }

    def start_server(self) -> None:
        """Starts the server; ``wait`` tells when it answers."""
        (self._folder / "prefect").mkdir(parents=True, exist_ok=True)
        self._start("server", "prefect_gatehouse.cli.prefect_on_sqlite", "server", "start", "--host", "127.0.0.1", "--port", str(self.port))

    def wait(self) -> None:
        """Waits until the server is healthy.

        Raises:
            Unavailable: It is not within three minutes, or has died.
        """
        until = time.monotonic() + _HEALTHY_SECONDS
        while time.monotonic() < until and self._children[0].poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/api/health", timeout=2):  # noqa: S310 - our own server on loopback
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise Unavailable("the Prefect server did not start", where=str(self._folder / "logs" / "server.log"), advice="look at its log")

    def create_pool(self, kind: WorkerKind = "process", name: str = POOL) -> None:
        """Makes the work pool, if it is missing or of another type; the process's environment must name the server already."""
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.exceptions import ObjectNotFound

        with get_client(sync_client=True) as client:
            try:
                if client.read_work_pool(name).type == kind:
                    return
                client.delete_work_pool(name)
            except ObjectNotFound:
                pass  # made below
            client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=_template(kind)))

    def start_worker(self, kind: WorkerKind = "process", name: str = POOL) -> subprocess.Popen[bytes]:
        """Starts a worker; what a ``gatehouse`` one is told at its start, the stack's environment tells it."""
        return self._start("worker", "prefect", "worker", "start", "--pool", name, "--type", kind, "--install-policy", "never")

    def deploy(self) -> None:
        """Deploys from ``deployments/prefect.yaml``.

        Raises:
            Unavailable: Prefect refuses.
        """
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(_PREFECT_YAML)]
        done = subprocess.run(command, env=self.process_environment(), cwd=self._folder, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        (self._folder / "logs" / "deploy.log").write_bytes(done.stdout + done.stderr)
        if done.returncode:
            raise Unavailable("prefect deploy failed", where=str(self._folder / "logs" / "deploy.log"), advice="look at its log")

    def stop_workers(self) -> None:
        """Stops the workers; the server stays."""
        for child in reversed(self._children[1:]):
            stop_process(child)
        del self._children[1:]

    def stop(self) -> None:
        """Stops workers first, then the server, and makes sure."""
        self.stop_workers()
        for child in self._children:
            stop_process(child)
        self._children.clear()

    def process_environment(self) -> dict[str, str]:
        """The whole environment of a process that belongs to this stack."""
        # The caller's profile and switches of Prefect stay out; the rest of the environment is needed to run at all.
        own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return {**own, **self.environment}

    def _start(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        logs = self._folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.process_environment(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches us alone, and we stop them in order.
                start_new_session=True,
            )
        self._children.append(child)
        return child


def _template(kind: WorkerKind) -> dict[str, Any]:
    if kind == "gatehouse":
        return PLAIN
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


def stop_process(child: subprocess.Popen[bytes], seconds: float = 15.0) -> None:
    """Asks a process to end, then kills its whole group."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left in the group
    child.wait(5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
