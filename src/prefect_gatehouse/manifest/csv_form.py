"""How the CSV files of a source are written, where that is not UTF-8, commas and a header row; nothing of it is guessed in a run."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from prefect_gatehouse.manifest.fields import ColumnName, Strict

Delimiter = Literal[",", ";", "|", ":", "tab", "space"]
DELIMITERS: tuple[str, ...] = get_args(Delimiter)
"""What may part fields, as a manifest writes it."""
Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
    "iso-8859-1", "iso-8859-2", "iso-8859-5", "iso-8859-7", "iso-8859-9", "iso-8859-15",
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "cp437", "cp850", "koi8-r", "mac-roman",
    "shift_jis", "cp932", "euc-jp", "gb18030", "big5", "euc-kr",
]  # fmt: skip
Header = Literal["row", "none"]


def _line(text: str) -> str:
    if any(ord(character) < ord(" ") for character in text):
        raise ValueError("a text for missing values holds no control character")
    return text


Missing = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_line)]


class CsvForm(Strict):
    """How the CSV files are written. Compression (gzip, bzip2, xz, Zstandard) is told by a file's content and needs no setting."""

    delimiter: Delimiter | None = Field(
        None,
        description="What parts the fields: a comma unless set, or what a first line such as sep=; says, a tab in files called .tsv. "
        "With it set, no other is looked for.",
    )
    encoding: Encoding = Field("utf-8", description="How text is written as bytes.")
    header: Header = Field("row", description="Whether the first row holds the names of the columns.")
    names: tuple[ColumnName, ...] = Field(
        (), max_length=20_000, description="Names of all columns, in place of those in the header row; without either they are column_1, column_2 ..."
    )
    skip_rows: Annotated[int, Field(ge=0, le=1000)] = Field(0, description="Lines before the header row, or before the data, that are left out.")
    trim: bool = Field(False, description="Take away the blanks at both ends of every field; one of blanks only is missing.")
    missing: tuple[Missing, ...] = Field(
        (), max_length=64, description="Fields that mean a missing value, as an empty one does: after trimming, quoted or not."
    )
    decimal_comma: tuple[ColumnName, ...] = Field((), description="Columns whose numbers have a comma for the decimal point and no other mark.")

    @model_validator(mode="after")
    def _consistent(self) -> CsvForm:
        for field, values in (("names", self.names), ("missing", self.missing), ("decimal_comma", self.decimal_comma)):
            if len(set(values)) != len(values):
                raise ValueError(f"{field} says one twice")
        if self.names and not set(self.decimal_comma) <= set(self.names):
            raise ValueError("decimal_comma has a column that names does not have")
        if self.trim and any(text != text.strip() for text in self.missing):
            raise ValueError("with trim, a field never ends with blanks: write missing without them")
        return self

    @property
    def codec(self) -> str:
        """Python's own name of the encoding."""
        return codecs.lookup(self.encoding).name


STANDARD = CsvForm()
"""As RFC 4180 has it: UTF-8, commas, a header row."""
