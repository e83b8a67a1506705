"""Turning tokens back into values: an act of its own, asked of the policy and written down before any value is made.

What is written down says which secret, of which key versions, for how many tokens of which column and for which target; never a token
and never a value (ISO/IEC 20889 calls the reverse of pseudonymisation re-identification).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.columns import Tokenise

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.tokens.keys import RootKey

_PREFIX = re.compile(r"s([1-9][0-9]{0,3})_")


def key_versions(column: pa.ChunkedArray, rule: Tokenise, root: RootKey) -> tuple[int, ...]:
    """The versions of the key that made a column's tokens, ascending: what ``siv`` tokens say themselves, otherwise the current one."""
    import pyarrow.compute as pc

    if rule.scheme != "siv":
        return (current_version(root),)
    heads = pc.utf8_slice_codeunits(pc.drop_null(column), 0, 6).unique().to_pylist()
    return tuple(sorted({int(match[1]) for head in heads if (match := _PREFIX.match(head)) is not None}))


def turn_back(column: pa.ChunkedArray, rule: Tokenise, root: RootKey, *, tenant: str, name: str) -> pa.Array:
    """The values behind a column of tokens; nulls stay null.

    Raises:
        InputError: The scheme can't be reversed.
        Tampered: A token was not made with this key.
    """
    from prefect_gatehouse.tokens import siv

    domain = rule.join_domain or name
    if rule.scheme == "siv":
        return siv.detokenise(column, root, tenant=tenant, join_domain=domain)
    raise InputError(f"tokens of scheme {rule.scheme} can't be turned back", where=f"data.columns.{name}", advice="use scheme siv")


def current_version(root: RootKey) -> int:
    """The version of the key that makes new tokens."""
    return int(getattr(root, "current", 1))
