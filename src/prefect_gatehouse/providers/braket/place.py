"""Where jobs go: the settings of the block that a manifest names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.block_settings import Place as BlockPlace
from prefect_gatehouse.providers.block_settings import read_settings

_ARN = r"arn:aws[a-z-]*:braket:(?P<region>[a-z0-9-]*)::device/[a-z-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+"
_TAG = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\w./=+@ -]+$")]


class Place(BlockPlace):
    """One device of one account, and how its service is spoken to."""

    device_arn: str = Field(title="Device", description="The device's ARN.", pattern=f"^{_ARN}$")
    region: str = Field(title="Region", description="AWS region; a machine is in one only.", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    bucket: str = Field(title="Bucket", description="S3 bucket for what is sent and for results.", min_length=3, max_length=63)
    prefix: str = Field("gatehouse", title="Prefix", description="Of all keys in the bucket.", pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$", max_length=256)
    endpoint: str | None = Field(
        None, title="Endpoint", description="Of another server that speaks for AWS, in tests and drills.", pattern=r"^https?://[^\s@/?#]+/?$"
    )
    tags: dict[_TAG, str] = Field(default_factory=dict, title="Tags", description="More tags for every task.", max_length=40)
    executables: int | None = Field(None, title="Executables", description="Circuits in a task, where fewer are wanted than the device takes.", ge=1)
    grace_seconds: float = Field(60.0, title="Grace", description="How long a task whose answer was lost is looked for.", ge=0)
    call_seconds: float = Field(20.0, title="Call timeout", description="How long an answer is waited for; below the grace.", gt=0)
    patience_seconds: float = Field(120.0, title="Patience", description="How long a throttled submission is tried again.", ge=0)
    poll_seconds: float = Field(5.0, title="Poll", description="Between two looks at a task that is not ready.", gt=0)
    compiler: Literal["gatehouse", "service"] = Field(
        "gatehouse",
        title="Compiler",
        description="Who chooses gates and qubits of a machine: gatehouse, before the approval, or the service, after it.",
    )
    task_minutes: Decimal = Field(
        Decimal(360), title="Longest task", description="Minutes that a task may take at most, where the device bills by the minute.", gt=0
    )


def read_place(device: str, settings: Mapping[str, Json]) -> Place:
    """The settings of a backend.

    Raises:
        InputError: One is missing or wrong; names it.
    """
    place = read_settings(Place, settings, f"braket/{device}")
    match = re.fullmatch(_ARN, place.device_arn)
    region = match["region"] if match else ""
    if region not in {"", place.region}:
        raise InputError(f"the device is in {region}", where=f"braket/{device}", advice=f"set region to {region} in the backend's block")
    return place
