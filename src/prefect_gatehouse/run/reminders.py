"""Who is to be told that an approval waits: by whom it was asked what, until when; no row, no value, no text that somebody wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect_gatehouse.ledger.events import ApprovalReminded
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.approvals import closes_at, standing
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.holding import holding, why_stopped
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class Reminder:
    """One message through one block.

    Attributes:
        run_id: The run that waits.
        name: Of the event that tells of it: a plan, a block and a turn have one.
        fact: That event.
        subject: One line.
        body: A few more.
    """

    run_id: str
    name: str
    fact: ApprovalReminded
    subject: str
    body: str

    def record(self, ledger: Ledger) -> bool:
        """Writes down that it is sent now; False where somebody else has."""
        with ledger.transaction() as tx:
            return tx.append(self.name, self.run_id, self.fact)


def due(settings: Settings, ledger: Ledger, now: datetime) -> Iterator[Reminder]:
    """What is to be sent now. Each plan has a turn every so many minutes; one that nobody looked in is not made up for.

    Raises:
        Tampered: The ledger's values of a run do not go on from one another.
    """
    groups = [(block, False) for block in _blocks(settings.notify)] + [(block, True) for block in _blocks(settings.escalate)]
    if not groups:
        return
    held = holding(settings, ledger)
    for row in ledger.runs():
        if row.status != "waiting" or row.ending is not None or why_stopped(held, row):
            continue
        plan = Chain(ledger, row.run_id).read(Plan.gate, Plan)
        if plan is None or now >= closes_at(plan) or standing(ledger, plan).decided:
            continue
        waited = now - plan.made_at
        turn = waited // timedelta(minutes=settings.remind_minutes)
        for block, escalated in groups:
            if turn < 1 or (escalated and waited < timedelta(minutes=settings.escalate_minutes)):
                continue
            name = f"{row.run_id}:reminded:{plan.digest[:16]}:{turn}:{'escalated:' if escalated else ''}{block}"
            if ledger.find(name, ApprovalReminded) is None:
                fact = ApprovalReminded(plan_digest=plan.digest, block=block, escalated=escalated)
                yield Reminder(row.run_id, name, fact, *_words(ledger, plan, escalated))


def _blocks(text: str) -> list[str]:
    return list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))


def _words(ledger: Ledger, plan: Plan, escalated: bool) -> tuple[str, str]:
    """Names that have the form of names, numbers and times; purpose and owner, which are anybody's text, stay in the plan."""
    manifest, body, now = plan.admitted.manifest, plan.body, standing(ledger, plan)
    minimised = plan.validated.minimised
    subject = f"{'Escalated: ' if escalated else ''}{manifest.name} {manifest.ticket} waits for approval"
    backends = ", ".join(each.name for each in body.backends)
    lines = (
        f"{len(now.approvals)} of {now.needed} approvals, open until {closes_at(plan).astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
        f"Tenant {manifest.tenant}, environment {manifest.environment}, tier {body.tier.name}; waits since {plan.made_at:%Y-%m-%d %H:%M} UTC.",
        f"{minimised.artifact.rows} rows, up to {minimised.highest_class}, for {backends}; at most {body.cost} USD.",
        f"Read it and decide: gatehouse approve {body.run_id}",
    )
    return subject, "\n".join(lines)
