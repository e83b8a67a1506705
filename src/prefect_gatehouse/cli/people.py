"""``gatehouse people``: who may ask, who may approve, and which class of data each may read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from prefect_gatehouse.identity.people import People, PersonKey
    from prefect_gatehouse.vocabulary import Role


@click.group("people", short_help="Add, list and revoke people.")
def command() -> None:
    """Add, list and revoke people: public keys, one-time codes, roles, clearances."""


def _registry() -> People:
    from prefect_gatehouse.identity.people import People
    from prefect_gatehouse.settings import load_settings

    return People(load_settings().people_folder())


def _moment(option: str, text: str | None) -> datetime | None:
    from prefect_gatehouse.identity.allowed_signers import read_time

    if text is None:
        return None
    try:
        return read_time(text)
    except InputError as error:
        raise InputError(error.message, where=option, advice=error.advice) from None


@click.argument("person")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(["requester", "approver", "auditor"]), help="May be repeated.")
@click.option("--key", type=PATH, help="OpenSSH public key file (.pub).")
@click.option("--totp", is_flag=True, help="Make a shared secret for one-time codes.")
@click.option(
    "--clearance",
    type=click.Choice(["public", "internal", "confidential", "restricted"]),
    help="Highest class of data that PERSON may read, from now on; public unless it was ever given.",
)
@click.option("--valid-after", metavar="TIME", help="From when the key signs: 20270101Z, 202701010800Z; without Z it is this machine's zone.")
@click.option("--valid-before", metavar="TIME", help="Until when it signs; the last moment counts.")
def _add(
    person: str,
    roles: tuple[Role, ...],
    key: Path | None,
    totp: bool,
    clearance: str | None,
    valid_after: str | None,
    valid_before: str | None,
    as_json: bool,
) -> None:
    """Add PERSON, or keys, roles and a clearance to one who is there."""
    from prefect_gatehouse.identity.keys import parse_public
    from prefect_gatehouse.identity.people import identifier
    from prefect_gatehouse.identity.totp import provisioning_uri
    from prefect_gatehouse.manifest.fields import DataClass

    line = None
    if key is not None:
        try:
            line = key.read_text()
            parse_public(line)
        except InputError as error:
            raise InputError(error.message, where=str(key), advice=error.advice) from None
        except (OSError, UnicodeDecodeError):
            raise InputError("the public key can't be read", where=str(key), advice="give the .pub file") from None
    people = _registry()
    secret = people.add(
        person,
        key=line,
        roles=frozenset(roles),
        totp=totp,
        clearance=DataClass(clearance) if clearance else None,
        valid_after=_moment("--valid-after", valid_after),
        valid_before=_moment("--valid-before", valid_before),
    )
    known = people.get(identifier(person))
    cleared = str(known.clearance) if known is not None else "public"
    uri = provisioning_uri(person, secret) if secret else None

    def render() -> None:
        click.echo(f"{person}: {', '.join(roles)}; cleared for {cleared}")
        if uri:
            click.echo(f"scan this into an authenticator app; it is shown once:\n{uri}")

    emit({"person": person, "roles": list(roles), "clearance": cleared, "totp_uri": uri}, as_json, render)


def _validity(key: PersonKey) -> str:
    times = (("from", key.valid_after), ("until", key.valid_before))
    return "".join(f" {word} {when:%Y-%m-%d %H:%M} UTC" for word, when in times if when is not None)


def _list(as_json: bool) -> None:
    """List everybody."""
    everybody = _registry().all()
    rows = [
        (
            item.person,
            ", ".join(sorted(item.roles)),
            str(item.clearance),
            ", ".join(key.fingerprint + _validity(key) for key in item.keys) or "-",
            "yes" if item.totp else "no",
        )
        for item in everybody
    ]
    data = [
        {
            "person": item.person,
            "roles": sorted(item.roles),
            "clearance": str(item.clearance),
            "keys": [key.fingerprint for key in item.keys],
            "totp": item.totp,
        }
        for item in everybody
    ]
    emit(data, as_json, lambda: table("People", ("Person", "Roles", "Cleared for", "Keys", "One-time codes"), rows))


@click.argument("person")
@click.option("--fingerprint", help="Only this key, SHA256:...")
def _revoke(person: str, fingerprint: str | None, as_json: bool) -> None:
    """Take away everything PERSON may do, or one key. Approvals that wait on it no longer stand."""
    _registry().revoke(person, fingerprint)
    emit({"revoked": person, "fingerprint": fingerprint}, as_json, lambda: click.echo(f"{person}: revoked"))


command.add_command(gatehouse_command("add", "Add a person, keys, roles or a clearance.")(_add))
command.add_command(gatehouse_command("list", "List everybody.")(_list))
command.add_command(gatehouse_command("revoke", "Take rights away.")(_revoke))
