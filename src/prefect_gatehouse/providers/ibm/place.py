"""Where jobs go: the settings of the block that a manifest names."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.providers.block_settings import Place as BlockPlace
from prefect_gatehouse.providers.block_settings import read_settings

_CRN = r"crn:v1:[a-z-]+:[a-z-]+:quantum-computing:[a-z0-9-]+:a/[0-9a-f]{32}:[0-9a-f-]{36}::"
_TAG = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w./=+@ -]+$")]
MOST_MINUTES = 180
"""How long the service lets a job hold the machine at most (max_execution_time of 10,800 seconds)."""


class Place(BlockPlace):
    """One device as one instance of an account reaches it, and how its service is spoken to."""

    device: str = Field(title="Device", description="The device's name at IBM, such as ibm_torino.", pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)+$")
    instance: str = Field(title="Instance", description="The instance's CRN; its region is in it.", pattern=f"^{_CRN}$")
    plan: str = Field(
        "pay-as-you-go",
        title="Plan",
        description="Of the instance: the price table has it as ibm/PLAN.",
        pattern=r"^[a-z]+(-[a-z]+)*$",
        max_length=40,
    )
    endpoint: str | None = Field(
        None, title="Endpoint", description="Of another server that speaks for IBM, in tests and drills.", pattern=r"^https?://[^\s@/?#]+/?$"
    )
    tags: list[_TAG] = Field(default_factory=list, title="Tags", description="More tags for every job.", max_length=3)
    qubits: list[Annotated[int, Field(ge=0)]] = Field(
        default_factory=list,
        title="Qubits",
        description="Of the device, that circuits may use; those that the calibration does not call bad unless given.",
        max_length=1000,
    )
    circuits: int = Field(5000, title="Circuits", description="In a job, each setting of a sweep counted.", ge=1, le=1_000_000)
    job_minutes: Decimal = Field(
        Decimal(10), title="Longest job", description="Minutes on the device after which the service ends a job.", gt=0, le=MOST_MINUTES
    )
    grace_seconds: float = Field(
        120.0, title="Grace", description="How long a job whose answer was lost is looked for, beyond the call's timeout.", ge=0
    )
    call_seconds: float = Field(30.0, title="Call timeout", description="How long an answer is waited for; below the grace.", gt=0)
    patience_seconds: float = Field(180.0, title="Patience", description="How long a throttled submission is tried again.", ge=0)
    poll_seconds: float = Field(5.0, title="Poll", description="Between two looks at a job that is not ready.", gt=0)

    @property
    def priced_as(self) -> str:
        """By which the price table has it."""
        return f"ibm/{self.plan}"

    @property
    def waits_seconds(self) -> float:
        """How long after a sending began its job may still be missing from lists: as long as an answer is waited for, and the grace."""
        return self.call_seconds + self.grace_seconds

    @property
    def longest_seconds(self) -> int:
        """The same limit as the service takes it: whole seconds."""
        return max(1, int(self.job_minutes * 60))


def read_place(device: str, settings: Mapping[str, Json]) -> Place:
    """The settings of a backend.

    Raises:
        InputError: One is missing or wrong; names it.
    """
    return read_settings(Place, settings, f"ibm/{device}")
