"""An open source file: its name, its hash, and the proof that it did not change since it was hashed."""

from __future__ import annotations

import hashlib
import os
from io import BufferedReader

from prefect_gatehouse.errors import InputError, StorageError


def unreadable(error: OSError, name: str) -> StorageError:
    """Our error for what the disk answered."""
    reason = error.strerror or "input/output error"
    return StorageError(f"the source can't be read: {reason}", where=name, advice="check its permissions")


class SourceFile:
    """Base of the kinds of source.

    Attributes:
        stream: The open file.
        name: Its name without the folder.
        size: Its bytes.
        sha256: Of its bytes.
    """

    def __init__(self, stream: BufferedReader, name: str) -> None:
        self.stream = stream
        self.name = name
        self._before = self._state()
        self.size = self._before[0]
        try:
            self.sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise unreadable(error, name) from None

    def _state(self) -> tuple[int, int]:
        facts = os.fstat(self.stream.fileno())
        return facts.st_size, facts.st_mtime_ns

    def check_unchanged(self) -> None:
        """Compares size and modification time with those before the hash.

        Raises:
            InputError: Somebody wrote.
        """
        if self._state() != self._before:
            advice = "run again on a file that nobody writes"
            raise InputError("the source changed while it was read", where=self.name, advice=advice)
