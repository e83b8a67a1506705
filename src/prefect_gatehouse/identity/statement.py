"""What a person signs: one action on exactly one thing, in one environment, for a while."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.value import Digest, Value


class Statement(Value):
    """A statement about something that has a digest: of an approval the plan, of a request the manifest, since there is no plan yet."""

    action: Literal["approve", "reject", "request"]
    subject_digest: Digest
    environment: str = Field(max_length=80)
    request_id: str = Field(max_length=80)
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    # One moment has one spelling, so that equal statements have equal bytes.
    expires: Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]

    def message(self) -> bytes:
        """The signed bytes: the RFC 8785 form, without a line end."""
        return canonical(json.loads(self.model_dump_json()))

    def expired(self, now: datetime) -> bool:
        """Whether it has run out."""
        return now >= self.expires
