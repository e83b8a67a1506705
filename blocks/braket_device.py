"""A device of Amazon Braket: what a manifest means by ``braket/NAME``, edited by an administrator in the Prefect UI."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from prefect.blocks.core import Block

from prefect_gatehouse.providers.braket.place import Place

_FIELDS = Place.model_fields


class BraketDevice(Block):
    """Where jobs for a backend go: device, region and bucket. It holds no credential; a manifest names that one by itself.

    Example:
        Load a stored block:
        ```python
        from prefect_gatehouse.blocks.braket_device import BraketDevice

        device = BraketDevice.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Braket Device"
    _block_type_slug = "braket-device"
    _documentation_url = "https://docs.aws.amazon.com/braket/latest/developerguide/braket-devices.html"  # type: ignore[assignment]
    _description = "A device of Amazon Braket, with the bucket for its results."

    # The provider's own fields, with their bounds: one definition, so that the form refuses what the provider would.
    device_arn: str = _FIELDS["device_arn"]  # type: ignore[assignment]
    region: str = _FIELDS["region"]  # type: ignore[assignment]
    bucket: str = _FIELDS["bucket"]  # type: ignore[assignment]
    prefix: str = _FIELDS["prefix"]  # type: ignore[assignment]
    endpoint: str | None = _FIELDS["endpoint"]  # type: ignore[assignment]
    tags: dict[str, str] = _FIELDS["tags"]  # type: ignore[assignment]
    executables: int | None = _FIELDS["executables"]  # type: ignore[assignment]
    grace_seconds: float = _FIELDS["grace_seconds"]  # type: ignore[assignment]
    call_seconds: float = _FIELDS["call_seconds"]  # type: ignore[assignment]
    patience_seconds: float = _FIELDS["patience_seconds"]  # type: ignore[assignment]
    poll_seconds: float = _FIELDS["poll_seconds"]  # type: ignore[assignment]
    compiler: Literal["gatehouse", "service"] = _FIELDS["compiler"]  # type: ignore[assignment]
    task_minutes: Decimal = _FIELDS["task_minutes"]  # type: ignore[assignment]
