"""``gatehouse drill``: what becomes of a governed run when its provider fails, tried on an emulator."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.operate.drill.exercise import Drilled
    from prefect_gatehouse.operate.drill.outages import Outage

_PROVIDERS = {"braket": ("moto", "emulators"), "ibm": ("qiskit_ibm_runtime", "ibm")}
"""With what the emulator is built on, and the extra that has it."""


@click.group(name="drill", short_help="Try an outage of a provider, on an emulator.")
def command() -> None:
    """Try what becomes of governed runs when something fails."""


@click.option("--provider", type=click.Choice(tuple(_PROVIDERS)), default="braket", show_default=True, help="Whose emulator.")
@click.option("--outage", "names", multiple=True, metavar="NAME", help="Only this outage; may be given several times.")
@click.option("--list", "only_list", is_flag=True, help="List the outages of the provider, and drill none.")
@click.option("--keep", type=PATH, metavar="FOLDER", help="Leave the drill's home, with its ledger, in this new folder.")
def _outage(provider: str, names: tuple[str, ...], only_list: bool, keep: Path | None, as_json: bool) -> None:
    """Have governed runs meet the outages of a provider, one after the other, and say what came of each.

    Ends with 1 where something was lost or paid twice. Needs no account, costs nothing and touches no installation: it starts an emulator that the
    provider's unmodified SDK talks to, and makes a home of its own. Each run passes every gate, approval included, without a Prefect server, and goes
    on as reconcile or an operator has it go on.
    """
    from prefect_gatehouse.cli.emulator import require
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.operate.drill.outages import chosen, outages_of

    if only_list:
        _list(outages_of(provider), as_json)
        return
    outages = chosen(provider, names)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever is told to stop leaves no emulator and no folder behind
    require(*_PROVIDERS[provider], "drill outage")
    with _folder(keep) as folder:
        drilled, ledger = _drill(provider, outages, folder, as_json)
    failed = [each for each in drilled if each.problems]
    ok = not failed and not ledger

    def render() -> None:
        table(f"Outages of {provider}, on its emulator", _HEAD, [_row(each) for each in drilled])
        table("What an operator sees", ("", ""), [(each.outage.name, _seen(each)) for each in drilled])
        for problem in ledger:
            click.echo(f"ledger: {problem}")
        if keep is not None:
            click.echo(f"look at a run with: GATEHOUSE_HOME={keep / 'home'} gatehouse show RUN")
        jobs, billed = sum(each.jobs for each in drilled), sum(each.billed for each in drilled)
        paid = f"{counted(jobs, 'job')}, {billed} USD by the emulator's prices"
        click.echo(f"drill: {'ok' if ok else 'FAILED'}, {len(drilled) - len(failed)} of {counted(len(drilled), 'outage')} as they should be; {paid}")

    emit({"ok": ok, "provider": provider, "ledger": ledger, "outages": [_as_dict(each) for each in drilled]}, as_json, render)
    if not ok:
        raise SystemExit(1)


def _drill(provider: str, outages: tuple[Outage, ...], folder: Path, as_json: bool) -> tuple[list[Drilled], list[str]]:
    """What came of each outage, and what is wrong with the ledger."""
    from prefect_gatehouse.cli.progress import bars
    from prefect_gatehouse.operate.drill.exercise import Drill
    from prefect_gatehouse.operate.drill.installation import embedded
    from prefect_gatehouse.operate.drill.service import SERVICES

    drilled: list[Drilled] = []
    with bars(hidden=as_json) as progress:
        report = progress("outages")
        report(0, len(outages))
        with SERVICES[provider](embedded(folder, folder / "tiers.yaml")) as service, closing(Drill(folder, service)) as drill:
            for each in drill.run(outages):
                drilled.append(each)
                report(len(drilled), len(outages))
            return drilled, drill.ledger_problems()


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the drill's home is: gone afterwards, unless somebody wants to keep it."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="gatehouse-drill-", ignore_cleanup_errors=True) as name:
            yield Path(name).resolve()
        return
    try:
        keep.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise InputError(f"the folder can't be made: {error.strerror}", where=str(keep), advice="name a new folder") from None
    yield keep.resolve()


_HEAD = ("Outage", "Jobs", "Billed, USD", "Ending", "What came of it")


def _row(each: Drilled) -> tuple[str, ...]:
    return (each.outage.name, str(each.jobs), f"{each.billed.normalize():f}", each.ending, each.verdict)


def _seen(each: Drilled) -> str:
    return "\n".join([f"{each.outage.about}:", *(f"{step.did}: {step.saw}" for step in each.steps)])


def _as_dict(each: Drilled) -> dict[str, Any]:
    return {
        "outage": each.outage.name,
        "about": each.outage.about,
        "run": each.run_id,
        "ending": each.ending,
        "label": each.label,
        "jobs": each.jobs,
        "billed_usd": str(each.billed),
        "settled_usd": str(each.settled),
        "verdict": each.verdict,
        "problems": each.problems,
        "steps": [{"did": step.did, "saw": step.saw} for step in each.steps],
        "seconds": round(each.seconds, 1),
    }


def _list(outages: tuple[Outage, ...], as_json: bool) -> None:
    rows = [(each.name, each.about, "a result" if each.result else "no result, at no cost") for each in outages]
    data = [{"outage": name, "about": about, "gives": gives} for name, about, gives in rows]
    emit(data, as_json, lambda: table("Outages", ("Outage", "What happens", "The run gives"), rows))


command.add_command(gatehouse_command("outage", "Have governed runs meet a provider's outages, on an emulator.")(_outage))
