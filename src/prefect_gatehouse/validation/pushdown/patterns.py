"""Which regular expressions mean the same to Python's ``re`` and to RE2, which Arrow uses and pandas sometimes.

Syntax: https://docs.python.org/3/library/re.html and https://github.com/google/re2/wiki/Syntax. Only what both define alike is
accepted: literals, ASCII classes and ranges, the dot, anchors, groups without flags, alternatives and bounded or greedy
repetition. Two constructs are alike on some texts only, so a pattern says what it needs of them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

_ASCII = 128
_MOST = 1000  # RE2 refuses to repeat more often
_PLAIN = {"LITERAL", "NOT_LITERAL", "ANY", "AT", "IN", "RANGE", "NEGATE", "CATEGORY"}
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT"}
_CATEGORIES = {"CATEGORY_DIGIT", "CATEGORY_NOT_DIGIT", "CATEGORY_WORD", "CATEGORY_NOT_WORD"}  # white space differs even in ASCII


@dataclass(frozen=True)
class Pattern:
    """An accepted pattern.

    Attributes:
        source: As it was written.
        ascii_only: Its classes are Unicode's in Python and ASCII's in RE2: alike on ASCII texts.
        one_line: Its end also matches before a last line feed in Python: alike on texts without one.
    """

    source: str
    ascii_only: bool
    one_line: bool


def alike(source: str) -> Pattern | None:
    """The pattern, None where the two could differ, or where it is no pattern at all."""
    if len(source) > _MOST or not source.isascii():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python may read otherwise one day is not alike
            compiled = re.compile(source)
            seen = list(_walk(re._parser.parse(source)))  # type: ignore[attr-defined]  # noqa: SLF001 there is no public parser
    except (re.error, RecursionError, OverflowError, Warning):
        return None
    if compiled.flags != re.UNICODE.value or "" in seen:
        return None
    return Pattern(source, ascii_only=any(each.startswith("CATEGORY") for each in seen), one_line="AT_END" in seen)


def _walk(nodes: Iterable[tuple[object, object]]) -> Iterable[str]:
    """What occurs in a parsed pattern; an empty name for what is not known to be alike."""
    for operator, argument in nodes:
        name = str(operator)
        if name == "BRANCH" and isinstance(argument, tuple):
            for branch in argument[1]:
                yield from _walk(branch)
        elif name == "SUBPATTERN" and isinstance(argument, tuple):
            _, added, removed, inner = argument
            yield "" if added or removed else name
            yield from _walk(inner)
        elif name in _REPEATS and isinstance(argument, tuple):
            least, most, inner = argument
            yield name if least <= _MOST and (most <= _MOST or str(most) == "MAXREPEAT") else ""
            yield from _repeated(inner)
        elif name == "IN" and isinstance(argument, list):
            yield from _walk(argument)
        else:
            yield from _single(name, argument)


def _repeated(inner: Iterable[tuple[object, object]]) -> Iterable[str]:
    # Nested repetition of counted groups can blow RE2's limits up, and repeated anchors are read differently.
    for name in _walk(inner):
        yield "" if name in _REPEATS or name.startswith("AT") else name


def _single(name: str, argument: object) -> Iterable[str]:
    if name not in _PLAIN:
        return [""]
    if name == "AT":
        return [str(argument) if str(argument) in {"AT_BEGINNING", "AT_END"} else ""]
    if name == "CATEGORY":
        return [str(argument) if str(argument) in _CATEGORIES else ""]
    numbers = argument if isinstance(argument, tuple) else (argument,)
    alike_ = all(each is None or (isinstance(each, int) and 0 < each < _ASCII) for each in numbers)
    return [name if alike_ else ""]
