"""``gatehouse people service``: principals that no person is, what each is named for, and what it may fetch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.cli.registry import REASON, cleared, open_registrar, public_key, registry, valid
from prefect_gatehouse.vocabulary import Duty, Role

if TYPE_CHECKING:
    from datetime import datetime

    from prefect_gatehouse.manifest.fields import DataClass


@click.group("service", short_help="Principals that no person is.")
def command() -> None:
    """Services: what pipelines fetch their credentials as, and what CI signs as. None of them approves or decides anything."""


@click.argument("service")
@click.option("--role", "roles", multiple=True, type=click.Choice(get_args(Role)), help="requester, where it signs requests.")
@click.option("--key", type=PATH, help="OpenSSH public key file (.pub), where it signs requests.")
@click.option("--duty", "duties", multiple=True, type=click.Choice(get_args(Duty)), help="What it is named for; may be repeated.")
@click.option("--tenant", "tenants", multiple=True, help="Whose pipelines it serves; may be repeated.")
@click.option("--block", "blocks", multiple=True, metavar="PATTERN", help="What it may fetch, such as 'vault-secret/acme-*'; may be repeated.")
@cleared
@valid
@REASON
def _add(
    service: str,
    roles: tuple[Role, ...],
    key: Path | None,
    duties: tuple[Duty, ...],
    tenants: tuple[str, ...],
    blocks: tuple[str, ...],
    clearance: DataClass | None,
    valid_after: datetime | None,
    valid_before: datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """Add SERVICE, or a key, duties and blocks to one that is there; to take some away, revoke it and add it again."""
    from prefect_gatehouse.identity.person import identifier
    from prefect_gatehouse.identity.services import service_of

    wanted = service_of(duties, tenants, blocks)
    line = public_key(key) if key is not None else None
    with open_registrar(reason) as registrar:
        registrar.add_service(
            identifier(service),
            wanted,
            key=line,
            roles=frozenset(roles),
            clearance=clearance,
            valid_after=valid_after,
            valid_before=valid_before,
        )
    named = ", ".join(wanted.duties) or "no duty"
    data = {"service": service, "roles": list(roles), **wanted.model_dump(mode="json")}
    emit(data, as_json, lambda: click.echo(f"{service}: a service, {', '.join(roles) or 'no role'}; {named}"))


def _list(as_json: bool) -> None:
    """List every service, what it is named for and what it may fetch."""
    found = [(each, each.service) for each in registry().all() if each.service is not None]
    headers = ("Service", "Roles", "Duties", "Tenants", "May fetch", "Keys")
    rows = [
        (
            each.person,
            ", ".join(sorted(each.roles)) or "-",
            ", ".join(named.duties) or "-",
            ", ".join(named.tenants) or "-",
            ", ".join(named.blocks) or "-",
            ", ".join(key.fingerprint for key in each.keys) or "-",
        )
        for each, named in found
    ]
    data = [
        {"service": each.person, "roles": sorted(each.roles), **named.model_dump(mode="json"), "keys": [key.fingerprint for key in each.keys]}
        for each, named in found
    ]
    emit(data, as_json, lambda: table("Services", headers, rows))


command.add_command(gatehouse_command("add", "Add a service, a key, duties or blocks.")(_add))
command.add_command(gatehouse_command("list", "List services.")(_list))
