"""One task per key, whatever dies when.

The key gives the client token, a tag and the folder in S3. What is sent is written there first, under a condition that only one process can
meet: whoever meets it knows that no task exists. Everybody else looks for the task by its tag until the grace since the last sending is over, and
only then sends the same bytes with the same token. So neither a token that the service has forgotten, nor a search that lags, nor two processes at
once make a second task; it takes a service that forgets its tokens and hides its tasks for longer than the grace.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect_gatehouse.errors import Ambiguous, Denied, Tampered, Unavailable
from prefect_gatehouse.providers.braket.place import Place
from prefect_gatehouse.providers.braket.sent import SentPayloads
from prefect_gatehouse.providers.braket.session import Absent, Busy, Clients, NotAllowed, Refusal, Unknown, reading, understood

KEY_TAG = "gatehouse-key"
"""Names the job; the run's labels stand beside it, each as ``gatehouse-<label>``."""
_SKEW = timedelta(minutes=15)  # between S3's clock and Braket's, generously
_LONG_AGO = timedelta(days=1)  # longer than a run that is still resumed; the service keeps tokens for less
_MAY_BE_KNOWN = {"ConflictException", "ValidationException"}
_PAUSES = (0.5, 20.0)  # seconds between two tries of a throttled call: the first, and the longest


def token_of(key: str) -> str:
    """The client token of a key: 64 characters, the most that the service takes. It does not name the device: a key is used for one only."""
    return hashlib.sha256(b"gatehouse/braket/1\0" + key.encode()).hexdigest()


class Submitter:
    """Makes and finds the tasks of one device.

    Args:
        name: The backend's.
        place: Where it is.
        clients: Of a lease.
        sent: What was sent.
        labels: Gives what a task's tags say of the run.
    """

    def __init__(self, name: str, place: Place, clients: Clients, sent: SentPayloads, labels: Callable[[], Mapping[str, str]]) -> None:
        self._name, self._place, self._clients, self._sent, self._labels = name, place, clients, sent, labels

    def submit(self, key: str, payload: bytes, action: str, shots: int) -> str:
        """Makes the task of a key, or finds it.

        Args:
            key: The key.
            payload: In the plain form.
            action: What the service is sent for it.
            shots: In all.

        Raises:
            Denied: The service refused; no task exists.
            Unavailable: The service is busy, or the credential is not valid; no task was made, and the same call may be made again.
            Ambiguous: Nobody can tell whether a task exists.
            Tampered: Something else was sent under this key.
        """
        folder = self._folder(key)
        with reading(self._name):
            first = self._sent.write(folder, payload)
            if not first and self._sent.read(folder) != payload:
                raise Tampered("another payload was sent under this key", where=key, advice="run: gatehouse verify")
        try:
            if first:
                return self._create(key, action, shots)
        except Unknown:
            pass
        except (Refusal, Absent) as refusal:
            return self._refused(key, str(refusal), certain=True)
        return self._found(key) or self._again(key, action, shots)

    def _again(self, key: str, action: str, shots: int) -> str:
        """Sends once more what was not found."""
        with reading(self._name):
            self._sent.mark(self._folder(key))
        try:
            return self._create(key, action, shots)
        except (Refusal, Absent) as refusal:
            return self._refused(key, str(refusal), certain=False)
        except Unknown as unknown:
            found = self._found(key)
            if found is None:
                raise self._ambiguous(key, str(unknown)) from None
            return found

    def _create(self, key: str, action: str, shots: int) -> str:
        """Makes the task; waits while the service is busy, which makes none."""
        until, (pause, longest) = time.monotonic() + self._place.patience_seconds, _PAUSES
        while True:
            try:
                with understood():
                    # The call that the SDK's AwsQuantumTask.create makes; that would send a random token, and costs three seconds of imports.
                    answer = self._clients.once.create_quantum_task(
                        clientToken=token_of(key),
                        deviceArn=self._place.device_arn,
                        shots=shots,
                        action=action,
                        outputS3Bucket=self._place.bucket,
                        outputS3KeyPrefix=self._folder(key),
                        tags={**self._place.tags, **{f"gatehouse-{name}": value for name, value in self._labels().items()}, KEY_TAG: key},
                    )
                return str(answer["quantumTaskArn"])
            except NotAllowed:
                raise Unavailable("the credential is not valid", where=self._name, advice="check the secret, then resume the run") from None
            except Busy as busy:
                if time.monotonic() + pause > until:
                    raise Unavailable(f"Amazon Braket is busy ({busy})", where=self._name, advice="resume the run later", retry=True) from None
                time.sleep(pause)
                pause = min(2 * pause, longest)
            with reading(self._name):
                self._sent.mark(self._folder(key))

    def _refused(self, key: str, reason: str, *, certain: bool) -> str:
        """A refusal says that no task exists only where none can have been made before: a token that is known may be refused as well.

        The service's model does not say with which error a token with other parameters is refused, so both that fit are looked into, at whatever
        device: the block may have been edited since.
        """
        found = None if certain else self._found(key)
        with reading(self._name):
            if found is None and reason in _MAY_BE_KNOWN:
                found = self._one(self._tagged(key, datetime.now(UTC) - _LONG_AGO, anywhere=True), key)
            if found is not None:
                return found
            if reason == "ConflictException":
                raise self._ambiguous(key, reason)
            self._sent.delete(self._folder(key))
        advice = "look at the device and the account, or use another backend"
        raise Denied(f"Amazon Braket refused the task ({reason})", where=self._name, advice=advice)

    def _ambiguous(self, key: str, reason: str) -> Ambiguous:
        advice = f"look for a quantum task with the tag {KEY_TAG} {key} at the provider"
        return Ambiguous(f"nobody can tell whether the task exists ({reason})", where=self._name, advice=advice)

    def _found(self, key: str) -> str | None:
        """The task of a key of which something was sent."""
        try:
            return self.find(key)
        except Unavailable as error:
            raise self._ambiguous(key, error.message) from None

    def find(self, key: str) -> str | None:
        """The task of a key: None at once if nothing was ever sent, otherwise by tag among the device's tasks since then.

        A task that was sent less than the grace ago may not be there yet, or not be shown yet: it is looked for until the grace is over, which
        S3's clock says, not this machine's.

        Raises:
            Unavailable: The service does not answer.
            Ambiguous: There are several.
        """
        started = time.monotonic()
        with reading(self._name):
            sent = self._sent.times(self._folder(key))
            if sent is None:
                return None
            wait = self._place.grace_seconds - sent.age
            while True:
                found = self._one(self._tagged(key, sent.first - _SKEW), key)
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

    def _tagged(self, key: str, since: datetime, *, anywhere: bool = False) -> list[str]:
        return [task["quantumTaskArn"] for task in self.tasks(since, anywhere=anywhere) if task.get("tags", {}).get(KEY_TAG) == key]

    def tasks(self, since: datetime, *, anywhere: bool = False) -> Iterator[dict[str, Any]]:
        """Tasks of the account that were made since then, of this device or of any, as the service summarises them."""
        filters = [{"name": "createdAt", "operator": "GTE", "values": [since.isoformat()]}]
        if not anywhere:
            filters.append({"name": "deviceArn", "operator": "EQUAL", "values": [self._place.device_arn]})
        pages = self._clients.braket.get_paginator("search_quantum_tasks").paginate(filters=filters, PaginationConfig={"PageSize": 100})
        return (task for page in pages for task in page["quantumTasks"])

    def _folder(self, key: str) -> str:
        return f"{self._place.prefix}/{token_of(key)}"
