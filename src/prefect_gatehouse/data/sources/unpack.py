"""The bytes of a source one after the other, unpacked where it is compressed (RFC 1952, bzip2, xz, RFC 8878): all members, to the last byte."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa

from prefect_gatehouse.data.sources.kinds import HEAD, Compression, compression_of
from prefect_gatehouse.data.sources.opened import Opened, Seekable
from prefect_gatehouse.errors import InputError

# Tables of numbers and categories become 3 to 50 times smaller. Far beyond that somebody wants to fill a disk, or should say that it is right.
_MOST_TIMES, _FREE = 300, 1 << 26
_COPY = "copy the file again, and test it with the program that compressed it"


class Bytes(Protocol):
    """Bytes that come once, in order."""

    @property
    def position(self) -> int:
        """Bytes of the file that were taken so far."""

    def read(self, size: int) -> bytes:
        """At most so many; none only at the end."""


class Plain:
    """A file as it is."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.position = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data = self._opened.read_at(self.position, size)
        self.position += len(data)
        return data


class _Decompressor(Protocol):
    """What zlib, bz2 and lzma have in common here: one member each."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def hungry(self) -> bool:
        """Whether it has given all that it can without more bytes."""

    def decompress(self, data: bytes, most: int) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)  # 15 bits of window and a gzip header

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    @property
    def hungry(self) -> bool:
        return not self._member.unconsumed_tail

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._member.decompress(self._member.unconsumed_tail + data, most)


class _Other:
    def __init__(self, member: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._member = member

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    @property
    def hungry(self) -> bool:
        return self._member.needs_input

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._member.decompress(data, most)


_MEMBERS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": _Gzip,
    "bzip2": lambda: _Other(bz2.BZ2Decompressor()),
    # Bounded: an xz file may ask for gigabytes of window.
    "xz": lambda: _Other(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28)),
}


class Unpacked:
    """A file of one or more compressed members."""

    def __init__(self, opened: Opened, compression: Compression) -> None:
        self._opened = opened
        self._compression = compression
        self._begin = _MEMBERS[compression]
        self._member: _Decompressor | None = None
        self._waiting = b""
        self.position = 0

    def read(self, size: int) -> bytes:
        """The next bytes of what was compressed.

        Raises:
            InputError: The file is damaged or cut off.
        """
        try:
            while True:
                if self._member is None and not self._next_member():
                    return b""
                assert self._member is not None  # just made
                data = self._member.decompress(self._waiting, size)
                self._waiting = b""
                if self._member.eof:
                    self._waiting, self._member = self._member.unused_data, None
                elif self._member.hungry and not data:
                    self._waiting = self._taken()
                    if not self._waiting:
                        raise InputError(f"the {self._compression} data ends too early", where=self._opened.name, advice=_COPY)
                if data:
                    return data
        except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError):
            raise InputError(f"the {self._compression} data is damaged", where=self._opened.name, advice=_COPY) from None

    def _next_member(self) -> bool:
        # Tapes and block devices pad with zeros, which gzip itself passes over; no member begins with one.
        self._waiting = self._waiting.lstrip(b"\0")
        while not self._waiting:
            data = self._taken()
            if not data:
                return False
            self._waiting = data.lstrip(b"\0")
        self._member = self._begin()
        return True

    def _taken(self) -> bytes:
        data = self._opened.read_at(self.position, self._opened.read_ahead)
        self.position += len(data)
        return data


class _Watched(Seekable):
    """Tells how far a native reader came."""

    def __init__(self, opened: Opened, told: Callable[[int], None]) -> None:
        super().__init__(opened)
        self._told = told

    def read(self, size: int = -1, /) -> bytes:
        data = super().read(size)
        self._told(self.tell())
        return data

    def seekable(self) -> bool:
        return False


class Zstandard:
    """A file of Zstandard frames; Arrow reads them, Python's own library can't yet."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self.position = 0
        self._file = pa.CompressedInputStream(pa.PythonFile(_Watched(opened, self._at), mode="r"), "zstd")

    def _at(self, position: int) -> None:
        self.position = position

    def read(self, size: int) -> bytes:
        """The next bytes of what was compressed."""
        try:
            data: bytes = self._file.read(size)
        except (pa.ArrowException, OSError) as error:
            what = "ends too early" if "Truncated" in str(error) else "is damaged"
            raise InputError(f"the Zstandard data {what}", where=self._opened.name, advice=_COPY) from None
        return data


class _Bounded:
    """Bytes that are refused when they grow out of all proportion to the file."""

    def __init__(self, inner: Bytes, name: str) -> None:
        self._inner = inner
        self._name = name
        self._given = 0

    @property
    def position(self) -> int:
        return self._inner.position

    def read(self, size: int) -> bytes:
        data = self._inner.read(size)
        self._given += len(data)
        if self._given > _FREE and self._given > _MOST_TIMES * self._inner.position:
            message = f"it unpacks to more than {_MOST_TIMES} times its bytes"
            raise InputError(message, where=self._name, advice="unpack it yourself, if that is right")
        return data


def bytes_of(opened: Opened) -> tuple[Bytes, Compression | None]:
    """A file's bytes from the first on, unpacked, and how it was compressed."""
    compression = compression_of(opened.read_at(0, HEAD))
    if compression is None:
        return Plain(opened), None
    return _Bounded(Zstandard(opened) if compression == "Zstandard" else Unpacked(opened, compression), opened.name), compression


def head_of(opened: Opened, size: int = HEAD) -> tuple[bytes, Compression | None]:
    """The first bytes of what a file holds, unpacked.

    Raises:
        InputError: The file is damaged, or compressed twice.
    """
    source, compression = bytes_of(opened)
    head = filled(source, size)
    if compression is not None and compression_of(head) is not None:
        raise InputError("the source is compressed twice", where=opened.name, advice="unpack it once")
    return head, compression


def filled(source: Bytes, size: int) -> bytes:
    """So many bytes; fewer only at the end."""
    parts = []
    while size > 0 and (data := source.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
