"""The base of values that the ledger keeps: frozen, closed, JSON both ways.

Pydantic builds a model's validator when it is first used, not when its class is made: a process uses a third of those that it imports.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, 64 hexadecimal digits."""


class Value(BaseModel):
    """Base of the chain: frozen, closed, JSON both ways."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, ser_json_inf_nan="strings", defer_build=True)


def build_models() -> None:
    """Builds the validators of every model that has been imported: for a process that is forked again and again, each time before its first use."""
    pending = [BaseModel]
    while pending:
        model = pending.pop()
        pending += model.__subclasses__()
        if model.__module__.startswith(f"{__package__}."):
            model.model_rebuild()
