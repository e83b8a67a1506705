"""The text of a CSV as UTF-8, whatever its encoding and compression; a byte that is no text of its encoding stays one that is no UTF-8.

So one reader finds the row in every encoding: pyarrow's, which refuses what is not UTF-8 by its row.
"""

from __future__ import annotations

import codecs

from prefect_gatehouse.data.sources.kinds import Compression, check_text, compression_of, format_of, wide_encoding
from prefect_gatehouse.data.sources.opened import Opened
from prefect_gatehouse.data.sources.unpack import Bytes, bytes_of, filled
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.csv_form import CsvForm

_ERRORS = "gatehouse-no-text"
_PIECE = 1 << 18


def _no_text(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    # A lone surrogate, which PEP 383 writes as the byte 0xFF.
    return "\udcff" * (error.end - error.start), error.end


codecs.register_error(_ERRORS, _no_text)


class Recoded:
    """Bytes of one encoding as UTF-8."""

    def __init__(self, inner: Bytes, codec: str) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder(codec)(_ERRORS)
        self._ended = False

    @property
    def position(self) -> int:
        """Bytes of the file that were taken."""
        return self._inner.position

    def read(self, size: int) -> bytes:
        """The next piece of text; at most three times as long as the bytes asked for, which the caller keeps."""
        while not self._ended:
            data = self._inner.read(min(size, _PIECE))
            self._ended = not data
            text = self._decoder.decode(data, self._ended)
            if text:
                return text.encode("utf-8", "surrogateescape")
        return b""


def text_of(opened: Opened, form: CsvForm) -> tuple[Bytes, Compression | None]:
    """A file's text from its first byte on, with its byte order mark."""
    data, compression = bytes_of(opened)
    return (data if form.codec == "utf-8" else Recoded(data, form.codec)), compression


def check_form(head: bytes, compressed: bool, form: CsvForm, name: str) -> None:
    """Looks at a file's first bytes, unpacked: whether they are the CSV that the form says.

    Raises:
        InputError: They are another kind of file, or text of another encoding.
    """
    if compressed and compression_of(head) is not None:
        raise InputError("the source is compressed twice", where=name, advice="unpack it once")
    if format_of(head, name) == "parquet":
        raise InputError("the source is Parquet and compressed as a whole", where=name, advice="unpack it; Parquet compresses its columns itself")
    wide = wide_encoding(head)
    family = form.encoding[:6] if form.encoding.startswith(("utf-16", "utf-32")) else None
    if family is None:
        check_text(head, name)
    elif wide is None or not wide.startswith(family):
        told = f"it is {wide.upper()}" if wide else "its bytes don't look so"
        advice = f"set data.csv.encoding: {wide}" if wide else "correct data.csv.encoding"
        raise InputError(f"the text is not {form.encoding.upper()}: {told}", where=name, advice=advice)
    elif form.encoding == family and wide != family:
        message = f"the text is {wide.upper()} without a byte order mark, which {family.upper()} needs"
        raise InputError(message, where=name, advice=f"set data.csv.encoding: {wide}")


def first_text(opened: Opened, form: CsvForm, size: int) -> tuple[bytes, bool]:
    """The first so many bytes of the text, and whether they are all.

    Raises:
        InputError: The file is damaged.
    """
    text, _ = text_of(opened, form)
    data = filled(text, size + 1)
    return data[:size], len(data) <= size
