"""The base of values that the ledger keeps: frozen, closed, JSON both ways."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, 64 hexadecimal digits."""


class Value(BaseModel):
    """Base of the chain: frozen, closed, JSON both ways."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, ser_json_inf_nan="strings")
