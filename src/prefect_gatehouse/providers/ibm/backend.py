"""One device of IBM Quantum as a backend."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import JobFailed, Unavailable
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.money.prices import Price, Prices
from prefect_gatehouse.providers.answers import Absent, Busy, NotAllowed, Refusal, Unknown
from prefect_gatehouse.providers.ibm.device import Device, calibrated_at, calibration_of
from prefect_gatehouse.providers.ibm.isa import LAYOUT, LEVEL, SEED, write_for
from prefect_gatehouse.providers.ibm.jobs import counts_of, params_of
from prefect_gatehouse.providers.ibm.place import Place
from prefect_gatehouse.providers.ibm.sent import Sent
from prefect_gatehouse.providers.ibm.session import connect, reading, understood
from prefect_gatehouse.providers.ibm.submission import OURS, PAGE, Submitter, key_of
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
)
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch, require_fit

_WIDEST = 1000  # qubits of a circuit, before the device is asked how many it has
_REMEMBERED = 60.0  # seconds for which a device's documents are not asked again: a poll needs none of what changes
_PAGES = 5  # of ended jobs that are looked through for those that somebody asks about

_STATES: dict[str, JobState] = {"queued": "queued", "running": "running", "completed": "ready", "cancelled": "cancelled"}


def _state(job: Mapping[str, Any]) -> JobState:
    status = str(job["state"]["status"]).lower()
    if status.startswith("cancelled") and job["state"].get("reason"):
        return "failed"  # ended by the service, which held the machine meanwhile
    return _STATES.get(status.partition(" ")[0], "failed")


class IBMBackend:
    """A device.

    Args:
        name: As the manifest names it.
        place: Where it is.
        connection: With the sealer of the run and a folder of its own.
    """

    def __init__(self, name: str, place: Place, connection: Connection) -> None:
        self._name, self._place = name, place
        self._sent, self._labels = Sent(connection.folder, connection.sealer), connection.labels
        self._prices = connection.prices
        self._runtime: tuple[CredentialLease, Any] | None = None
        self._device: tuple[float, Device] | None = None

    def facts(self, lease: CredentialLease) -> BackendFacts:
        """What the device is."""
        device, place = self._asked(lease), self._place
        return BackendFacts(
            self._name,
            "ibm-quantum",
            device.version,
            device.qubits,
            device.simulator,
            place.circuits,
            place.waits_seconds,
            place.poll_seconds,
            priced_as=place.priced_as,
            job_minutes=place.job_minutes,
        )

    def state(self, lease: CredentialLease) -> DeviceState:
        """Whether it takes jobs now, how many wait there, and its calibration.

        Raises:
            Unavailable: The service does not answer.
        """
        with reading(self._name):
            runtime = self._connected(lease).backend(self._place.device)
            status, properties = runtime.status(), runtime.properties() or {}
            online = bool(status["operational"]) and status["status_msg"] == "active"
            return DeviceState(online, int(status["pending_jobs"]), calibrated_at(properties), calibration_of(properties))

    def price(self, circuits: int, shots: int, lease: CredentialLease) -> Decimal:
        """Worst case: every job holds the device for as long as the block lets it; the service ends it then.

        Raises:
            Denied: The service does not take so many shots.
            InputError: The price table does not have the plan.
        """
        jobs = -(-circuits // self._place.circuits)
        self._asked(lease).require_shots(min(circuits, self._place.circuits), shots)
        return self._price.estimate(jobs, circuits * shots, self._place.job_minutes).upper

    @property
    def _price(self) -> Price:
        return Prices(self._prices).of(self._place.priced_as)

    def prepare(self, batch: CircuitBatch, shots: int, lease: CredentialLease) -> Prepared:
        """Transpiles each template once, with a fixed seed; the calibration decides the estimate of the quality only.

        Raises:
            Denied: The device can't run them.
            Unavailable: The service does not answer.
        """
        require_fit(batch, self._name, _WIDEST)
        device = self._asked(lease)
        device.require_circuits(batch)  # a round, which may be several jobs
        written = write_for(batch, device)
        settings: dict[str, Json] = {
            "transpiler": "qiskit generate_preset_pass_manager",
            "optimization_level": LEVEL,
            "seed": SEED,
            "layout": LAYOUT,
            "basis": device.basis,
            "coupling_sha256": device.coupling_digest,
            "qiskit": version("qiskit"),
            "qiskit-ibm-runtime": version("qiskit-ibm-runtime"),
        }
        return Prepared(written.batch, settings, *written.depth, *written.two_qubit, written.quality)

    def described(self, lease: CredentialLease) -> Mapping[str, Json]:
        """What the device is and takes, and the SDK that speaks to it."""
        device = self._asked(lease)
        return {
            "device": self._place.device,
            "version": device.version,
            "qubits": device.qubits,
            "gates": device.basis,
            "connectivity": device.coupling_digest,
            "shots of a circuit": int(device.configuration.get("max_shots", 0)),
            "qiskit-ibm-runtime": version("qiskit-ibm-runtime"),
        }

    def encode(self, batch: CircuitBatch, shots: int) -> bytes:
        """The plain form; what no device runs is refused here, what this one does not take as soon as it has been asked."""
        require_fit(batch, self._name, _WIDEST)
        if self._device is not None:
            self._device[1].require(batch, shots, self._place.circuits)
        return plain_form.write(batch, shots)

    def plain_form(self, payload: bytes) -> bytes:
        """The payload as it is; ``submit`` translates it."""
        return payload

    def submit(self, payload: bytes, key: str, lease: CredentialLease) -> str:
        """Makes the job for this key, or finds it. Circuits that ``prepare`` has not written for the device are transpiled here.

        Raises:
            Denied: The service refused; no job exists.
            Unavailable: The service is busy, or the credential is not valid; no job was made, and the same call may be made again.
            Ambiguous: Nobody can tell whether a job exists, or there are several.
        """
        lease.held(Purpose.SUBMIT)  # a sign-in to read results makes nothing, whatever its account may do
        batch, shots = plain_form.decode(payload)
        device = self._asked(lease)
        device.require(batch, shots, self._place.circuits)
        return self._submitter(lease).submit(key, payload, params_of(write_for(batch, device).batch, shots))

    def find_by_key(self, key: str, lease: CredentialLease) -> str | None:
        """The job of a key; one that was sent from here a moment ago is waited for."""
        return self._submitter(lease).find(key)

    def tasks_since(self, since: datetime, lease: CredentialLease) -> tuple[SeenJob, ...]:
        """Every job of ours on this device that was made since then, 200 in a call; a lagging list may leave out the newest.

        Raises:
            Unavailable: The service does not answer.
        """
        with reading(self._name):
            listed = self._submitter(lease).listed(backend_name=self._place.device, job_tags=[OURS], created_after=since)
            return tuple(SeenJob(str(job["id"]), key, _state(job)) for job in listed if (key := key_of(job)) is not None)

    def status(self, handle: str, lease: CredentialLease) -> JobStatus:
        """Where a job is."""
        with reading(self._name):
            job = self._job(handle, lease)
            state = _state(job.get(exclude_params=True))
            if state != "queued":
                return JobStatus(state)
            position = job.metadata().get("position_in_queue")
        return JobStatus(state, position - 1 if isinstance(position, int) and position > 0 else None)

    def statuses(self, handles: Sequence[str], lease: CredentialLease) -> Mapping[str, JobStatus]:
        """Where many jobs are: those that wait or run in pages of 200, then the newest that have ended, as far as they are asked about.

        Raises:
            Unavailable: The service does not answer.
        """
        wanted, found = set(handles), dict[str, JobStatus]()
        submitter = self._submitter(lease)
        with reading(self._name):
            for pending in (True, False):
                if len(found) == len(wanted):
                    break
                for seen, job in enumerate(submitter.listed(backend_name=self._place.device, job_tags=[OURS], pending=pending)):
                    if str(job["id"]) in wanted:
                        found[str(job["id"])] = JobStatus(_state(job))
                    if len(found) == len(wanted) or (not pending and seen >= _PAGES * PAGE):
                        break
        return found

    def result(self, handle: str, lease: CredentialLease, progress: Progress | None = None) -> JobResult:
        """The counts of a job that has ended."""
        with reading(self._name):
            adapter = self._job(handle, lease)
            job = adapter.get(exclude_params=False)
            state = _state(job)
            if state != "ready":
                raise JobFailed(f"the provider has the job as {state}", where=self._name, job_id=handle, advice="start a new run")
            text, metrics = adapter.results(), adapter.metadata()
            times = {name: datetime.fromisoformat(moment) for name, moment in metrics["timestamps"].items() if moment}
            started = times.get("running") or times["finished"]
            queued = max(0.0, (started - times["created"]).total_seconds())
            calibration = calibration_of(self._connected(lease).backend(self._place.device).properties(datetime=started))
        counts = counts_of(job.get("params"), text, self._name, handle)
        if progress is not None:
            progress(len(counts), len(counts))
        cost = self._bill(metrics) + self._others(job, handle, lease)
        return JobResult(counts, queued, float(_seconds(metrics) or 0), calibration, cost)

    def billed(self, handle: str, lease: CredentialLease) -> Decimal | None:
        """What a job that has ended is billed, None where the service has not reckoned it yet.

        Raises:
            Unavailable: The service does not answer.
        """
        with reading(self._name):
            metrics = self._job(handle, lease).metadata()
            return None if _seconds(metrics) is None else self._bill(metrics)

    def _bill(self, metrics: Mapping[str, Any]) -> Decimal:
        """By the second; where the service has not reckoned yet, the longest that it may become."""
        seconds = _seconds(metrics)
        return round(self._price.billed(0, self._place.job_minutes if seconds is None else seconds / 60), 9)

    def _others(self, job: Mapping[str, Any], handle: str, lease: CredentialLease) -> Decimal:
        """What other jobs of the same key cost: a second one can have been made by a request that came late. It is cancelled while it waits."""
        key, total = key_of(job), Decimal(0)
        if key is None:
            return total
        with reading(self._name):
            others = [each for each in self._submitter(lease).jobs(key) if str(each["id"]) != handle]
            for other in others:
                if _state(other) not in {"queued", "running"} or not self.cancel(str(other["id"]), lease):
                    total += self._bill(self._job(str(other["id"]), lease).metadata())
        return total

    def cancel(self, handle: str, lease: CredentialLease) -> bool:
        """Cancels a job that has not ended; True if it was cancelled."""
        lease.held(Purpose.SUBMIT)
        try:
            with understood():
                self._job(handle, lease).cancel()
        except (Refusal, Absent):
            return self.status(handle, lease).state == "cancelled"
        except (Busy, Unknown, NotAllowed) as error:
            raise Unavailable(f"the job can't be cancelled now ({error})", where=self._name, job_id=handle, advice="try again", retry=True) from None
        return True

    def delete(self, handle: str, lease: CredentialLease) -> str:
        """Has the service forget the job, with what was sent and what came back; empty if gone, otherwise why not.

        Other jobs of its key hold the same, and go first: as long as it is there, the key is known.
        """
        lease.held(Purpose.SUBMIT)
        try:
            with understood():
                key = key_of(self._job(handle, lease).get(exclude_params=True))
                same = [str(each["id"]) for each in self._submitter(lease).jobs(key)] if key is not None else []
                for name in [*(each for each in same if each != handle), handle]:
                    job = self._job(name, lease)
                    if _state(job.get(exclude_params=True)) in {"queued", "running"}:
                        return "the job has not ended, its result may still be written"
                    job.delete()
        except Absent:
            return ""
        except (Refusal, Busy, Unknown, NotAllowed) as error:
            return f"the service does not delete the job ({error})"
        return ""

    def _job(self, handle: str, lease: CredentialLease) -> Any:
        return self._connected(lease).program_job(handle)

    def _asked(self, lease: CredentialLease) -> Device:
        """The device's documents, asked a minute ago at most."""
        runtime = self._connected(lease)
        if self._device is None or time.monotonic() - self._device[0] > _REMEMBERED:
            with reading(self._name):
                backend = runtime.backend(self._place.device)
                device = Device(self._name, backend.configuration(), backend.properties() or {}, tuple(self._place.qubits))
                if device.qubits < 1:
                    raise ValueError
            self._device = (time.monotonic(), device)
        return self._device[1]

    def _submitter(self, lease: CredentialLease) -> Submitter:
        return Submitter(self._name, self._place, self._connected(lease), self._sent, self._labels)

    def _connected(self, lease: CredentialLease) -> Any:
        """The lease's adapters, as long as the lease lasts."""
        lease.held_to_read()
        if self._runtime is None or self._runtime[0] is not lease:
            self._runtime = (lease, connect(self._place, lease, self._name))
        return self._runtime[1]


def _seconds(metrics: Mapping[str, Any]) -> Decimal | None:
    """Seconds on the device that are billed, None before the service has reckoned them."""
    usage = metrics.get("usage") or {}
    if usage.get("status") == "pending":
        return None
    known = next((usage[name] for name in ("qpu_charge_time_seconds", "quantum_seconds", "seconds") if usage.get(name) is not None), None)
    return None if known is None else Decimal(str(known))
