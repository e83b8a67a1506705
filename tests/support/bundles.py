"""A signed bundle of policies for an installation: three people, one of each role that signs."""

from __future__ import annotations

import shutil
from pathlib import Path

from prefect_gatehouse.identity.keys import generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.operate import bundle
from prefect_gatehouse.settings import Settings

ROLES = {"legal": "lea", "security": "sam", "engineering": "eve"}


def own_files(settings: Settings, folder: Path) -> Settings:
    """An installation whose policies, tiers and classes are its own copies, which a test may edit."""
    shutil.copytree(settings.policies, folder / "policies")
    for path in (settings.tiers, settings.classes):
        if path.parent != folder:
            shutil.copy(path, folder)
    files = {"policies": folder / "policies", "tiers": folder / settings.tiers.name, "classes": folder / settings.classes.name}
    return settings.model_copy(update=files)


def write_bundle(settings: Settings, version: int = 1, more: str = "", **roles: str) -> None:
    """A manifest with one person in each role: the three that are always there, or these."""
    named = "".join(f"  {role}: [{person}]\n" for role, person in (roles or ROLES).items())
    settings.bundle_file().write_text(f"version: {version}\ntenants: [test-tenant]\nenvironments: [local]\nchange_policy:\n{named}{more}")


def enter(settings: Settings, *persons: str) -> None:
    """People with a key each, beside the home; who is there keeps theirs."""
    for person in persons:
        key = key_of(settings, person)
        line = public_line(key) if key.exists() else generate_key(key, "")
        People(settings.people_folder()).add(person, key=line, roles=frozenset({"auditor"}))


def key_of(settings: Settings, person: str) -> Path:
    return settings.home.parent / f"{person}-signs"


def as_(settings: Settings, person: str) -> Settings:
    """The installation as one of its people has it."""
    return settings.model_copy(update={"identity": key_of(settings, person)})


def sign_bundle(settings: Settings, ledger: Ledger, version: int = 1) -> None:
    """Has a version signed by everybody who has to; the first one is accepted, too."""
    enter(settings, *ROLES.values())
    write_bundle(settings, version)
    for person in ROLES.values():
        bundle.sign(as_(settings, person), ledger, "as agreed")
    if version == 1:
        bundle.accept(settings, ledger, "the first one")
