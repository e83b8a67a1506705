"""Temporary files of a run: what does not fit into memory, in frames of AES-256-GCM (NIST SP 800-38D).

They lie beside the run's artifacts, so that whatever cleans the run up finds them. Each file has a key of its own, derived from the
run's key and the file's random name, so the frame's number can be the nonce; name and number are the associated data: a frame that was
moved, repeated or taken from another file does not open. Nothing is synced: after a crash the work starts over.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from prefect_gatehouse.errors import StorageError, Tampered
from prefect_gatehouse.files import open_new, safe_name, sync_folder
from prefect_gatehouse.store.run_keys import RunKey
from prefect_gatehouse.tokens.keys import derive_key

_PREFIX = ".spill."
_NONCE_BYTES, _TAG_BYTES = 12, 16
# Bytes of a write: the kernel takes a megabyte at once in a little over half of the time that frames of 64 KiB take one by one.
_WRITE = 1 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """Where one frame lies.

    Attributes:
        number: The frame's number within its file.
        offset: Of its ciphertext.
        length: Of its ciphertext.
    """

    number: int
    offset: int
    length: int

    @property
    def size(self) -> int:
        """Bytes of what was written."""
        return self.length - _TAG_BYTES


class SpillFolder:
    """The temporary files of one run.

    Args:
        root: The artifact store's folder.
        run_id: The run.
        key: The run's key.
        token: Names the piece of work that they belong to; a process that was superseded must not remove those of the next one.
    """

    def __init__(self, root: Path, run_id: str, key: RunKey, token: str) -> None:
        self._folder = root / safe_name(run_id, "the run id")
        self._key = key
        self._own = f"{_PREFIX}{safe_name(token, 'the name of the work')}."

    def create(self) -> SpillWriter:
        """A new file.

        Raises:
            StorageError: It can't be made.
        """
        name = f"{self._own}{secrets.token_hex(16)}"
        with _storage(name):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return SpillWriter(os.fdopen(open_new(self._folder / name), "wb", buffering=0), name, self._cipher(name))

    def open(self, name: str) -> SpillReader:
        """A file that somebody has written.

        Raises:
            StorageError: It is gone or can't be read.
        """
        with _storage(name):
            descriptor = os.open(self._folder / self._checked(name), os.O_RDONLY | os.O_NOFOLLOW)
            return SpillReader(os.fdopen(descriptor, "rb", buffering=0), name, self._cipher(name))

    def remove(self, *names: str) -> None:
        """Removes files, if they are there.

        Raises:
            StorageError: One can't be removed.
        """
        for name in names:
            with _storage(name):
                (self._folder / self._checked(name)).unlink(missing_ok=True)

    def clear(self, *, others: bool = False) -> None:
        """Removes every file of this piece of work, and the folder if nothing else is in it.

        Args:
            others: Remove those of other pieces of work as well: of attempts that died or were superseded.

        Raises:
            StorageError: One can't be removed.
        """
        pattern = _PREFIX if others else self._own
        with _storage(pattern):
            found = list(self._folder.glob(f"{pattern}*"))
            for path in found:
                path.unlink(missing_ok=True)
            if found:
                sync_folder(self._folder)
            with suppress(OSError):  # not empty, or not there
                self._folder.rmdir()

    def _cipher(self, name: str) -> AESGCM:
        return AESGCM(derive_key(self._key.parquet_key(), 32, ("gatehouse spill", name)))

    @staticmethod
    def _checked(name: str) -> str:
        for part in name.removeprefix(_PREFIX).split("."):
            safe_name(part, "the name of the temporary file")
        return name


class SpillWriter:
    """Appends frames to a new file; use it as a context manager, which closes it."""

    def __init__(self, stream: BinaryIO, name: str, cipher: AESGCM) -> None:
        self.name = name
        self._stream = stream
        self._cipher = cipher
        self._number = 0
        self._offset = 0
        self._sealed = bytearray()

    def append(self, data: bytes | memoryview | pa.Buffer) -> Frame:
        """Writes one frame.

        Raises:
            StorageError: The disk is full or fails.
        """
        return self.append_all((data,))[0]

    def append_all(self, frames: Iterable[bytes | memoryview | pa.Buffer]) -> list[Frame]:
        """Writes one frame behind the other.

        Raises:
            StorageError: The disk is full or fails.
        """
        written, held = [], 0
        for data in frames:
            view = memoryview(data).cast("B")
            size = view.nbytes + _TAG_BYTES
            if held + size > len(self._sealed):
                self._write(held)
                held = 0
                if size > len(self._sealed):
                    self._sealed = bytearray(max(size, _WRITE))
            sealed = memoryview(self._sealed)[held : held + size]
            self._cipher.encrypt_into(self._number.to_bytes(_NONCE_BYTES, "big"), view, _about(self.name, self._number), sealed)
            written.append(Frame(self._number, self._offset, size))
            self._number += 1
            self._offset += size
            held += size
        self._write(held)
        return written

    def _write(self, size: int) -> None:
        rest = memoryview(self._sealed)[:size]
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError as error:
            raise _failed(error, self.name) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with _storage(self.name):
            self._stream.close()


class SpillReader:
    """Reads frames in any order; use it as a context manager, which closes it."""

    def __init__(self, stream: BinaryIO, name: str, cipher: AESGCM) -> None:
        self.name = name
        self._stream = stream
        self._cipher = cipher
        self._sealed = bytearray()

    def read(self, frame: Frame) -> bytearray:
        """What was written as this frame.

        Raises:
            StorageError: The file can't be read.
            Tampered: It does not hold this frame, whole and unchanged.
        """
        data = bytearray(max(0, frame.size))
        self.read_into(frame, memoryview(data))
        return data

    def read_into(self, frame: Frame, data: memoryview) -> None:
        """What was written as this frame, into memory of its size.

        Raises:
            StorageError: The file can't be read.
            Tampered: It does not hold this frame, whole and unchanged; the memory then holds nothing that may be used.
        """
        if len(self._sealed) < frame.length:
            self._sealed = bytearray(frame.length)
        sealed = memoryview(self._sealed)[: frame.length]
        try:
            found = os.preadv(self._stream.fileno(), [sealed], frame.offset)
        except OSError as error:
            raise _failed(error, self.name) from None
        try:
            self._cipher.decrypt_into(frame.number.to_bytes(_NONCE_BYTES, "big"), sealed[:found], _about(self.name, frame.number), data)
        except (InvalidTag, ValueError):
            raise Tampered("a temporary file of the run was changed", where=self.name, advice="resume the run; it starts the gate over") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()


def _about(name: str, number: int) -> bytes:
    return b"%b:%d" % (name.encode(), number)


@contextmanager
def _storage(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _failed(error, name) from None


def _failed(error: OSError, name: str) -> StorageError:
    if isinstance(error, FileNotFoundError):
        return StorageError("a temporary file of the run is gone", where=name, advice="resume the run; it starts the gate over")
    return StorageError(
        f"a temporary file of the run can't be written or read: {error.strerror or 'input/output error'}",
        where=name,
        advice="check the disk and the permissions below GATEHOUSE_HOME, then resume the run",
    )
