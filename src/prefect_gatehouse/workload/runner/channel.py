"""A run's end of the pipe: sends, receives, and lets what the workload writes to its streams run into nothing, counted, all at once.

A cell may say anything at any time, or nothing. So no side ever waits for the other to be done: whoever fills a pipe meets a limit or the clock.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

from prefect_gatehouse.workload.runner.wire import HEAD, Kind, NotInForm, read_head

_PIECE = 1 << 18


class Ended(Exception):
    """The process closed its pipe."""


class TooLong(Exception):
    """It did not answer in time."""


class Channel:
    """What connects a run with a process.

    Args:
        process: Its standard output and error are pipes.
        to: The end that is written.
        out_of: The end that is read.
    """

    def __init__(self, process: subprocess.Popen[bytes], to: int, out_of: int) -> None:
        self._to, self._out_of = to, out_of
        self._open = {to, out_of}
        self._received = bytearray()
        self._waiting: deque[memoryview] = deque()
        self._streams: dict[int, _Stream] = {}
        self._selector = selectors.DefaultSelector()
        for stream in (process.stdout, process.stderr):
            assert stream is not None  # they are pipes
            self._streams[stream.fileno()] = _Stream(stream)
        for descriptor in (to, out_of, *self._streams):
            os.set_blocking(descriptor, False)
        for descriptor in (out_of, *self._streams):
            self._selector.register(descriptor, selectors.EVENT_READ)

    @property
    def lines(self) -> int:
        """Lines that were written to the streams, the last one with or without its end."""
        return sum(stream.lines + stream.partial for stream in self._streams.values())

    def queue(self, pieces: Iterable[bytes]) -> None:
        """What is to be sent; as much as the pipe takes is sent at once."""
        if not self._waiting:
            self._selector.register(self._to, selectors.EVENT_WRITE)
        self._waiting.extend(memoryview(piece) for piece in pieces if piece)
        self._send()

    def receive(self, seconds: float) -> tuple[Kind, bytes]:
        """Waits for the next frame; meanwhile sends what is queued.

        Raises:
            Ended: The process closed its end.
            TooLong: It sent none in so many seconds.
            NotInForm: What it sent is no frame.
        """
        until = time.monotonic() + seconds
        while True:
            found = self._whole()
            if found is not None:
                return found
            left = until - time.monotonic()
            if left <= 0:
                raise TooLong
            for key, _ in self._selector.select(min(left, 1.0)):
                self._serve(key.fd)

    def says(self) -> Kind | None:
        """Of what kind the next frame is, if it has come by now; what is wrong with it, whoever receives it is told."""
        with suppress(Ended, NotInForm):
            for key, _ in self._selector.select(0):
                self._serve(key.fd)
        with suppress(NotInForm):
            if len(self._received) >= HEAD.size:
                return read_head(bytes(self._received[: HEAD.size]))[0]
        return None

    def quiet(self) -> None:
        """Takes what the streams hold now.

        Raises:
            NotInForm: There is more in the pipe than was asked for.
        """
        for key, _ in self._selector.select(0):
            if key.fd in self._streams:
                self._drain(key.fd)
        if self._received:
            raise NotInForm

    def close(self) -> None:
        """Closes this side."""
        self._selector.close()
        for descriptor in self._open:
            os.close(descriptor)
        self._open = set()
        for stream in self._streams.values():
            stream.pipe.close()

    def _whole(self) -> tuple[Kind, bytes] | None:
        if len(self._received) < HEAD.size:
            return None
        kind, length = read_head(bytes(self._received[: HEAD.size]))
        end = HEAD.size + length
        if len(self._received) < end:
            return None
        content = bytes(memoryview(self._received)[HEAD.size : end])
        del self._received[:end]
        return kind, content

    def _serve(self, descriptor: int) -> None:
        if descriptor == self._to:
            self._send()
        elif descriptor == self._out_of:
            piece = _read(descriptor)
            if piece == b"":
                raise Ended
            self._received += piece or b""
        else:
            self._drain(descriptor)

    def _drain(self, descriptor: int) -> None:
        piece = _read(descriptor)
        if piece == b"":
            self._selector.unregister(descriptor)
        elif piece:
            self._streams[descriptor].count(piece)

    def _send(self) -> None:
        try:
            while self._waiting:
                piece = self._waiting[0]
                sent = os.write(self._to, piece[:_PIECE])
                if sent == len(piece):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = piece[sent:]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._waiting.clear()  # that it ended shows at the other pipe, after what it said
        self._selector.unregister(self._to)


class _Stream:
    """A standard stream, of which only the lines are counted."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe = pipe
        self.lines = 0
        self.partial = False

    def count(self, piece: bytes) -> None:
        self.lines += piece.count(b"\n")
        self.partial = not piece.endswith(b"\n")


def _read(descriptor: int) -> bytes | None:
    """What there is, empty at the end, None if there is nothing yet."""
    try:
        return os.read(descriptor, _PIECE)
    except BlockingIOError:
        return None
