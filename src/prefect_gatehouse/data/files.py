"""Names that stay inside their folder, and writes that survive a power cut (POSIX fsync and rename)."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO

from prefect_gatehouse.errors import InputError

# No dot, no slash, no space: nothing that a path could read as something else.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def safe_name(name: str, what: str) -> str:
    """The name itself, if it is one path component of letters, digits, hyphens and underscores.

    Raises:
        InputError: It is not; the message does not repeat it.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{what} is not a plain name", advice="use letters, digits, hyphens and underscores, at most 128")
    return name


def open_new(path: Path) -> int:
    """Descriptor of a new file that only its owner may read; an existing file or link is an OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def sync_file(path: Path) -> None:
    """Makes a file's content durable, whoever wrote it."""
    _sync(path, os.O_NOFOLLOW)


def sync_folder(folder: Path) -> None:
    """Makes the folder's entries durable, which fsync on a file does not."""
    _sync(folder, os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DigestingFile:
    """A binary file for Parquet's writer that hashes what passes through."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Writes and hashes."""
        view = memoryview(data)
        self._sha256.update(view)
        self._stream.write(view)
        self.size += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Passes on."""
        self._stream.flush()

    def tell(self) -> int:
        """Bytes written."""
        return self.size

    def readable(self) -> bool:
        """No."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No: what was hashed stays as it is."""
        return False

    def close(self) -> None:
        """Parquet's writer closes its sink; the file stays open for fsync."""

    def digest(self) -> str:
        """SHA-256 of what was written, 64 hexadecimal digits."""
        return self._sha256.hexdigest()
