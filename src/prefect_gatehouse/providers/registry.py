"""Which backend names there are: the entry points of the group ``prefect_gatehouse.providers``."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.interface import Provider, Sealer

GROUP = "prefect_gatehouse.providers"


def backend_names() -> tuple[str, ...]:
    """Every backend that is installed."""
    return tuple(sorted(entry_points(group=GROUP).names))


def provider_for(backend: str, spool: Path, sealer: Sealer) -> Provider:
    """The provider of a backend.

    Args:
        backend: Its name in a manifest.
        spool: Where a local simulator keeps the run's jobs.
        sealer: Encrypts them.

    Raises:
        InputError: There is no such backend, or it can't be loaded.
    """
    found = list(entry_points(group=GROUP, name=backend))
    if len(found) != 1:
        raise InputError(f"there is no backend {backend}", where="execution.backends", advice=f"installed are {', '.join(backend_names())}")
    try:
        make = found[0].load()
    except (ImportError, AttributeError):
        raise InputError(f"the backend {backend} can't be loaded", where="execution.backends", advice="install its package") from None
    return cast("Provider", make(spool, sealer))
