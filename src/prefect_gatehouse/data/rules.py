"""The column rules: what a declared column becomes, batch by batch, with bad values counted and never quoted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.counting import Counting, number
from prefect_gatehouse.data.generalise import Binned, Dates, Prefix, Rounded
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.manifest.columns import Column, Generalise, Keep, Tokenise
from prefect_gatehouse.tokens import cmac, siv
from prefect_gatehouse.tokens.columns import is_number, is_text, is_time
from prefect_gatehouse.tokens.keys import RootKey

# Text that a number would not give back: a leading zero or plus, or more digits than a double holds (15 always survive).
_NOT_A_NUMBER = r"^[+-]?0\d|^\+|^-?\d{16,}"


class Rule(Protocol):
    """One column's way through the gate."""

    detail: str
    """The rule's setting in words."""

    def apply(self, array: pa.Array) -> pa.Array:
        """One batch of the column; bad values become null and are counted."""

    def finish(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The whole column.

        Raises:
            DataRefused: There were bad values, or the rule changed nothing that it should have changed.
        """


def rule_for(name: str, declared: Column, *, typed: bool, root_key: RootKey | None, tenant: str) -> Rule:
    """The rule of a column that leaves.

    Args:
        name: The column.
        declared: What the manifest says of it.
        typed: Whether the source has types; the columns of a CSV are text.
        root_key: Needed if the column is tokenised.
        tenant: Tokens of different tenants never match.

    Raises:
        InputError: The column is tokenised without a root key, a bound is not a number, or the column is dropped.
    """
    if isinstance(declared, Tokenise):
        if root_key is None:
            raise InputError("a column is tokenised without a root key", where=f"column '{name}'", advice="set credentials.tokenise")
        return _Tokens(name, declared, root_key, tenant)
    if isinstance(declared, Generalise):
        if declared.to is not None:
            return Dates(name, declared.to)
        if declared.prefix is not None:
            return Prefix(name, declared.prefix)
        if declared.round_to is not None:
            return Rounded(name, declared.round_to)
        return Binned(name, declared.bins or ())
    if isinstance(declared, Keep):
        return _Scaled(name, *declared.scale) if declared.scale is not None else _Kept(name, typed)
    raise InputError("the column is dropped; no rule applies", where=f"column '{name}'")


class _Tokens(Counting):
    def __init__(self, name: str, declared: Tokenise, root_key: RootKey, tenant: str) -> None:
        domain = declared.join_domain or name
        super().__init__(name, f"{declared.scheme}, joins {domain}" if domain != name else declared.scheme)
        canonical = declared.canonical or "text"
        self._tokenise: Callable[[pa.Array], pa.Array] = (
            siv.Tokeniser(root_key, tenant=tenant, join_domain=domain, padding=declared.padding is not False, canonical=canonical)
            if declared.scheme == "siv"
            else cmac.Tokeniser(root_key, tenant=tenant, join_domain=domain, canonical=canonical)
        )

    def apply(self, array: pa.Array) -> pa.Array:
        try:
            return self._tokenise(array)
        except DataRefused as error:
            raise self.refusal(error.message, error.advice) from None


class _Kept(Counting):
    """Unchanged; the text of a CSV becomes numbers if that loses nothing."""

    def __init__(self, name: str, typed: bool) -> None:
        super().__init__(name, "")
        self._typed = typed

    def apply(self, array: pa.Array) -> pa.Array:
        kind = array.type
        if is_text(kind):
            return array.cast(pa.string())
        if pa.types.is_floating(kind):
            return self.finite(array)
        if is_number(kind) or pa.types.is_boolean(kind) or is_time(kind) or pa.types.is_null(kind):
            return array
        raise self.refusal(f"values of type {kind} can't be kept", "keep flat columns of text, numbers and dates")

    def finish(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        column = super().finish(column)
        if self._typed or column.null_count == len(column) or pc.any(pc.match_substring_regex(column, _NOT_A_NUMBER)).as_py():
            return column
        try:
            whole = column.cast(pa.int64())
            if whole.cast(pa.string()).equals(column):
                return whole
        except pa.ArrowInvalid:
            pass
        try:
            numbers = column.cast(pa.float64())
        except pa.ArrowInvalid:
            return column
        return super().finish(pa.chunked_array([self.finite(chunk) for chunk in numbers.chunks], pa.float64()))


class _Scaled(Counting):
    """(x - low) / (high - low), clipped to 0..1."""

    def __init__(self, name: str, low: float, high: float) -> None:
        super().__init__(name, f"scaled from {number(low)}..{number(high)}")
        if not math.isfinite(high - low):
            raise InputError("the bounds of scale must be finite", where=f"column '{name}'")
        self._low, self._high = low, high

    def apply(self, array: pa.Array) -> pa.Array:
        share = pc.divide(pc.subtract(self.numbers(array), self._low), self._high - self._low)
        return pc.max_element_wise(pc.min_element_wise(share, 1.0, skip_nulls=False), 0.0, skip_nulls=False)
