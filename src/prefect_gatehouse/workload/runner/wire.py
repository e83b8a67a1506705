"""The pipe between a run and its cell: frames of a type, a length and that many bytes, each type with a limit.

    1 byte   type
    8 bytes  length, big endian
    n bytes  JSON (of files, a line of it and then their bytes), an Arrow IPC stream (``table_form``), or the plain form of circuits
             (``workload/plain_form``)

A run sends what to load, then parameters and features, then the counts of each round; a cell says that it stands, then answers each with
circuits, a frame or a fault. One that imports before there is a workload may be asked to draw circuits until it is told what to load. Nothing that
comes out of a cell is unpickled or evaluated, or shown once the workload is there: what is not in this form ends the workload.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from enum import IntEnum


class Kind(IntEnum):
    """The types of frames: those into a cell, and those out of it."""

    LOAD = 1
    PARAMETERS = 2
    FEATURES = 3
    COUNTS = 4
    DRAW = 5
    READY = 16
    CIRCUITS = 17
    FRAME = 18
    FAULT = 19
    DRAWN = 20


HEAD = struct.Struct(">BQ")
LIMITS = {Kind.READY: 0, Kind.CIRCUITS: 1 << 29, Kind.FRAME: 1 << 28, Kind.FAULT: 1 << 14, Kind.DRAWN: 1 << 20}
"""The most bytes of each type that a run takes out of a cell."""


class NotInForm(Exception):
    """Bytes that are no frame, or a frame that holds something else than it should."""


def frame(kind: Kind, content: bytes) -> Iterator[bytes]:
    """A frame in pieces."""
    yield HEAD.pack(kind, len(content))
    yield content


def read_head(head: bytes) -> tuple[Kind, int]:
    """Type and length of a frame out of a cell.

    Raises:
        NotInForm: No such type comes out of a cell, or it is too long.
    """
    number, length = HEAD.unpack(head)
    limit = LIMITS.get(number)
    if limit is None or length > limit:
        raise NotInForm
    return Kind(number), length


def send(descriptor: int, kind: Kind, content: bytes) -> None:
    """Writes a frame; waits until it is taken."""
    for piece in frame(kind, content):
        view = memoryview(piece)
        while view:
            view = view[os.write(descriptor, view) :]


def receive(descriptor: int) -> tuple[Kind, bytes] | None:
    """Waits for the next frame into a cell; None at the end."""
    head = _exactly(descriptor, HEAD.size)
    if head is None:
        return None
    number, length = HEAD.unpack(head)
    content = _exactly(descriptor, length)
    return None if content is None else (Kind(number), content)


def _exactly(descriptor: int, length: int) -> bytes | None:
    found = bytearray()
    while len(found) < length:
        piece = os.read(descriptor, min(length - len(found), 1 << 20))
        if not piece:
            return None
        found += piece
    return bytes(found)
