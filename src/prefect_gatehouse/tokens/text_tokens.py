"""What tokenisers of text have in common: one for each scheme that takes any value's text and gives text."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from functools import partial
from typing import Generic, Protocol, TypeVar

import pyarrow as pa

from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.tokens import tier
from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.columns import Canonical, Guess, over_values, text_bytes
from prefect_gatehouse.tokens.distinct import TellApart, distinct
from prefect_gatehouse.tokens.lockstep import Edges


class TellsApart(Protocol):
    """Compiled functions, of which one tells values apart."""

    @property
    def tell_apart(self) -> TellApart:
        """The function."""


Kernels = TypeVar("Kernels", bound=TellsApart)
Cipher = TypeVar("Cipher")


class TextTokeniser(NeverPrinted, ABC, Generic[Kernels, Cipher]):
    """Tokens of one scheme; made once, called for each batch. Threads may share one.

    Args:
        fused: The scheme's compiled tier.
        canonical: What counts as the same value, see ``columns.canonical_text``.
    """

    def __init__(self, fused: tier.Fused[Kernels], canonical: Canonical) -> None:
        self._fused = fused
        self._canonical: Canonical = canonical
        self._tier = tier.wanted()
        self._guess = Guess()
        self._own = threading.local()

    def __call__(self, array: pa.Array | pa.ChunkedArray) -> pa.Array:
        """A token for each value; nulls stay null.

        Args:
            array: A column of text, whole numbers, dates, booleans or instants, plain or as a dictionary.

        Returns:
            A column of type ``string`` (``large_string`` where the tokens exceed 2 GiB).

        Raises:
            DataRefused: The column's type has no single text form.
        """
        kernels = self._fused.for_rows(0, self._tier)  # only rows that are tokenised one by one count for what pays
        tell_apart = partial(distinct, tell_apart=kernels.tell_apart if kernels else None)
        return over_values(array, self._of_text, self._canonical, tell_apart, self._guess)

    @abstractmethod
    def _cipher(self) -> Cipher:
        """What encrypts; each thread has its own."""

    @abstractmethod
    def _tokens(self, cipher: Cipher, data: Bytes, edges: Edges, kernels: Kernels | None, array: pa.Array) -> pa.Array:
        """A token for each text, in the form of ``array``, which has nulls where there is no text."""

    def _of_text(self, array: pa.Array) -> pa.Array:
        there = array.drop_null() if array.null_count else array
        cipher: Cipher | None = getattr(self._own, "cipher", None)
        if cipher is None:
            cipher = self._own.cipher = self._cipher()
        data, edges = text_bytes(there)
        return self._tokens(cipher, data, edges, self._fused.for_rows(len(there), self._tier), array)
