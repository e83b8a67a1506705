"""What a scalar that is not in quotes means: the core schema of YAML 1.2 (section 10.3.2), and where YAML 1.1 reads something else.

A manifest is read by more than Gatehouse: by editors, linters, a team's own scripts. Half of those speak YAML 1.1, in which ``no`` is
false, ``12:30`` is 750 and ``1e-3`` is text. So a scalar that the two versions read differently means nothing here: it has to be put in
quotes, or written as both read it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

Scalar = str | int | float | bool | None

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = {".nan", ".NaN", ".NAN"}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def core(text: str) -> Scalar:
    """The value of a plain scalar by the core schema of YAML 1.2.

    Raises:
        ValueError: A whole number of more digits than Python reads (4,300).
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return float(f"{infinite[1]}inf")
    return float("nan") if text in _NAN else text


@dataclass(frozen=True)
class Difference:
    """Why a plain scalar is not taken.

    Attributes:
        reason: What the two versions make of it.
        advice: How to write what both read alike.
    """

    reason: str
    advice: str


_QUOTES = "put it in quotes"
_DECIMAL = f"{_QUOTES}, or write the number in decimal"
_DIFFERENCES: tuple[tuple[str, str, str], ...] = (
    # Pattern, what 1.2 and 1.1 make of it, what to write. First what both read alike.
    (r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|(?:[-+]?[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?", "", ""),
    (r"y|n|yes|no|on|off|Y|N|Yes|No|On|Off|YES|NO|ON|OFF", "text, 1.1 a truth value", f"{_QUOTES}, or write true or false"),
    # 08 is text in 1.1, 010 is eight, 007 is seven in both: nobody should have to know.
    (r"[-+]?0[0-9]+", "a decimal number, 1.1 an octal one or text", f"{_QUOTES}, or write the number without zeros in front"),
    (r"0o[0-7]+", "an octal number, 1.1 text", _DECIMAL),
    (r"[-+]?0b[01_]+|[-+]?0x[0-9a-fA-F_]+", "text, 1.1 a number", _DECIMAL),
    (
        r"(?=.*_)(?:[-+]?(?:0[0-7_]+|[1-9][0-9_]*)|(?:[-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?)",
        "text, 1.1 a number",
        f"{_QUOTES}, or write the number without underscores",
    ),
    (
        r"[-+]?(?:[1-9][0-9_]*(?::[0-5]?[0-9])+|[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*)",
        "text, 1.1 a number of base 60",
        f"{_QUOTES}, or write one number",
    ),
    # By its letter 1.1 takes -.5 for a number; the reader that most people have takes it for text.
    (_FLOAT.pattern, "a number, 1.1 text", f"{_QUOTES}, or write the number as in 0.5 or 1.0e-3"),
    (
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
        r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?",
        "text, 1.1 a date",
        _QUOTES,
    ),
    (r"<<", "text, 1.1 an order to merge", _QUOTES),
    (r"=", "text, 1.1 a default value", _QUOTES),
)
"""What a scalar is to YAML 1.1's types (yaml.org/type, 2005) or to PyYAML, where that is not what 1.2's core schema makes of it.

One thing of 1.1 is left out: by the letter of its pattern for numbers any run of digits and points is one, versions and addresses too;
nobody implements that.
"""
_COMPILED = tuple((re.compile(pattern), reason, advice) for pattern, reason, advice in _DIFFERENCES)


def difference(text: str) -> Difference | None:
    """Why a plain scalar means one thing in YAML 1.1 and another in YAML 1.2; None where both read the same."""
    for pattern, reason, advice in _COMPILED:
        if pattern.fullmatch(text):
            return Difference(f"YAML 1.2 reads this as {reason}", advice) if reason else None
    return None


def written(value: object) -> str:
    """A scalar as every version of YAML reads it: plain words as they are, other text in double quotes, what can't be seen written out."""
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return mantissa + (".0" if exponent and "." not in mantissa else "") + exponent + power
    if not isinstance(value, str):
        return json.dumps(value)
    if _WORD.fullmatch(value) and core(value) == value and difference(value) is None:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(character if character.isprintable() else ascii(character)[1:-1] for character in escaped) + '"'
