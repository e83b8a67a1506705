"""What the parts of a manifest are made of: durations, names, the classes of data, and the base that refuses unknown keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a duration as a whole number and one of s, m, h, d, for example 30m")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def write_duration(value: timedelta) -> str:
    """A duration as a manifest writes it, in the largest unit that fits."""
    seconds = int(value.total_seconds())
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$"}),
]
"""A duration, written ``90s``, ``30m``, ``2h`` or ``7d``."""

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
Name = Annotated[str, Field(pattern=f"^{_NAME}$", description="Lower case, digits, hyphens.")]
BackendName = Annotated[str, Field(pattern=f"^{_NAME}(?:/{_NAME})?$", description="A simulator on this machine, or provider/device.")]
# Approvers read these in tables: no control character, no mark-up, nothing that hides or reorders text (Unicode TR 36).
_SHOWN = r"^[^\x00-\x1f\x7f-\x9f`|<>\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]+$"
ColumnName = Annotated[str, Field(min_length=1, max_length=128, pattern=_SHOWN)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=_SHOWN)]
RelativePath = Annotated[str, Field(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f]+$")]
TicketKey = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,15}-?[0-9]{1,9}$")]
BlockReference = Annotated[
    str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+(#[A-Za-z0-9_.-]+)?$", description="block-type/block-name, or block-type/block-name#field")
]


class Inconsistent(ValueError):
    """Parts that do not fit together: the field and a sentence for each."""

    def __init__(self, findings: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("; ".join(message for _, message in findings))
        self.findings = findings


class DataClass(StrEnum):
    """How much harm a value can do in the wrong hands, least first."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        """0 for public up to 3 for restricted."""
        return list(DataClass).index(self)


class Strict(BaseModel):
    """Base of every part: frozen, no unknown key, no input echoed in an error, no number that JSON can't write."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False, defer_build=True)
