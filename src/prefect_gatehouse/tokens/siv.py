"""Tokens that the key's holder can turn back: AES-SIV (RFC 5297) with AES-256 and the join domain as associated data.

Values are padded to whole blocks of 16 bytes first (ISO/IEC 7816-4: 0x80, then zeros), so that the length of a token does not tell the
length of a name or an address. Without padding the associated data has a second part that says so: a token of one kind never opens as one
of the other, and both can be told apart in one column.
"""

from __future__ import annotations

import threading
from functools import partial

import pyarrow as pa

from prefect_gatehouse.tokens import tier
from prefect_gatehouse.tokens.columns import Canonical, Guess, over_values, text_bytes
from prefect_gatehouse.tokens.distinct import distinct
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.open_siv import detokenise
from prefect_gatehouse.tokens.seal_siv import FUSED, SCHEME, Sealer, associated_data
from prefect_gatehouse.tokens.secret import HoldsKey
from prefect_gatehouse.tokens.spelling import column, prefix

__all__ = ["SCHEME", "Tokeniser", "detokenise", "tokenise"]


class Tokeniser(HoldsKey):
    """Reversible tokens of one tenant and join domain under the root key's current version; made once, called for each batch.

    Threads may share one. It can't be pickled: another process makes its own from the root key.

    Args:
        root: The root key.
        tenant: Tokens of different tenants never match.
        join_domain: Columns with the same join domain get the same tokens.
        padding: Whether the length of a value up to 16 bytes is hidden.
        canonical: What counts as the same value, see ``columns.canonical_text``.

    Raises:
        InputError: The tenant or the join domain is empty.
    """

    def __init__(self, root: RootKey, *, tenant: str, join_domain: str, padding: bool = True, canonical: Canonical = "text") -> None:
        self._key = root.derive(tenant, join_domain, "siv")
        self._associated = associated_data(join_domain, padded=padding)
        self._padding = padding
        self._prefix = prefix(SCHEME, root.current)
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
        kernels = FUSED.for_rows(0, self._tier)  # only rows that are tokenised one by one count for what pays
        tell_apart = partial(distinct, tell_apart=kernels.tell_apart if kernels else None)
        return over_values(array, self._of_text, self._canonical, tell_apart, self._guess)

    def _of_text(self, array: pa.Array) -> pa.Array:
        there = array.drop_null() if array.null_count else array
        sealer: Sealer | None = getattr(self._own, "sealer", None)
        if sealer is None:
            sealer = self._own.sealer = Sealer(self._key, self._associated, padded=self._padding)
        data, edges = text_bytes(there)
        text, places = sealer.seal(data, edges, self._prefix, FUSED.for_rows(len(there), self._tier))
        return column(text, places, array)


def tokenise(
    array: pa.Array | pa.ChunkedArray, root: RootKey, *, tenant: str, join_domain: str, padding: bool = True, canonical: Canonical = "text"
) -> pa.Array:
    """A reversible token for each value; equal values of one tenant and join domain get equal tokens, nulls stay null.

    For many batches make one ``Tokeniser``.

    Raises:
        DataRefused: The column's type has no single text form.
        InputError: The tenant or the join domain is empty.
    """
    return Tokeniser(root, tenant=tenant, join_domain=join_domain, padding=padding, canonical=canonical)(array)
