"""``gatehouse budget``: what tenants and billing codes may spend in a month, what they have used, and which jobs used it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.acts import WHY
from prefect_gatehouse.cli.output import emit, gatehouse_command, table

if TYPE_CHECKING:
    from prefect_gatehouse.money.caps import Standing
    from prefect_gatehouse.operate.budgets import Counted


@click.group("budget", short_help="Show, set and explain what may be spent.", invoke_without_command=True)
@click.option("--month", metavar="YYYY-MM", help="Another month than this one, in UTC.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, month: str | None, as_json: bool) -> None:
    """Show what each budget has used, reserved and left; set one; explain which runs and jobs count into those of a run."""
    if context.invoked_subcommand is None:
        context.invoke(_overview, month=month, as_json=as_json)


def _show(month: str | None, as_json: bool) -> None:
    """Show what each budget has used, reserved and left."""
    from prefect_gatehouse.errors import InputError
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.budgets import overview, this_month
    from prefect_gatehouse.settings import load_settings

    asked = month or this_month()
    if not _is_month(asked):
        raise InputError("this is no month", where="--month", advice="write year and month, such as 2026-11")
    settings = load_settings()
    with open_ledger(settings) as ledger:
        found, uncapped = overview(settings, ledger, asked)
    rows = [
        (each.event.fact.tenant, each.event.fact.billing_code or "all", _usd(each.cap), _usd(each.settled), _usd(each.reserved), _usd(each.left))
        for each in found
    ]
    rows += [(each.tenant, each.billing_code, "none", _usd(each.used), "", "") for each in uncapped]

    def render() -> None:
        if rows:
            table(f"Budgets of {asked}, in USD", ("Tenant", "Billing code", "A month", "Used", "Reserved", "Left"), rows)
        else:
            click.echo(f"no budget is set and nothing was used in {asked}; set one with: gatehouse budget set")
        for each in found:
            fact = each.event.fact
            click.echo(f"{each.name}: set by {fact.person}, {each.event.at[:10]} [{each.event.seq}]: {fact.reason}")

    data = {
        "month": asked,
        "budgets": [_as_dict(each) for each in found],
        "without": [{"tenant": each.tenant, "billing_code": each.billing_code, "used_usd": str(each.used)} for each in uncapped],
    }
    emit(data, as_json, render)


def _is_month(text: str) -> bool:
    from datetime import datetime

    try:
        return f"{datetime.strptime(text, '%Y-%m'):%Y-%m}" == text
    except ValueError:
        return False


def _usd(amount: object) -> str:
    return f"{amount:,}"


def _as_dict(each: Standing) -> dict[str, Any]:
    fact = each.event.fact
    return {
        "tenant": fact.tenant,
        "billing_code": fact.billing_code,
        "month": each.month,
        "month_usd": str(each.cap),
        "settled_usd": str(each.settled),
        "reserved_usd": str(each.reserved),
        "left_usd": str(each.left),
        "person": fact.person,
        "reason": fact.reason,
        "at": each.event.at,
        "event": each.event.seq,
    }


@click.option("--tenant", required=True, help="As the manifests spell it.")
@click.option("--billing-code", default="", help="Only this billing code of the tenant.")
@click.option("--month-usd", required=True, metavar="N", help="Most for every month from now on, over all providers.")
@WHY
def _set(tenant: str, billing_code: str, month_usd: str, reason: str, as_json: bool) -> None:
    """Set what a tenant, or one of its billing codes, may spend in a month; signed with your key (GATEHOUSE_IDENTITY) and recorded.

    It holds at once, for jobs that are not intended yet. Only somebody with the role approver sets one.
    """
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.budgets import overview, set_budget, this_month
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        event = set_budget(settings, ledger, tenant=tenant, billing_code=billing_code, month_usd=month_usd, reason=reason)
        found, _ = overview(settings, ledger, this_month())
    (standing,) = [each for each in found if each.event.seq == event.seq]
    emit(
        _as_dict(standing),
        as_json,
        lambda: click.echo(
            f"{standing.name}: {_usd(standing.cap)} USD a month, {_usd(standing.left)} left of {standing.month}; "
            f"signed by {event.fact.person} [{event.seq}]"
        ),
    )


@click.argument("run")
def _explain(run: str, as_json: bool) -> None:
    """Explain which budgets RUN counts into, and which runs and jobs use them."""
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.budgets import explain
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        run_id = find_run(ledger, run)
        found = explain(settings, ledger, run_id)
    account = found.account

    def render() -> None:
        click.echo(f"run {run_id[:8]} is paid for by tenant {account.tenant}, billing code {account.billing_code}")
        if not found.caps:
            spends = "it may spend what its envelope allows" if account.tier == "prototype" else "it may spend nothing"
            click.echo(f"no budget covers it: in the {account.tier} tier {spends}")
        for each in found.caps:
            jobs = _into(each, found.jobs[each.month])
            title = f"{each.name}, {each.month}: {_usd(each.cap)} USD, {_usd(each.left)} left"
            table(title, ("Run", "Pipeline", "Job", "Backend", "State", "Reserved", "Counts"), [_row(job) for job in jobs])

    data = {
        "run": run_id,
        "tenant": account.tenant,
        "billing_code": account.billing_code,
        "tier": account.tier,
        "months": list(found.months),
        "budgets": [{**_as_dict(each), "jobs": [_job(job) for job in _into(each, found.jobs[each.month])]} for each in found.caps],
    }
    emit(data, as_json, render)


@click.argument("backend")
@click.option("--credential", required=True, metavar="BLOCK", help="Block of an administrator's credential, such as aws-credentials/admin.")
@click.option("--month-usd", metavar="N", help="Set the provider's limit of this month to so much.")
@click.option("--reason", default="", help="Why, with --month-usd.")
def _wall(backend: str, credential: str, month_usd: str | None, reason: str, as_json: bool) -> None:
    """Show the provider's own spending limits of BACKEND beside our figures, or set this month's; signed with your key and recorded.

    The provider checks its limit on every job: the second wall, behind our budgets. A difference between its figure and ours is recorded.
    """
    from prefect_gatehouse.cli.quiet import quiet_prefect
    from prefect_gatehouse.errors import InputError
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate import walls
    from prefect_gatehouse.settings import load_settings

    if reason and month_usd is None:
        raise InputError("a reason alone sets nothing", where="--reason", advice="give --month-usd as well")
    quiet_prefect()
    settings = load_settings()
    with walls.device_of(settings, backend, credential) as device, open_ledger(settings) as ledger:
        event = walls.set_wall(settings, ledger, device, month_usd=month_usd, reason=reason) if month_usd is not None else None
        found = walls.look(ledger, device)

    def render() -> None:
        if event is not None:
            click.echo(f"set for {event.fact.month}: {_usd(event.fact.month_usd)} USD; signed by {event.fact.person} [{event.seq}]")
        if not found:
            click.echo(f"the provider has no limit that holds {backend} now")
            return
        rows = [
            (f"{each.limit.start:%Y-%m-%d}", f"{each.limit.end:%Y-%m-%d}", *map(_usd, (each.limit.amount, each.limit.left, each.theirs, each.ours)))
            for each in found
        ]
        table(f"The provider's own limits of {backend}, in USD", ("From", "Until", "Limit", "Left", "By its figure", "By ours"), rows)
        if any(each.differs for each in found):
            click.echo("the figures differ: others may use the device from the same account, or a bill is still to come; it is recorded")

    data = {
        "backend": backend,
        "set": None if event is None else {"month": event.fact.month, "month_usd": str(event.fact.month_usd), "event": event.seq},
        "limits": [
            {
                "name": each.limit.name,
                "from": each.limit.start.isoformat(),
                "until": each.limit.end.isoformat(),
                "amount_usd": str(each.limit.amount),
                "left_usd": str(each.limit.left),
                "theirs_usd": str(each.theirs),
                "ours_usd": str(each.ours),
                "differs": each.differs,
            }
            for each in found
        ],
    }
    emit(data, as_json, render)


def _into(standing: Standing, jobs: tuple[Counted, ...]) -> list[Counted]:
    """The jobs of a tenant's month that count into one cap."""
    code = standing.event.fact.billing_code
    return [job for job in jobs if code in {"", job.billing_code}]


def _row(job: Counted) -> tuple[str, ...]:
    return (job.run_id[:8], job.pipeline, job.key.partition(":")[2], job.backend, job.state, _usd(job.reserved), _usd(job.counts))


def _job(job: Counted) -> dict[str, Any]:
    return {
        "run": job.run_id,
        "pipeline": job.pipeline,
        "billing_code": job.billing_code,
        "key": job.key,
        "backend": job.backend,
        "state": job.state,
        "reserved_usd": str(job.reserved),
        "settled_usd": None if job.settled is None else str(job.settled),
        "counts_usd": str(job.counts),
    }


_overview = gatehouse_command("show", "Show budgets.")(_show)
command.add_command(gatehouse_command("set", "Set what may be spent in a month.")(_set))
command.add_command(gatehouse_command("explain", "Explain what a run counts into.")(_explain))
command.add_command(gatehouse_command("wall", "Show or set a provider's own spending limit.")(_wall))
