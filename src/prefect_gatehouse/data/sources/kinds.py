"""What a file is, judged by its first bytes and not by its name: the signatures are those that each format's own definition has."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from prefect_gatehouse.errors import InputError

HEAD = 1 << 12
"""Bytes that are enough to judge by."""

Format = Literal["csv", "parquet"]
Compression = Literal["gzip", "bzip2", "xz", "Zstandard"]

_COMPRESSIONS: tuple[tuple[bytes, Compression], ...] = (
    (rb"\x1f\x8b\x08", "gzip"),
    (rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)", "bzip2"),
    (rb"\xfd7zXZ\x00", "xz"),
    (rb"(?:\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)", "Zstandard"),
)
_UNPACK = "unpack it, and name the file in it"
_EXPORT = "save it as CSV (UTF-8) or Parquet"
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK\x03\x04.{0,4000}\bxl/", "an Excel workbook", _EXPORT),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", "an OpenDocument file", _EXPORT),
    (rb"PK\x03\x04.{26}\[Content_Types\]\.xml", "an Office document, perhaps an Excel workbook", _EXPORT),
    (rb"PK\x03\x04.{26}[^\n]{1,200}\.npy", "a NumPy archive", _EXPORT),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "a zip archive", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"\x1f\x9d|LZIP[\x00\x01]|\x04\x22\x4d\x18|\xff\x06\x00\x00sNaPpY", "compressed in a way that is not read", "compress it with gzip"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook or another Office document", _EXPORT),
    (rb"ORC(?=.{0,64}[\x00-\x08])", "an ORC file", _EXPORT),
    (rb"ARROW1\x00\x00|FEA1(?=.{0,64}\x00)|\xff\xff\xff\xff.{3}\x00", "an Arrow IPC or Feather file", "save it as Parquet"),
    (rb"Obj\x01", "an Avro file", "save it as Parquet"),
    (rb"SQLite format 3\x00", "an SQLite database", "read it by a query: {sql: ..., system: ...}"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", _EXPORT),
    (rb"\x93NUMPY", "a NumPy array", _EXPORT),
    (rb"\x80[\x02-\x05][\x95\x8c\x63\x7d\x5d\x28\x4b\x58]", "a Python pickle", "pickles run code when they are read: " + _EXPORT),
    (rb"RD[AX][234]\n|X\n\x00\x00\x00", "an R data file", _EXPORT),
    (rb"\$FL[23]@", "an SPSS file", _EXPORT),
    (rb"<stata_dta>|[\x69-\x73][\x01\x02]\x01\x00", "a Stata file", _EXPORT),
    (rb"%PDF-", "a PDF document", _EXPORT),
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a", "an image", _EXPORT),
    (rb"\x7fELF", "a program", "name the file that holds the data"),
    (rb"-----BEGIN |age-encryption\.org/|Salted__", "encrypted, or a key", "decrypt it where it may be read"),
    (rb"version https://git-lfs\.github\.com/spec/", "a pointer of Git LFS, not the data", "fetch the data: git lfs pull"),
    (rb"(?i:\s*(?:<!doctype html|<html|<head|<body))", "a web page, perhaps of an error or a sign-in", "fetch the file itself"),
    (rb"\s*<\?xml|\s*<[A-Za-z][\w:.-]*[\s>][^,;\t]*</", "an XML document", _EXPORT),
    (rb"\s*(?:\{\s*\"[^\"]*\"\s*:|\[\s*[\[{]|\{\s*\}|\[\s*\])", "JSON", _EXPORT),
    (rb"(?i:(?:%[^\n]*\n|\s)*@relation\s)", "an ARFF file", "remove what stands before its data, or set data.csv.skip_rows and data.csv.names"),
)
# The magic number could begin a column's name; behind it a Parquet file has Thrift, never a letter.
_PARQUET = re.compile(rb"PAR1[^ -~\r\n]")
_ENCRYPTED_PARQUET = re.compile(rb"PARE[^ -~\r\n]")
_SIGNATURES = tuple((re.compile(pattern, re.DOTALL), what, advice) for pattern, what, advice in _OTHERS)
_MARKS = ((b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))

# Endings of formats that are not read: told before the file is opened, and where its content says nothing.
_OTHER_ENDINGS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb"), "an Excel workbook"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "JSON"),
    **dict.fromkeys((".zip", ".7z", ".rar", ".tar", ".tgz"), "an archive"),
    **dict.fromkeys((".pkl", ".pickle"), "a Python pickle"),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "an SQLite database"),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), "an Arrow IPC or Feather file"),
    **dict.fromkeys((".html", ".htm"), "a web page"),
    ".ods": "an OpenDocument file",
    ".orc": "an ORC file",
    ".avro": "an Avro file",
    ".xml": "an XML document",
    ".pdf": "a PDF document",
}
_PARQUET_ENDINGS = (".parquet", ".pq")
_PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zstd")


def ending_of(name: str) -> str:
    """The ending of a name without what says how it is compressed."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in _PACKED_ENDINGS else path.suffix


def check_ending(name: str) -> None:
    """Looks at the name alone.

    Raises:
        InputError: It is one of a format that is not read.
    """
    what = _OTHER_ENDINGS.get(ending_of(name))
    if what is not None:
        raise InputError(f"the source is neither CSV nor Parquet, by its name it is {what}", where=name, advice=_EXPORT)


def compression_of(head: bytes) -> Compression | None:
    """How a file is compressed."""
    return next((name for pattern, name in _COMPRESSIONS if re.match(pattern, head)), None)


def format_of(head: bytes, name: str) -> Format:
    """Whether an uncompressed file is Parquet or text, which is read as CSV.

    Args:
        head: Its first bytes.
        name: Its name, for the error; one that says Parquet is believed, so that what is no Parquet is told as such.

    Raises:
        InputError: It is something else.
    """
    if _PARQUET.match(head):
        return "parquet"
    if _ENCRYPTED_PARQUET.match(head):
        raise InputError("the source is encrypted Parquet", where=name, advice="decrypt it where it may be read")
    for pattern, what, advice in _SIGNATURES:
        if pattern.match(head):
            raise InputError(f"the source is neither CSV nor Parquet, it is {what}", where=name, advice=advice)
    return "parquet" if ending_of(name) in _PARQUET_ENDINGS else "csv"


def wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32, by the byte order mark or by where the zero bytes lie; None for anything else."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    zeros = [head[place::4].count(0) / max(1, len(head[place::4])) for place in range(4)]
    if len(head) < 4 or not any(zeros):
        return None
    # Text of most languages holds ASCII (delimiters, line ends, digits): its upper bytes are zero, its lower ones never.
    for encoding, empty, full in (
        ("utf-32-le", (1, 2, 3), (0,)),
        ("utf-32-be", (0, 1, 2), (3,)),
        ("utf-16-le", (1, 3), (0, 2)),
        ("utf-16-be", (0, 2), (1, 3)),
    ):
        if all(zeros[place] > _MOSTLY for place in empty) and not any(zeros[place] for place in full):
            return encoding
    return None


_MOSTLY = 0.4
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1a\x1b")
_FEW_CONTROLS = 0.02


def check_text(head: bytes, name: str) -> None:
    """Looks whether bytes, as UTF-8 or another encoding that extends ASCII, are text.

    Raises:
        InputError: They are UTF-16 or UTF-32, or no text at all.
    """
    wide = wide_encoding(head)
    if wide is not None:
        advice = f"set data.csv.encoding: {wide}, or save the file as UTF-8"
        raise InputError(f"the text is {wide.upper()}, not UTF-8", where=name, advice=advice)
    # Of the first line: no name of a column holds control characters, though a field further down may.
    line = re.split(rb"[\r\n]", head.lstrip(b"\r\n"), maxsplit=1)[0]
    if sum(byte in _CONTROLS for byte in line) > _FEW_CONTROLS * len(line):
        raise InputError("the source is neither CSV nor Parquet, it is binary data", where=name, advice=_EXPORT)
