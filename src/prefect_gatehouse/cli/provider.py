"""``gatehouse provider``: whether a provider does what the protocol says, and whether it still is what was approved."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.output import console, emit, gatehouse_command, plain, table
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.operate.provider_check import Looked
    from prefect_gatehouse.providers.conformance.suite import Verdict


@click.group("provider", short_help="Prove that a provider conforms; look whether it has changed.")
def command() -> None:
    """Prove that a provider does what the protocol says; look whether it still is what was approved."""


@click.argument("name")
@click.option("--credential", metavar="BLOCK", help="Block with the credential, as credentials.submit of a manifest names it.")
@click.option("--circuits", type=click.IntRange(2, 100_000), default=4000, show_default=True, help="Of the largest sweep.")
@click.option("--shots", type=click.IntRange(1), default=1000, show_default=True, help="Of a circuit whose counts are judged statistically.")
@click.option("--most-usd", default="0", metavar="N", show_default=True, help="What all its jobs may cost at worst.")
@click.option("--patience", type=click.IntRange(1), default=3600, show_default=True, metavar="SECONDS", help="How long a job is waited for.")
@click.option("--check", "checks", multiple=True, help="Only this check; may be given several times.")
def _conformance(
    name: str, credential: str | None, circuits: int, shots: int, most_usd: str, patience: int, checks: tuple[str, ...], as_json: bool
) -> None:
    """Run the suite of providers at the backend NAME, named as in a manifest. Ends with 1 where a check fails.

    Jobs are made, waited for and deleted. Where they cost money, --most-usd says how much; a job that would go beyond it is not made.
    """
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.operate.budgets import amount_of
    from prefect_gatehouse.operate.conformance import bench_for
    from prefect_gatehouse.providers.conformance.bench import Extent
    from prefect_gatehouse.providers.conformance.suite import run
    from prefect_gatehouse.settings import load_settings

    extent = Extent(shots=shots, circuits=circuits, most_usd=amount_of(most_usd, "--most-usd"), patience_seconds=patience)
    verdicts: list[Verdict] = []
    with bench_for(load_settings(), name, credential, extent) as bench:
        for verdict in run(bench, checks):
            verdicts.append(verdict)
            if not as_json:
                _tell(verdict)
    failed = sum(not each.passed for each in verdicts)
    data = {
        "backend": name,
        "passed": not failed,
        "spent_usd": str(bench.spent),
        "left": bench.left,
        "refused_gates": bench.refused,
        "checks": [asdict(each) for each in verdicts],
    }

    def render() -> None:
        if bench.refused:
            click.echo(plain(f"gates that it does not take: {', '.join(bench.refused)}"))
        for each in bench.left:
            click.echo(plain(f"left at the provider: {each}"))
        cost = f", at most {bench.spent} USD" if bench.spent else ""
        click.echo(f"{name}: {len(verdicts) - failed} of {len(verdicts)} checks passed{cost}")

    emit(data, as_json, render)
    if failed:
        raise SystemExit(1)


def _tell(verdict: Verdict) -> None:
    """A row, as soon as it is known: a suite at a device takes as long as its queue."""
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 2, 0, 0))
    for width in (20, 6, 7):
        row.add_column(width=width)
    row.add_column(overflow="fold")
    verdict_text = Text("ok", "green") if verdict.passed else Text("failed", "bold red")
    row.add_row(Text(verdict.check), verdict_text, Text(f"{verdict.seconds:.1f} s"), Text(plain(verdict.told)))
    console().print(row)


command.add_command(gatehouse_command("conformance", "Run the suite that every provider has to pass.")(_conformance))


@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--credential", metavar="BLOCK", help="Block with the credential that asks, as credentials.submit of a manifest names it.")
@click.option("--approve", is_flag=True, help="Sign that the providers are as they should be now.")
@click.option("--reason", help="Why, for whoever asks later; with --approve.")
def _check(names: tuple[str, ...], credential: str | None, approve: bool, reason: str | None, as_json: bool) -> None:
    """Compare the providers of backends with what was approved: the SDK's model of the service, capabilities, gates and price.

    Without a NAME every provider that was ever approved is looked at. What is not as it was approved is shown, recorded in the ledger, and ends the
    command with 1; so does one that nobody approved. --approve signs with your key (GATEHOUSE_IDENTITY) what is found now; only somebody with
    the role approver may.
    """
    if approve and (not names or not reason):
        raise InputError("an approval names its providers and says why", where="--approve", advice="add NAME and --reason")
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate import provider_check
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        looked = provider_check.look(settings, ledger, names, credential)
        events = [provider_check.approve(settings, ledger, each, reason) for each in looked] if approve and reason else []
    data = {
        "providers": [_as_dict(each) for each in looked],
        "signed": [{"backend": each.fact.backend, "person": each.fact.person, "event": each.seq} for each in events],
    }

    def render() -> None:
        for each in looked:
            _show(each, full=approve)
        for event in events:
            click.echo(plain(f"{event.fact.backend}: approved by {event.fact.person} [{event.seq}]: {event.fact.reason}"))

    emit(data, as_json, render)
    if not events and not all(each.good for each in looked):
        raise SystemExit(1)


def _as_dict(each: Looked) -> dict[str, Any]:
    known = each.approved
    return {
        "backend": each.name,
        "good": each.good,
        "approved": None if known is None else {"person": known.fact.person, "at": known.at, "event": known.seq},
        "found": dict(each.found),
        "drift": [item.model_dump(mode="json") for item in each.drift],
    }


def _show(looked: Looked, *, full: bool) -> None:
    if looked.drift:
        rows = [(item.item, _text(item.approved), _text(item.found)) for item in looked.drift]
        table(f"{looked.name} is not as it was approved", ("Item", "Approved", "Now"), rows)
    if full or looked.approved is None:
        table(f"{looked.name}, as it is now", ("Item", "Now"), [(name, _text(value)) for name, value in looked.found.items()])
    if looked.approved is None:
        click.echo(plain(f"{looked.name}: nobody approved it; gatehouse provider check {looked.name} --approve --reason WHY"))
        return
    fact = looked.approved.fact
    state = f"{counted(len(looked.drift), 'item')} changed since" if looked.drift else "as it was approved"
    click.echo(plain(f"{looked.name}: {state}; {fact.person}, {looked.approved.at[:10]} [{looked.approved.seq}]: {fact.reason}"))


def _text(value: object) -> str:
    """An item in a cell."""
    if value is None or value == []:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


command.add_command(gatehouse_command("check", "Compare providers with what was approved.")(_check))
