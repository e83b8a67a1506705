"""The names of what is kept of a run with an end of its own: ``scheme:RUN/name``."""

from __future__ import annotations

from collections.abc import Mapping

from prefect_gatehouse.vocabulary import KeptKind

_KINDS: Mapping[str, KeptKind] = {"report": "pages", "reproduction": "circuits", "reuse": "results", "artifact": "artifacts"}


def page_uri(run_id: str, gate: str) -> str:
    """What a gate's page is called."""
    return f"report:{run_id}/{gate}"


def kind_of(uri: str) -> KeptKind | None:
    """What something is, by its name; None where its name says nothing."""
    return _KINDS.get(uri.partition(":")[0])


def run_of(uri: str) -> str:
    """Whose it is, by its name."""
    return uri.partition(":")[2].partition("/")[0]
