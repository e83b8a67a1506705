"""The HTTP server: Braket for requests that are signed for it, moto's S3 and STS for all others, and a door for whoever runs the drill.

Below ``/_emulator/`` (JSON, no signature): ``GET state``; ``POST fault`` (``faults.CallFault``), ``conduct`` (``tasks.Conduct``), ``device``
(``{"arn": ..., "status": ..., "queue": ..., "capabilities": ...}``), ``release``, ``forget-tokens``, ``reset``.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cached_property
from typing import Any

from prefect_gatehouse.emulators.braket import wire
from prefect_gatehouse.emulators.braket.devices import devices
from prefect_gatehouse.emulators.braket.service import Service
from prefect_gatehouse.emulators.braket.tasks import Conduct, Task
from prefect_gatehouse.emulators.control import CONTROL, behave, obey
from prefect_gatehouse.emulators.faults import CallFault, Dropped, Fault, Faults

ACCESS_KEY, SECRET_KEY = "testing", "testing-secret-key"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/braket/aws4_request")
StartResponse = Callable[..., Any]


class Emulator:
    """One server on a port of this machine's own.

    Args:
        port: 0 takes a free one.
        maximum_executables: Of the machine's program sets.
        noise: Whether the machine errs.
    """

    def __init__(self, port: int = 0, maximum_executables: int = 100, *, noise: bool = True) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
                return

        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", port, self._answer, threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.faults = Faults("ThrottlingException")
        self._shape = (maximum_executables, noise)
        self.service = Service(devices(maximum_executables, noise=noise), self._store, self._has_bucket)

    def serve(self) -> None:
        """Answers until the process ends."""
        self._server.serve_forever()

    def environment(self) -> dict[str, str]:
        """What the SDKs' environment needs to come here."""
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": "eu-north-1"}
        return keys | {f"AWS_ENDPOINT_URL_{name}": self.url for name in ("BRAKET", "S3", "STS")}

    @cached_property
    def _s3(self) -> Any:
        """A client like everybody's: results go the same way as from outside."""
        import boto3

        return boto3.Session(ACCESS_KEY, SECRET_KEY, region_name="eu-north-1").client("s3", endpoint_url=self.url)

    def _store(self, bucket: str, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=bucket, Key=key, Body=body)

    def _has_bucket(self, bucket: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._s3.head_bucket(Bucket=bucket)
        except ClientError:
            return False
        return True

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        path, _, query = environ.get("RAW_URI", environ["PATH_INFO"]).partition("?")
        if path.startswith(CONTROL):
            return self._control(environ, path.removeprefix(CONTROL), start)
        if scope is None:
            return self._moto(environ, start)  # type: ignore[no-any-return]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            asked = (environ["REQUEST_METHOD"], path, query, body, environ.get("HTTP_USER_AGENT", ""))
            status, headers, answer = self._braket(asked, scope.group(1))
        except Dropped:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError from None  # the server takes it for a client that has left, and says nothing
        start(f"{status} {'OK' if status < 300 else 'ERROR'}", [("Content-Type", "application/json"), *headers.items()])
        return [answer]

    def _braket(self, asked: tuple[str, str, str, bytes, str], region: str) -> tuple[int, dict[str, str], bytes]:
        operation = None
        try:
            call = wire.read(*asked)
            operation = call.operation
            found = self.faults.around(operation.name, lambda: self.service.act(call, region))
        except Fault as fault:
            return wire.refusal(operation, fault)
        status, answer = wire.answer(operation, found)
        return status, {}, answer

    def _control(self, environ: dict[str, Any], what: str, start: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, found = obey(environ["REQUEST_METHOD"], what, body, self._orders, self._state)
        start("200 OK" if status == 200 else "400 BAD REQUEST", [("Content-Type", "application/json")])
        return [json.dumps(found).encode()]

    @property
    def _orders(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {
            "fault": lambda given: self.faults.add(CallFault.read(given)),
            "conduct": self._behave,
            "device": self._change_device,
            "release": lambda _: self.faults.release(),
            "forget-tokens": lambda _: self.service.tasks.forget_tokens(),
            "reset": lambda _: self._reset(),
        }

    def _behave(self, given: dict[str, Any]) -> None:
        behave(self.service.conduct, given, self.service.tasks.lock)
        self.service.tasks.wake()

    def _change_device(self, given: dict[str, Any]) -> None:
        device = self.service.devices[given["arn"]]
        device.status = given.get("status", device.status)
        device.queue = given.get("queue", device.queue)
        device.capabilities = _merged(device.capabilities, given.get("capabilities", {}))
        self.service.tasks.wake()

    def _reset(self) -> None:
        self.faults.clear()
        self.service.tasks.reset()
        self.service.limits.all.clear()
        self.service.calls.clear()
        maximum, noise = self._shape
        self.service.devices.clear()
        self.service.devices.update(devices(maximum, noise=noise))
        self._behave(asdict(Conduct()))

    def _state(self) -> dict[str, Any]:
        with self.service.tasks.lock:
            tasks = [_told(task) for task in self.service.tasks.all()]
            return {"tasks": tasks, "calls": dict(self.service.calls), "held": self.faults.held, "conduct": asdict(self.service.conduct)}


def _merged(document: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A document with some of its fields changed, at any depth."""
    changed = {
        name: _merged(document[name], value) if isinstance(value, dict) and isinstance(document.get(name), dict) else value
        for name, value in change.items()
    }
    return {**document, **changed}


def _told(task: Task) -> dict[str, Any]:
    names = {"arn": task.arn, "device": task.device.arn, "status": task.status, "token": task.token, "tags": task.tags}
    return names | {"executables": task.action.executables, "shots": task.parameters["shots"], "billed": str(task.billed()), "failure": task.failure}


def start(port: int = 0, maximum_executables: int = 100, *, noise: bool = True) -> Emulator:
    """An emulator that answers from a thread of its own."""
    emulator = Emulator(port, maximum_executables, noise=noise)
    threading.Thread(target=emulator.serve, name="emulator", daemon=True).start()
    return emulator
