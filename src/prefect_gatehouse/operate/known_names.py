"""The tenants, people, pipelines and backends that an installation knows, and which of them a name that it does not know is like."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from functools import cache
from typing import get_args

from sqlalchemy import select

from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import submissions
from prefect_gatehouse.policy.tiers import load_tiers
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import QuarantineScope

SCOPES: tuple[QuarantineScope, ...] = get_args(QuarantineScope)
Rows = Callable[[], Sequence[RunRow]]
"""Gives every run, read when it is first asked for."""
_MOST = 3
_LIKE = 0.7  # of SequenceMatcher, which gives 1 for the same: two letters that changed places in a name of seven


def known_names(settings: Settings, ledger: Ledger) -> Mapping[QuarantineScope, Collection[str]]:
    """What is known of each kind; a kind is left out where that can't be told now, as with a registry that can't be read."""
    found, rows = {}, cache(ledger.runs)
    for scope, read in _NAMES.items():
        # In an emergency something is stopped, and this only helps to name it.
        with suppress(Exception):
            found[scope] = read(settings, ledger, rows)
    return found


def is_known(names: Mapping[QuarantineScope, Collection[str]], scope: QuarantineScope, name: str) -> bool | None:
    """Whether something has a name, or a provider's backend begins with it; None where that can't be told now."""
    if scope not in names:
        return None
    return any(each == name or (scope == "backend" and each.startswith(f"{name}/")) for each in names[scope])


def nearest(names: Mapping[QuarantineScope, Collection[str]], name: str) -> list[str]:
    """What a name may have been meant to be, the most alike first, each as ``scope:name``."""
    found = [(_likeness(name, each), f"{scope}:{each}") for scope, known in names.items() for each in known]
    return [told for likeness, told in sorted(found, key=lambda each: (-each[0], each[1])) if likeness >= _LIKE][:_MOST]


def _likeness(name: str, known: str) -> float:
    """Of a name, also without what is behind an @ or before a slash, which people leave out."""
    forms = {known, known.partition("@")[0], known.rpartition("/")[2]}
    return max(SequenceMatcher(None, name.casefold(), form.casefold()).ratio() for form in forms)


def _principals(settings: Settings, _: Ledger, rows: Rows) -> set[str]:
    return {each.person for each in People(settings.people_folder()).all()} | {row.requester for row in rows()} - {NOBODY}


def _backends(settings: Settings, ledger: Ledger, _: Rows) -> set[str]:
    with ledger.reading() as connection:
        used = set(connection.scalars(select(submissions.c.backend).distinct()))
    backends = used | {name for tier in load_tiers(settings.tiers).values() for name in tier.backends}
    return backends | {name.partition("/")[0] for name in backends}


_NAMES: Mapping[QuarantineScope, Callable[[Settings, Ledger, Rows], Collection[str]]] = {
    "tenant": lambda _, __, rows: {row.tenant for row in rows()},
    "principal": _principals,
    "pipeline": lambda _, __, rows: {row.pipeline for row in rows()},
    "backend": _backends,
}
