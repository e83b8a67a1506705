"""What one event of the ledger tells, whatever its kind.

A kind has a name and a version, and both are part of what is hashed. A field that has its default is left out, and a reader fills it in: a field
that is added with a default leaves the version as it is; any other change, that of a default too, makes a new one. A kind or a version that this
release does not know, from a newer one, is read as ``UnknownFact``: it can be verified and shown, and nothing is concluded from it.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal, cast

from pydantic import Field

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.value import Digest, Value


class Fact(Value):
    """What one event tells; value-free."""

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 2

    def data(self) -> dict[str, Json]:
        """The fields as the hashed body holds them: those that have not their default."""
        return cast(dict[str, Json], json.loads(self.model_dump_json(by_alias=True, exclude_defaults=True)))


class Permitted(Fact):
    """What the policy permitted. By which rules is told beside what somebody signed for it, and is no part of that."""

    permitted_by: tuple[str, ...] = Field((), description="Identifiers of the rules that permitted it; none where the policy was not asked.")
    policy_digest: Digest | Literal[""] = Field("", description="Of the policies that these are of.")


class UnknownFact(Fact):
    """An event of a release that knows more than this one."""

    fields: dict[str, Any] = Field(default_factory=dict)
