"""Jobs, from their creation to their result: one worker runs them in the order in which they came."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prefect_gatehouse.emulators.ibm.devices import Device
from prefect_gatehouse.emulators.ibm.execute import Work, run

ENDED = {"Completed", "Failed", "Cancelled"}
_TOO_LONG = 1305  # the service's reason for a job that took longer than it was allowed


@dataclass
class Conduct:
    """How the service behaves until it is told otherwise.

    Attributes:
        queue_seconds: How long a job waits before it may run.
        search_lag_seconds: How long a new job is missing from lists.
        fail_jobs: So many of the next jobs fail.
        usage_limit_seconds: What the instance may use in all; 0 is no limit.
        refuse_deletion: Whether jobs can't be deleted.
    """

    queue_seconds: float = 0.0
    search_lag_seconds: float = 0.0
    fail_jobs: int = 0
    usage_limit_seconds: int = 0
    refuse_deletion: bool = False


@dataclass
class Job:
    """One job."""

    device: Device
    work: Work
    tags: list[str]
    longest: int
    created: float
    due: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:20])
    status: str = "Queued"
    started: float | None = None
    ended: float | None = None
    reason: str | None = None
    reason_code: int | None = None
    used: int = 0
    result: str = ""

    def told(self, *, with_params: bool) -> dict[str, Any]:
        """As the service tells it."""
        state: dict[str, Any] = {"status": self.status}
        if self.reason is not None:
            state |= {"reason": self.reason}
        if self.reason_code is not None:
            state |= {"reason_code": self.reason_code}
        found = {
            "id": self.id,
            "backend": self.device.name,
            "state": state,
            "status": self.status,
            "program": {"id": "sampler"},
            "created": text(self.created),
            "tags": self.tags,
            "cost": self.longest,
            "estimated_running_time_seconds": self.work.seconds,
            "usage": {"seconds": self.used},
        }
        return found | ({"params": self.work.params} if with_params else {})

    def metrics(self, position: int | None) -> dict[str, Any]:
        """Its times, what it used, and its place in the queue while it waits."""
        final = self.status in ENDED
        found: dict[str, Any] = {
            "timestamps": {"created": text(self.created), "running": text(self.started), "finished": text(self.ended)},
            "bss": {"seconds": self.used},
            "usage": {
                "quantum_seconds": self.used,
                "seconds": self.used,
                "qpu_charge_time_seconds": self.used,
                "status": "final" if final else "pending",
            },
            "qiskit_version": "",
        }
        return found | ({"position_in_queue": position} if position is not None else {})


def text(moment: float | None) -> str | None:
    """A time as the service writes it."""
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


class Jobs:
    """All jobs and the worker that runs them.

    Args:
        conduct: How the service behaves.
        prepare: Does what the first job need not wait for.
    """

    def __init__(self, conduct: Conduct, prepare: Callable[[], object]) -> None:
        self._conduct, self._prepare = conduct, prepare
        self._jobs: dict[str, Job] = {}
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        threading.Thread(target=self._work, name="jobs", daemon=True).start()

    def all(self) -> list[Job]:
        """Every job, in the order in which they were made."""
        with self.lock:
            return list(self._jobs.values())

    def get(self, name: str) -> Job | None:
        """A job by its identifier."""
        return self._jobs.get(name)

    def add(self, device: Device, work: Work, tags: list[str], longest: int) -> Job:
        """A new job in the queue."""
        now = time.time()
        job = Job(device, work, tags, longest, now, now + self._conduct.queue_seconds)
        with self._changed:
            self._jobs[job.id] = job
            self._changed.notify_all()
        return job

    def used(self) -> int:
        """Seconds of all jobs."""
        return sum(job.used for job in self.all())

    def delete(self, job: Job) -> None:
        """Forgets a job."""
        with self.lock:
            self._jobs.pop(job.id, None)

    def reset(self) -> None:
        """No jobs."""
        with self.lock:
            self._jobs.clear()

    def wake(self) -> None:
        """Tells the worker that a machine or the queue has changed."""
        with self._changed:
            for job in self._jobs.values():
                if job.status == "Queued" and job.device.status == "retired":
                    self._end(job, "Failed", "the backend was retired")
                if job.status == "Queued":
                    job.due = min(job.due, job.created + self._conduct.queue_seconds)
            self._changed.notify_all()

    def position(self, job: Job) -> int | None:
        """Which one it is in its machine's queue, counted from 1; None once it does no longer wait."""
        with self.lock:
            if job.status != "Queued":
                return None
            return 1 + sum(each.device is job.device and each.status == "Queued" and each.created < job.created for each in self._jobs.values())

    def cancel(self, job: Job) -> bool:
        """Cancels a job that waits; True if it did."""
        with self.lock:
            if job.status != "Queued":
                return False
            self._end(job, "Cancelled", None)
            return True

    def _work(self) -> None:
        self._prepare()
        while True:
            with self._changed:
                job = next((each for each in self._jobs.values() if each.status == "Queued" and self._may_run(each)), None)
                if job is None:
                    self._changed.wait(0.05)
                    continue
                job.status, job.started = "Running", time.time()
                fails = self._conduct.fail_jobs > 0
                self._conduct.fail_jobs -= fails
            self._run(job, fails=fails)

    @staticmethod
    def _may_run(job: Job) -> bool:
        return job.due <= time.time() and job.device.status == "online"

    def _run(self, job: Job, *, fails: bool) -> None:
        try:
            if fails:
                raise ValueError("made to fail")
            result = run(job.work, job.device)
        except Exception as error:  # noqa: BLE001 - whatever the simulator says is this job's failure
            with self.lock:
                self._end(job, "Failed", f"{type(error).__name__}: {error}")
            return
        with self.lock:
            if job.work.seconds > job.longest:
                job.used, job.reason_code = job.longest, _TOO_LONG
                self._end(job, "Cancelled", "the job ran longer than it was allowed to")
                return
            job.used, job.result = job.work.seconds, result
            self._end(job, "Completed", None)

    @staticmethod
    def _end(job: Job, status: str, reason: str | None) -> None:
        job.status, job.reason, job.ended = status, reason, time.time()
