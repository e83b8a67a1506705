"""An open file or object of a source: bytes at a place, and the proof that it stayed what it was when the source was opened."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from prefect_gatehouse.errors import DataRefused, InputError, StorageError
from prefect_gatehouse.files import inside

_CHUNK = 8 << 20  # bytes hashed at once; for an object also the length of one request


class Opened(Protocol):
    """An open file or object.

    Attributes:
        name: As people know it: the path below the manifest's folder, or the key.
        size: Its bytes.
        read_ahead: Bytes that are worth fetching at once when only some are asked for.
    """

    name: str
    size: int
    read_ahead: int

    def read_at(self, start: int, length: int) -> bytes:
        """A range of the bytes; short only at the end."""

    def check_unchanged(self) -> None:
        """Looks whether it still is what it was.

        Raises:
            InputError: Somebody wrote.
        """


def changed(name: str) -> InputError:
    """Our error for a source that somebody writes."""
    return InputError("the source changed while it was read", where=name, advice="run again on a file that nobody writes")


def unreadable(error: OSError, name: str) -> StorageError:
    """Our error for what the disk answered."""
    reason = error.strerror or "input/output error"
    return StorageError(f"the source can't be read: {reason}", where=name, advice="check its permissions")


def sha256_of(opened: Opened) -> str:
    """SHA-256 of the bytes, 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    start = 0
    while data := opened.read_at(start, opened.read_ahead):
        sha256.update(data)
        start += len(data)
    opened.check_unchanged()
    return sha256.hexdigest()


class LocalFile:
    """A file on a disk; it has no position, so that a reader may read ahead in the background."""

    read_ahead = 1 << 18

    def __init__(self, descriptor: int, name: str, mark: str) -> None:
        self._descriptor = descriptor
        self._mark = mark
        self.name = name
        self.size = os.fstat(descriptor).st_size

    def read_at(self, start: int, length: int) -> bytes:
        """A range of the bytes; short only at the end.

        Raises:
            StorageError: The disk does not answer.
        """
        parts: list[bytes] = []
        try:
            while length > 0 and (data := os.pread(self._descriptor, length, start)):
                parts.append(data)
                start += len(data)
                length -= len(data)
        except OSError as error:
            raise unreadable(error, self.name) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def check_unchanged(self) -> None:
        """Compares size and modification time with those when the source was opened.

        Raises:
            InputError: Somebody wrote.
        """
        if _mark(os.fstat(self._descriptor)) != self._mark:
            raise changed(self.name)


def local_state(folder: Path, name: str) -> tuple[str, int]:
    """What a file's state is told by, and its bytes.

    Raises:
        InputError: It is missing, not a file, or a link out of the folder.
        DataRefused: It is empty.
        StorageError: It can't be looked at.
    """
    descriptor = _open(folder, name)
    try:
        facts = os.fstat(descriptor)
        return _mark(facts), facts.st_size
    finally:
        os.close(descriptor)


@contextmanager
def open_local(folder: Path, name: str, mark: str) -> Iterator[LocalFile]:
    """Opens a file that must still be in a known state.

    Raises:
        InputError: It is in another state, missing, not a file, or a link out of the folder.
        DataRefused: It is empty.
        StorageError: It can't be read.
    """
    descriptor = _open(folder, name)
    try:
        opened = LocalFile(descriptor, name, mark)
        opened.check_unchanged()
        yield opened
    finally:
        os.close(descriptor)


def _mark(facts: os.stat_result) -> str:
    # No inode and no device: the same file has others where another host has mounted it.
    return f"{facts.st_size}:{facts.st_mtime_ns}"


def _open(folder: Path, name: str) -> int:
    path = inside(folder, name, "data.source")
    try:
        # O_NONBLOCK: a named pipe must not make the gate wait; it is refused below.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("the source does not exist", where=name, advice="check data.source; it is relative to the manifest") from None
    except OSError as error:
        raise unreadable(error, name) from None
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_size > 0:
        return descriptor
    os.close(descriptor)
    if stat.S_ISREG(facts.st_mode):
        raise DataRefused("the source is empty", where=name)
    raise InputError("the source is not a file", where=name, advice="name a .csv or a .parquet file")


class Seekable(io.RawIOBase):
    """A position in an open file or object, for readers that want one."""

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self._opened = opened
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        data = self._opened.read_at(self._position, self._opened.size - self._position if size is None or size < 0 else size)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Moves the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._opened.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True
