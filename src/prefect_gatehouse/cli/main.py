"""The entry point: a table of commands, none of which is imported before it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init:command", "Write a new pipeline from a template, and make your signing key."),
    "people": ("people:command", "Add, list and revoke people: public keys, one-time codes, roles."),
    "check": ("check:command", "Report every problem of a manifest."),
    "profile": ("profile:command", "Propose column rules for a new source; no value is shown."),
    "synthesise": ("synthesise:command", "Write synthetic data like a file's, measured, and record its digest."),
    "plan": ("plan:command", "Dry run up to the plan; nothing leaves."),
    "run": ("run:command", "Sign a request and start a run."),
    "inbox": ("inbox:command", "List what waits for your approval."),
    "approve": ("approve:approve", "Show a run's plan, sign it, and resume the run."),
    "reject": ("approve:reject", "Reject a run's plan; the run ends and cleans up."),
    "resume": ("resume:resume", "Go on with a run that failed for an operational reason."),
    "abandon": ("resume:abandon", "End a run that nobody will resume, and clean up."),
    "runs": ("show:runs", "List runs."),
    "show": ("show:show", "Show one run: its gates, its plan, what came of it."),
    "who": ("show:who", "Who submitted a job, from where, with which secret, for which ticket."),
    "explain": ("explain:command", "Which rule decided about a run, or would, and what would satisfy it."),
    "reproduce": ("reproduce:command", "Run what was kept of a run again, on a model of its devices, and compare."),
    "keys": ("keys:command", "Make, list and rotate the root keys of the tokens."),
    "budget": ("budget:command", "Show, set and explain what tenants may spend."),
    "policy": ("policy:command", "Check the policies against what they are to decide; sign them."),
    "classes": ("classes:command", "Sign, list and withdraw the classes of sources, as their data owner."),
    "promote": ("promote:promote", "Let a workload into the next tier, on what it did in the tier below."),
    "promotions": ("promote:promotions", "List and withdraw promotions."),
    "review": ("review:review", "Say that you have read a signed commit of somebody else's."),
    "reviews": ("review:reviews", "List and withdraw reviews."),
    "retention": ("retention:command", "Keep what there is of a run longer; list what is kept."),
    "exceptions": ("exceptions:command", "Grant, list, revoke and review exceptions to the policy."),
    "quarantine": ("quarantine:command", "Stop a tenant, person, pipeline or backend at once."),
    "verify": ("verify:command", "Check the ledger against its signed heads."),
    "clean-up": ("clean_up:command", "Sweep once: end what expired, was cancelled or was not resumed."),
    "reconcile": ("reconcile:command", "Look once after jobs that wait at providers, and after what ended runs left."),
    "worker": ("worker:command", "Start the worker that takes no orders from Prefect's API."),
    "doctor": ("doctor:command", "Look over work pools and deployments on the Prefect server."),
    "provider": ("provider:command", "Prove that a provider conforms; look whether it has changed."),
    "emulator": ("emulator:command", "Start a server that a provider's unmodified SDK talks to."),
    "drill": ("drill:command", "Try what becomes of runs in an outage, on an emulator."),
    "demo": ("demo:command", "Run the main job end to end on this machine."),
}


# What runs a workload in the command's own process.
_FOREIGN = ("plan",)


class _Lazy(click.Group):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The process's own entry; a test, which calls ``main`` with arguments, stays in one process."""
        if sys.argv[1:2] and sys.argv[1] in _FOREIGN and hasattr(os, "fork"):
            from prefect_gatehouse.cli.in_child import in_child

            in_child(lambda: super(_Lazy, self).__call__(*args, **kwargs), as_json="--json" in sys.argv)
        return super().__call__(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"prefect_gatehouse.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from prefect_gatehouse import __version__

        click.echo(f"gatehouse {__version__}")
        context.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
def main() -> None:
    """Governed hybrid quantum-classical pipelines on Prefect.

    State is kept in GATEHOUSE_HOME (default ~/.gatehouse). Every command takes --json.
    """


if __name__ == "__main__":
    main(prog_name="gatehouse")
