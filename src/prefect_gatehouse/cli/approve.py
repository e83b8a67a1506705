"""``gatehouse approve`` and ``reject``: show the plan, sign exactly it, resume the run."""

from __future__ import annotations

from typing import Literal

import click

from prefect_gatehouse.cli.output import confirm, emit, gatehouse_command


def _decide(
    run: str, decision: Literal["approve", "reject"], approver: str, code: str | None, reason: str, yes: bool, follow: bool, as_json: bool
) -> None:
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.cli.follow import follow_to_the_end
    from prefect_gatehouse.cli.plan import print_plan
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.answering import asked, follow_answer, form_differs
    from prefect_gatehouse.operate.runs import answer, sign_answer
    from prefect_gatehouse.run.approvals import statements
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        run_id = find_run(ledger, run)
        plan, asking = asked(ledger, run_id)
        if form_differs(ledger, run_id):
            click.echo("Prefect's form is not this plan: somebody changed it there. What counts is the ledger's plan, as shown here.", err=True)
        if not as_json:
            print_plan(plan)
            click.echo(f"\nYou decide about this:\n{statements(plan, asking)[decision == 'reject'].message().decode()}\n")
        if not yes:
            confirm(f"{decision.capitalize()} exactly this plan?")
        proof = code if code is not None else sign_answer(settings, ledger, run_id, decision)
        row = ledger.run(run_id)
        assert row is not None  # find_run listed it
        answer(run_id, decision, approver=approver, proof=proof, reason=reason)
        now = follow_answer(ledger, plan, asking, row.attempt)
    have = f"{len(now.approvals)} of {now.needed} approvals"
    goes_on = "the run goes on" if now.decided else "the run waits for more"
    emit(
        {"run": run_id, "decision": decision, "plan": plan.digest, "approvals": len(now.approvals), "needed": now.needed},
        as_json,
        lambda: click.echo(f"approve: counted; {have}, {goes_on}" if decision == "approve" else "reject: counted; the run has ended"),
    )
    if follow:
        follow_to_the_end(settings, run_id, since=row.attempt, quiet=as_json)


@click.argument("run")
@click.option("--as", "approver", default="", metavar="PERSON", help="Your identifier; needed with --code.")
@click.option("--code", help="One-time code instead of a signature.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--follow", is_flag=True, help="Follow the run until it waits again or ends.")
def _approve(run: str, approver: str, code: str | None, yes: bool, follow: bool, as_json: bool) -> None:
    """Show RUN's plan, sign it with your key (GATEHOUSE_IDENTITY), resume the run, and wait until it has judged your answer."""
    _decide(run, "approve", approver, code, "", yes, follow, as_json)


@click.argument("run")
@click.option("--as", "approver", default="", metavar="PERSON", help="Your identifier; needed with --code.")
@click.option("--code", help="One-time code instead of a signature.")
@click.option("--reason", default="", help="For the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def _reject(run: str, approver: str, code: str | None, reason: str, yes: bool, as_json: bool) -> None:
    """Reject RUN's plan, and wait until the run has ended and cleaned up."""
    _decide(run, "reject", approver, code, reason, yes, False, as_json)


approve = gatehouse_command("approve", "Show a run's plan, sign it, and resume the run.")(_approve)
reject = gatehouse_command("reject", "Reject a run's plan; the run ends and cleans up.")(_reject)
