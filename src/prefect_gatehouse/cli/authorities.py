"""``gatehouse people authority``: whose certificates prove people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.cli.registry import NEXT_VERSION, REASON, open_registrar, public_key, registry, valid
from prefect_gatehouse.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from prefect_gatehouse.vocabulary import Role


@click.group("authority", short_help="Add, list and remove certificate authorities.")
def command() -> None:
    """Add, list and remove certificate authorities: with a certificate of one, people sign for as long as it is good (ssh-keygen -s)."""


def roles_by_group(told: tuple[str, ...]) -> dict[str, tuple[Role, ...]]:
    """What ``--group GROUP=ROLE`` says, each as often as it is given.

    Raises:
        InputError: One is not of that form.
    """
    from prefect_gatehouse.identity.person import ROLES

    groups: dict[str, tuple[Role, ...]] = {}
    for each in told:
        group, _, role = each.rpartition("=")
        if not group or role not in ROLES:
            raise InputError("this is no group with a role", where="--group", advice=f"GROUP=ROLE, where ROLE is {', '.join(ROLES)}")
        groups[group] = (*groups.get(group, ()), role)
    return groups


@click.argument("key", type=PATH)
@click.option("--names", default="*", show_default=True, metavar="PATTERNS", help="Whom its certificates may name: *@example.org,!root@example.org")
@click.option("--group", "groups", multiple=True, metavar="GROUP=ROLE", help="A principal that is a group, and a role that counts only with it.")
@valid
@NEXT_VERSION
@REASON
def _add(
    key: Path,
    names: str,
    groups: tuple[str, ...],
    valid_after: datetime | None,
    valid_before: datetime | None,
    reason: str,
    next_version: bool,
    as_json: bool,
) -> None:
    """Add the authority with the public KEY, or change whom it may name and its groups.

    People have to be in the registry as well: gatehouse people add NAME --role approver, without a key; a principal of the certificate is NAME.
    """
    known = roles_by_group(groups)
    with open_registrar(reason, next_version=next_version) as registrar:
        mark = registrar.add_authority(
            public_key(key),
            names=names,
            groups=known,
            valid_after=valid_after,
            valid_before=valid_before,
        )
    emit({"authority": mark, "names": names, "groups": known}, as_json, lambda: click.echo(f"{mark}: signs certificates for {names}"))


def _list(as_json: bool) -> None:
    """List every authority, its groups and what it has revoked."""
    from prefect_gatehouse.identity.authorities import authorities

    found = authorities(registry())
    rows = [
        (
            each.fingerprint,
            each.names,
            ", ".join(f"{group}: {' and '.join(roles)}" for group, roles in sorted(each.groups.items())) or "as the registry says",
            ", ".join([*(str(serial) for serial in sorted(each.revoked_serials)), *sorted(each.revoked_keys)]) or "-",
        )
        for each in found
    ]
    data = [
        {
            "authority": each.fingerprint,
            "names": each.names,
            "groups": {group: list(roles) for group, roles in each.groups.items()},
            "revoked_serials": sorted(each.revoked_serials),
            "revoked_keys": sorted(each.revoked_keys),
        }
        for each in found
    ]
    emit(data, as_json, lambda: table("Certificate authorities", ("Key", "May name", "Roles of its groups", "Revoked"), rows))


@click.argument("authority")
@click.option("--serial", type=click.IntRange(min=1), help="Number of one certificate.")
@click.option("--fingerprint", default="", metavar="SHA256:...", help="Of the key whose certificates are all revoked.")
@REASON
def _revoke(authority: str, serial: int | None, fingerprint: str, reason: str, as_json: bool) -> None:
    """Revoke a certificate, or a key's, of AUTHORITY (its fingerprint). Approvals that wait on one no longer stand."""
    with open_registrar(reason) as registrar:
        registrar.revoke_certificates(authority, serial=serial, key=fingerprint)
    emit({"authority": authority, "serial": serial, "fingerprint": fingerprint}, as_json, lambda: click.echo("revoked"))


@click.argument("authority")
@REASON
def _remove(authority: str, reason: str, as_json: bool) -> None:
    """Remove AUTHORITY (its fingerprint): no certificate of it counts any more, and no approval that waits on one."""
    with open_registrar(reason) as registrar:
        registrar.remove_authority(authority)
    emit({"removed": authority}, as_json, lambda: click.echo(f"{authority}: removed"))


command.add_command(gatehouse_command("add", "Add an authority, or change it.")(_add))
command.add_command(gatehouse_command("list", "List every authority.")(_list))
command.add_command(gatehouse_command("revoke", "Revoke certificates of an authority.")(_revoke))
command.add_command(gatehouse_command("remove", "Remove an authority.")(_remove))
