"""``gatehouse keys``: the root keys of the tokens, by version; no command shows a key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.output import confirm, emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.files import open_new

if TYPE_CHECKING:
    from prefect_gatehouse.operate.key_rotation import User


@click.group("keys", short_help="Make, list and rotate the root keys of the tokens.")
def command() -> None:
    """Make, list and rotate the root keys of the tokens."""


@click.option("--out", type=PATH, required=True, metavar="FILE", help="A new file, for you alone (0600).")
def _new(out: Path, as_json: bool) -> None:
    """Make a root key and write it to a new FILE; enter its text in the secret store, then delete the file."""
    from prefect_gatehouse.tokens.keys import RootKey

    root = RootKey.generate()
    try:
        # Never into a file that is there: it may be the only copy of a key, or open to others.
        with os.fdopen(open_new(out), "w") as file:
            file.write(root.stored() + "\n")
    except FileExistsError:
        raise InputError("the file is there already", where=str(out), advice="name another one") from None
    except OSError as error:
        raise InputError(f"the file can't be written: {error.strerror}", where=str(out), advice="name another one") from None
    emit({"file": str(out), "current": root.current}, as_json, lambda: click.echo(f"{out}: a new root key, version {root.current}"))


@click.argument("block")
def _list(block: str, as_json: bool) -> None:
    """List the versions of the root key in BLOCK (type/name or type/name#field), and which one is current."""
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.blocks.reader import read_text
    from prefect_gatehouse.tokens.keys import RootKey

    secret = read_text(block)
    root = RootKey.parse(secret.reveal())
    rows = [(str(version), "current: makes new tokens" if version == root.current else "reads old tokens") for version in root.versions]
    emit(
        {"block": block, "current": root.current, "versions": list(root.versions), "store_version": secret.version},
        as_json,
        lambda: table(block, ("Version", "Use"), rows),
    )


@click.argument("block")
@click.option("--yes", is_flag=True, help="Do not ask.")
def _rotate(block: str, yes: bool, as_json: bool) -> None:
    """Add a version to the root key in BLOCK and make it the current one.

    New tokens are made with it and do not join with older ones; reversible tokens made before stay readable. The decision is signed with
    your key (GATEHOUSE_IDENTITY) and recorded.
    """
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.blocks.reader import read_text
    from prefect_gatehouse.blocks.writer import write_secret
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.key_rotation import decide, users
    from prefect_gatehouse.settings import load_settings
    from prefect_gatehouse.tokens.keys import RootKey

    settings = load_settings()
    secret = read_text(block)
    root = RootKey.parse(secret.reveal())
    rotated = root.rotated()
    with open_ledger(settings) as ledger:
        touched = users(ledger, block)
        if not as_json:
            _show_users(touched, root.current, rotated.current)
        if not yes:
            confirm(f"Make version {rotated.current} the current one?")
        rotation = decide(settings, ledger, block, root.current, rotated.current)
        now = write_secret(block, rotated.stored(), instead_of=secret)
        rotation.done(ledger, now.version)
    emit(
        {"block": block, "from": root.current, "to": rotated.current, "rotation": rotation.rotation_id, "pipelines": [u.as_dict() for u in touched]},
        as_json,
        lambda: click.echo(f"{block}: version {rotated.current} is current; versions {', '.join(map(str, root.versions))} read old tokens"),
    )


def _show_users(touched: list[User], before: int, after: int) -> None:
    if not touched:
        click.echo("No run in this ledger has used this key.")
        return
    rows = [(user.pipeline, user.tenant, ", ".join(user.purposes)) for user in touched]
    table(f"Pipelines whose tokens change from version {before} to {after}", ("Pipeline", "Tenant", "Used it to"), rows)


command.add_command(gatehouse_command("new", "Make a root key in a new file.")(_new))
command.add_command(gatehouse_command("list", "List the versions in a block.")(_list))
command.add_command(gatehouse_command("rotate", "Add a version and make it current.")(_rotate))
