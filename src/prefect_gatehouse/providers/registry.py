"""Which providers there are: the entry points of the group ``prefect_gatehouse.providers``; a backend is ``provider/device``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from typing import cast

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.interface import Backend, Connection, Provider

GROUP = "prefect_gatehouse.providers"
LOCAL = "simulator"
"""The provider whose devices a manifest names without it: ``aer`` is ``simulator/aer``."""


def _points() -> EntryPoints:
    """The installed providers; looking for them reads every package's metadata, a tenth of a second."""
    return _found_on(tuple(sys.path))


@cache
def _found_on(path: tuple[str, ...]) -> EntryPoints:  # noqa: ARG001 - what is installed is found along it
    return entry_points(group=GROUP)


def split(backend: str) -> tuple[str, str]:
    """Provider and device of a backend's name."""
    provider, slash, device = backend.partition("/")
    return (provider, device) if slash else (LOCAL, backend)


def backend_names() -> tuple[str, ...]:
    """Every backend that is known without asking a provider."""
    names: list[str] = []
    for provider in sorted(_points().names):
        devices = _load(provider).devices()
        names += devices if provider == LOCAL else [f"{provider}/{device}" for device in devices]
    return tuple(sorted(names))


def connect(backend: str, connection: Connection) -> Backend:
    """A backend by its name in a manifest.

    Raises:
        InputError: There is no such backend, or it can't be loaded.
    """
    return _provider_of(backend).connect(split(backend)[1], connection)


def block_of(backend: str) -> tuple[str, tuple[str, ...]] | None:
    """The block that a backend's settings are in, with the settings that people read one by one; None where it has none.

    Raises:
        InputError: There is no such provider, or it can't be loaded.
    """
    block = _provider_of(backend).block
    return (f"{block.type}/{split(backend)[1]}", block.shown) if block is not None else None


def region_of(backend: str, settings: Mapping[str, Json]) -> str:
    """The region that a backend's jobs go to, by the settings of its block; empty where nothing says it.

    Raises:
        InputError: There is no such provider, or it can't be loaded.
    """
    block = _provider_of(backend).block
    return block.region(settings) if block is not None else ""


def is_installed(backend: str) -> bool:
    """Whether a backend's provider is here and, where it lists its devices, knows this one."""
    provider, device = split(backend)
    if provider not in _points().names:
        return False
    devices = _load(provider).devices()
    return not devices or device in devices


def _provider_of(backend: str) -> Provider:
    provider = split(backend)[0]
    if provider not in _points().names:
        raise InputError(f"there is no backend {backend}", where="execution.backends", advice=f"installed are {', '.join(backend_names())}")
    return _load(provider)


def _load(provider: str) -> Provider:
    (found,) = _points().select(name=provider)
    try:
        return cast("Provider", found.load()())
    except (ImportError, AttributeError):
        raise InputError(f"the provider {provider} can't be loaded", where="execution.backends", advice="install its package") from None
