"""The manifest of an installation's bundle of policies: which version it is, and which roles change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from prefect_gatehouse.canonical import EXACT
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.dsse import one_line
from prefect_gatehouse.identity.person import identifier
from prefect_gatehouse.manifest.fields import Line, Name, Strict
from prefect_gatehouse.policy.yaml_file import read_rules

_Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)]
_Persons = Annotated[tuple[Line, ...], Field(min_length=1, max_length=50)]
_Keys = Annotated[tuple[str, ...], Field(max_length=20)]


class _Manifest(Strict):
    version: Annotated[int, Field(ge=1, le=EXACT)]
    change_policy: Annotated[dict[Name, _Persons], Field(min_length=1, max_length=20)]
    change_people: _Names | None = None
    tenants: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000)]
    environments: _Names
    image_signers: _Keys = ()
    image_scanners: _Keys = ()


@dataclass(frozen=True)
class BundleManifest:
    """What ``bundle.yaml`` says.

    Attributes:
        version: Of the bundle; the next one has a higher one.
        change_policy: The people of each role, by their identifiers in the registry; one of each role signs.
        change_people: Roles of which one person signs each change of the registry that gives somebody something.
        tenants: Whose pipelines may run above the prototype tier.
        environments: Where.
        image_signers: Public keys that sign the images that workers run in, as of ``dsse.one_line``.
        image_scanners: Those that sign what a scan of one found.
    """

    version: int
    change_policy: Mapping[str, tuple[str, ...]]
    change_people: tuple[str, ...]
    tenants: tuple[str, ...]
    environments: tuple[str, ...]
    image_signers: tuple[str, ...] = ()
    image_scanners: tuple[str, ...] = ()


def load_bundle_manifest(path: Path) -> BundleManifest:
    """The manifest of a file.

    Raises:
        InputError: The file is missing or malformed, or somebody has two roles.
    """
    if not path.exists():
        advice = "write it (docs/operators.md, The signed bundle) and have it signed: gatehouse policy sign"
        raise InputError("there is no bundle of policies", where=str(path), advice=advice)
    read = read_rules(path, TypeAdapter(_Manifest), "the bundle", "GATEHOUSE_BUNDLE")
    roles = {role: tuple(sorted({identifier(each) for each in persons})) for role, persons in sorted(read.change_policy.items())}
    everybody = [each for persons in roles.values() for each in persons]
    twice = sorted({each for each in everybody if everybody.count(each) > 1})
    if twice:
        advice = "one person signs for one role; name somebody else"
        raise InputError(f"{twice[0]} has two roles", where=f"{path}: change_policy", advice=advice)
    registrars = tuple(sorted(set(read.change_people))) if read.change_people is not None else tuple(roles)
    unknown = sorted(set(registrars) - set(roles))
    if unknown:
        raise InputError(f"{unknown[0]} is no role of change_policy", where=f"{path}: change_people", advice="name roles that change_policy has")
    listed = (tuple(sorted(set(each))) for each in (read.tenants, read.environments))
    keys = (_keys(getattr(read, name), f"{path}: {name}") for name in ("image_signers", "image_scanners"))
    return BundleManifest(read.version, roles, registrars, *listed, *keys)


def _keys(texts: tuple[str, ...], where: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({one_line(each) for each in texts}))
    except ValueError:
        advice = "give the lines of cosign.pub, or what stands between its first and its last"
        raise InputError("this is no public key of the curve P-256", where=where, advice=advice) from None
