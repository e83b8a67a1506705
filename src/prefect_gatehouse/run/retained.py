"""What is kept of runs with an end of its own, as it was entered: pages, circuits to run again, results to reuse, artifacts of open runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from prefect_gatehouse.ledger.events import ReportDeleted
from prefect_gatehouse.ledger.kept_uri import kind_of, page_uri
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import artifacts
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.run.resume_window import abandoned_at, is_interrupted, resume_window
from prefect_gatehouse.validation.retention import ends, kept_pages
from prefect_gatehouse.vocabulary import KeptKind


@dataclass(frozen=True)
class Retained:
    """Something that is kept, and has not been deleted.

    Attributes:
        uri: Its name.
        run: Whose.
        kind: What it is.
        owner: Whom the manifest names.
        until: Its end as it was entered, seconds since the epoch; None where it goes with a run that is under way.
    """

    uri: str
    run: str
    kind: KeptKind
    owner: str
    until: float | None


def retained(ledger: Ledger, now: float, run_id: str | None = None) -> list[Retained]:
    """What is kept of a run, or of every run.

    Args:
        ledger: The open ledger.
        now: Seconds since the epoch; decides whether a silent process is taken for dead.
        run_id: The run; all where None.

    Raises:
        Tampered: The ledger's values do not go on from one another.
    """
    return [*_pages(ledger, run_id), *_entered(ledger, now, run_id)]


def _pages(ledger: Ledger, run_id: str | None) -> Iterator[Retained]:
    for (run, gate), event in kept_pages(ledger, run_id).items():
        yield Retained(page_uri(run, gate), run, "pages", event.fact.owner, ends(event))


def _entered(ledger: Ledger, now: float, run_id: str | None) -> Iterator[Retained]:
    query = select(artifacts.c.uri, artifacts.c.run_id, artifacts.c.owner, artifacts.c.retain_until).where(artifacts.c.deleted_at.is_(None))
    with ledger.reading() as connection:
        rows = connection.execute(query if run_id is None else query.where(artifacts.c.run_id == run_id)).all()
    ends: dict[str, float | None] = {}
    for row in rows:
        kind = kind_of(row.uri)
        if kind == "artifacts":  # an encrypted artifact lives as long as its run's key
            if row.run_id not in ends:
                ends[row.run_id] = _end_of(ledger, row.run_id, now)
            yield Retained(row.uri, row.run_id, kind, row.owner, ends[row.run_id])
        elif kind is not None:
            yield Retained(row.uri, row.run_id, kind, row.owner, row.retain_until)


def _end_of(ledger: Ledger, run_id: str, now: float) -> float | None:
    """When an open run is given up; None where it is under way."""
    row = ledger.run(run_id)
    return abandoned_at(row, resume_window(ledger, run_id)) if row is not None and is_interrupted(row, now) else None


_ONE: Mapping[KeptKind, str] = {"pages": "page", "circuits": "circuit file", "results": "result", "artifacts": "encrypted artifact"}


def in_words(uris: Iterable[str], does: str = "") -> str:
    """How many of each kind, such as ``2 pages, 1 result``."""
    kinds = Counter(kind for uri in uris if (kind := kind_of(uri)) is not None)
    return ", ".join(counted(number, _ONE[kind], does) for kind, number in sorted(kinds.items()))


def deleted(ledger: Ledger, run_id: str) -> list[str]:
    """URIs of what was kept of a run and has been deleted."""
    query = select(artifacts.c.uri).where(artifacts.c.run_id == run_id, artifacts.c.deleted_at.is_not(None)).order_by(artifacts.c.uri)
    with ledger.reading() as connection:
        uris = list(connection.scalars(query))
    return sorted({page_uri(run_id, event.fact.gate) for event in ledger.facts(ReportDeleted, run_id)}) + uris
