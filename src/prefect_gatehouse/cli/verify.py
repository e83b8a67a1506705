"""``gatehouse verify``: whether the ledger is what was signed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.plurals import counted


@click.option("--key", type=PATH, help="The ledger.vkey that you trust; the home's own unless given.")
@click.option("--root", "expected", help="A root that you kept elsewhere; must be among the signed heads.")
def _verify(key: Path | None, expected: str | None, as_json: bool) -> None:
    """Recompute every hash, the chain, the Merkle tree and every signature of the ledger, and the digests of what is kept beside it."""
    from prefect_gatehouse.evidence.examine import examine, trusted_key
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.ledger.seal import count_unsealed, newest_copy, roots
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    trusted = trusted_key(settings, key)
    with open_ledger(settings) as ledger:
        found = examine(settings, ledger, trusted)
        unsealed = count_unsealed(ledger)
        if found.heads and (settings.home / "ledger.key").exists() and newest_copy(settings.home, trusted) is None:
            found.problems.append("this home signs heads, and its copy of the newest one (ledger.head) is missing or not signed by this key")
        if expected is not None and expected not in roots(ledger, trusted):
            found.problems.append("the root that you kept is not among the signed heads: the ledger was rolled back or replaced")

    def render() -> None:
        for problem in found.problems:
            click.echo(f"problem: {problem}")
        verdict = "verified" if found.ok else "NOT verified"
        sealed = f"{counted(found.events, 'event')}, {counted(found.heads, 'signed head')}"
        click.echo(f"ledger {verdict}: {sealed}, {counted(unsealed, 'event')} not yet sealed")
        click.echo(f"root {found.root} at {found.sealed}; keep it elsewhere and compare with --root")

    emit({**asdict(found), "ok": found.ok, "unsealed": unsealed}, as_json, render)
    if not found.ok:
        raise SystemExit(7)


command = gatehouse_command("verify", "Check the ledger against its signed heads.")(_verify)
