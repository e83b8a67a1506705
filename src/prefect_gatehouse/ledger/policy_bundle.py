"""What is signed when a bundle of policies is: digests of everything in it, and the keys that sign the next one.

No registry is needed to judge the next one, today or years later.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import AwareDatetime, Field, SerializerFunctionWrapHandler, model_serializer

from prefect_gatehouse.canonical import EXACT, digest
from prefect_gatehouse.value import Digest, Value


class PolicySigner(Value):
    """A key that signs the next bundle, as the registry had it when this one was signed."""

    role: str
    person: str
    key: str = Field(description="Its fingerprint.")
    valid_after: AwareDatetime | None = None
    valid_before: AwareDatetime | None = None

    def valid_at(self, moment: datetime) -> bool:
        """Whether it signed at a time; both ends count."""
        return (self.valid_after is None or moment >= self.valid_after) and (self.valid_before is None or moment <= self.valid_before)


class PolicyBundle(Value):
    """One version of an installation's policies, tiers, classes, ticket system and registry."""

    version: int = Field(ge=1, le=EXACT)
    manifest: Digest = Field(description="Of bundle.yaml.")
    policies: Digest
    tiers: Digest
    classes: Digest
    tickets: Digest = Field(description="Of where tickets are looked up; not of the tickets of a list.")
    people: Digest = Field(description="Of the registry when it was signed; recorded changes extend it.")
    change_policy: tuple[str, ...] = Field(min_length=1, description="Roles that each sign the next bundle.")
    change_people: tuple[str, ...] = Field(min_length=1, description="Roles of which one signs each change of the registry.")
    tenants: tuple[str, ...] = Field(min_length=1, description="Whose pipelines may run above the prototype tier.")
    environments: tuple[str, ...] = Field(min_length=1, description="Where.")
    signers: tuple[PolicySigner, ...] = Field(min_length=1)
    image_signers: tuple[str, ...] = Field((), description="Public keys that sign the images that workers run in.")
    image_scanners: tuple[str, ...] = Field((), description="Public keys that sign what a scan of one found.")

    @model_serializer(mode="wrap")
    def _as_before(self, whole: SerializerFunctionWrapHandler) -> Any:
        """Without the keys of images where there are none: bundles were signed before there were such."""
        return {name: value for name, value in whole(self).items() if value or name not in {"image_signers", "image_scanners"}}

    def digest(self) -> str:
        """SHA-256 over the RFC 8785 form of every field, 64 hexadecimal digits."""
        return _digest(self)


@lru_cache(64)
def _digest(bundle: PolicyBundle) -> str:
    """Once a bundle: it is asked for with every signature of it, whenever the rules of a run are compared."""
    return digest(json.loads(bundle.model_dump_json()))
