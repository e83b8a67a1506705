"""Tasks, from their creation to their result in S3: one worker runs them in the order in which they came."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from prefect_gatehouse.emulators.braket.devices import ACCOUNT, Device
from prefect_gatehouse.emulators.braket.execute import PROGRAM, Action, run

Store = Callable[[str, str, bytes], None]
"""Writes an object: bucket, key, bytes."""
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
_LEAST_SECONDS = 3.0  # what a managed simulator bills at least


@dataclass
class Conduct:
    """How the service behaves until it is told otherwise.

    Attributes:
        queue_seconds: How long a task waits before it may run.
        search_lag_seconds: How long a new task is missing from searches.
        forget_tokens: Whether client tokens are forgotten at once.
        fail_tasks: So many of the next tasks fail.
        fail_executables: So many executables of each following program set fail.
    """

    queue_seconds: float = 0.0
    search_lag_seconds: float = 0.0
    forget_tokens: bool = False
    fail_tasks: int = 0
    fail_executables: int = 0


@dataclass
class Task:
    """One task."""

    arn: str
    device: Device
    token: str
    parameters: dict[str, Any]
    action: Action
    created: float
    due: float
    status: str = "QUEUED"
    ended: float | None = None
    failure: str | None = None
    successful: int = 0
    seconds: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> str:
        """Where its result lies."""
        return f"{self.parameters['outputS3KeyPrefix']}/{self.arn.rpartition('/')[2]}"

    def worst(self) -> Decimal:
        """USD that it may cost."""
        return _usd(self.device.per_task + self.device.per_shot * self.parameters["shots"] + self.device.per_minute * _LEAST_SECONDS / 60)

    def billed(self) -> Decimal:
        """USD that it has cost; what was cancelled before it ran, or failed, costs nothing."""
        if self.status != "COMPLETED":
            return Decimal(0)
        minutes = max(self.seconds, _LEAST_SECONDS) / 60
        return _usd(self.device.per_task + self.device.per_shot * self.successful + self.device.per_minute * minutes)


def _usd(value: float) -> Decimal:
    return Decimal(repr(round(value, 6)))


def digest_of(parameters: dict[str, Any]) -> str:
    """What a token is compared by: all that was asked for, but the token."""
    asked = {name: value for name, value in parameters.items() if name != "clientToken"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


class Tasks:
    """All tasks and the worker that runs them.

    Args:
        store: Writes results.
        conduct: How the service behaves.
    """

    def __init__(self, store: Store, conduct: Conduct) -> None:
        self._store, self._conduct = store, conduct
        self._tasks: dict[str, Task] = {}
        self._tokens: dict[str, tuple[str, str]] = {}
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        threading.Thread(target=self._work, name="tasks", daemon=True).start()

    def all(self) -> list[Task]:
        """Every task, in the order in which they were made."""
        with self.lock:
            return list(self._tasks.values())

    def get(self, arn: str) -> Task | None:
        """A task by its ARN."""
        return self._tasks.get(arn)

    def known(self, token: str) -> tuple[str, str] | None:
        """Task and digest of the request that a token was used for."""
        return self._tokens.get(token)

    def made(self, device: Device, region: str, parameters: dict[str, Any], action: Action) -> Task:
        """A task that nobody knows yet."""
        now = time.time()
        arn = f"arn:aws:braket:{region}:{ACCOUNT}:quantum-task/{uuid.uuid4()}"
        tags = dict(parameters.get("tags", {}))
        return Task(arn, device, parameters["clientToken"], parameters, action, now, now + self._conduct.queue_seconds, tags=tags)

    def commit(self, task: Task) -> None:
        """Queues a task and remembers its token."""
        with self._changed:
            self._tasks[task.arn] = task
            if not self._conduct.forget_tokens:
                self._tokens[task.token] = (task.arn, digest_of(task.parameters))
            self._changed.notify_all()

    def forget_tokens(self) -> None:
        """As a service whose tokens have expired."""
        with self.lock:
            self._tokens.clear()

    def reset(self) -> None:
        """No tasks."""
        with self.lock:
            self._tasks.clear()
            self._tokens.clear()

    def wake(self) -> None:
        """Tells the worker that a device or the queue has changed."""
        with self._changed:
            for task in self._tasks.values():
                if task.status == "QUEUED" and task.device.status == "RETIRED":
                    self._end(task, "FAILED", "the device was retired")
                if task.status == "QUEUED":
                    task.due = min(task.due, task.created + self._conduct.queue_seconds)
            self._changed.notify_all()

    def position(self, task: Task) -> int:
        """Tasks of the same device before this one, and itself."""
        with self.lock:
            return 1 + sum(each.device is task.device and each.status == "QUEUED" and each.created < task.created for each in self._tasks.values())

    def cancel(self, task: Task) -> bool:
        """Cancels a task that waits; True if it does no longer."""
        with self.lock:
            if task.status != "QUEUED":
                return False
            self._end(task, "CANCELLED", None)
            return True

    def _work(self) -> None:
        import braket.default_simulator  # noqa: F401 - two seconds, which the first task need not wait for

        while True:
            with self._changed:
                task = next((each for each in self._tasks.values() if each.status == "QUEUED" and self._may_run(each)), None)
                if task is None:
                    self._changed.wait(0.05)
                    continue
                task.status = "RUNNING"
                failing, task_fails = self._conduct.fail_executables, self._conduct.fail_tasks > 0
                self._conduct.fail_tasks -= task_fails
            self._run(task, failing, fails=task_fails)

    @staticmethod
    def _may_run(task: Task) -> bool:
        return task.due <= time.time() and task.device.status == "ONLINE"

    def _run(self, task: Task, failing: int, *, fails: bool) -> None:
        started = time.monotonic()
        shots = task.parameters["shots"]
        try:
            if fails:
                raise ValueError("made to fail")
            result = run(task.action, shots, task.device.noise, failing)
            successful = shots if task.action.kind == PROGRAM else int(result["taskMetadata"]["successfulShots"])
            status = "FAILED" if failing and not successful else "COMPLETED"
            self._named(task, result, status)
            self._store(task.parameters["outputS3Bucket"], f"{task.directory}/results.json", json.dumps(result).encode())
        except Exception as error:  # noqa: BLE001 - whatever the simulator or the store says is this task's failure
            with self.lock:
                self._end(task, "FAILED", f"{type(error).__name__}: {error}")
            return
        with self.lock:
            task.successful, task.seconds = successful, time.monotonic() - started
            self._end(task, status, None)

    @staticmethod
    def _named(task: Task, result: dict[str, Any], status: str) -> None:
        """Writes the task's names into its result, as the service does."""
        times = {"createdAt": _text(task.created), "endedAt": _text(time.time()), "status": status}
        result["taskMetadata"] |= {"id": task.arn, "deviceId": task.device.arn, **times}

    def _end(self, task: Task, status: str, failure: str | None) -> None:
        task.status, task.failure, task.ended = status, failure, time.time()


def _text(moment: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
