"""Kinds of events that only tests write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ConfigDict

from prefect_gatehouse.ledger.events import KINDS
from prefect_gatehouse.ledger.fact import Fact


class _Anything(Fact):
    model_config = ConfigDict(extra="allow")


def told(kind: str, data: Mapping[str, Any] | None = None) -> Fact:
    """A fact of any name and fields; the ledger of this process takes its kind from now on."""
    if kind not in KINDS:
        cast(dict[str, type[Fact]], KINDS)[kind] = type(f"Told_{kind}", (_Anything,), {"kind": kind})
    return KINDS[kind].model_validate(dict(data or {}))
