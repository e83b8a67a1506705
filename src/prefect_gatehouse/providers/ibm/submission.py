"""One job per key, whatever dies when, at a service that knows no idempotency token.

A key is a tag of its job. Whoever wants to send notes it first (``sent.py``), which only one process of a host can. Nobody sends before having
looked for the tag, at once where nothing was ever sent from here, otherwise until the last sending's timeout and the grace are over; and between
that look and the sending nothing slow is done. What follows a lost answer is another look, not another sending.

What this cannot exclude: a request that reaches the service later than the grace after it was sent, and a process that is stopped between its
last look and its sending for longer than that, while another one takes over. Each makes a second job. So after every sending the tag is looked for
once more: of several jobs the oldest stays, the others are cancelled while they wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prefect_gatehouse.canonical import Json, sha256_bytes
from prefect_gatehouse.errors import Ambiguous, Denied, Tampered, Unavailable
from prefect_gatehouse.providers.answers import Absent, Busy, NotAllowed, Refusal, Unknown
from prefect_gatehouse.providers.ibm.place import Place
from prefect_gatehouse.providers.ibm.sent import Sent, now
from prefect_gatehouse.providers.ibm.session import SERVICE, reading, understood

OURS = "gatehouse"
_KEY, _RUN = "gatehouse-key:", "gatehouse-run:"
_LONGEST = 86  # characters of a tag: as many as the service's own reference has been seen to allow
PAGE = 200  # jobs in a list: the service's default, and the most that it is known to give
_PAUSES = (0.5, 20.0)  # seconds between two tries of a throttled call: the first, and the longest
_STALE = 2.0  # seconds after which a look is too old to send on
_SENDINGS = 2  # whose answers may be lost before a person has to look


def tags_of(key: str) -> list[str]:
    """The tags of a key's job: short, for nobody says how long a tag may be."""
    return [OURS, f"{_KEY}{key}", f"{_RUN}{key.partition(':')[0]}"]


def tags_for(labels: Mapping[str, str]) -> list[str]:
    """What the tags say of the run, in two of them, where there is something to say."""
    by = [labels[name] for name in ("requester", "service") if name in labels]
    told = [labels[name] for name in ("ticket", "environment", "billing-code", "tenant") if name in labels]
    return [f"{name}:{'/'.join(values)}"[:_LONGEST] for name, values in (("gatehouse-by", by), ("gatehouse-for", told)) if values]


def key_of(job: Mapping[str, Any]) -> str | None:
    """The key that a job was made for, None if it is none of ours."""
    return next((tag.removeprefix(_KEY) for tag in job.get("tags") or [] if tag.startswith(_KEY)), None)


@dataclass(frozen=True)
class _Turn:
    """What a look has shown.

    Attributes:
        handle: The job, None if there is none.
        number: Of the record under which a sending is noted.
        looked: When the look was over.
    """

    handle: str | None
    number: int
    looked: float


class Submitter:
    """Makes and finds the jobs of one device.

    Args:
        name: The backend's.
        place: Where it is.
        runtime: The SDK's REST adapter, of a lease.
        sent: What was sent.
        labels: Gives what a job's tags say of the run.
    """

    def __init__(self, name: str, place: Place, runtime: Any, sent: Sent, labels: Callable[[], Mapping[str, str]]) -> None:
        self._name, self._place, self._runtime, self._sent, self._labels = name, place, runtime, sent, labels

    def submit(self, key: str, payload: bytes, params: dict[str, Json]) -> str:
        """Makes the job of a key, or finds it.

        Args:
            key: The key.
            payload: In the plain form.
            params: What the service is asked for it.

        Raises:
            Denied: The service refused; no job exists.
            Unavailable: The service is busy, or the credential is not valid; no job was made, and the same call may be made again.
            Ambiguous: Nobody can tell whether a job exists, or there are several.
            Tampered: Something else was sent under this key.
        """
        until, (pause, longest), doubts = time.monotonic() + self._place.patience_seconds, _PAUSES, list[str]()
        while len(doubts) < _SENDINGS:
            turn = self._turn(key, payload)
            if turn.handle is not None:
                return turn.handle
            try:
                return self._only(key, self._create(key, params, turn))
            except (NotAllowed, Busy) as error:
                self._sent.take_back(key, turn.number)
                if isinstance(error, NotAllowed) or time.monotonic() + pause > until:
                    raise self._unavailable(error) from None
                time.sleep(pause)
                pause = min(2 * pause, longest)
            except (Refusal, Absent) as refusal:
                return self._refused(key, turn.number, str(refusal))
            except Unknown as unknown:
                doubts.append(str(unknown))
        found = self._found(key)
        if found is None:
            raise self._ambiguous(key, doubts[-1])
        return found

    def _turn(self, key: str, payload: bytes) -> _Turn:
        """The job of a key, or where there is none the number under which this process alone may send now."""
        while True:
            before = self._sent.last(key)
            if before is not None and before.payload != sha256_bytes(payload):
                raise Tampered("another payload was sent under this key", where=key, advice="run: gatehouse verify")
            handle = self._found(key) if before is not None else self.find(key)
            turn = _Turn(handle, before.number + 1 if before is not None else 1, now())
            if handle is not None or self._sent.note(key, turn.number, payload):
                return turn

    def _create(self, key: str, params: dict[str, Json], turn: _Turn) -> str:
        with understood():
            if now() - turn.looked > _STALE:
                raise Busy("this process was stopped")  # before anything was sent: it looks again
            answer = self._runtime.program_run(
                program_id="sampler",
                backend_name=self._place.device,
                params=params,
                job_tags=[*tags_of(key), *tags_for(self._labels()), *self._place.tags],
                max_execution_time=self._place.longest_seconds,
            )
            return str(answer["id"])

    def _only(self, key: str, handle: str) -> str:
        """The job that stays, of those that carry a key's tag once one was made: the oldest; others are cancelled."""
        try:
            with understood():
                alive = self._alive(key)
        except (Refusal, Busy, Absent, NotAllowed, Unknown):
            return handle  # ours exists; whether another does is looked for again when its result is read
        if all(job["id"] == handle for job in alive):
            return handle
        # One that is not listed yet is younger than those that are.
        names = [str(job["id"]) for job in alive]
        for name in [*names, *([handle] if handle not in names else [])][1:]:
            try:
                with understood():
                    self._runtime.program_job(name).cancel()
            except (Refusal, Busy, Absent, NotAllowed, Unknown):
                raise self._several(key, alive) from None
        return names[0]

    def _refused(self, key: str, number: int, reason: str) -> str:
        """A refusal says that no job exists only where an earlier sending can't have made one."""
        found = self._found(key) if number > 1 else None
        if found is not None:
            return found
        for each in range(number, 0, -1):
            self._sent.take_back(key, each)
        raise Denied(f"{SERVICE} refused the job ({reason})", where=self._name, advice="look at the device and the instance, or use another backend")

    def _unavailable(self, error: NotAllowed | Busy) -> Unavailable:
        if isinstance(error, NotAllowed):
            return Unavailable("the credential is not valid", where=self._name, advice="check the secret, then resume the run")
        return Unavailable(f"{SERVICE} is busy ({error})", where=self._name, advice="resume the run later", retry=True)

    def _ambiguous(self, key: str, reason: str) -> Ambiguous:
        advice = f"look for a job with the tag {_KEY}{key} at the provider"
        return Ambiguous(f"nobody can tell whether the job exists ({reason})", where=self._name, advice=advice)

    def _several(self, key: str, jobs: list[dict[str, Any]]) -> Ambiguous:
        advice = "cancel all but one at the provider, then resume the run"
        return Ambiguous(f"{max(2, len(jobs))} jobs carry the tag of one key", where=key, advice=advice, job_id=str(jobs[0]["id"]))

    def _found(self, key: str) -> str | None:
        """The job of a key of which something was sent."""
        try:
            return self.find(key)
        except Unavailable as error:
            raise self._ambiguous(key, error.message) from None

    def find(self, key: str) -> str | None:
        """The job of a key, by its tag.

        What was sent from here a moment ago is looked for until its timeout and the grace are over, anything else once.

        Raises:
            Unavailable: The service does not answer.
            Ambiguous: There are several.
        """
        before = self._sent.last(key)
        until = now() + (self._place.waits_seconds - before.age if before is not None else 0.0)
        with reading(self._name):
            while True:
                found = self._one(key)
                left = until - now()
                if found is not None or left <= 0:
                    return found
                time.sleep(min(left, max(0.1, self._place.grace_seconds / 20)))

    def _one(self, key: str) -> str | None:
        alive = self._alive(key)
        if len(alive) > 1:
            raise self._several(key, alive)
        return str(alive[0]["id"]) if alive else None

    def _alive(self, key: str) -> list[dict[str, Any]]:
        """A key's jobs without those that were cancelled, the oldest first; if all were, the oldest: it is not made again."""
        found = sorted(self.jobs(key), key=lambda job: (str(job.get("created")), str(job["id"])))
        return [job for job in found if not _cancelled(job)] or found[:1]

    def jobs(self, key: str) -> list[dict[str, Any]]:
        """Every job that carries a key's tag."""
        return [job for job in self.listed(job_tags=[f"{_KEY}{key}"]) if key_of(job) == key]

    def listed(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Jobs as the service lists them, a page in a call."""
        skip = 0
        while True:
            page = self._runtime.jobs_get(limit=PAGE, skip=skip, **filters)
            yield from page["jobs"]
            skip += len(page["jobs"])
            if not page["jobs"] or skip >= page["count"]:
                return


def _cancelled(job: Mapping[str, Any]) -> bool:
    return str(job["state"]["status"]).lower().startswith("cancelled")
