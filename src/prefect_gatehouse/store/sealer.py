"""What encrypts small things under the run's key."""

from __future__ import annotations

from typing import Protocol


class Sealer(Protocol):
    """Encrypts bytes under the run's key; what a provider spools on this side goes through it."""

    def seal(self, data: bytes) -> bytes:
        """Ciphertext of data."""

    def open(self, sealed: bytes) -> bytes:
        """Data of a ciphertext."""
