"""A device of IBM Quantum: what a manifest means by ``ibm/NAME``, edited by an administrator in the Prefect UI."""

from __future__ import annotations

from decimal import Decimal

from prefect.blocks.core import Block

from prefect_gatehouse.providers.ibm.place import Place

_FIELDS = Place.model_fields


class IBMDevice(Block):
    """Where jobs for a backend go: device and instance. It holds no credential; a manifest names that one by itself.

    Example:
        Load a stored block:
        ```python
        from prefect_gatehouse.blocks.ibm_device import IBMDevice

        device = IBMDevice.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "IBM Device"
    _block_type_slug = "ibm-device"
    _documentation_url = "https://quantum.cloud.ibm.com/docs/guides/instances"  # type: ignore[assignment]
    _description = "A device of IBM Quantum, with the instance that reaches it."

    # The provider's own fields, with their bounds: one definition, so that the form refuses what the provider would.
    device: str = _FIELDS["device"]  # type: ignore[assignment]
    instance: str = _FIELDS["instance"]  # type: ignore[assignment]
    plan: str = _FIELDS["plan"]  # type: ignore[assignment]
    endpoint: str | None = _FIELDS["endpoint"]  # type: ignore[assignment]
    tags: list[str] = _FIELDS["tags"]  # type: ignore[assignment]
    qubits: list[int] = _FIELDS["qubits"]  # type: ignore[assignment]
    circuits: int = _FIELDS["circuits"]  # type: ignore[assignment]
    job_minutes: Decimal = _FIELDS["job_minutes"]  # type: ignore[assignment]
    grace_seconds: float = _FIELDS["grace_seconds"]  # type: ignore[assignment]
    call_seconds: float = _FIELDS["call_seconds"]  # type: ignore[assignment]
    patience_seconds: float = _FIELDS["patience_seconds"]  # type: ignore[assignment]
    poll_seconds: float = _FIELDS["poll_seconds"]  # type: ignore[assignment]
