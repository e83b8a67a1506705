"""``gatehouse people``: who may ask, who may approve, and which class of data each may read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from prefect_gatehouse.cli.authorities import command as authority
from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.cli.providers import command as provider
from prefect_gatehouse.cli.registry import REASON, cleared, file_content, open_registrar, public_key, registry, valid
from prefect_gatehouse.cli.roots import command as root
from prefect_gatehouse.cli.services import command as service
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.vocabulary import Role

if TYPE_CHECKING:
    from datetime import datetime

    from prefect_gatehouse.identity.person import Person, PersonKey
    from prefect_gatehouse.ledger.acts import PeopleChanged
    from prefect_gatehouse.manifest.fields import DataClass


@click.group("people", short_help="Add, list and revoke people.")
def command() -> None:
    """Add, list and revoke people: public keys, one-time codes, roles, clearances."""


@click.argument("person")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(get_args(Role)), help="May be repeated.")
@click.option("--key", type=PATH, help="OpenSSH public key file (.pub).")
@click.option("--attestation", type=PATH, help="What ssh-keygen -O write-attestation wrote beside a FIDO key, with --challenge.")
@click.option("--challenge", type=PATH, help="What ssh-keygen -O challenge was given.")
@click.option("--totp", is_flag=True, help="Make a shared secret for one-time codes.")
@cleared
@valid
@REASON
def _add(
    person: str,
    roles: tuple[Role, ...],
    key: Path | None,
    attestation: Path | None,
    challenge: Path | None,
    totp: bool,
    clearance: DataClass | None,
    valid_after: datetime | None,
    valid_before: datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """Add PERSON, or keys, roles and a clearance to one who is there."""
    from prefect_gatehouse.identity.person import identifier
    from prefect_gatehouse.identity.totp import provisioning_uri

    line = public_key(key) if key is not None else None
    proof = _attestation(key, attestation, challenge)
    with open_registrar(reason) as registrar:
        secret = registrar.add(
            person,
            key=line,
            roles=frozenset(roles),
            totp=totp,
            clearance=clearance,
            valid_after=valid_after,
            valid_before=valid_before,
            attestation=proof,
        )
    known = registry().get(identifier(person))
    clear = str(known.clearance) if known is not None else "public"
    uri = provisioning_uri(person, secret) if secret else None

    def render() -> None:
        click.echo(f"{person}: {', '.join(roles)}; cleared for {clear}")
        if uri:
            click.echo(f"scan this into an authenticator app; it is shown once:\n{uri}")

    emit({"person": person, "roles": list(roles), "clearance": clear, "totp_uri": uri}, as_json, render)


def _attestation(key: Path | None, attestation: Path | None, challenge: Path | None) -> tuple[bytes, bytes] | None:
    """Both files' content, None where neither is given."""
    if attestation is None and challenge is None:
        return None
    if key is None or attestation is None or challenge is None:
        advice = "give --key, --attestation and --challenge"
        raise InputError("an attestation is of a key, for a challenge", where="--attestation", advice=advice)
    return file_content(attestation), file_content(challenge)


def _validity(key: PersonKey) -> str:
    times = (("from", key.valid_after), ("until", key.valid_before))
    return "".join(f" {word} {when:%Y-%m-%d %H:%M} UTC" for word, when in times if when is not None)


def _any_attested(person: Person) -> bool:
    return any(key.attested is not None for key in person.keys)


def _list(as_json: bool) -> None:
    """List everybody."""
    everybody = registry().all()
    rows = [
        (
            item.person,
            ", ".join([*(["a service"] if item.service is not None else []), *sorted(item.roles)]),
            str(item.clearance),
            ", ".join(key.fingerprint + _validity(key) + (", attested" if key.attested is not None else "") for key in item.keys) or "-",
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
            **({"attested": {key.fingerprint: key.attested.aaguid for key in item.keys if key.attested is not None}} if _any_attested(item) else {}),
            **({"service": item.service.model_dump(mode="json")} if item.service is not None else {}),
        }
        for item in everybody
    ]
    emit(data, as_json, lambda: table("People", ("Person", "Roles", "Cleared for", "Keys", "One-time codes"), rows))


@click.argument("person")
@click.option("--fingerprint", help="Only this key, SHA256:...")
@REASON
def _revoke(person: str, fingerprint: str | None, reason: str, as_json: bool) -> None:
    """Take away everything PERSON may do, or one key. Approvals that wait on it no longer stand, nor do they when PERSON is added again."""
    with open_registrar(reason) as registrar:
        registrar.revoke(person, fingerprint)
    emit({"revoked": person, "fingerprint": fingerprint}, as_json, lambda: click.echo(f"{person}: revoked"))


def _about(fact: PeopleChanged) -> str:
    """Whose entry a change is of, and what proves people: a key or an authority by its fingerprint, a vendor's root, a provider, a certificate."""
    serial, key = getattr(fact, "serial", None), getattr(fact, "revoked_key", "")
    found = (
        fact.whom,
        fact.fingerprint,
        getattr(fact, "root", ""),
        getattr(fact, "issuer", ""),
        f"certificate {serial}" if serial is not None else "",
        f"certificates of {key}" if key else "",
    )
    return ", ".join(filter(None, found))


def _history(as_json: bool) -> None:
    """List every recorded change: who made it, what it was and why, and whether the registry is as the last one left it."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.run.registry import changes, edited, is_as_recorded
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        found, right = changes(settings, ledger), is_as_recorded(settings, ledger, registry())
    beside = edited(found)

    def render() -> None:
        rows = [
            (
                each.at[:19].replace("T", " "),
                each.fact.person or f"{each.fact.user}@{each.fact.host}" + ("" if each.fact.key else ", unsigned"),
                each.fact.action + (", after the files had been edited" if was_edited else ""),
                _about(each.fact),
                each.fact.reason,
            )
            for each, was_edited in zip(found, beside, strict=True)
        ]
        if rows:
            table("Changes of the registry", ("When (UTC)", "Who", "What", "Whose, and which key", "Why"), rows)
        made = "what its recorded changes have made of it"
        verdict = {True: made, False: f"NOT {made}", None: "without a recorded change"}
        click.echo(f"the registry is {verdict[right]}")

    data = [{"seq": each.seq, "at": each.at, **each.fact.data(), "edited_before": was_edited} for each, was_edited in zip(found, beside, strict=True)]
    emit({"changes": data, "as_recorded": right}, as_json, render)
    if right is False:
        raise SystemExit(1)


@click.option("--reason", required=True, help="Why, in one line; it is in the ledger.")
def _accept(reason: str, as_json: bool) -> None:
    """Say that the registry is right as it is, though its files were changed beside this command."""
    with open_registrar(reason) as registrar:
        registrar.accept()
    emit({"accepted": True}, as_json, lambda: click.echo("the registry is accepted as it is"))


command.add_command(authority)
command.add_command(provider)
command.add_command(root)
command.add_command(service)
command.add_command(gatehouse_command("add", "Add a person, keys, roles or a clearance.")(_add))
command.add_command(gatehouse_command("list", "List everybody.")(_list))
command.add_command(gatehouse_command("revoke", "Take rights away.")(_revoke))
command.add_command(gatehouse_command("history", "List every recorded change.")(_history))
command.add_command(gatehouse_command("accept", "Accept a registry that was edited by hand.")(_accept))
