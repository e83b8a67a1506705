"""Columns of a record batch as the checks see them: decoded once, missing as pandas has it (null and NaN), shared by all checks."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.validation.pushdown.arguments import EXACT

Kind = Literal["int", "float", "text", "category", "other"]
Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float64]

_SAMPLE = 2048
"""Rows that tell whether a column repeats itself."""


def kind_of(type_: pa.DataType) -> Kind:
    """How a column of this type is computed; ``other`` only knows what is missing."""
    if pa.types.is_integer(type_) and type_ != pa.uint64():
        return "int"
    if pa.types.is_float64(type_):
        return "float"
    if _is_text(type_):
        return "text"
    if pa.types.is_dictionary(type_) and _is_text(type_.value_type):
        return "category"
    return "other"


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


class View:
    """One column of one batch.

    Args:
        array: The column.
    """

    def __init__(self, array: pa.Array) -> None:
        self._array = array
        self.kind = kind_of(array.type)
        self.rows = len(array)

    @cached_property
    def present(self) -> npt.NDArray[np.bool_]:
        """Shape (rows,): where pandas sees a value."""
        nan_is_null = pa.types.is_floating(self._array.type)
        valid = pc.is_valid(self._array) if not nan_is_null else pc.invert(pc.is_null(self._array, nan_is_null=True))
        return np.asarray(valid.to_numpy(zero_copy_only=False), dtype=np.bool_)

    @cached_property
    def count(self) -> int:
        """How many values are present."""
        if self._array.null_count == 0 and not pa.types.is_floating(self._array.type):
            return self.rows
        if pa.types.is_float64(self._array.type) and self._array.null_count == 0:
            return self.rows - int(np.count_nonzero(np.isnan(self._dense)))
        return int(np.count_nonzero(self.present))

    @cached_property
    def _dense(self) -> Numbers:
        """All rows as numbers; what stands in a missing one means nothing."""
        if self.kind == "int":
            array = self._array if self._array.null_count == 0 else pc.fill_null(self._array, 0)
            return np.asarray(array.to_numpy(zero_copy_only=False)).astype(np.int64, copy=False)
        array = self._array if self._array.null_count == 0 else pc.fill_null(self._array, np.nan)
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)

    def dense(self) -> Numbers:
        """Shape (rows,): every row, int64 or float64; read it together with ``present``."""
        return self._dense

    @cached_property
    def numbers(self) -> Numbers:
        """Shape (count,): the numbers that are present, int64 or float64."""
        return self._dense if self.count == self.rows else self._dense[self.present]

    @cached_property
    def extremes(self) -> tuple[float | int, float | int]:
        """Smallest and largest number; only where there is one."""
        numbers = self.numbers
        return numbers.min().item(), numbers.max().item()

    @property
    def exact(self) -> bool:
        """Whether every whole number is below 2^53, so that it is the same number as a float."""
        if self.kind != "int" or self.count == 0:
            return True
        low, high = self.extremes
        return low > -EXACT and high < EXACT

    @cached_property
    def texts(self) -> pa.Array:
        """The texts that are present, large_string."""
        array = self._array
        if self.kind == "category":
            array = array.dictionary_decode()
        if array.null_count:
            array = array.drop_null()
        return array.cast(pa.large_string())

    @cached_property
    def weighted(self) -> tuple[pa.Array, npt.NDArray[np.int64] | None]:
        """The texts with how often each occurs, or all of them and None where hardly any occurs twice."""
        texts = self.texts
        sample = texts[:_SAMPLE]
        if len(texts) <= _SAMPLE or pc.count_distinct(sample).as_py() * 2 > len(sample):
            return texts, None
        counts = pc.value_counts(texts)
        return counts.field("values"), counts.field("counts").to_numpy()

    @cached_property
    def ascii(self) -> bool:
        """Whether every text is plain ASCII."""
        values, _ = self.weighted
        return bool(pc.all(pc.string_is_ascii(values), min_count=0).as_py())

    @cached_property
    def one_line(self) -> bool:
        """Whether no text holds a line feed."""
        values, _ = self.weighted
        return not pc.any(pc.match_substring(values, "\n"), min_count=0).as_py()

    def count_texts(self, mask: pa.BooleanArray) -> int:
        """How many rows a mask over ``weighted`` stands for."""
        _, counts = self.weighted
        if counts is None:
            return int(pc.sum(mask, min_count=0).as_py())
        return int(counts[np.asarray(mask.to_numpy(zero_copy_only=False), dtype=np.bool_)].sum())

    def kept(self, keep: npt.NDArray[np.bool_]) -> pa.Array:
        """Rows as they are, for an exact comparison: missing is null, and -0.0 is 0.0."""
        if self.kind == "float":
            return pa.array(self._dense[keep] + 0.0, mask=~self.present[keep])
        if self.kind == "category":
            return self._array.dictionary_decode().cast(pa.large_string()).filter(pa.array(keep))
        array = self._array.cast(pa.large_string()) if self.kind == "text" else self._array
        return array.filter(pa.array(keep))


class Batch:
    """One record batch.

    Args:
        batch: Its columns are viewed when a check asks for them.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._views: dict[str, View] = {}
        self.rows = batch.num_rows

    def view(self, name: str) -> View:
        """A column."""
        if name not in self._views:
            self._views[name] = View(self._batch.column(name))
        return self._views[name]
