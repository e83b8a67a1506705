"""The bytes of a CSV on their way to the reader: with a tail behind the last one, and, where rows may be set aside, always as UTF-8.

pyarrow's reader can hand over a row that it can't use only as text. So a byte that is not UTF-8 is written as two of Unicode's
noncharacters (Unicode 16, section 23.7: for a program's own use, not for interchange), by which the row is found, and turned back.
"""

from __future__ import annotations

import codecs
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyarrow import csv

from prefect_gatehouse.data.sources.unpack import Bytes

# U+FDD0 to U+FDDF stand for the first half of a byte, U+FDE0 to U+FDEF for the second.
_HIGH, _LOW = 0xFDD0, 0xFDE0
_SURROGATES = re.compile(r"[\udc80-\udcff]")
MARKED = "[\ufdd0-\ufddf][\ufde0-\ufdef]"
"""What stands for a byte that was not UTF-8."""
_MARKED = re.compile(MARKED)

_BLOCK = 1 << 20
# Blocks that the reader may be ahead of whoever takes its batches; it needs one more than it is working on.
_AHEAD = 4
# How long it waits for somebody to take a batch before it looks whether he waits for it.
_PATIENCE = 0.02
# A reader that was begun always comes back for more within moments; the bound only keeps a defect of its library from hanging the run.
_LAST_READ = 5.0
# Where the first block was wrong, no reader was made, and its thread has either ended already or comes once more, at once.
_FAILED = 0.5

# Seconds between two looks at a thread that is about to leave.
_MOMENT = 0.0005

# The library's thread may be the last to let go of an input, and then needs the interpreter: these are held until it surely has.
_held: deque[object] = deque(maxlen=32)


def marked(text: str) -> str:
    """Text whose undecodable bytes are surrogates (PEP 383), with marks in their place."""
    return _SURROGATES.sub(lambda found: chr(_HIGH + (ord(found[0]) >> 4 & 15)) + chr(_LOW + (ord(found[0]) & 15)), text)


def unmarked(text: str) -> bytes:
    """The bytes that a marked text stands for."""
    plain = _MARKED.sub(lambda found: chr(0xDC00 | (ord(found[0][0]) - _HIGH) << 4 | (ord(found[0][1]) - _LOW)), text)
    return plain.encode("utf-8", "surrogateescape")


class _Ended:
    """What is left of a text that was read."""

    def __init__(self, position: int) -> None:
        self.position = position

    def read(self, size: int) -> bytes:
        return b""


class _Thread:
    """The library's thread that reads: the input as it knows it. Whatever the library closes, it closes nothing of ours."""

    closed = False

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._ident = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        self._ident = threading.get_ident()
        return self._read(size)

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """No."""
        return False

    def seekable(self) -> bool:
        """No."""
        return False

    def close(self) -> None:
        """Nothing."""

    def in_python(self) -> bool:
        """Whether it is still on its way out of ``read``."""
        frame = sys._current_frames().get(self._ident)  # noqa: SLF001 - documented; the underscore says that it is CPython's
        while frame is not None:
            # The library shares its threads: this one may be reading another file by now.
            if frame.f_locals.get("self") is self:
                return True
            frame = frame.f_back
        return False


class CsvInput:
    """The text of a CSV with bytes appended, as one CSV reader's input.

    pyarrow reads ahead in a thread of its own, and nothing ends that thread but the end of its input. One that still calls into Python
    when the interpreter ends takes the whole process with it (SIGABRT). So the thread is kept within a few blocks of whoever takes the
    batches, where it waits inside ``read``, and ``close`` returns when it has been told that this was the end.

    Args:
        source: The text.
        tail: Bytes behind its last one.
        marking: Mark what is not UTF-8.
        first: Bytes of the text that are left out.
    """

    def __init__(self, source: Bytes, tail: bytes, *, marking: bool, first: int = 0) -> None:
        self._source: Bytes = source
        self._tail = tail
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape") if marking else None
        self._left_out = first
        self._waiting = b""
        self._ended = False
        self._line_end = True  # the last byte was one, or there was none
        self._turn = threading.Condition()
        self._ahead = 0
        self._wanted = True  # somebody waits for a batch
        self._busy = False
        self._reader: csv.CSVStreamingReader | None = None
        self._begun = False  # the reader has a thread
        self._over = False  # the reader knows that there is no more
        self._thread = _Thread(self.read)
        self._failure: Exception | None = None
        self.closed = False
        self.marked_any = False

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        return self._source.position

    def batches(self, opened: Callable[[pa.NativeFile], csv.CSVStreamingReader]) -> Iterator[pa.RecordBatch]:
        """What a reader makes of the input.

        Args:
            opened: Makes the reader.
        """
        plain = pa.PythonFile(self._thread, mode="r")
        # Without it the library's threads would hold Python's own bytes, and each would come for the interpreter to let go of them.
        file = pa.BufferedInputStream(plain, _BLOCK)
        _held.extend((plain, file))
        try:
            self._reader = opened(file)
            while self._reader is not None:
                self._want(True)
                try:
                    batch = self._reader.read_next_batch()
                except StopIteration:
                    break
                finally:
                    self._want(False)
                self._raise_failure()
                yield batch
        except pa.ArrowException:
            self._raise_failure()
            raise
        self._raise_failure()

    def _raise_failure(self) -> None:
        """An error of the file's, which to the reader was only its end."""
        if self._failure is not None:
            raise self._failure

    def _want(self, wanted: bool) -> None:
        with self._turn:
            self._wanted, self._ahead = wanted, 0
            self._turn.notify_all()

    def read(self, size: int) -> bytes:
        """The next bytes, for the reader's thread; short only at the very end."""
        with self._turn:
            self._begun = True
            while not self.closed and self._ahead >= _AHEAD:
                # Blocks without a row make no batch.
                if not self._turn.wait(_PATIENCE) and self._wanted:
                    break
            if self.closed:
                self._is_over()
                return b""
            self._ahead += 1
            self._busy = True
        data = b""
        try:
            data = self._filled(size)
        except Exception as error:  # noqa: BLE001 - for whoever takes the batches: the library's thread would keep it, and need the interpreter
            self._failure = error
        finally:
            with self._turn:
                self._busy = False
                if not data:
                    self._is_over()
                self._turn.notify_all()
        return data

    def _is_over(self) -> None:
        self._over = True
        self._turn.notify_all()

    def _filled(self, size: int) -> bytes:
        parts = [self._waiting]
        missing = size - len(self._waiting)
        while missing > 0 and not self._ended:
            data = self._next(missing)
            parts.append(data)
            missing -= len(data)
        whole = parts[1] if len(parts) == 2 and not parts[0] else b"".join(parts)
        # Marks are longer than what they stand for, and a reader takes no byte more than it asked for.
        self._waiting = whole[size:]
        return whole[:size] if self._waiting else whole

    def _next(self, size: int) -> bytes:
        data = self._source.read(size)
        if not data:
            self._ended = True
            # The line end before the tail closes the last row; where that is closed it would make an empty one.
            data = self._tail.lstrip(b"\n") if self._line_end else self._tail
        else:
            cut = min(self._left_out, len(data))
            self._left_out -= cut
            data = data[cut:]
            self._line_end = data.endswith((b"\n", b"\r")) if data else self._line_end
        if self._decoder is None:
            return data
        text = self._decoder.decode(data, self._ended)
        try:
            return text.encode()
        except UnicodeEncodeError:
            self.marked_any = True
            return marked(text).encode()

    def close(self) -> None:
        """Ends the reading, and waits until the reader knows; the file itself belongs to whoever opened it."""
        with self._turn:
            self.closed = True
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._busy)
            if self._begun:
                self._turn.wait_for(lambda: self._over, _FAILED if self._reader is None else _LAST_READ)
        # It has been told, and may not have gone yet.
        until = time.monotonic() + _LAST_READ
        while self._thread.in_python() and time.monotonic() < until:
            time.sleep(_MOMENT)
        # Not before: a reader that is given up waits for its thread, and the thread would wait here for its turn.
        self._reader = None
        self._source, self._waiting, self._tail = _Ended(self._source.position), b"", b""
