"""Numbers with what they count, as people write them: 1 row, 2 rows."""

from __future__ import annotations

_ONE_DOES = {"are": "is", "have": "has", "miss": "misses"}


def counted(number: int, noun: str, does: str = "") -> str:
    """``1 row`` or ``2 rows``; with what they do, ``1 value is missing`` or ``2 values are missing``.

    Args:
        number: How many.
        noun: One of them.
        does: What several of them do.
    """
    if number != 1:
        return f"{number} {noun}s {does}".rstrip()
    verb, blank, rest = does.partition(" ")
    return f"1 {noun} {_ONE_DOES.get(verb, verb)}{blank}{rest}".rstrip()
