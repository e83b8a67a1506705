"""What the manifest says of a CSV's fields: blanks taken away, texts that mean a missing value, commas for the decimal point."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.csv_form import CsvForm

_QUOTE_BEHIND_BLANK = r'^\s+"'
_WITH_COMMA = r"^\s*([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)\s*$"


class Cells:
    """The fields of one file as values.

    Args:
        form: What the manifest says.
        name: The file's name.
    """

    def __init__(self, form: CsvForm, name: str) -> None:
        self._form = form
        self._name = name
        self._missing = pa.array(form.missing, pa.string())

    def batches(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches with values for fields.

        Raises:
            InputError: A field is not written as the manifest says; the column is named, the field is not shown.
        """
        if not (self._form.trim or self._form.missing or self._form.decimal_comma):
            yield from batches
            return
        for batch in batches:
            arrays = [self._values(name, array) for name, array in zip(batch.schema.names, batch.columns, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=batch.schema)

    def _values(self, name: str, array: pa.Array) -> pa.Array:
        if self._form.trim:
            array = self._trimmed(name, array)
        if self._form.missing:
            array = pc.if_else(pc.is_in(array, value_set=self._missing), pa.scalar(None, pa.string()), array)
        if name in self._form.decimal_comma:
            array = self._with_point(name, array)
        return array

    def _trimmed(self, name: str, array: pa.Array) -> pa.Array:
        if pc.any(pc.match_substring_regex(array, _QUOTE_BEHIND_BLANK)).as_py():
            # To the reader such a quote is part of the text, and a delimiter behind it ends the field.
            message = f"column '{name}' has blanks before a double quote"
            raise InputError(message, where=self._name, advice="write the file without blanks before quotes")
        plain = pc.utf8_trim_whitespace(array)
        # An empty text in quotes stays one; what was blanks only is missing.
        only_blanks = pc.and_(pc.equal(plain, ""), pc.not_equal(array, ""))
        return pc.if_else(only_blanks, pa.scalar(None, pa.string()), plain)

    def _with_point(self, name: str, array: pa.Array) -> pa.Array:
        if pc.any(pc.match_substring(array, ".")).as_py():
            # 1.234 is one number where commas are decimal, and another where points are.
            message = f"column '{name}' has points beside its decimal commas"
            raise InputError(message, where=self._name, advice="take it out of data.csv.decimal_comma, or the points out of the file")
        return pc.replace_substring_regex(array, _WITH_COMMA, r"\1.\2")
