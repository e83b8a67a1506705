"""How a CSV that nobody has described is probably written: proposed by its first rows for a person to confirm, never applied in a run."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from prefect_gatehouse.data.sources.csv_head import SETTINGS, delimiter_of, head_of_csv, separator_of
from prefect_gatehouse.data.sources.csv_text import check_form, first_text
from prefect_gatehouse.data.sources.interface import FilesPlace
from prefect_gatehouse.data.sources.kinds import compression_of, format_of, wide_encoding
from prefect_gatehouse.data.sources.opened import local_state, open_local
from prefect_gatehouse.data.sources.unpack import head_of
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.csv_form import CsvForm
from prefect_gatehouse.plurals import counted

_SAMPLE, _ROWS = 1 << 18, 1000
_DELIMITERS = (",", ";", "\t", "|")
# Lines with titles, counts or remarks above the table: a few. A table must be longer than what is taken for them.
_MOST_LINES, _FEWEST_ROWS = 5, 3
_LINE_END = re.compile(r"\r\n|\r|\n")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?|\d{1,2}[./]\d{1,2}[./](?:\d{4}|\d\d)")
_COMMA_NUMBER = re.compile(r"[+-]?\d+(?:,\d+)?")
_CODE = re.compile(r"[A-Za-z]{1,3}\d{1,4}")
_ADDRESS = re.compile(r"\S+@\S+\.\S+")
_MANY_DIGITS = 6
# What pandas, R, SQL clients and the UCI repository write for nothing. The first ones are no words and no numbers anywhere.
_ALWAYS_MISSING = ("?", "\\N", "#N/A", "<NA>")
_PERHAPS_MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "-", ".")
_LIKE_DATA = 0.3
_RECURRING = 0.5


@dataclass(frozen=True)
class Recognised:
    """What is proposed.

    Attributes:
        form: How the file is written.
        told: A sentence for each thing that a person should confirm; no value of the file is in it.
    """

    form: CsvForm
    told: tuple[str, ...] = ()


Rows = Sequence[Sequence[str]]


def recognised(place: FilesPlace, given: Mapping[str, object]) -> Recognised:
    """How the first file of a place is probably written.

    Args:
        place: The files.
        given: Settings that are known; they are not looked for.

    Raises:
        InputError: It is no CSV and no Parquet, what is given is wrong, or more than one delimiter would fit.
        DataRefused: It is empty.
        StorageError: It can't be read.
    """
    name = place.names[0]
    mark, _ = local_state(place.folder, name)
    with open_local(place.folder, name, mark) as opened:
        head, compression = head_of(opened)
        if compression is None and format_of(head, name) == "parquet":
            return Recognised(csv_form(given))
        settings, told = dict(given), list[str]()
        wide = wide_encoding(head) if compression_of(head) is None else None
        if wide is not None and "encoding" not in settings:
            settings["encoding"] = wide
            told.append(f"the text is {wide.upper()}")
        form = csv_form(settings)
        check_form(head, compression is not None, form, name)
        data, whole = first_text(opened, form, _SAMPLE)
    text = data.decode("utf-8-sig", "replace")
    separator = separator_of(text.encode(), form, name)
    if separator is not None and form.delimiter is None:
        settings["delimiter"] = SETTINGS.get(separator.delimiter, separator.delimiter)
        told.append(f"the first line says that the fields are parted by {_named(separator.delimiter)}")
    skipped = max(form.skip_rows, separator is not None)
    for _ in range(skipped):
        text = _LINE_END.split(text, maxsplit=1)[-1]
    return _Sample(text, whole, name, skipped).proposal(settings, told)


def first_line_delimiter(folder: Path, name: str, form: CsvForm) -> str:
    """The delimiter that the first line (sep=;) of a CSV names; empty where it has none."""
    mark, _ = local_state(folder, name)
    with open_local(folder, name, mark) as opened:
        head = head_of_csv(opened, form)
        return head.delimiter if head.separator else ""


def csv_form(settings: Mapping[str, object]) -> CsvForm:
    """Settings as the form that they describe.

    Raises:
        InputError: One is wrong.
    """
    try:
        return CsvForm.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(["data", "csv", *map(str, first["loc"])])
        raise InputError(first["msg"].removeprefix("Value error, "), where=where, advice="correct the setting") from None


class _Sample:
    """The first rows, as each delimiter would part them."""

    def __init__(self, text: str, whole: bool, name: str, skipped: int) -> None:
        self._text = text
        self._skipped = skipped
        self._whole = whole
        self._name = name

    def proposal(self, settings: dict[str, object], told: list[str]) -> Recognised:
        """The settings that are given and those that the rows show."""
        usual = delimiter_of(csv_form(settings), self._name)
        rows = self._parted(settings, told, usual)
        if not rows:
            return Recognised(csv_form(settings), tuple(told))
        width = Counter(map(len, rows)).most_common(1)[0][0]
        above = _lines_above(rows, width)
        if above and "skip_rows" not in settings:
            settings["skip_rows"] = self._skipped + above
            told.append(f"{counted(above, 'line')} above the table, with another number of fields than the rows: left out")
            rows = rows[above:]
        rows = [row for row in rows if len(row) == width]
        _about_blanks(rows, settings, told)
        if settings.get("trim"):
            rows = [[field.strip() for field in row] for row in rows]
        _about_missing(rows, settings, told)
        _about_header(rows, settings, told)
        _about_commas(rows, settings, told)
        return Recognised(csv_form(settings), tuple(told))

    def _parted(self, settings: dict[str, object], told: list[str], usual: str) -> Rows:
        if "delimiter" in settings:
            return self._rows(usual)
        fitting = {delimiter: rows for delimiter in _DELIMITERS if _fits(rows := self._rows(delimiter))}
        if not fitting and _fits(rows := self._rows(" ")) and _parted_by_blanks(rows):
            fitting[" "] = rows
        fitting = _clearest(fitting)
        if len(fitting) > 1:
            names = " or ".join(_named(delimiter) for delimiter in fitting)
            settable = " or ".join(f'"{SETTINGS.get(delimiter, delimiter)}"' for delimiter in fitting)
            advice = f"say which: --delimiter, and in a manifest data.csv.delimiter: {settable}"
            raise InputError(f"the fields could be parted by {names}", where=self._name, advice=advice)
        if not fitting:
            return self._rows(usual)
        ((found, rows),) = fitting.items()
        if found != usual:
            settings["delimiter"] = SETTINGS.get(found, found)
            told.append(f"the fields are parted by {_named(found)}")
        return rows

    def _rows(self, delimiter: str) -> Rows:
        rows: list[list[str]] = []
        try:
            for row in csv.reader(io.StringIO(self._text, newline=""), delimiter=delimiter):
                rows.append(row)
                if len(rows) > _ROWS:
                    return [each for each in rows[:-1] if each]
        except csv.Error:  # a field of more than the module takes, which our own reader judges
            return []
        # The last row of a part of the file may be half a row.
        return [each for each in (rows if self._whole else rows[:-1]) if each]


def _named(delimiter: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "blanks", ":": "colons"}[delimiter]


def _clearest(fitting: Mapping[str, Rows]) -> dict[str, Rows]:
    """Of delimiters that fit, those that part the line of the names as they part the rows: a decimal comma stands in numbers only."""
    return {delimiter: rows for delimiter, rows in fitting.items() if _from_the_first(rows)} or dict(fitting)


def _parted_by_blanks(rows: Rows) -> bool:
    """Names and sentences hold blanks, so only numbers show that these part fields, or numbers beside codes such as A14."""
    fields = [field for row in rows[1:] for field in row]
    if all(map(_measured, fields)):
        return True
    codes = len(rows[0]) > 2 and all(_measured(field) or _CODE.fullmatch(field) for field in fields)
    return codes and any(all(map(_measured, column)) for column in zip(*rows[1:], strict=True))


def _from_the_first(rows: Rows) -> bool:
    return len(set(map(len, rows))) == 1


def _lines_above(rows: Rows, width: int) -> int:
    above = next((place for place, row in enumerate(rows) if len(row) == width), 0)
    return above if above <= _MOST_LINES and len(rows) - above >= max(_FEWEST_ROWS, above + 1) else 0


def _fits(rows: Rows) -> bool:
    """Whether all rows, but for lines above them, have the same number of fields, more than one."""
    if not rows:
        return False
    width = Counter(map(len, rows)).most_common(1)[0][0]
    return width > 1 and all(len(row) == width for row in rows[_lines_above(rows, width) :])


def _about_blanks(rows: Rows, settings: dict[str, object], told: list[str]) -> None:
    if "trim" in settings:
        return
    padded = 0
    for column in zip(*rows[1:], strict=True):
        fields = [field for field in column if field]
        padded += bool(fields) and all(field != field.strip() for field in fields)
    if padded:
        settings["trim"] = True
        told.append(f"every field of {counted(padded, 'column')} has blanks around it: taken away")


def _about_missing(rows: Rows, settings: dict[str, object], told: list[str]) -> None:
    if "missing" in settings:
        return
    found: set[str] = set()
    for column in zip(*rows[1:], strict=True):
        values = set(column)
        found |= values & set(_ALWAYS_MISSING)
        rest = values - set(_PERHAPS_MISSING) - set(_ALWAYS_MISSING) - {""}
        # NA may be Namibia and None an answer; in a column of numbers or dates they are neither.
        if rest and all(_measured(value) for value in rest):
            found |= values & set(_PERHAPS_MISSING)
    if found:
        settings["missing"] = tuple(sorted(found))
        told.append("fields that commonly mean a missing value are read as missing: data.csv.missing has them")


def _about_header(rows: Rows, settings: dict[str, object], told: list[str]) -> None:
    if "header" in settings or not _like_data(rows, _strings(settings.get("missing"))):
        return
    settings["header"] = "none"
    told.append(
        "the first row looks like data: no names are taken from it, and none is shown; if it holds names, say --header row, if neither, --skip-rows 1"
    )


def _strings(value: object) -> frozenset[str]:
    return frozenset(map(str, value)) if isinstance(value, tuple | list) else frozenset()


def _measured(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None or _DATE.fullmatch(text) is not None or _COMMA_NUMBER.fullmatch(text) is not None


def _like_data(rows: Rows, missing: frozenset[str]) -> bool:
    """Whether the first row is more like those below it than like names."""
    if not rows:
        return False
    first = rows[0]
    if any(_ADDRESS.fullmatch(field) or sum(map(str.isdigit, field)) >= _MANY_DIGITS for field in first):
        return True
    if _counts_up(first):
        return False
    below = zip(*rows[1:], strict=True) if len(rows) > 1 else ((),) * len(first)
    columns = [[value for value in column if value and value not in missing] for column in below]
    measured = [field for field, values in zip(first, columns, strict=True) if values and all(map(_measured, values))]
    alike = sum(map(_measured, measured))
    if alike and alike >= _LIKE_DATA * len(measured):
        return True
    words = [(field, values) for field, values in zip(first, columns, strict=True) if field and values and not all(map(_measured, values))]
    recurring = sum(field in values for field, values in words)
    return bool(recurring) and recurring >= _RECURRING * len(words)


def _counts_up(first: Sequence[str]) -> bool:
    """Whether the numbers of a row count up by one: years, or what pandas and R call columns without a name."""
    numbers = [int(field) for field in first if field.isascii() and field.isdigit() and len(field) < _MANY_DIGITS]
    return len(numbers) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _about_commas(rows: Rows, settings: dict[str, object], told: list[str]) -> None:
    if "decimal_comma" in settings or settings.get("delimiter", ",") == ",":
        return
    form = csv_form(settings)
    missing = frozenset(form.missing)
    body = rows if form.header == "none" else rows[1:]
    found = []
    for place, column in enumerate(zip(*body, strict=True)):
        values = [value for value in column if value and value not in missing]
        if any("," in value for value in values) and all(_COMMA_NUMBER.fullmatch(value) for value in values):
            found.append(form.names[place] if form.names else rows[0][place] if form.header == "row" else f"column_{place + 1}")
    if found and len(set(found)) == len(found):
        settings["decimal_comma"] = tuple(found)
        told.append(f"{counted(len(found), 'column')} with a decimal comma in the numbers")
