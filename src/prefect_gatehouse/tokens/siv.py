"""Tokens that the key's holder can turn back: AES-SIV (RFC 5297) with AES-256 and the join domain as associated data.

Values are padded to whole blocks of 16 bytes first (ISO/IEC 7816-4: 0x80, then zeros), so that the length of a token does not tell the
length of a name or an address. Without padding the associated data has a second part that says so: a token of one kind never opens as one
of the other, and both can be told apart in one column.
"""

from __future__ import annotations

import pyarrow as pa

from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.columns import Canonical
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.lockstep import Edges
from prefect_gatehouse.tokens.open_siv import detokenise
from prefect_gatehouse.tokens.seal_siv import FUSED, SCHEME, Kernels, Sealer, associated_data
from prefect_gatehouse.tokens.text_tokens import TextTokeniser
from prefect_gatehouse.tokens.token_format import column, prefix

__all__ = ["SCHEME", "Tokeniser", "detokenise", "tokenise"]


class Tokeniser(TextTokeniser[Kernels, Sealer]):
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
        super().__init__(FUSED, canonical)
        self._key = root.derive(tenant, join_domain, "siv")
        self._associated = associated_data(join_domain, padded=padding)
        self._padding = padding
        self._prefix = prefix(SCHEME, root.current)

    def _cipher(self) -> Sealer:
        return Sealer(self._key, self._associated, padded=self._padding)

    def _tokens(self, cipher: Sealer, data: Bytes, edges: Edges, kernels: Kernels | None, array: pa.Array) -> pa.Array:
        return column(*cipher.seal(data, edges, self._prefix, kernels), array)


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
