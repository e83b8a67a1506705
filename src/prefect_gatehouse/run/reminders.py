"""Who is to be told that an approval waits: by whom it was asked what, until when; no row, no value, no text that somebody wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect_gatehouse.ledger.answers import ApprovalReminded
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.approvals import standing
from prefect_gatehouse.run.holding import holding, why_stopped
from prefect_gatehouse.run.matter import Matter, closes_at, digests_of, matter_of, opened_at, plan_of, terms_of
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class Reminder:
    """One message through one block.

    Attributes:
        run_id: The run that waits.
        name: Of the event that tells of it: a plan or outcome, a block and a turn have one.
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
    """What is to be sent now. Each plan, or outcome, has a turn every so many minutes; one that nobody looked in is not made up for.

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
        matter = matter_of(ledger, row.run_id)
        if matter is None or now >= closes_at(matter) or standing(ledger, matter).decided:
            continue
        waited = now - opened_at(matter)
        turn = waited // timedelta(minutes=settings.remind_minutes)
        for block, escalated in groups:
            if turn < 1 or (escalated and waited < timedelta(minutes=settings.escalate_minutes)):
                continue
            name = f"{row.run_id}:reminded:{matter.digest[:16]}:{turn}:{'escalated:' if escalated else ''}{block}"
            if ledger.find(name, ApprovalReminded) is None:
                fact = ApprovalReminded.model_validate({"block": block, "escalated": escalated, **digests_of(matter)})
                yield Reminder(row.run_id, name, fact, *_words(ledger, matter, escalated))


def _blocks(text: str) -> list[str]:
    return list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))


def _words(ledger: Ledger, matter: Matter, escalated: bool) -> tuple[str, str]:
    """Names that have the form of names, numbers and times; purpose and owner, which are anybody's text, stay in the plan."""
    plan, terms, now = plan_of(matter), terms_of(matter), standing(ledger, matter)
    manifest, body = plan.admitted.manifest, plan.body
    minimised = plan.validated.minimised
    subject = f"{'Escalated: ' if escalated else ''}{manifest.name} {manifest.ticket} {terms.waits}"
    backends = ", ".join(each.name for each in body.backends)
    lines = (
        f"{len(now.approvals)} of {now.needed} {terms.consents}{now.lacks}, open until {closes_at(matter).astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
        f"Tenant {manifest.tenant}, environment {manifest.environment}, tier {body.tier.name}; waits since {opened_at(matter):%Y-%m-%d %H:%M} UTC.",
        f"{minimised.artifact.rows} rows, up to {minimised.highest_class}, for {backends}; at most {body.cost} USD."
        if isinstance(matter, Plan)
        else f"{matter.body.rows} rows of class {matter.body.data_class}, from {', '.join(matter.body.backends)}, for {matter.body.system}.",
        f"Read it and decide: gatehouse approve {body.run_id}",
    )
    return subject, "\n".join(lines)
