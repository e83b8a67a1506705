"""The HTTP server: IAM, the search for instances, their catalogue and the service for quantum jobs, and a door for whoever runs the drill.

Below ``/_emulator/`` (JSON, nobody signs in): ``GET state``; ``POST fault`` (``faults.CallFault``), ``conduct`` (``jobs.Conduct``), ``device``
(``{"name": ..., "status": ..., "queue": ..., "configuration": ..., "properties": ...}``), ``release``, ``forget-tokens``, ``reset``.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prefect_gatehouse.emulators.control import CONTROL, behave, obey
from prefect_gatehouse.emulators.faults import CallFault, Dropped, Fault, Faults
from prefect_gatehouse.emulators.ibm.devices import MACHINE, devices
from prefect_gatehouse.emulators.ibm.jobs import Conduct, Job
from prefect_gatehouse.emulators.ibm.service import API_KEY, INSTANCE, Service, read_call


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    emulator: Emulator

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tells of an error of ours; a client that has left, as in a drill, is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as the service's are
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        return

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = self.server.emulator.answer(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        except Dropped:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        content = b"" if answer is None else answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names


class Emulator:
    """One server on a port of this machine's own.

    Args:
        port: 0 takes a free one.
        noise: Whether the machine errs.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, port: int = 0, *, noise: bool = True) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.emulator = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.faults = Faults("1429")
        self._noise = noise
        self.service = Service(devices(noise=noise))

    @property
    def _orders(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {
            "fault": lambda given: self.faults.add(CallFault.read(given)),
            "conduct": self._behave,
            "device": self._change_device,
            "release": lambda _: self.faults.release(),
            "forget-tokens": lambda _: self.service.tokens.clear(),
            "reset": lambda _: self._reset(),
        }

    def serve(self) -> None:
        """Answers until the process ends."""
        self._server.serve_forever()

    def environment(self) -> dict[str, str]:
        """What the SDK's environment needs to come here; it leaves an address as it is that holds the word experimental."""
        account = {"QISKIT_IBM_TOKEN": API_KEY, "QISKIT_IBM_INSTANCE": INSTANCE, "QISKIT_IBM_URL": f"{self.url}/experimental"}
        return account | {"IAM_URL": self.url, "GLOBAL_SEARCH_URL": self.url, "GLOBAL_CATALOG_URL": f"{self.url}/catalog"}

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Status and answer of a request.

        Raises:
            Dropped: There is to be no answer.
        """
        path, _, query = target.partition("?")
        if path.startswith(CONTROL):
            return obey(method, path.removeprefix(CONTROL), body, self._orders, self._state)
        try:
            call = read_call(method, path, query, headers, body)
            found = self.faults.around(call.operation, lambda: self.service.act(call))
        except Fault as fault:
            code = int(fault.code) if fault.code.isdigit() else fault.code
            error = {"code": code, "message": fault.message, "solution": "", "more_info": ""}
            # IAM writes its errors in another form.
            iam = {"errorCode": code, "errorMessage": fault.message} if path.startswith("/identity/") else {}
            return fault.status, {"errors": [error], "trace": "", **iam}
        return (204, None) if found is None else (200, found)

    def _behave(self, given: dict[str, Any]) -> None:
        behave(self.service.conduct, given, self.service.jobs.lock)
        self.service.jobs.wake()

    def _change_device(self, given: dict[str, Any]) -> None:
        device = self.service.devices[given.get("name", MACHINE)]
        device.status = given.get("status", device.status)
        device.queue = given.get("queue", device.queue)
        if "configuration" in given:
            device.configuration = {**device.configuration, **given["configuration"]}
        if "properties" in given:
            device.recalibrate(given["properties"])
        self.service.jobs.wake()

    def _reset(self) -> None:
        self.faults.clear()
        self.service.jobs.reset()
        self.service.calls.clear()
        self.service.devices.clear()
        self.service.devices.update(devices(noise=self._noise))
        self._behave(asdict(Conduct()))

    def _state(self) -> dict[str, Any]:
        with self.service.jobs.lock:
            jobs = [_told(job) for job in self.service.jobs.all()]
            return {"jobs": jobs, "calls": dict(self.service.calls), "held": self.faults.held, "conduct": asdict(self.service.conduct)}


def _told(job: Job) -> dict[str, Any]:
    names = {"id": job.id, "device": job.device.name, "status": job.status, "tags": job.tags, "reason": job.reason}
    return names | {"pubs": len(job.work.pubs), "circuits": job.work.circuits, "executions": job.work.executions, "seconds": job.used}


def start(port: int = 0, *, noise: bool = True) -> Emulator:
    """An emulator that answers from a thread of its own."""
    emulator = Emulator(port, noise=noise)
    threading.Thread(target=emulator.serve, name="emulator", daemon=True).start()
    return emulator
