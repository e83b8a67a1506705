"""One device of Amazon Braket as a backend.

A task is made at most once per key. The key gives the client token, a tag and the folder in S3. Whoever does not know whether a task was made
looks at what was sent, searches the tasks since then by tag, and only after the grace sends the same bytes with the same token again.
"""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from prefect_gatehouse.errors import Ambiguous, Denied, JobFailed, Tampered, Unavailable
from prefect_gatehouse.providers.braket.capabilities import Capabilities, read_capabilities
from prefect_gatehouse.providers.braket.jobs import action_of, counts_of
from prefect_gatehouse.providers.braket.place import Place
from prefect_gatehouse.providers.braket.prices import price_of
from prefect_gatehouse.providers.braket.sent import SentPayloads
from prefect_gatehouse.providers.braket.session import Absent, Busy, Clients, NotAllowed, Refusal, Unknown, connect, reading, understood
from prefect_gatehouse.providers.interface import BackendFacts, Connection, JobResult, JobStatus, Progress
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch, require_fit, require_terminal_measurements

KEY_TAG = "gatehouse-key"
RUN_TAG = "gatehouse-run"
_WIDEST = 1000  # qubits, before the device is asked
_SKEW = timedelta(minutes=15)  # between S3's clock and Braket's, generously
_LONG_AGO = timedelta(days=1)  # longer than a run that is still resumed; the service keeps tokens for less
_MAY_BE_KNOWN = {"ConflictException", "ValidationException"}
_STATES = {"CREATED": "queued", "QUEUED": "queued", "RUNNING": "running", "CANCELLING": "running", "COMPLETED": "ready", "CANCELLED": "cancelled"}


def token_of(key: str) -> str:
    """The client token of a key: 64 characters, the most that the service takes. It does not name the device: a key is used for one only."""
    return hashlib.sha256(b"gatehouse/braket/1\0" + key.encode()).hexdigest()


class BraketBackend:
    """A device.

    Args:
        name: As the manifest names it.
        place: Where it is.
        connection: With the sealer of the run.
    """

    def __init__(self, name: str, place: Place, connection: Connection) -> None:
        self._name, self._place, self._sealer = name, place, connection.sealer
        self._clients: tuple[CredentialLease, Clients] | None = None
        self._capabilities: Capabilities | None = None
        self._started: dict[str, float] = {}

    def facts(self, lease: CredentialLease) -> BackendFacts:
        """What the device is, asked now."""
        found = self._asked(lease)
        number = min(found.executables, self._place.executables or found.executables)
        place = self._place
        return BackendFacts(
            self._name, "amazon-braket", found.version, found.qubits, found.simulator, number, place.grace_seconds, place.poll_seconds
        )

    def device(self, lease: CredentialLease) -> Capabilities:
        """Status, queue, gates and calibration, asked now."""
        return self._asked(lease)

    def price(self, circuits: int, shots: int, lease: CredentialLease) -> Decimal:
        """Worst case: as few tasks as the device allows, every shot, the longest time."""
        each = self.facts(lease).circuits_per_job
        return price_of(self._place.device_arn).worst(-(-circuits // each), circuits * shots, self._place.task_minutes)

    def encode(self, batch: CircuitBatch, shots: int) -> bytes:
        """The plain form; what no device of Braket runs is refused here, what this one does not take as soon as it has been asked."""
        require_fit(batch, self._name, _WIDEST)
        require_terminal_measurements(batch, self._name)
        if self._capabilities is not None:
            self._capabilities.require(batch, shots, self._name)
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
        batch, shots = plain_form.decode(payload)
        self._asked(lease).require(batch, shots, self._name)
        action = str(action_of(batch).json())
        folder, clients = self._folder(key), self._connected(lease)
        with reading(self._name):
            first = self._sent(lease).write(folder, payload)
            if not first and self._sent(lease).read(folder) != payload:
                raise Tampered("another payload was sent under this key", where=key, advice="run: gatehouse verify")
        until = time.monotonic() + self._place.patience_seconds
        pause, again, sent_again = 0.5, not first, False
        while True:
            if again:
                with reading(self._name):
                    self._sent(lease).mark(folder)
            again = True
            try:
                return self._create(clients, action, shots * len(batch), key, folder)
            except Busy as busy:
                if time.monotonic() + pause > until:
                    raise Unavailable(f"Amazon Braket is busy ({busy})", where=self._name, advice="resume the run later", retry=True) from None
                time.sleep(pause)
                pause = min(2 * pause, 20.0)
            except NotAllowed:
                raise Unavailable("the credential is not valid", where=self._name, advice="check the secret, then resume the run") from None
            except (Refusal, Absent) as refusal:
                return self._refused(key, lease, str(refusal), certain=first and not sent_again)
            except Unknown as unknown:
                first = False
                found = self._looked_for(key, lease)
                if found is not None:
                    return found
                if sent_again:
                    raise self._ambiguous(key, str(unknown)) from None
                sent_again = True

    def _create(self, clients: Clients, action: str, shots: int, key: str, folder: str) -> str:
        tags = {**self._place.tags, KEY_TAG: key, RUN_TAG: key.partition(":")[0]}
        with understood():
            # The call that the SDK's AwsQuantumTask.create makes; that would send a random token, and costs three seconds of imports.
            answer = clients.once.create_quantum_task(
                clientToken=token_of(key),
                deviceArn=self._place.device_arn,
                shots=shots,
                action=action,
                outputS3Bucket=self._place.bucket,
                outputS3KeyPrefix=folder,
                tags=tags,
            )
        return str(answer["quantumTaskArn"])

    def _refused(self, key: str, lease: CredentialLease, reason: str, *, certain: bool) -> str:
        """A refusal says that no task exists only where none can have been made before: a token that is known may be refused as well.

        The service's model does not say with which error a token with other parameters is refused, so both that fit are looked into, at whatever
        device: the block may have been edited since.
        """
        found = None if certain else self._looked_for(key, lease)
        if found is None and reason in _MAY_BE_KNOWN:
            with reading(self._name):
                found = self._one(self._tagged(key, datetime.now(UTC) - _LONG_AGO, self._connected(lease), anywhere=True), key)
        if found is not None:
            return found
        if reason == "ConflictException":
            raise self._ambiguous(key, reason)
        raise Denied(
            f"Amazon Braket refused the task ({reason})", where=self._name, advice="look at the device and the account, or use another backend"
        )

    def _ambiguous(self, key: str, reason: str) -> Ambiguous:
        advice = f"look for a quantum task with the tag {KEY_TAG} {key} at the provider"
        return Ambiguous(f"nobody can tell whether the task exists ({reason})", where=self._name, advice=advice)

    def _looked_for(self, key: str, lease: CredentialLease) -> str | None:
        """The task of a key whose answer was lost."""
        try:
            return self.find_by_key(key, lease)
        except Unavailable as error:
            raise self._ambiguous(key, error.message) from None

    def find_by_key(self, key: str, lease: CredentialLease) -> str | None:
        """The task of a key: None at once if nothing was ever sent, otherwise by tag among the device's tasks since then.

        A task that was sent less than the grace ago may not be there yet, or not be shown yet: it is looked for until the grace is over, which
        S3's clock says, not this machine's.

        Raises:
            Unavailable: The service does not answer.
            Ambiguous: There are several.
        """
        started = time.monotonic()
        with reading(self._name):
            sent = self._sent(lease).times(self._folder(key))
            if sent is None:
                return None
            wait = self._place.grace_seconds - sent.age
            while True:
                found = self._one(self._tagged(key, sent.first - _SKEW, self._connected(lease)), key)
                left = started + wait - time.monotonic()
                if found is not None or left <= 0:
                    return found
                time.sleep(min(left, max(0.1, self._place.grace_seconds / 20)))

    @staticmethod
    def _one(found: list[str], key: str) -> str | None:
        if len(found) > 1:
            advice = "cancel all but one at the provider, then abandon the run"
            raise Ambiguous(f"{len(found)} tasks carry the tag of one key", where=key, advice=advice, job_id=found[0])
        return found[0] if found else None

    def _tagged(self, key: str, since: datetime, clients: Clients, *, anywhere: bool = False) -> list[str]:
        filters = [{"name": "createdAt", "operator": "GTE", "values": [since.isoformat()]}]
        if not anywhere:
            filters.append({"name": "deviceArn", "operator": "EQUAL", "values": [self._place.device_arn]})
        pages = clients.braket.get_paginator("search_quantum_tasks").paginate(filters=filters, PaginationConfig={"PageSize": 100})
        return [task["quantumTaskArn"] for page in pages for task in page["quantumTasks"] if task.get("tags", {}).get(KEY_TAG) == key]

    def status(self, handle: str, lease: CredentialLease) -> JobStatus:
        """Where a task is."""
        task = self._task(handle, lease)
        if task["status"] in {"RUNNING", "COMPLETED"}:
            self._started.setdefault(handle, time.time())  # the service has no time of start
        position = str(task.get("queueInfo", {}).get("position", ""))
        state: Any = _STATES.get(task["status"], "failed")
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
        billed = price_of(self._place.device_arn).billed(shots * len(batch), Decimal(repr(seconds)) / 60)
        calibration = self._asked(lease).calibration
        return JobResult(counts, started - created, seconds or ended - started, calibration, billed)

    def cancel(self, handle: str, lease: CredentialLease) -> bool:
        """Cancels a task that waits or runs; False if it has ended."""
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
        try:
            with understood():
                task = self._connected(lease).braket.get_quantum_task(quantumTaskArn=handle)
                self._sent(lease).delete(str(task["outputS3Directory"]).rpartition("/")[0])
        except Absent:
            return ""
        except (Refusal, Busy, Unknown, NotAllowed) as error:
            return f"the task's files can't be removed ({error})"
        return ""

    def _task(self, handle: str, lease: CredentialLease) -> dict[str, Any]:
        with reading(self._name):
            found: dict[str, Any] = self._connected(lease).braket.get_quantum_task(quantumTaskArn=handle, additionalAttributeNames=["QueueInfo"])
        return found

    def _asked(self, lease: CredentialLease) -> Capabilities:
        with reading(self._name):
            answer = self._connected(lease).braket.get_device(deviceArn=self._place.device_arn)
        self._capabilities = read_capabilities(answer, self._name)
        return self._capabilities

    def _sent(self, lease: CredentialLease) -> SentPayloads:
        return SentPayloads(self._connected(lease).s3, self._place.bucket, self._sealer)

    def _folder(self, key: str) -> str:
        return f"{self._place.prefix}/{token_of(key)}"

    def _connected(self, lease: CredentialLease) -> Clients:
        """The lease's clients; asked of the lease each time, which ends."""
        if self._clients is None or self._clients[0] is not lease or lease.revoked:
            self._clients = (lease, connect(self._place, lease, self._name))
        return self._clients[1]
