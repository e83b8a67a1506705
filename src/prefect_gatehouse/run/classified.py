"""The classification that a run stands on: that of the source which its manifest names, as it holds now."""

from __future__ import annotations

import json
from pathlib import Path

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.ledger.acts import ClassesAct
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.data import S3Objects, SqlQuery
from prefect_gatehouse.manifest.endpoints import declared_endpoint
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.policy.classifications import Signed, classifications, lower_than_signed, that_counts
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.planned import PlannedClasses
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.settings import Settings


def source_of(manifest: Manifest, folder: Path) -> tuple[str, str]:
    """A source's digest, and its name for people: a query's text may hold values, so it is in the digest alone.

    How a file is read is part of it: the names of its columns may be given there.
    """
    source = manifest.data.source
    if isinstance(source, SqlQuery):
        system = next(each for each in manifest.systems if each.name == source.system)
        return digest({"sql": source.sql, "endpoint": declared_endpoint(system.endpoint, folder)}), f"a query on {source.system}"
    form = json.loads(manifest.data.csv.model_dump_json())
    if isinstance(source, S3Objects):
        block = manifest.credentials.read_source
        return digest({"s3": source.s3, "block": block, "csv": form}), f"objects of {block}"
    return digest({"file": str(folder.resolve() / source), "csv": form}), str(source)


def unsigned_columns(
    settings: Settings, history: Ledger, manifest: Manifest, folder: Path, requester: Requester, named: str | None = None
) -> tuple[str, ...]:
    """Columns of a manifest whose class is lower than a data owner has signed for the source, or that nobody has signed for.

    Args:
        settings: The installation.
        history: The ledger.
        manifest: What would be run.
        folder: Where it lies.
        requester: Asks.
        named: The classification that the run's plan names: where another one counts by now, none does. None where there is no plan.
    """
    found = _counting(settings, history, manifest, folder, requester)
    if found is not None and named not in {None, found.event.fact.classification}:
        found = None
    return lower_than_signed(manifest.data, found.columns if found is not None else {})


def planned_classes(settings: Settings, history: Ledger, admitted: AdmittedRun) -> PlannedClasses | None:
    """What people are shown of it before they approve."""
    found = _counting(settings, history, admitted.manifest, Path(admitted.folder), admitted.requester)
    if found is None:
        return None
    return PlannedClasses(classification=found.event.fact.classification, signed_by=found.event.fact.person, at=found.event.at)


def _counting(settings: Settings, history: Ledger, manifest: Manifest, folder: Path, requester: Requester) -> Signed | None:
    acts = history.facts(ClassesAct)
    if not acts:
        return None
    found = classifications(acts, holding(settings, history))
    return that_counts(found, manifest.tenant, source_of(manifest, folder)[0], settings.environment, requester.signed_by)
