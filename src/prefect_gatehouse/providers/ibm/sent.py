"""What was sent under a key, noted on this side before it is: the service has no idempotency token, and shows a new job when it likes.

Records are numbered and written under a name that only one process can take, so of several processes on a host one sends and the others look.
They hold digests and times, sealed with the run's key. Times are of a clock that no one can set and that goes on while a machine sleeps
(CLOCK_BOOTTIME); after a restart, or read by another host, a record counts as written this moment, which waits longer and never too short.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.errors import StorageError, Tampered
from prefect_gatehouse.files import write_new
from prefect_gatehouse.store.sealer import Sealer

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def now() -> float:
    """Seconds since this machine started, its sleep counted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Sending:
    """One time that something was, or was about to be, sent.

    Attributes:
        number: 1 for the first.
        payload: Digest of what.
        age: Seconds since, or fewer.
    """

    number: int
    payload: str
    age: float


class Sent:
    """The records of one run at one device.

    Args:
        folder: The run's folder.
        sealer: Of the run.
    """

    def __init__(self, folder: Path, sealer: Sealer) -> None:
        self._folder, self._sealer = folder, sealer

    def last(self, key: str) -> Sending | None:
        """The newest record of a key, None if nothing was sent from here.

        Raises:
            Tampered: What lies there is none of this key's.
            StorageError: The disk can't be read.
        """
        name = self._name(key)
        try:
            numbers = [int(path.name.rpartition("-")[2]) for path in self._folder.glob(f"{name}-*")]
            if not numbers:
                return None
            sealed = (self._folder / f"{name}-{max(numbers)}").read_bytes()
        except FileNotFoundError:
            return self.last(key)  # somebody who was refused took it back meanwhile
        except OSError as error:
            raise _storage(error) from None
        found = json.loads(self._sealer.open(sealed))
        if (found["key"], found["number"]) != (key, max(numbers)):
            raise Tampered("what is noted of a submission is none of this key's", where=key, advice="run: gatehouse verify")
        age = now() - found["at"] if found["boot"] and found["boot"] == _boot() else 0.0
        return Sending(max(numbers), found["payload"], max(0.0, age))

    def note(self, key: str, number: int, payload: bytes) -> bool:
        """Notes a sending; False if another process has taken the number.

        Raises:
            StorageError: The disk does not take it.
        """
        document = {"key": key, "number": number, "payload": sha256_bytes(payload), "boot": _boot(), "at": now()}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_new(self._folder / f"{self._name(key)}-{number}", self._sealer.seal(json.dumps(document).encode()))
        except FileExistsError:
            return False
        except OSError as error:
            raise _storage(error) from None
        return True

    def take_back(self, key: str, number: int) -> None:
        """Forgets a sending of which the service said that it made nothing."""
        with suppress(OSError):  # a record too many waits once longer
            (self._folder / f"{self._name(key)}-{number}").unlink(missing_ok=True)

    @staticmethod
    def _name(key: str) -> str:
        return f"sent-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _storage(error: OSError) -> StorageError:
    return StorageError(f"what is sent can't be noted: {error.strerror}", where="submit", advice="free space, then resume the run")
