"""``gatehouse approve`` and ``reject``: show the plan, sign exactly it, resume the run."""

from __future__ import annotations

from typing import Literal

import click

from prefect_gatehouse.cli.output import command as make
from prefect_gatehouse.cli.output import emit

_WAIT = 60.0  # seconds for a worker to take the run up: it asks every ten by default


def _decide(run: str, decision: Literal["approve", "reject"], approver: str, code: str | None, reason: str, yes: bool, as_json: bool) -> None:
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.approvals import standing
    from prefect_gatehouse.cli.plan import print_plan
    from prefect_gatehouse.errors import InputError
    from prefect_gatehouse.evidence import find_run, plan_of
    from prefect_gatehouse.flows.control import answer, sign_answer, wait_while_answered
    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    settings.folder("")
    ledger = Ledger(settings.ledger())
    try:
        run_id = find_run(ledger, run)
        plan = plan_of(ledger, run_id)
        if plan is None:
            raise InputError("the run has no plan yet", where=run_id, advice="run: gatehouse show RUN")
        if not as_json:
            print_plan(plan)
        if not yes:
            click.confirm(f"{decision.capitalize()} exactly this plan?", abort=True, err=True)
        proof = code if code is not None else sign_answer(settings, ledger, run_id, decision)
        before = standing(ledger, plan).answers
        answer(run_id, decision, approver=approver, proof=proof, reason=reason)
        wait_while_answered(ledger, run_id, before, _WAIT)
        now = standing(ledger, plan)
        have = f"{len(now.approvals)} of {now.needed} approvals"
        emit(
            {"run": run_id, "decision": decision, "plan": plan.digest, "approvals": len(now.approvals), "needed": now.needed},
            as_json,
            lambda: click.echo(f"{decision}: counted; {have}" if decision == "approve" else "reject: counted; the run ends and cleans up"),
        )
    finally:
        ledger.close()


@click.argument("run")
@click.option("--as", "approver", default="", metavar="PERSON", help="Your identifier; needed with --code.")
@click.option("--code", help="One-time code instead of a signature.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def _approve(run: str, approver: str, code: str | None, yes: bool, as_json: bool) -> None:
    """Show RUN's plan, sign it with your key (GATEHOUSE_IDENTITY), and resume the run."""
    _decide(run, "approve", approver, code, "", yes, as_json)


@click.argument("run")
@click.option("--as", "approver", default="", metavar="PERSON", help="Your identifier; needed with --code.")
@click.option("--code", help="One-time code instead of a signature.")
@click.option("--reason", default="", help="For the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def _reject(run: str, approver: str, code: str | None, reason: str, yes: bool, as_json: bool) -> None:
    """Reject RUN's plan; the run ends and cleans up."""
    _decide(run, "reject", approver, code, reason, yes, as_json)


approve = make("approve", "Show a run's plan, sign it, and resume the run.")(_approve)
reject = make("reject", "Reject a run's plan; the run ends and cleans up.")(_reject)
