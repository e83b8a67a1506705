"""The column rules: what a declared column becomes, batch by batch, with bad values counted and never quoted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa

from prefect_gatehouse.data.counting import Counting, Faults
from prefect_gatehouse.data.dates import Dates
from prefect_gatehouse.data.generalise import Binned, Prefix, Rounded
from prefect_gatehouse.data.keep import Kept, Scaled
from prefect_gatehouse.data.shift_dates import ShiftedDates
from prefect_gatehouse.data.tokenised import Coded, token_rule
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.columns import Column, Constant, Generalise, Keep, ShiftDates, Tokenise
from prefect_gatehouse.tokens.keys import RootKey


class Rule(Protocol):
    """One column's way through the gate.

    Every batch goes through ``apply``, in any process. The tallies are added up (``tally``, ``absorb``), ``check`` judges once, and
    then ``finish`` gives any part of the treated rows its last form. Where rows with bad values are set aside, ``restore`` takes the
    batch back, so that it can be applied again without them.
    """

    detail: str
    """The rule's setting in words."""

    reads: tuple[str, ...]
    """Columns of the source that ``apply`` takes, the rule's own first."""

    def apply(self, *arrays: pa.Array) -> tuple[pa.Array, pa.Array | None]:
        """One batch: the treated column, and where a value could not be treated (None: nowhere)."""

    def tally(self) -> Counter[str]:
        """What was counted so far; picklable, addable, without any value."""

    def absorb(self, counted: Mapping[str, int]) -> None:
        """Adds a tally of the same rule from elsewhere."""

    def restore(self, counted: Mapping[str, int]) -> None:
        """Goes back to an earlier tally."""

    def check(self) -> None:
        """Judges when every row has been counted.

        Raises:
            DataRefused: There were bad values, or the column may not leave so.
        """

    def finish(self, part: pa.ChunkedArray) -> pa.ChunkedArray:
        """The last form of any part of the treated rows, decided by the tally alone."""


def rule_for(
    name: str,
    declared: Column,
    *,
    typed: bool,
    root_key: RootKey | None,
    tenant: str,
    columns: Mapping[str, Column] | None = None,
    codes_key: bytes | None = None,
) -> Rule:
    """The rule of a column that leaves.

    Args:
        name: The column.
        declared: What the manifest says of it.
        typed: Whether the source has types; the columns of a CSV are text.
        root_key: Needed if the column is tokenised or its dates are shifted.
        tenant: Tokens of different tenants never match.
        columns: Every declared column: the subject of shifted dates has its join domain there.
        codes_key: 32 bytes of this run, needed if the column becomes random codes.

    Raises:
        InputError: A key is needed and there is none, a bound is not a number, or the column is dropped.
    """
    if isinstance(declared, Tokenise):
        if declared.scheme == "codes":
            if codes_key is None:
                raise InputError("random codes need a key of the run", where=f"column '{name}'")
            return Coded(name, declared, codes_key)
        return token_rule(name, declared, _needed(root_key, name, "a column is tokenised"), tenant)
    if isinstance(declared, ShiftDates):
        root = _needed(root_key, name, "dates are shifted")
        subject = (columns or {}).get(declared.subject)
        domain = (subject.join_domain if isinstance(subject, Tokenise) else None) or declared.subject
        return ShiftedDates(name, declared.subject, declared.days, root.derive(tenant, domain, "shift_dates"), nulls=declared.nulls)
    if isinstance(declared, Generalise):
        return _coarser(name, declared)
    if isinstance(declared, Keep):
        if declared.scale is not None:
            return Scaled(name, *declared.scale, nulls=declared.nulls)
        return Kept(name, typed, nulls=declared.nulls)
    if isinstance(declared, Constant):
        return _Same(name, declared.value)
    raise InputError("the column is dropped; no rule applies", where=f"column '{name}'")


def _needed(root_key: RootKey | None, name: str, what: str) -> RootKey:
    if root_key is None:
        raise InputError(f"{what} without a root key", where=f"column '{name}'", advice="set credentials.tokenise")
    return root_key


def _coarser(name: str, declared: Generalise) -> Rule:
    if declared.to is not None:
        return Dates(name, declared.to, nulls=declared.nulls)
    if declared.prefix is not None:
        return Prefix(name, declared.prefix, nulls=declared.nulls)
    if declared.round_to is not None:
        return Rounded(name, declared.round_to, nulls=declared.nulls)
    return Binned(name, declared.bins or (), nulls=declared.nulls)


class _Same(Counting):
    """One value for every row, missing ones too, so that it tells nothing."""

    def __init__(self, name: str, value: str | float | bool | None) -> None:
        super().__init__(name, "one value for all")
        self._value = pa.scalar(value)

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        return pa.nulls(len(arrays[0])) if self._value.as_py() is None else pa.repeat(self._value, len(arrays[0]))
