"""``gatehouse people root``: vendors' certificates, to which attestations of FIDO keys have to lead."""

from __future__ import annotations

from pathlib import Path

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.cli.registry import NEXT_VERSION, REASON, file_content, open_registrar, registry


@click.group("root", short_help="Vendors of FIDO keys that are believed.")
def command() -> None:
    """Vendors' certificates: a FIDO key is attested where its authenticator's certificate leads to one of these."""


@click.argument("file", type=PATH)
@NEXT_VERSION
@REASON
def _add(file: Path, reason: str, next_version: bool, as_json: bool) -> None:
    """Add the certificates of FILE (PEM): a vendor's root, and what it has issued between it and its authenticators."""
    with open_registrar(reason, next_version=next_version) as registrar:
        marks = registrar.add_roots(file_content(file))
    emit({"roots": marks}, as_json, lambda: click.echo("\n".join(f"{each}: added" for each in marks)))


def _list(as_json: bool) -> None:
    """List every certificate with how many keys lead to it."""
    from prefect_gatehouse.identity.attestation import read_roots

    people = registry()
    keys = [key.attested.root for person in people.all() for key in person.keys if key.attested is not None]
    found = [(mark, read_roots(pem.encode())[0]) for mark, pem in people.roots().items()]
    rows = [(mark, each.subject.rfc4514_string(), f"{each.not_valid_after_utc:%Y-%m-%d}", str(keys.count(mark))) for mark, each in found]
    data = [{"root": mark, "subject": subject, "until": until, "keys": int(count)} for mark, subject, until, count in rows]
    emit(data, as_json, lambda: table("Vendors' certificates", ("SHA-256", "Subject", "Until", "Keys"), rows))


@click.argument("root")
@REASON
def _remove(root: str, reason: str, as_json: bool) -> None:
    """Remove ROOT (its SHA-256): keys that led to it are attested no more."""
    from prefect_gatehouse.identity.attestation import read_hexadecimal

    mark = read_hexadecimal(root)
    with open_registrar(reason) as registrar:
        registrar.remove_root(mark)
    emit({"removed": mark}, as_json, lambda: click.echo(f"{mark}: removed"))


command.add_command(gatehouse_command("add", "Add a vendor's certificates.")(_add))
command.add_command(gatehouse_command("list", "List vendors' certificates.")(_list))
command.add_command(gatehouse_command("remove", "Remove a vendor's certificate.")(_remove))
