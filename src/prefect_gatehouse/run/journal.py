"""The submission journal: an intent with its payload and its reservation before the call, the handle after it.

At most one paid job per key ``run:round:job:fallback``, whatever dies when. A row goes intended -> submitted -> settled, or
intended -> refused, or intended -> ambiguous, where it waits for a person. A job that was not made because an earlier result stands for it has a
row that is ``reused`` from the start. Once its run has ended, whatever is open goes to closed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import func, insert, select, update

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.errors import Denied, Superseded, Tampered
from prefect_gatehouse.ledger.acts import BudgetSet
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.jobs import (
    JobClosed,
    JobSettled,
    JobSubmitted,
    ResultReused,
    SubmissionAmbiguous,
    SubmissionIntended,
    SubmissionRefused,
)
from prefect_gatehouse.ledger.projection import OPEN, submission
from prefect_gatehouse.ledger.store import Event, Ledger, Transaction
from prefect_gatehouse.ledger.tables import submissions
from prefect_gatehouse.money.caps import Caps, require_room
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.holding import signing
from prefect_gatehouse.run.quarantined import refuse_quarantined
from prefect_gatehouse.store.sealer import Sealer
from prefect_gatehouse.usd import is_amount, up

F = TypeVar("F", bound=Fact)
State = Literal["intended", "submitted", "settled", "refused", "ambiguous", "closed", "reused"]


class Reads(Protocol):
    """Who may read a run's journal: an attempt, or somebody who only looks (``run/reader.py``)."""

    @property
    def run_id(self) -> str:
        """The run."""

    @property
    def ledger(self) -> Ledger:
        """The open ledger."""

    @property
    def sealer(self) -> Sealer:
        """Opens what the run sealed."""

    def find(self, name: str, kind: type[F]) -> Event[F] | None:
        """An event of the run."""


@dataclass(frozen=True)
class Entry:
    """One row of the journal, without its payload."""

    key: str
    round: int
    job: int
    fallback: int
    backend: str
    state: State
    circuits: int
    circuits_digest: str
    payload_sha256: str
    handle: str | None
    reserved: Decimal
    settled: Decimal | None
    intended: float


_COLUMNS = tuple(submissions.c[name] for name in Entry.__dataclass_fields__)


_WITH_RESULT: dict[str, type[JobSettled | ResultReused]] = {"settled": JobSettled, "reused": ResultReused}
"""States that have one, each with the event that has its digest under its own name."""


def entries(attempt: Reads, round_number: int | None = None) -> list[Entry]:
    """The run's rows, of one round where given, in order of round, job and fallback."""
    query = select(*_COLUMNS).where(submissions.c.run_id == attempt.run_id)
    if round_number is not None:
        query = query.where(submissions.c.round == round_number)
    order = (submissions.c.round, submissions.c.job, submissions.c.fallback)
    with attempt.ledger.reading() as connection:
        return [Entry(**row._asdict()) for row in connection.execute(query.order_by(*order))]


def payload_of(attempt: Reads, entry: Entry) -> bytes:
    """The payload as it was intended, opened with the run's key."""
    with attempt.ledger.reading() as connection:
        sealed = connection.scalar(select(submissions.c.payload).where(submissions.c.key == entry.key))
    name, kind = ("reused", ResultReused) if entry.state == "reused" else ("intended", SubmissionIntended)
    return _opened(attempt, sealed, _name(name, entry.key), kind, "payload_sha256")


def _name(what: str, key: str) -> str:
    """Of an event about a job: the key without its run, which the event names."""
    return f"{what}:{key.partition(':')[2]}"


def _opened(attempt: Reads, sealed: bytes | None, event_name: str, kind: type[SubmissionIntended | JobSettled | ResultReused], field: str) -> bytes:
    """Sealed bytes, if they are the ones whose digest the chained event has."""
    data = attempt.sealer.open(sealed or b"")
    event = attempt.find(event_name, kind)
    if event is None or getattr(event.fact, field) != sha256_bytes(data):
        raise Tampered("the journal does not hold what the ledger says", where=event_name, advice="run: gatehouse verify")
    return data


def results_of(attempt: Reads, round_number: int) -> list[bytes]:
    """The stored results of a round's settled jobs, and of those that an earlier result stands for, in order of job, opened with the run's key."""
    query = (
        select(submissions.c.key, submissions.c.state, submissions.c.result)
        .where(submissions.c.run_id == attempt.run_id, submissions.c.round == round_number, submissions.c.state.in_(_WITH_RESULT))
        .order_by(submissions.c.job)
    )
    with attempt.ledger.reading() as connection:
        rows = connection.execute(query).all()
    return [_opened(attempt, row.result, _name(row.state, row.key), _WITH_RESULT[row.state], "result_sha256") for row in rows]


def cost_of(attempt: Reads, round_number: int) -> Decimal:
    """USD that a round's jobs were billed, whichever process settled them."""
    return sum((entry.settled for entry in entries(attempt, round_number) if entry.settled is not None), Decimal(0))


def spent(tx: Transaction, run_id: str) -> Decimal:
    """USD that the run has reserved or settled so far, over all its backends."""
    worst = func.coalesce(submissions.c.settled, submissions.c.reserved)
    return tx.connection.scalar(select(func.sum(worst)).where(submissions.c.run_id == run_id)) or Decimal(0)


def used_jobs(tx: Transaction, run_id: str) -> int:
    """Jobs that the run has made or may have made."""
    counted = (submissions.c.run_id == run_id) & submissions.c.state.not_in(("refused", "reused"))
    return tx.connection.scalar(select(func.count()).select_from(submissions).where(counted)) or 0


def intend(
    attempt: Attempt,
    payloads: Sequence[tuple[bytes, int, str]],
    *,
    round_number: int,
    fallback: int,
    backend: str,
    prices: Sequence[Decimal],
    cap: Decimal,
    jobs_cap: int,
) -> list[Entry]:
    """Writes the intents of one round's jobs and reserves their price, in one transaction.

    Args:
        attempt: Who acts.
        payloads: Each job's payload, number of circuits and circuits digest.
        round_number: The round.
        fallback: 0 for the first backend, one more for each fallback.
        backend: The backend's name.
        prices: Worst case of each job, USD.
        cap: The envelope's cost for the whole run, USD.
        jobs_cap: The envelope's jobs for the whole run.

    Raises:
        Quarantined: The run or the backend is in quarantine.
        Denied: The envelope, the tenant's budget or the billing code's has no room for these jobs, or a price is none.
    """
    rows: list[dict[str, Any]] = []
    if not all(is_amount(price) for price in prices):
        raise Denied("the provider's price is no amount of money", where=backend, advice="mend the provider's price")
    # Up to the next unit that the journal stores: a reservation is never less than the price.
    prices = [up(price) for price in prices]
    sealer, now = attempt.sealer, time.time()
    for job, ((payload, circuits, digest), price) in enumerate(zip(payloads, prices, strict=True)):
        rows.append(
            {
                "key": f"{attempt.run_id}:{round_number}:{job}:{fallback}",
                "run_id": attempt.run_id,
                "round": round_number,
                "job": job,
                "fallback": fallback,
                "backend": backend,
                "state": "intended",
                "circuits": circuits,
                "circuits_digest": digest,
                "payload": sealer.seal(payload),
                "payload_sha256": sha256_bytes(payload),
                "reserved": price,
                "intended": now,
            }
        )
    with attempt.effect() as tx:
        refuse_quarantined(tx, attempt, backend)
        if spent(tx, attempt.run_id) + sum(prices, Decimal(0)) > cap:
            raise Denied("the jobs would cost more than the approved envelope", where="submit", advice="ask for a larger envelope.cost")
        if used_jobs(tx, attempt.run_id) + len(rows) > jobs_cap:
            raise Denied("the jobs are more than the approved envelope", where="submit", advice="ask for a larger envelope.jobs")
        total, account = sum(prices, Decimal(0)), tx.account(attempt.run_id)
        if total and account is not None:  # a run that was admitted; others pass no gate
            require_room(tx.connection, Caps(tx.facts(BudgetSet), signing(attempt.settings, tx)), account, now, total)
        tx.connection.execute(insert(submissions), rows)
        for row in rows:
            fields = ("key", "round", "job", "fallback", "backend", "circuits", "circuits_digest", "payload_sha256", "intended")
            fact = SubmissionIntended.model_validate(
                {name: row[name] for name in fields} | {"reserved_usd": row["reserved"], "sealed_sha256": sha256_bytes(row["payload"])}
            )
            attempt.append(tx, _name("intended", fact.key), fact)
    return [entry for entry in entries(attempt, round_number) if entry.fallback == fallback]


def submitted(attempt: Attempt, entry: Entry, handle: str, lease_id: str) -> None:
    """Records the handle of a job that exists."""
    with attempt.effect() as tx:
        _move(tx, entry, "submitted", handle=handle)
        fact = JobSubmitted(key=entry.key, backend=entry.backend, job=handle, lease=lease_id, environment=attempt.settings.environment)
        attempt.append(tx, _name("submitted", entry.key), fact)


def refused(attempt: Attempt, pending: Sequence[Entry], reason: str) -> None:
    """Records that the provider definitely refused: these jobs do not exist, and their reservation is given back."""
    with attempt.effect() as tx:
        for entry in pending:
            _move(tx, entry, "refused", settled=Decimal(0))
            attempt.append(tx, _name("refused", entry.key), SubmissionRefused(key=entry.key, backend=entry.backend, reason=reason))


def ambiguous(attempt: Attempt, entry: Entry) -> None:
    """Records that nobody can tell whether the job exists."""
    with attempt.effect() as tx:
        _move(tx, entry, "ambiguous")
        attempt.append(tx, _name("ambiguous", entry.key), SubmissionAmbiguous(key=entry.key, backend=entry.backend))


def settled(attempt: Attempt, entry: Entry, result: bytes, cost: Decimal) -> None:
    """Stores what a job gave, sealed, and its price as billed.

    A bill of more digits than are kept is rounded up, as its reservation was; one that is no amount of money counts as much as was reserved: the
    result is not lost for it, and it makes no room in a budget.
    """
    sealed = attempt.sealer.seal(result)
    if not is_amount(cost):
        cost = entry.reserved
    elif cost != up(cost):
        cost = up(cost)
    with attempt.effect() as tx:
        _move(tx, entry, "settled", result=sealed, settled=cost)
        attempt.append(
            tx,
            _name("settled", entry.key),
            JobSettled(key=entry.key, result_sha256=sha256_bytes(result), sealed_sha256=sha256_bytes(sealed), cost_usd=cost),
        )


@dataclass(frozen=True)
class Standing:
    """A result that stands for a job.

    Attributes:
        payload: What would be sent.
        circuits: In it.
        circuits_digest: Of them.
        result: As it was settled then.
        of: Key of the job that gave it.
        given: When it was read.
    """

    payload: bytes
    circuits: int
    circuits_digest: str
    result: bytes
    of: str
    given: datetime


def reuse(attempt: Attempt, standing: Sequence[Standing], *, round_number: int, backend: str) -> list[Entry]:
    """Writes a round whose jobs are not made: nothing is intended, reserved or charged."""
    sealer, now = attempt.sealer, time.time()
    with attempt.effect() as tx:
        for job, each in enumerate(standing):
            sealed = sealer.seal(each.result)
            fact = ResultReused(
                key=f"{attempt.run_id}:{round_number}:{job}:0",
                round=round_number,
                job=job,
                backend=backend,
                circuits=each.circuits,
                circuits_digest=each.circuits_digest,
                payload_sha256=sha256_bytes(each.payload),
                result_sha256=sha256_bytes(each.result),
                sealed_sha256=sha256_bytes(sealed),
                of=each.of,
                given=each.given,
                intended=now,
            )
            row = {**submission(attempt.run_id, fact), "key": fact.key, "payload": sealer.seal(each.payload), "result": sealed}
            tx.connection.execute(insert(submissions), row)
            attempt.append(tx, _name("reused", fact.key), fact)
    return entries(attempt, round_number)


def close(tx: Transaction, fact: JobClosed) -> bool:
    """Notes what became of a job whose run has ended; False where somebody else has. The caller appends the event in the same transaction."""
    here = (submissions.c.key == fact.key) & submissions.c.state.in_(OPEN)
    known = {"handle": fact.job} if fact.job else {}
    return tx.connection.execute(update(submissions).where(here).values(state="closed", settled=fact.cost_usd, **known)).rowcount == 1


def _move(tx: Transaction, entry: Entry, state: State, **columns: object) -> None:
    """A row moves once, and only the way that the module's docstring says."""
    before: State = "submitted" if state == "settled" else "intended"
    here = (submissions.c.key == entry.key) & (submissions.c.state == before)
    if tx.connection.execute(update(submissions).where(here).values(state=state, **columns)).rowcount != 1:
        raise Superseded(f"the job is no longer {before}", where=entry.key, advice=f"look at: gatehouse show {entry.key.partition(':')[0]}")
