"""The settings of a device's block, read as its provider has defined them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import InputError


class Place(BaseModel):
    """One device, and how its service is spoken to; a provider adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    grace_seconds: float = Field(ge=0)
    call_seconds: float = Field(gt=0)


P = TypeVar("P", bound=Place)


def read_settings(model: type[P], settings: Mapping[str, Json], where: str) -> P:
    """What is set for a device.

    Args:
        model: The provider's definition.
        settings: Of the block.
        where: The backend's name.

    Raises:
        InputError: One is missing or wrong, or a lost answer would be looked for no longer than it is waited for; names it.
    """
    try:
        found = model.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"the setting {field} is wrong: {first['msg']}", where=where, advice="edit the backend's block") from None
    if found.call_seconds > found.grace_seconds:
        raise InputError("the grace is shorter than the call's timeout", where=where, advice="raise grace_seconds in the backend's block")
    return found
