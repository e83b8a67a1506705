"""``gatehouse policy``: whether the installation's policies decide as people have written that they should, and who has signed them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.errors import Denied

if TYPE_CHECKING:
    from prefect_gatehouse.operate.bundle import Status

DENIED = Denied.exit_code


@click.group("policy", short_help="Check and sign the policies.")
def command() -> None:
    """Check what decides who may do what, sign it, and see who has."""


@click.option("--policies", type=click.Path(path_type=Path), help="Folder of schema, policies and cases; the installation's unless given.")
@click.option("--cases", "cases_file", type=click.Path(path_type=Path), help="File of expected decisions; cases.yaml in that folder unless given.")
def _check(policies: Path | None, cases_file: Path | None, as_json: bool) -> None:
    """Check policies against their schema, tiers and classes against their forms, and every expected decision of cases.yaml.

    Exit code 3 if a case is decided otherwise.
    """
    from prefect_gatehouse.policy.cases import NAME, failures, load_cases
    from prefect_gatehouse.policy.cedar import load_policy
    from prefect_gatehouse.policy.class_rules import load_class_rules
    from prefect_gatehouse.policy.tiers import load_tiers
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    folder = policies or settings.policies
    policy = load_policy(folder)
    load_tiers(settings.tiers)
    load_class_rules(settings.classes)
    cases = load_cases(cases_file or folder / NAME)
    failed = list(failures(policy, cases))

    def render() -> None:
        if failed:
            rows = [(each.case.case, each.case.action, ", ".join(each.case.expect), ", ".join(each.decided)) for each in failed]
            table("Decided otherwise", ("Case", "Action", "Expected", "Decided by"), rows)
        click.echo(f"{len(cases.cases)} cases, {len(failed)} failed; policies {policy.digest[:12]}")

    data = {
        "cases": len(cases.cases),
        "failed": len(failed),
        "policies": policy.digest,
        "failures": [
            {"case": each.case.case, "action": each.case.action, "expected": list(each.case.expect), "decided": list(each.decided)} for each in failed
        ],
    }
    emit(data, as_json, render)
    if failed:
        raise click.exceptions.Exit(DENIED)


@click.option("--reason", required=True, help="Why, in one line; it is in the ledger with the signature.")
def _sign(reason: str, as_json: bool) -> None:
    """Sign policies, tiers, classes and the registry of people as one version, with your key (GATEHOUSE_IDENTITY).

    bundle.yaml (GATEHOUSE_BUNDLE) says which version it is. Whether your signature counts, the version that stands decides, not the one that you
    sign. With the last role's signature the version stands; the first one has to be accepted, too.
    """
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.bundle import sign, status
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        event = sign(settings, ledger, reason)
        now = status(settings, ledger)
    fact = event.fact
    data = {"version": fact.bundle.version, "digest": fact.bundle.digest(), "person": fact.person, "event": event.seq, **_as_data(now)}
    first = f"version {fact.bundle.version} {fact.bundle.digest()[:12]}: signed by {fact.person} [{event.seq}]"
    emit(data, as_json, lambda: click.echo(f"{first}\n{_verdict(now)}"))


@click.option("--reason", required=True, help="Why, in one line; it is in the ledger.")
def _accept(reason: str, as_json: bool) -> None:
    """Make the first version stand, once every role that its bundle.yaml names has signed it; each later one is judged by the one before."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.bundle import accept, status
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        accept(settings, ledger, reason)
        now = status(settings, ledger)
    emit(_as_data(now), as_json, lambda: click.echo(_verdict(now)))


def _status(as_json: bool) -> None:
    """Show version and digests, who has signed and who is missing, and every version that stood.

    Exit code 1 where runs above the prototype tier are not admitted.
    """
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.bundle import status
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        now = status(settings, ledger)

    def render() -> None:
        if now.digests:
            rows = [(name, sha256[:12], "changed" if name in now.changed else "") for name, sha256 in now.digests.items()]
            table(f"Bundle of policies, version {now.version}", ("Part", "SHA-256", ""), rows)
        roles = [(role, person, "") for role, person in now.signed.items()]
        roles += [(role, "nobody yet", ", ".join(people) or "nobody is left") for role, people in now.missing.items()]
        if roles:
            table("Signatures", ("Role", "Signed by", "May sign"), roles)
        stood = [
            (str(each.bundle.version), each.bundle.digest()[:12], each.event.at[:19].replace("T", " "), ", ".join(each.signers))
            for each in now.history
        ]
        if stood:
            table("Versions that stood", ("Version", "Digest", "Since (UTC)", "Signed by"), stood)
        for event, why in now.void:
            click.echo(f"event {event.seq} does not count: {why}")
        click.echo(_verdict(now))

    emit(_as_data(now), as_json, render)
    if now.refusal is not None:
        raise SystemExit(1)


def _verdict(now: Status) -> str:
    if now.refusal is None:
        return f"version {now.history[-1].bundle.version} stands, and the files are as it was signed"
    return f"only the prototype tier is open: {now.refusal.where}: {now.refusal.message} ({now.refusal.advice})"


def _as_data(now: Status) -> dict[str, Any]:
    return {
        "as_signed": now.refusal is None,
        "refusal": now.refusal.as_dict() if now.refusal is not None else None,
        "file_version": now.version,
        "parts": dict(now.digests),
        "changed": list(now.changed),
        "signed": dict(now.signed),
        "missing": {role: list(people) for role, people in now.missing.items()},
        "history": [
            {
                "version": each.bundle.version,
                "digest": each.bundle.digest(),
                "at": each.event.at,
                "event": each.event.seq,
                "signed": {role: event.fact.person for role, event in each.signed},
            }
            for each in now.history
        ],
        "void": [{"event": event.seq, "why": why} for event, why in now.void],
    }


command.add_command(gatehouse_command("sign", "Sign policies, tiers, classes and registry as one version.")(_sign))
command.add_command(gatehouse_command("accept", "Make the first signed version stand.")(_accept))
command.add_command(gatehouse_command("status", "Show version, signatures and history.")(_status))
command.add_command(gatehouse_command("check", "Check policies, tiers, classes and expected decisions.")(_check))
