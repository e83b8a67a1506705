"""``gatehouse people provider``: whose ID tokens prove people, and who is who there."""

from __future__ import annotations

from pathlib import Path

import click

from prefect_gatehouse.cli.authorities import roles_by_group
from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.cli.registry import NEXT_VERSION, REASON, open_registrar, registry
from prefect_gatehouse.errors import InputError


@click.group("provider", short_help="Add, list and remove identity providers.")
def command() -> None:
    """Add, list and remove identity providers (OpenID Connect): people approve by signing in there, for exactly one plan."""


@click.argument("issuer")
@click.option("--audience", required=True, metavar="CLIENT", help="The client identifier that the provider gave for Gatehouse alone.")
@click.option("--jwks", type=PATH, help="File with the provider's keys; its discovery document is asked for them unless given.")
@click.option("--group", "groups", multiple=True, metavar="GROUP=ROLE", help="A group, and a role that counts only with it.")
@click.option("--groups-claim", default="groups", show_default=True, help="The claim that has the groups.")
@click.option("--no-auth-time", is_flag=True, help="Its tokens don't say when somebody signed in: an open session there may answer unasked.")
@NEXT_VERSION
@REASON
def _add(
    issuer: str,
    audience: str,
    jwks: Path | None,
    groups: tuple[str, ...],
    groups_claim: str,
    no_auth_time: bool,
    reason: str,
    next_version: bool,
    as_json: bool,
) -> None:
    """Add the provider ISSUER (https://...), or change it; who is who there stays."""
    from prefect_gatehouse.canonical import sha256_bytes
    from prefect_gatehouse.identity.providers import add_provider

    known, keys = roles_by_group(groups), ""
    if jwks is not None:
        try:
            keys = jwks.read_text()
        except (OSError, UnicodeDecodeError):
            raise InputError("the provider's keys can't be read", where=str(jwks), advice="give its JSON Web Key Set") from None
    with open_registrar(reason, next_version=next_version) as registrar:
        registrar.change_provider(
            {
                "action": "add-provider",
                "issuer": issuer,
                "audience": audience,
                "jwks": sha256_bytes(keys.encode()) if keys else "",
                "groups_claim": groups_claim,
                "groups": {group: list(roles) for group, roles in known.items()},
                "without_auth_time": no_auth_time,
            },
            lambda told: add_provider(
                registrar.people,
                issuer,
                audience=audience,
                jwks=keys,
                groups_claim=groups_claim,
                groups=known,
                without_auth_time=no_auth_time,
                told=told,
            ),
        )
    emit({"issuer": issuer, "audience": audience, "groups": known}, as_json, lambda: click.echo(f"{issuer}: proves people by its ID tokens"))


@click.argument("person")
@click.option("--issuer", required=True, help="The provider.")
@click.option("--subject", required=True, metavar="SUB", help="What it calls PERSON: the claim sub of the person's ID tokens.")
@NEXT_VERSION
@REASON
def _link(person: str, issuer: str, subject: str, reason: str, next_version: bool, as_json: bool) -> None:
    """Say who PERSON is at a provider."""
    from prefect_gatehouse.identity.person import identifier
    from prefect_gatehouse.identity.providers import link

    name = identifier(person)
    with open_registrar(reason, next_version=next_version) as registrar:
        registrar.change_provider(
            {"action": "add-subject", "whom": name, "issuer": issuer, "subject": subject},
            lambda told: link(registrar.people, name, issuer, subject, told),
        )
    emit({"person": name, "issuer": issuer, "subject": subject}, as_json, lambda: click.echo(f"{name}: linked"))


@click.argument("person")
@REASON
def _unlink(person: str, reason: str, as_json: bool) -> None:
    """Take out who PERSON is at every provider. Approvals that wait on one no longer stand."""
    from prefect_gatehouse.identity.person import identifier
    from prefect_gatehouse.identity.providers import unlink

    name = identifier(person)
    with open_registrar(reason) as registrar:
        registrar.change_provider({"action": "remove-subject", "whom": name}, lambda told: unlink(registrar.people, name, told))
    emit({"unlinked": name}, as_json, lambda: click.echo(f"{name}: unlinked"))


@click.argument("issuer")
@REASON
def _remove(issuer: str, reason: str, as_json: bool) -> None:
    """Remove the provider ISSUER: no token of it counts any more, and no approval that waits on one."""
    from prefect_gatehouse.identity.providers import remove_provider

    with open_registrar(reason) as registrar:
        registrar.change_provider({"action": "remove-provider", "issuer": issuer}, lambda told: remove_provider(registrar.people, issuer, told))
    emit({"removed": issuer}, as_json, lambda: click.echo(f"{issuer}: removed"))


def _list(as_json: bool) -> None:
    """List every provider, its groups and who is who there."""
    found = registry().provider_entries()
    rows = [
        (
            issuer,
            entry.audience,
            "in the registry" if entry.jwks else "asked of the issuer",
            ", ".join(f"{group}: {' and '.join(roles)}" for group, roles in sorted(entry.groups.items())) or "as the registry says",
            ", ".join(sorted(entry.subjects.values())) or "-",
        )
        for issuer, entry in sorted(found.items())
    ]
    data = [
        {
            "issuer": issuer,
            "audience": entry.audience,
            "pinned": bool(entry.jwks),
            "groups": {group: list(roles) for group, roles in entry.groups.items()},
            "subjects": dict(entry.subjects),
            "without_auth_time": entry.without_auth_time,
        }
        for issuer, entry in sorted(found.items())
    ]
    emit(data, as_json, lambda: table("Identity providers", ("Issuer", "Client", "Keys", "Roles of its groups", "People"), rows))


command.add_command(gatehouse_command("add", "Add a provider, or change it.")(_add))
command.add_command(gatehouse_command("list", "List every provider.")(_list))
command.add_command(gatehouse_command("link", "Say who somebody is at a provider.")(_link))
command.add_command(gatehouse_command("unlink", "Take that out again.")(_unlink))
command.add_command(gatehouse_command("remove", "Remove a provider.")(_remove))
