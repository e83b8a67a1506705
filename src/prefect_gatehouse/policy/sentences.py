"""A policy's sentences with the question's own names in them."""

from __future__ import annotations

import re
from collections.abc import Mapping


def filled(text: str, words: Mapping[str, str]) -> str:
    """A sentence or an advice with the names in braces filled in; one that is none of the question's stays as it is."""
    return re.sub(r"\{(\w+)\}", lambda found: words.get(found[1], found[0]), text)
