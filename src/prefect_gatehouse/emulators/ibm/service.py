"""What each call does. Operations are named as IBM's description of its API names them, without what that adds to tell versions apart."""

from __future__ import annotations

import json
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from prefect_gatehouse.emulators.faults import Fault
from prefect_gatehouse.emulators.ibm.devices import Device
from prefect_gatehouse.emulators.ibm.execute import read_work
from prefect_gatehouse.emulators.ibm.jobs import ENDED, Conduct, Job, Jobs

API_KEY = "testing-api-key"
INSTANCE = "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789abcdef0123456789abcdef:00000000-0000-4000-8000-000000000000::"
_PLAN = "emulated-plan"
_TOKEN_SECONDS = 3600
_LONGEST = 10_800  # seconds: three hours, the most that the service lets a job take
_PAGE = 200
_RUNTIME = r"/(?:experimental|api/v1)"
_JOB, _BACKEND = r"/jobs/(?P<job>[^/]+)", r"/backends/(?P<backend>[^/]+)"
# What the SDK's client and its REST adapters call.
_ROUTES = (
    ("POST", "/identity/token", "get_token"),
    ("POST", "/v3/resources/search", "search_instances"),
    ("GET", "/catalog/(?P<plan>[^/]+)", "get_catalog_entry"),
    ("GET", f"{_RUNTIME}/instances/usage", "get_usage"),
    ("GET", f"{_RUNTIME}/backends", "list_backends"),
    ("GET", f"{_RUNTIME}{_BACKEND}/configuration", "get_backend_configuration"),
    ("GET", f"{_RUNTIME}{_BACKEND}/properties", "get_backend_properties"),
    ("GET", f"{_RUNTIME}{_BACKEND}/status", "get_backend_status"),
    ("POST", f"{_RUNTIME}/jobs", "create_job"),
    ("GET", f"{_RUNTIME}/jobs", "list_jobs"),
    ("GET", f"{_RUNTIME}{_JOB}", "get_job"),
    ("DELETE", f"{_RUNTIME}{_JOB}", "delete_job"),
    ("GET", f"{_RUNTIME}{_JOB}/results", "get_job_results"),
    ("GET", f"{_RUNTIME}{_JOB}/metrics", "get_job_metrics"),
    ("GET", f"{_RUNTIME}{_JOB}/logs", "get_job_logs"),
    ("POST", f"{_RUNTIME}{_JOB}/cancel", "cancel_job"),
    ("PUT", f"{_RUNTIME}{_JOB}/tags", "update_tags"),
)


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        operation: Its name.
        names: What its address names.
        query: As parsed.
        headers: Names in lower case.
        body: As sent.
    """

    operation: str
    names: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: bytes

    def asked(self, name: str) -> str | None:
        """One parameter of the query."""
        return self.query[name][-1] if name in self.query else None

    def number(self, name: str, default: int) -> int:
        """A number of the query.

        Raises:
            Fault: It is none.
        """
        given = self.asked(name) or str(default)
        if not given.isdigit():
            raise Fault("1208", f"{name} is no number")
        return int(given)

    def document(self) -> dict[str, Any]:
        """The body as JSON.

        Raises:
            Fault: It is no JSON object.
        """
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Fault("1208", "the body is no JSON object")
        return found


def read_call(method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Call:
    """The call that a request makes.

    Raises:
        Fault: No operation has this address.
    """
    for wanted, pattern, name in _ROUTES:
        match = re.fullmatch(pattern, path)
        if match is not None and wanted == method:
            return Call(name, match.groupdict(), parse_qs(query, keep_blank_values=True), headers, body)
    raise Fault("1202", "there is no such operation", 404)


class Service:
    """The state of one emulator and its operations.

    Args:
        devices: By name.
    """

    def __init__(self, devices: dict[str, Device]) -> None:
        self.devices = devices
        self.conduct = Conduct()
        self.jobs = Jobs(self.conduct, self._prepare)
        self.calls: dict[str, int] = {}
        self.tokens: set[str] = set()

    def _prepare(self) -> None:
        import qiskit_aer.primitives  # noqa: F401 - a second

        for device in list(self.devices.values()):
            device.target()

    def act(self, call: Call) -> Any:
        """Does what a call asks for; a text is answered as it is, everything else as JSON, None with 204.

        Raises:
            Fault: The service says no.
        """
        with self.jobs.lock:
            self.calls[call.operation] = self.calls.get(call.operation, 0) + 1
        if call.operation != "get_token":
            self._authorise(call)
        operation: Callable[[Call], Any] = getattr(self, f"_{call.operation}")
        return operation(call)

    def _authorise(self, call: Call) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            raise Fault("1200", "the token is not valid", 401)
        if call.operation not in {"search_instances", "get_catalog_entry"} and call.headers.get("service-crn") != INSTANCE:
            raise Fault("1201", "the instance is not yours", 403)

    def _get_token(self, call: Call) -> Any:
        form = parse_qs(call.body.decode())
        if form.get("apikey") != [API_KEY]:
            raise Fault("BXNIM0415E", "Provided API key could not be found.", 400)
        now = int(time.time())
        parts = [{"alg": "none", "typ": "JWT"}, {"iat": now, "exp": now + _TOKEN_SECONDS, "jti": secrets.token_hex(8)}]
        token = ".".join([*(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "c2lnbmF0dXJl"])
        self.tokens.add(token)
        times = {"expires_in": _TOKEN_SECONDS, "expiration": now + _TOKEN_SECONDS}
        return {"access_token": token, "refresh_token": "not_supported", "token_type": "Bearer", "scope": "ibm openid", **times}

    def _search_instances(self, call: Call) -> Any:
        extensions = {"extensions": [{"name": name} for name in self.devices]}
        item = {"crn": INSTANCE, "name": "emulated", "service_plan_unique_id": _PLAN, "doc": extensions, "tags": []}
        return {"items": [item], "limit": 100}

    def _get_catalog_entry(self, call: Call) -> Any:
        return {"id": _PLAN, "overview_ui": {"en": {"display_name": "Pay-as-you-go"}}, "metadata": {"pricing": {"type": "paygo"}}}

    def _get_usage(self, call: Call) -> Any:
        used, limit = self.jobs.used(), self.conduct.usage_limit_seconds
        found = {"instance_id": INSTANCE, "plan_id": _PLAN, "usage_consumed_seconds": used, "usage_limit_reached": bool(limit) and used >= limit}
        return found | ({"usage_limit_seconds": limit} if limit else {})

    def _list_backends(self, call: Call) -> Any:
        return {"devices": [device.summary() for device in self.devices.values() if device.status != "retired"]}

    def _device(self, name: str) -> Device:
        device = self.devices.get(name)
        if device is None or device.status == "retired":
            raise Fault("1216", "the backend is not there", 404)
        return device

    def _get_backend_configuration(self, call: Call) -> Any:
        return self._device(call.names["backend"]).configuration

    def _get_backend_properties(self, call: Call) -> Any:
        return self._device(call.names["backend"]).properties(call.asked("updated_before"))

    def _get_backend_status(self, call: Call) -> Any:
        return self._device(call.names["backend"]).state()

    def _create_job(self, call: Call) -> Any:
        given = call.document()
        device = self._device(str(given.get("backend")))
        tags = given.get("tags", [])
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise Fault("1208", "tags are no list of texts")
        limit = self.conduct.usage_limit_seconds
        if limit and self.jobs.used() >= limit:
            raise Fault("1217", "the instance has met its usage limit", 409)
        work = read_work(str(given.get("program_id")), call.body.decode())
        job = self.jobs.add(device, work, tags, min(int(given.get("cost") or _LONGEST), _LONGEST))
        return {"id": job.id, "backend": device.name}

    def _list_jobs(self, call: Call) -> Any:
        shown = [job for job in self.jobs.all() if job.created + self.conduct.search_lag_seconds <= time.time() and _matches(job, call)]
        shown.sort(key=lambda job: job.created, reverse=call.asked("sort") != "ASC")
        start, size = call.number("offset", 0), min(call.number("limit", _PAGE), _PAGE)
        page = [job.told(with_params=call.asked("exclude_params") == "false") for job in shown[start : start + size]]
        return {"jobs": page, "count": len(shown), "limit": size, "offset": start}

    def _job(self, call: Call) -> Job:
        job = self.jobs.get(call.names["job"])
        if job is None:
            raise Fault("1291", "the job is not there", 404)
        return job

    def _get_job(self, call: Call) -> Any:
        return self._job(call).told(with_params=call.asked("exclude_params") != "true")

    def _get_job_results(self, call: Call) -> Any:
        job = self._job(call)
        return job.result if job.status == "Completed" else (job.reason or "")

    def _get_job_metrics(self, call: Call) -> Any:
        job = self._job(call)
        return job.metrics(self.jobs.position(job))

    def _get_job_logs(self, call: Call) -> Any:
        return self._job(call).reason or ""

    def _cancel_job(self, call: Call) -> Any:
        if not self.jobs.cancel(self._job(call)):
            raise Fault("1305", "the job can't be cancelled in its state", 409)

    def _delete_job(self, call: Call) -> Any:
        job = self._job(call)
        if self.conduct.refuse_deletion:
            raise Fault("1201", "jobs can't be deleted", 403)
        if job.status not in ENDED:
            raise Fault("1290", "the job has not ended", 409)
        self.jobs.delete(job)

    def _update_tags(self, call: Call) -> Any:
        self._job(call).tags = list(call.document()["tags"])


def _matches(job: Job, call: Call) -> bool:
    """Whether a job is among those that a list asks for; one has to have all tags."""
    pending, backend, program = call.asked("pending"), call.asked("backend"), call.asked("program")
    after, before = call.asked("created_after"), call.asked("created_before")
    return (
        set(call.query.get("tags", [])) <= set(job.tags)
        and (pending is None or (pending == "true") == (job.status not in ENDED))
        and (backend is None or backend == job.device.name)
        and (program is None or program == "sampler")
        and (after is None or job.created >= datetime.fromisoformat(after).timestamp())
        and (before is None or job.created <= datetime.fromisoformat(before).timestamp())
    )
