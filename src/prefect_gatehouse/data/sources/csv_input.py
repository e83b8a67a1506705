"""The bytes of a CSV on their way to the reader: with a tail behind the last one, and, where rows may be set aside, always as UTF-8.

pyarrow's reader can hand over a row that it can't use only as text. So a byte that is not UTF-8 is written as two of Unicode's
noncharacters (Unicode 16, section 23.7: for a program's own use, not for interchange), by which the row is found, and turned back.
"""

from __future__ import annotations

import codecs
import re

from prefect_gatehouse.data.sources.opened import Opened

# U+FDD0 to U+FDDF stand for the first half of a byte, U+FDE0 to U+FDEF for the second.
_HIGH, _LOW = 0xFDD0, 0xFDE0
_SURROGATES = re.compile(r"[\udc80-\udcff]")
MARKED = "[\ufdd0-\ufddf][\ufde0-\ufdef]"
"""What stands for a byte that was not UTF-8."""
_MARKED = re.compile(MARKED)


def marked(text: str) -> str:
    """Text whose undecodable bytes are surrogates (PEP 383), with marks in their place."""
    return _SURROGATES.sub(lambda found: chr(_HIGH + (ord(found[0]) >> 4 & 15)) + chr(_LOW + (ord(found[0]) & 15)), text)


def unmarked(text: str) -> bytes:
    """The bytes that a marked text stands for."""
    plain = _MARKED.sub(lambda found: chr(0xDC00 | (ord(found[0][0]) - _HIGH) << 4 | (ord(found[0][1]) - _LOW)), text)
    return plain.encode("utf-8", "surrogateescape")


class CsvInput:
    """A file or object with bytes appended, as one CSV reader's input.

    It has a position of its own: a reader reads ahead in the background, also one that nobody listens to any more.

    Args:
        opened: The file or object.
        tail: Bytes behind its last one.
        marking: Mark what is not UTF-8.
    """

    def __init__(self, opened: Opened, tail: bytes, *, marking: bool) -> None:
        self._opened = opened
        self._tail = tail
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape") if marking else None
        self._waiting = b""
        self._ended = False
        self.position = 0
        self.closed = False
        self.marked_any = False

    def read(self, size: int) -> bytes:
        """The next bytes; short only at the very end, because the header must fit the first block."""
        if self.closed:
            return b""
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
        data = self._opened.read_at(self.position, size)
        self.position += len(data)
        if not data:
            self._ended = True
            data = self._tail
        if self._decoder is None:
            return data
        text = self._decoder.decode(data, self._ended)
        try:
            return text.encode()
        except UnicodeEncodeError:
            self.marked_any = True
            return marked(text).encode()

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
        """Ends the reading; the file itself belongs to whoever opened it."""
        self.closed = True
