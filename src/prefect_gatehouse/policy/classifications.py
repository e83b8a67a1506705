"""Whose word the classes of a source's columns are: a data owner's, signed; evaluated here and nowhere else.

The newest classification of a source by somebody else than the requester counts, where it is signed by a data owner in the registry who is not in
quarantine, for this tenant and environment, and not withdrawn. One that does not count is none, and no older one takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from prefect_gatehouse.ledger.acts import ClassesAct, ClassesSigned, ClassesWithdrawn
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.manifest.columns import Drop, ShiftDates
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.policy.given import judged
from prefect_gatehouse.policy.quarantine import Quarantines


@dataclass(frozen=True)
class Classification:
    """The classes of a source that somebody has signed.

    Attributes:
        event: Who signed, and which.
        void: Why it does not count; empty where it does.
    """

    event: Event[ClassesSigned]
    void: str


def classifications(acts: Iterable[Event[ClassesAct]], held: Quarantines) -> list[Classification]:
    """Every classification that was ever signed, oldest first, with why it does not count.

    Raises:
        Tampered: The registry can't be read.
    """
    return judged(acts, ClassesSigned, ClassesWithdrawn, "withdrawn", held, Classification)


@dataclass(frozen=True)
class Signed:
    """What counts of a source.

    Attributes:
        event: Who signed it.
        columns: The classes; where the requester has signed higher ones since, those.
    """

    event: Event[ClassesSigned]
    columns: Mapping[str, DataClass]


def that_counts(found: Iterable[Classification], tenant: str, source: str, environment: str, requester: str) -> Signed | None:
    """The newest of a source that somebody else than the requester has signed, where it counts; none where nobody signed the request.

    Args:
        found: Every classification, oldest first.
        tenant: Of the run.
        source: Digest of its source.
        environment: Where it runs.
        requester: Who signed the request; empty where nobody did, for it could be anybody's.
    """
    facts = [each for each in found if (each.event.fact.tenant, each.event.fact.source, each.event.fact.environment) == (tenant, source, environment)]
    others = [each for each in facts if each.event.fact.person != requester]
    if not requester or not others or others[-1].void:
        return None
    newest = others[-1].event
    columns = dict(newest.fact.columns)
    for each in facts:
        if each.event.seq > newest.seq and not each.void:
            for name, data_class in each.event.fact.columns.items():
                columns[name] = max(data_class, columns.get(name, DataClass.RESTRICTED), key=lambda item: item.rank)
    return Signed(newest, columns)


def with_replaced(found: Sequence[Classification]) -> list[Classification]:
    """The same, oldest first, where each that a later one of its source has replaced says so, and by which: as ``that_counts`` goes by them.

    A later one that does not count replaces it all the same. It replaces nothing for the runs of whoever signed it.
    """
    later: dict[tuple[str, str, str], list[Event[ClassesSigned]]] = {}
    told = []
    for each in reversed(found):
        fact = each.event.fact
        newer = later.setdefault((fact.tenant, fact.source, fact.environment), [])
        told.append(replace(each, void=each.void or _replaced(fact.person, newer)))
        newer.append(each.event)
    return told[::-1]


def _replaced(person: str, newer: Sequence[Event[ClassesSigned]]) -> str:
    """By which of those that were signed since, newest first; empty where by none."""
    if not newer:
        return ""
    signers = {each.fact.person for each in newer}
    alone = f", but for the runs of {signers.pop()}" if len(signers) == 1 and person not in signers else ""
    return f"replaced by {newer[0].seq}{alone}"


def lower_than_signed(data: Data, signed: Mapping[str, DataClass]) -> tuple[str, ...]:
    """Columns that are read, with a lower class in the manifest than was signed; one that nobody has signed for is restricted."""
    read = {name for name, column in data.columns.items() if not isinstance(column, Drop)}
    read |= {column.subject for column in data.columns.values() if isinstance(column, ShiftDates)}
    declared = {name: column.data_class for name, column in data.columns.items() if name in read}
    return tuple(name for name, data_class in declared.items() if data_class.rank < signed.get(name, DataClass.RESTRICTED).rank)
