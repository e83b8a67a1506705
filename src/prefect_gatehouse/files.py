"""Names that stay inside their folder, and writes that survive a power cut (POSIX fsync and rename)."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
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


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """A new file, whole and durable before it has its name: of several writers the first wins, and nobody reads half of it.

    Args:
        path: Its name; link(2) does not replace what is there.
        content: All of it.
        mode: Who may read it.

    Raises:
        FileExistsError: There is a file of this name.
        OSError: The disk does not take it.
    """
    with _whole(path, content, mode) as partial:
        os.link(partial, path)
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Puts a whole and durable file in the place of what may be there (rename(2)).

    Raises:
        OSError: The disk does not take it; what was there is there still.
    """
    with _whole(path, content, mode) as partial:
        partial.replace(path)
    sync_folder(path.parent)


@contextmanager
def _whole(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """The content under a hidden name that nobody else has."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


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


def inside(folder: Path, relative: str, field: str) -> Path:
    """A path below a folder.

    Raises:
        InputError: The path leads out of the folder, also by a link.
    """
    try:
        base = folder.resolve()
        path = (base / relative).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, a NUL
        raise InputError("the path can't be followed", where=field, advice="correct the path") from None
    if Path(relative).is_absolute() or not path.is_relative_to(base):
        raise InputError("the path leads out of the manifest's folder", where=field, advice="keep the file beside the manifest")
    return path
