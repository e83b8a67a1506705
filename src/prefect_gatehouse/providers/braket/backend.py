"""One device of Amazon Braket as a backend."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from prefect_gatehouse.canonical import Json, digest
from prefect_gatehouse.errors import Denied, JobFailed, Unavailable
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.money.prices import Price, Prices
from prefect_gatehouse.providers.braket.capabilities import Capabilities, read_capabilities
from prefect_gatehouse.providers.braket.jobs import action_of, counts_of
from prefect_gatehouse.providers.braket.native import Native
from prefect_gatehouse.providers.braket.place import Place
from prefect_gatehouse.providers.braket.sent import SentPayloads
from prefect_gatehouse.providers.braket.session import (
    Absent,
    Busy,
    Clients,
    NotAllowed,
    Refusal,
    Unknown,
    connect,
    reading,
    service_model,
    understood,
)
from prefect_gatehouse.providers.braket.spending import read_limits, set_limit
from prefect_gatehouse.providers.braket.submission import KEY_TAG, Submitter
from prefect_gatehouse.providers.interface import (
    BackendFacts,
    Connection,
    DeviceState,
    JobResult,
    JobState,
    JobStatus,
    Prepared,
    Progress,
    SeenJob,
    SpendingLimit,
)
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch, require_fit, require_terminal_measurements

_REMEMBERED = 60.0  # seconds for which a device is not asked again what it can; whether it takes jobs is always asked
_WIDEST = 1000  # qubits, before the device is asked
_ROUNDED = timedelta(seconds=1)  # times of the service may be rounded up
_WEEK = timedelta(days=7)
_ALONE = 10  # tasks that are asked for one by one in a call of ``statuses``: what a search does not show yet, the next call asks again
_STATES: dict[str, JobState] = {
    "CREATED": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "CANCELLING": "running",
    "COMPLETED": "ready",
    "CANCELLED": "cancelled",
}


def _state(status: str) -> JobState:
    return _STATES.get(status, "failed")


class BraketBackend:
    """A device.

    Args:
        name: As the manifest names it.
        place: Where it is.
        connection: With the sealer of the run.
    """

    def __init__(self, name: str, place: Place, connection: Connection) -> None:
        self._name, self._place, self._sealer, self._labels = name, place, connection.sealer, connection.labels
        self._prices = connection.prices
        self._clients: tuple[CredentialLease, Clients] | None = None
        self._capabilities: Capabilities | None = None
        self._asked_until = 0.0
        self._started: dict[str, float] = {}

    def facts(self, lease: CredentialLease) -> BackendFacts:
        """What the device is."""
        found = self._asked(lease)
        number = min(found.executables, self._place.executables or found.executables)
        place = self._place
        return BackendFacts(
            self._name,
            "amazon-braket",
            found.version,
            found.qubits,
            found.simulator,
            number,
            place.grace_seconds,
            place.poll_seconds,
            priced_as=place.device_arn,
            fewest_shots=max(1, found.shots[0]),
        )

    def state(self, lease: CredentialLease) -> DeviceState:
        """Whether the device is online, its queue and its calibration."""
        found = self._asked(lease, anew=True)
        return DeviceState(found.status == "ONLINE", found.queued, found.calibrated, found.calibration)

    def described(self, lease: CredentialLease) -> Mapping[str, Json]:
        """The service's model in this SDK, what the device can, its gates and how it is built."""
        found = self._asked(lease, anew=True)
        return {
            "service model": service_model(),
            "device": self._place.device_arn,
            "version": found.version,
            "circuits in a task": found.executables,
            "shots in a task": found.total_shots,
            "shots of a circuit": list(found.shots),
            "gates": sorted(found.gates),
            "native gates": sorted(found.native),
            "connectivity": digest(sorted(list(pair) for pair in found.pairs)),
            "takes verbatim circuits": found.verbatim,
        }

    def price(self, circuits: int, shots: int, lease: CredentialLease) -> Decimal:
        """Worst case: as few tasks as the device allows, every shot, the longest time.

        Raises:
            Denied: The device does not take so many shots.
            InputError: The price table does not have the device.
        """
        found = self._asked(lease)
        each = min(found.executables, self._place.executables or found.executables)
        found.require_shots(min(circuits, each), shots, self._name)
        return self._price.estimate(-(-circuits // each), circuits * shots, self._place.task_minutes).upper

    @property
    def _price(self) -> Price:
        return Prices(self._prices).of(self._place.device_arn)

    def prepare(self, batch: CircuitBatch, shots: int, lease: CredentialLease) -> Prepared:
        """For a machine in its own gates on its own qubits, where it takes such circuits and the block does not leave it to the service."""
        require_fit(batch, self._name, _WIDEST)
        require_terminal_measurements(batch, self._name)
        found = self._asked(lease)
        from prefect_gatehouse.providers.braket.prepare import prepared

        return prepared(batch, found, self._place.compiler, self._name)

    def _verbatim(self, found: Capabilities, batch: CircuitBatch) -> Native | None:
        """The kind of machine whose circuits are sent as they stand: those that were prepared, and those that a workload wrote for its own pairs."""
        return found.kind if self._place.compiler == "gatehouse" and found.sends_verbatim(batch) else None

    def encode(self, batch: CircuitBatch, shots: int) -> bytes:
        """The plain form; what no device of Braket runs is refused here, what this one does not take as soon as it has been asked."""
        require_fit(batch, self._name, _WIDEST)
        require_terminal_measurements(batch, self._name)
        if self._capabilities is not None:
            self._capabilities.require(batch, shots, self._name, verbatim=self._verbatim(self._capabilities, batch) is not None)
        return plain_form.write(batch, shots)

    def plain_form(self, payload: bytes) -> bytes:
        """The payload as it is; ``submit`` translates it."""
        return payload

    def submit(self, payload: bytes, key: str, lease: CredentialLease) -> str:
        """Makes the task for this key, or finds it.

        Raises:
            Denied: The service refused; no task exists.
            Unavailable: The service is busy, or the credential is not valid; no task was made, and the same call may be made again.
            Ambiguous: Nobody can tell whether a task exists.
        """
        lease.held(Purpose.SUBMIT)  # a sign-in to read results makes nothing, whatever its account may do
        batch, shots = plain_form.decode(payload)
        found = self._asked(lease)
        verbatim = self._verbatim(found, batch)
        found.require(batch, shots, self._name, verbatim=verbatim is not None)
        return self._submitter(lease).submit(key, payload, str(action_of(batch, verbatim).json()), shots * len(batch))

    def find_by_key(self, key: str, lease: CredentialLease) -> str | None:
        """The task of a key; one that was sent a moment ago is waited for."""
        return self._submitter(lease).find(key)

    def spending_limits(self, lease: CredentialLease) -> tuple[SpendingLimit, ...]:
        """What the service itself still lets pass on this device.

        Raises:
            Unavailable: The service does not answer.
        """
        with reading(self._name):
            return read_limits(self._connected(lease).braket, self._place.device_arn)

    def limit_spending(self, amount: Decimal, start: datetime, end: datetime, lease: CredentialLease) -> None:
        """Sets or changes our limit of a period.

        Raises:
            Denied: The service refuses.
            Unavailable: The service does not answer.
        """
        lease.held(Purpose.SUBMIT)
        try:
            with understood():
                set_limit(self._connected(lease).braket, self._place.device_arn, amount, start, end)
        except (Refusal, Absent, NotAllowed) as refusal:
            advice = "give its credential braket:CreateSpendingLimit, UpdateSpendingLimit and SearchSpendingLimits"
            raise Denied(f"Amazon Braket sets no spending limit ({refusal})", where=self._name, advice=advice) from None
        except (Busy, Unknown) as error:
            advice = "give the command again; repeating changes nothing"
            raise Unavailable(f"Amazon Braket does not answer ({error})", where=self._name, advice=advice, retry=True) from None

    def tasks_since(self, since: datetime, lease: CredentialLease) -> tuple[SeenJob, ...]:
        """Every task of ours on this device that was made since then, a hundred in a call; a lagging search may leave out the newest.

        Raises:
            Unavailable: The service does not answer.
        """
        with reading(self._name):
            ours = [task for task in self._submitter(lease).tasks(since) if KEY_TAG in task.get("tags", {})]
        return tuple(SeenJob(task["quantumTaskArn"], task["tags"][KEY_TAG], _state(task["status"])) for task in ours)

    def statuses(self, handles: Sequence[str], lease: CredentialLease) -> Mapping[str, JobStatus]:
        """The oldest task is asked for, which says since when to search; of the rest, what the search does not show is asked for, a few in a call."""
        found: dict[str, JobStatus] = {}
        if len(handles) > _ALONE:
            oldest = self._known(handles[0], lease)
            since = oldest["createdAt"] - _ROUNDED if oldest is not None else datetime.now(UTC) - _WEEK
            seen = {each.handle: JobStatus(each.state) for each in self.tasks_since(since, lease)}
            found = {handle: seen[handle] for handle in handles if handle in seen}
        for handle in [each for each in handles if each not in found][:_ALONE]:
            task = self._known(handle, lease)
            if task is not None:
                found[handle] = self._where(handle, task)
        return found

    def billed(self, handle: str, lease: CredentialLease) -> Decimal | None:
        """By the price table: nothing for a task that never ran, otherwise the task and the shots that were taken; None by the minute."""
        task, price = self._task(handle, lease), Prices(self._prices).get(self._place.device_arn)
        shots, completed = int(task.get("numSuccessfulShots") or 0), task["status"] == "COMPLETED"
        if price is None or not (completed or task["status"] in {"FAILED", "CANCELLED"}) or (completed and price.per_minute):
            return None
        return price.billed(shots, Decimal(0)) if completed or shots else Decimal(0)

    def status(self, handle: str, lease: CredentialLease) -> JobStatus:
        """Where a task is."""
        return self._where(handle, self._task(handle, lease))

    def _where(self, handle: str, task: dict[str, Any]) -> JobStatus:
        if task["status"] in {"RUNNING", "COMPLETED"}:
            self._started.setdefault(handle, time.time())  # the service has no time of start
        position = str(task.get("queueInfo", {}).get("position", ""))
        state = _state(task["status"])
        return JobStatus(state, int(position) - 1 if position.isdigit() and state == "queued" else None)

    def result(self, handle: str, lease: CredentialLease, progress: Progress | None = None) -> JobResult:
        """The counts of a task that has ended."""
        task = self._task(handle, lease)
        if task["status"] != "COMPLETED":
            raise JobFailed(f"the provider has the job as {task['status'].lower()}", where=self._name, job_id=handle, advice="start a new run")
        directory = str(task["outputS3Directory"])
        clients = self._connected(lease)

        def fetch(name: str) -> dict[str, Any]:
            document: dict[str, Any] = json.loads(clients.s3.get_object(Bucket=task["outputS3Bucket"], Key=f"{directory}/{name}")["Body"].read())
            return document

        with reading(self._name):
            batch, shots = plain_form.decode(self._sent(lease).read(directory.rpartition("/")[0]))
            document = fetch("results.json")
            counts = counts_of(batch, shots, document, fetch, self._name, handle)
        if progress is not None:
            progress(len(counts), len(counts))
        created, ended = task["createdAt"].timestamp(), task["endedAt"].timestamp()
        simulated = document.get("additionalMetadata", {}).get("simulatorMetadata") or {}
        seconds = float(simulated.get("executionDuration", 0)) / 1000
        started = min(ended, max(created, self._started.get(handle, ended - seconds)))
        billed = self._price.billed(shots * len(batch), Decimal(repr(seconds)) / 60)
        calibration = self._asked(lease).calibration  # a minute old at most
        return JobResult(counts, started - created, seconds or ended - started, calibration, billed)

    def cancel(self, handle: str, lease: CredentialLease) -> bool:
        """Cancels a task that waits or runs; False if it has ended."""
        lease.held(Purpose.SUBMIT)
        try:
            with understood():
                self._connected(lease).braket.cancel_quantum_task(quantumTaskArn=handle)
        except (Refusal, Absent):
            return self.status(handle, lease).state == "cancelled"
        except (Busy, Unknown, NotAllowed) as error:
            raise Unavailable(f"the task can't be cancelled now ({error})", where=self._name, job_id=handle, advice="try again", retry=True) from None
        return True

    def delete(self, handle: str, lease: CredentialLease) -> str:
        """Removes what was sent and the result from S3, in all versions.

        Braket keeps its record of the task: device, shots, times and tags. It holds neither circuits nor counts, and nobody can delete it.
        """
        lease.held(Purpose.SUBMIT)
        try:
            with understood():
                task = self._connected(lease).braket.get_quantum_task(quantumTaskArn=handle)
                if _state(task["status"]) in {"queued", "running"}:
                    return "the task has not ended, its result may still be written"
                self._sent(lease).delete(str(task["outputS3Directory"]).rpartition("/")[0])
        except Absent:
            return ""
        except (Refusal, Busy, Unknown, NotAllowed) as error:
            return f"the task's files can't be removed ({error})"
        return ""

    def _known(self, handle: str, lease: CredentialLease) -> dict[str, Any] | None:
        """A task, None where the service has none of this name."""
        with reading(self._name):
            try:
                with understood():
                    return self._fetched(handle, lease)
            except Absent:
                return None

    def _task(self, handle: str, lease: CredentialLease) -> dict[str, Any]:
        with reading(self._name):
            return self._fetched(handle, lease)

    def _fetched(self, handle: str, lease: CredentialLease) -> dict[str, Any]:
        found: dict[str, Any] = self._connected(lease).braket.get_quantum_task(quantumTaskArn=handle, additionalAttributeNames=["QueueInfo"])
        return found

    def _asked(self, lease: CredentialLease, *, anew: bool = False) -> Capabilities:
        """What the device can, asked with this lease and a minute ago at most: each of a round's tasks is priced, checked and sent with it."""
        clients = self._connected(lease)
        if anew or self._capabilities is None or time.monotonic() >= self._asked_until:
            with reading(self._name):
                answer = clients.braket.get_device(deviceArn=self._place.device_arn)
            self._capabilities, self._asked_until = read_capabilities(answer, self._name), time.monotonic() + _REMEMBERED
        return self._capabilities

    def _sent(self, lease: CredentialLease) -> SentPayloads:
        return SentPayloads(self._connected(lease).s3, self._place.bucket, self._sealer)

    def _submitter(self, lease: CredentialLease) -> Submitter:
        return Submitter(self._name, self._place, self._connected(lease), self._sent(lease), self._labels)

    def _connected(self, lease: CredentialLease) -> Clients:
        """The lease's clients, as long as the lease lasts."""
        lease.held_to_read()
        if self._clients is None or self._clients[0] is not lease:
            self._clients, self._asked_until = (lease, connect(self._place, lease, self._name)), 0.0
        return self._clients[1]
