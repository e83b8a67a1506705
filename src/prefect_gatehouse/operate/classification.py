"""Classes of a source by hand: a data owner signs which class each of its columns has."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.ledger.acts import ClassesAct, ClassesSigned, ClassesWithdrawn
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.operate.acts import numbered, record_end
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.operate.signing import record
from prefect_gatehouse.policy.classifications import Classification, classifications, with_replaced
from prefect_gatehouse.run.classified import source_of
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.settings import Settings

_SEE = "gatehouse classes list"


def sign(settings: Settings, ledger: Ledger, file: Path, changed: Sequence[str], reason: str) -> Event[ClassesSigned]:
    """Signs the classes of a manifest's source with the caller's own key and records them; they replace what was signed for it before.

    Args:
        settings: The installation.
        ledger: The open ledger.
        file: The manifest: its source, and the classes that it declares.
        changed: What the owner says otherwise, and columns that the manifest does not name, as COLUMN=CLASS.
        reason: Why.

    Raises:
        InputError: The manifest or a value is malformed, or the caller has no usable signing key.
        Denied: The caller is no data owner, or is in quarantine.
    """
    manifest = load_manifest(file).manifest
    source, named = source_of(manifest, file.parent)
    columns = {name: str(column.data_class) for name, column in manifest.data.columns.items()} | dict(_pair(each) for each in changed)
    statement: dict[str, Json] = {
        "action": "classify",
        "classification": str(uuid.uuid4()),
        "tenant": manifest.tenant,
        "source": source,
        "named": named,
        "columns": dict(columns),
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
    }
    return record(settings, ledger, ClassesSigned, statement, str(statement["classification"]), "classes are signed")


def _pair(text: str) -> tuple[str, str]:
    name, sign_, data_class = text.rpartition("=")
    if not sign_ or not name or data_class not in set(DataClass):
        advice = f"write COLUMN=CLASS, with one of: {', '.join(DataClass)}"
        raise InputError("this names no column with its class", where="--class", advice=advice)
    return name, data_class


def withdraw(settings: Settings, ledger: Ledger, number: str, reason: str) -> Event[ClassesWithdrawn]:
    """Signs that a classification is over, at once; any data owner may.

    Raises:
        InputError: There is none of this number, it was ended already, or the caller has no usable signing key.
        Denied: The caller is no data owner, or is in quarantine.
    """
    given = numbered(ledger, ClassesSigned, number, _SEE)
    return record_end(settings, ledger, given, ClassesWithdrawn, "withdraw-classification", reason, "a classification is withdrawn", _SEE)


def known(settings: Settings, ledger: Ledger) -> list[Classification]:
    """Every classification, newest first; one that another replaced does not count, and says by which."""
    return with_replaced(classifications(ledger.facts(ClassesAct), holding(settings, ledger)))[::-1]
