"""``gatehouse inbox``: what waits for an approval or a release, and for whose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from prefect_gatehouse.identity.caller import Caller
    from prefect_gatehouse.operate.inbox import Waiting


@click.option("--all", "everything", is_flag=True, help="Also what you can't answer, and why not.")
def _inbox(everything: bool, as_json: bool) -> None:
    """List the runs that wait for your approval, or for you to release what they would write back, the one that closes first in front.

    Each with who asks, for what, at what cost, for how long.

    Who you are is told by your key (GATEHOUSE_IDENTITY). Approve one with: gatehouse approve RUN.
    """
    from datetime import UTC, datetime

    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.inbox import inbox
    from prefect_gatehouse.settings import load_settings

    settings, now = load_settings(), datetime.now(UTC)
    with open_ledger(settings) as ledger:
        caller, found = inbox(settings, ledger)
    mine = [each for each in found if not each.not_mine]
    shown = found if everything else mine

    def render() -> None:
        who = caller.person.person if caller.person is not None else "nobody in the registry"
        if shown:
            headers = (
                "Run",
                "Pipeline",
                "Ticket",
                "Requester",
                "Asks to",
                "Worst cost",
                "Approvals",
                "Age",
                "Closes in",
                *(("Not yours",) if everything else ()),
            )
            table(f"Waiting for {who}" if not everything else f"Waiting; you are {who}", headers, [_row(each, now, everything) for each in shown])
        else:
            others = f"; {len(found)} wait for others: gatehouse inbox --all" if found else ""
            click.echo(f"nothing waits for {who}{others}")

    emit([_as_dict(each) for each in shown], as_json, render)
    if caller.person is None:  # beside the list, which programs read: an empty one alone would look as if nothing waited
        click.echo(_nobody(caller), err=True)


def _nobody(caller: Caller) -> str:
    """Why the caller is nobody, and what to do."""
    if not caller.fingerprint and caller.problem:
        write = f"write its public line: ssh-keygen -y -f {caller.path} > {caller.path}.pub"
        return f"nobody is known by the key at {caller.path}: {caller.problem}\n  {write}"
    if not caller.fingerprint:
        otherwise = "make one: gatehouse init; without one: gatehouse approve RUN --sign-in, or --as PERSON --code CODE"
        return f"nobody knows you: there is no key at {caller.path}\n  name yours with GATEHOUSE_IDENTITY, or {otherwise}"
    if caller.problem:
        return f"nobody is known by the certificate beside {caller.path}: {caller.problem}\n  have a new one made for your key"
    add = f"have the registry's keeper run: gatehouse people add YOU --role approver --key {caller.path}.pub"
    return f"nobody is known by your key {caller.fingerprint} ({caller.path})\n  name another with GATEHOUSE_IDENTITY, or {add}"


def _row(each: Waiting, now: datetime, everything: bool) -> tuple[str, ...]:
    admitted = each.plan.admitted
    manifest = admitted.manifest
    cells = (
        each.plan.body.run_id[:8],
        manifest.name,
        manifest.ticket,
        admitted.requester.person,
        each.asks,
        each.worst_cost,
        f"{len(each.standing.approvals)} of {each.standing.needed}{each.standing.lacks}",
        _span(now - each.since),
        _span(each.until - now),
    )
    return (*cells, each.not_mine) if everything else cells


def _span(span: timedelta) -> str:
    """A span of time in its largest unit."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _as_dict(each: Waiting) -> dict[str, object]:
    admitted = each.plan.admitted
    manifest = admitted.manifest
    return {
        "run": each.plan.body.run_id,
        "pipeline": manifest.name,
        "ticket": manifest.ticket,
        "tenant": manifest.tenant,
        "tier": manifest.tier,
        "requester": admitted.requester.person,
        "asks": "release" if each.outcome is not None else "approve",
        "cost_usd": str(each.plan.body.cost),
        "approvals": [approval.person for approval in each.standing.approvals],
        "needed": each.standing.needed,
        "missing_roles": list(each.standing.missing),
        "since": each.since.isoformat(),
        "until": each.until.isoformat(),
        "mine": not each.not_mine,
        "not_mine": each.not_mine,
    }


command = gatehouse_command("inbox", "List what waits for your approval.")(_inbox)
