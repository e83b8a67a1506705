"""Turning tokens back into values: an act of its own, asked of the policy and written down before any value is made.

What is written down says which secret, of which key versions, for how many tokens of which column and for which target; never a token
and never a value (ISO/IEC 20889 calls the reverse of pseudonymisation re-identification).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import DataRefused, InputError, Tampered
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.tokens.keys import RootKey

_WHERE = "re-identification"
_PREFIX = re.compile(r"[sp]([1-9][0-9]*)_")
_HEAD = 16  # characters of a token that are looked at for its prefix: a version has far fewer digits


def key_versions(column: pa.ChunkedArray, rule: Tokenise, made_with: int | None) -> tuple[int, ...]:
    """The versions of the key that made a column's tokens, ascending.

    Args:
        column: The tokens.
        rule: How they were made; ``siv`` tokens and permuted numbers as text say their version themselves.
        made_with: The version that the run's tokens were made with.

    Raises:
        Tampered: The tokens have no version of their own, and nobody knows which one made them: another one would give other values. Or
            they should be text and are something else.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if rule.authentic:
        from prefect_gatehouse.tokens.columns import flat, is_text

        texts = flat(column)
        if not is_text(texts.type) and not pa.types.is_null(texts.type):
            raise Tampered("the key of the workload's frame is no text, as its tokens are", where=_WHERE, advice="mend the workload")
        texts = texts.cast(pa.large_string()).drop_null()
        heads = pc.unique(pc.utf8_slice_codeunits(texts, 0, _HEAD)).to_pylist()
        return tuple(sorted({int(match[1]) for head in heads if (match := _PREFIX.match(head)) is not None}))
    if made_with is None:
        raise Tampered("nobody knows which version of the key made the tokens", where=_WHERE, advice="start a new run")
    return (made_with,)


def turn_back(column: pa.ChunkedArray, rule: Tokenise, root: RootKey, *, tenant: str, name: str, version: int | None) -> pa.Array:
    """The values behind a column of tokens; nulls stay null.

    Args:
        column: The tokens.
        rule: How they were made.
        root: The root key.
        tenant: Whose tokens they are.
        name: The column.
        version: The version of the key that made them, where they do not say it themselves.

    Raises:
        InputError: The scheme can't be reversed, or the root key has no such version.
        Tampered: A token was not made with this key.
    """
    domain = rule.join_domain or name
    if rule.scheme == "siv":
        from prefect_gatehouse.tokens import siv

        return siv.detokenise(column, root, tenant=tenant, join_domain=domain)
    if rule.scheme == "ff1":
        from prefect_gatehouse.tokens import ff1

        return ff1.detokenise(column, root, tenant=tenant, join_domain=domain, alphabet=rule.alphabet or "digits", version=version)
    if rule.scheme == "permute" and rule.authentic:
        from prefect_gatehouse.tokens import permute_blocks

        return permute_blocks.detokenise(column, root, tenant=tenant, join_domain=domain)
    if rule.scheme == "permute":
        from prefect_gatehouse.tokens import permute

        return permute.detokenise(column, root, tenant=tenant, join_domain=domain, version=version)
    raise InputError(f"tokens of scheme {rule.scheme} can't be turned back", where=f"data.columns.{name}", advice="use siv, ff1 or permute")


def refuse_strange(column: pa.ChunkedArray, own: pa.ChunkedArray, where: str = _WHERE) -> None:
    """Stops keys that are none of the run's own.

    Every text of ff1 and every permuted number would open, to somebody else's value; and a token that says whose it is may come from
    another run of the tenant, whose data nobody approved for this one.

    Args:
        column: The tokens of the workload's frame.
        own: The tokens that the workload was given.
        where: Who asks.

    Raises:
        DataRefused: Says how many are none of them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        asked, given = _alike(_comparable(column), _comparable(own))
        known = pc.is_in(asked, value_set=given)
    except pa.ArrowException:
        raise DataRefused("the key of the workload's frame is of another type than it was given", where=where, advice="mend the workload") from None
    number = pc.sum(pc.and_(pc.invert(known), pc.is_valid(column))).as_py() or 0
    if number:
        strange = f"{counted(number, 'key')} of the workload's frame {'is' if number == 1 else 'are'} none that it was given"
        raise DataRefused(strange, where=where, advice="mend the workload")


def _alike(asked: pa.Array, given: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Two columns of one type. Of decimals pandas keeps only as many digits as it needs, so what came back is widened first.

    Text is compared as text, whatever number it reads as: 012 is written otherwise than 12.
    """
    import pyarrow as pa

    from prefect_gatehouse.tokens.columns import is_text

    if is_text(asked.type):
        return asked, given.cast(asked.type)
    try:
        return asked.cast(given.type), given
    except pa.ArrowException:
        return asked, given.cast(asked.type)


def _comparable(column: pa.ChunkedArray) -> pa.Array:
    """One array, its text in one of the forms that text has."""
    import pyarrow as pa

    from prefect_gatehouse.tokens.columns import flat, is_text

    whole = flat(column)
    return whole.cast(pa.large_string()) if is_text(whole.type) else whole
