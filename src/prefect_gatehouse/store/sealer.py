"""What encrypts small things under the run's key."""

from __future__ import annotations

from typing import Protocol

from prefect_gatehouse.errors import StorageError

_ADVICE = "look at the run: gatehouse show RUN"


class Sealer(Protocol):
    """Encrypts bytes under the run's key; what a provider spools on this side goes through it."""

    def seal(self, data: bytes) -> bytes:
        """Ciphertext of data."""

    def open(self, sealed: bytes) -> bytes:
        """Data of a ciphertext."""


class NoKey:
    """The sealer where there is no key: of a run whose key is gone, or of somebody who only asks. Nothing is kept, and nothing can be read."""

    def seal(self, data: bytes) -> bytes:
        """Nothing is kept.

        Raises:
            StorageError: Always.
        """
        raise StorageError("there is no data key to keep this under", where="run key", advice=_ADVICE)

    def open(self, sealed: bytes) -> bytes:
        """Nothing can be read.

        Raises:
            StorageError: Always.
        """
        raise StorageError("the data key that this was kept under is gone", where="run key", advice=_ADVICE)
