"""Whether texts match a pattern: RE2 for many at once, Python's compiled patterns for a few.

Arrow compiles a pattern anew in each call, which takes as long as matching some hundred texts: a file of five rows and 20,000 columns
would spend two minutes on nothing else. Patterns are written for RE2; where Python reads something else into them, they are translated.
"""

from __future__ import annotations

import functools
import re

import pyarrow as pa
import pyarrow.compute as pc

# Texts and their bytes up to which Python is the faster one; RE2's time is linear in a text, Python's may not be, so long ones go to RE2.
_FEW, _SHORT = 128, 4096
# What RE2 takes these for: the end of the text (not also before a last line end), and ASCII's blanks without the vertical tab.
_PARTS = re.compile(r"\\.|\[\^?\]?|\]|\$", re.DOTALL)
_BLANKS = r"\t\n\f\r "


def matches(values: pa.Array, pattern: str) -> pa.BooleanArray:
    r"""Which texts a pattern of RE2 is found in; null where there is no text.

    Args:
        values: Text.
        pattern: Without ``\p``.
    """
    if len(values) > _FEW or values.nbytes > _SHORT:
        return pc.match_substring_regex(values, pattern)
    search = _compiled(pattern).search
    return pa.array([None if text is None else search(text) is not None for text in values.to_pylist()], pa.bool_())


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    inside = False

    def translated(found: re.Match[str]) -> str:
        nonlocal inside
        part = found[0]
        if part[0] == "[" and not inside:
            inside = True
        elif part == "]":
            inside = False
        elif part == r"\s":
            return _BLANKS if inside else f"[{_BLANKS}]"
        elif part == "$" and not inside:
            return r"\Z"
        return part

    return re.compile(_PARTS.sub(translated, pattern), re.ASCII)
