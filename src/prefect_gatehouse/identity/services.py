"""Services: principals that no person is. A pipeline fetches its credentials as one, CI signs its requests as one; none of them decides anything.

What a service is named for is in the registry, which its keeper signs and the bundle of policies covers: duties, tenants, and the blocks that it may
fetch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import Field

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import Duty, Role

_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# The type of the block is written out: a service for everything would be a person's account under another name.
_BLOCK = re.compile(r"[a-z0-9-]+/[a-z0-9*-]+(#[A-Za-z0-9_.*-]+)?")
_ADVICE = "write TYPE/NAME, where * in the name stands for any letters: vault-secret/acme-*"


class Service(Value):
    """What a service is named for; one that only signs requests is named for tenants alone, whose pipelines it asks for."""

    duties: tuple[Duty, ...] = ()
    tenants: tuple[str, ...] = Field((), description="Whose pipelines.")
    blocks: tuple[str, ...] = Field((), description="Patterns of the block references that it may fetch.")

    def joined(self, before: Service | None) -> Service:
        """With what it was named for before."""
        if before is None:
            return self
        return Service(
            duties=tuple(sorted({*before.duties, *self.duties})),
            tenants=tuple(sorted({*before.tenants, *self.tenants})),
            blocks=tuple(sorted({*before.blocks, *self.blocks})),
        )

    def serves(self, duty: Duty, tenant: str) -> bool:
        """Whether it is named for a duty of a tenant."""
        return duty in self.duties and tenant in self.tenants

    def may_fetch(self, block: str) -> bool:
        """Whether it may fetch a block; a pattern without a field is of the block whatever field is asked for."""
        return any(_matches(pattern, block) for pattern in self.blocks)


def service_of(duties: Iterable[Duty], tenants: Iterable[str], blocks: Iterable[str]) -> Service:
    """What somebody wants a service to be named for.

    Raises:
        InputError: It is not all of it or none, or a value is malformed.
    """
    found = Service(duties=tuple(sorted(set(duties))), tenants=tuple(sorted(set(tenants))), blocks=tuple(sorted(set(blocks))))
    given = {"--duty": found.duties, "--tenant": found.tenants, "--block": found.blocks}
    missing = [option for option, values in given.items() if not values]
    if missing and (found.duties or found.blocks):
        advice = "a duty is of tenants and for blocks; a service that only signs requests has tenants alone"
        raise InputError(f"{' and '.join(missing)} is missing", where=missing[0], advice=advice)
    for tenant in found.tenants:
        if not _TENANT.fullmatch(tenant):
            raise InputError("this is no tenant", where="--tenant", advice="as the manifests spell it")
    for block in found.blocks:
        if not _BLOCK.fullmatch(block) or not block.partition("/")[2].partition("#")[0].strip("*-"):
            raise InputError("this is no narrow pattern of a block's reference", where="--block", advice=_ADVICE)
    return found


def refuse_as_service(roles: Iterable[Role], *, totp: bool) -> None:
    """Stops what only people have.

    Raises:
        InputError: A service would have it.
    """
    others = sorted(set(roles) - {"requester"})
    if others:
        raise InputError(f"a service can't be {others[0]}: it may ask, and only people decide", where="role", advice="give it requester, or no role")
    if totp:
        raise InputError("a service has no one-time codes", where="totp", advice="give it a key")


def _matches(pattern: str, block: str) -> bool:
    """Compared letter by letter; ``*`` stands for any letters of a name, never for the type or the field's mark."""
    name, mark, field = pattern.partition("#")
    asked, _, asked_field = block.partition("#")
    return _like(name, asked) and (not mark or _like(field, asked_field))


def _like(pattern: str, text: str) -> bool:
    return re.fullmatch("[^/#]*".join(map(re.escape, pattern.split("*"))), text) is not None
