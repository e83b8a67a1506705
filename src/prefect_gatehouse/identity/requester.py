"""Who asked for a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.value import Value

NOBODY: Literal["unverified"] = "unverified"
"""Who asked where nobody signed."""


class Requester(Value):
    """Who asked."""

    person: str = Field(description="Identifier in the registry of people; 'unverified' where nobody signed.")
    method: Literal["ssh", "ssh-certificate", "ssh-fido", "unverified"]
    fingerprint: str = Field("", description="SHA256 fingerprint of the key that signed.")
    request_id: str = ""
    service: bool = Field(False, description="Whether it is a service: who had it sign is not proven, and may be anybody who can start it.")
    clearance: DataClass = Field(DataClass.PUBLIC, description="Highest class that they might read when the run was admitted.")

    @property
    def in_words(self) -> str:
        """By whom, and what that proves."""
        if self.method == NOBODY:
            return "unverified: nobody signed the request"
        return f"{self.person} ({self.method}{', a service' if self.service else ''})"

    @property
    def signed_by(self) -> str:
        """Who signed the request; empty where nobody did: then it could be anybody's."""
        return self.person if self.method != NOBODY else ""
