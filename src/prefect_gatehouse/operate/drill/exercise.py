"""One outage after the other: an approved run meets it, goes on as operators and ``reconcile`` have it go on, and is compared with the books.

The gates are those of every run, called without Prefect, which has no say in what is submitted: the provider's SDK, the journal, the ledger, the
look of ``reconcile`` at open jobs. What the run's process would do when it leaves is done here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from prefect_gatehouse.errors import GatehouseError, Refused, Waiting
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.ledger.events import RunInterrupted, RunQueued
from prefect_gatehouse.ledger.jobs import BackendPassedOver, JobSettled, SubmissionRefused
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.operate.drill.installation import Installation
from prefect_gatehouse.operate.drill.outages import Outage
from prefect_gatehouse.operate.drill.service import Made, Service
from prefect_gatehouse.operate.drill.victim import kill_at_its_call
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.reconciliation import Reconciliation
from prefect_gatehouse.run.resume_window import window_of
from prefect_gatehouse.run.values import ApprovedPlan, WriteBackReceipt
from prefect_gatehouse.run.willing import AGAIN_SECONDS
from prefect_gatehouse.tasks.await_release import await_release
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.tasks.write_back import write_back
from prefect_gatehouse.usd import up
from prefect_gatehouse.vocabulary import Ending

_ATTEMPTS = 4  # of a run, in all: every outage is over after the first
_JOB_SECONDS = 30.0  # within which a job that may run has ended at the emulator
_FINAL = {"job-failed", "ambiguous"}
"""Errors after which the same run can't go on: a person abandons it."""


@dataclass(frozen=True)
class Step:
    """What somebody did, and what there was to see then.

    Attributes:
        did: ``run``, ``reconcile``, ``resume`` or ``abandon``, or ``ledger`` for what only that tells.
        saw: The message in Prefect and in ``gatehouse show``.
    """

    did: str
    saw: str


@dataclass
class Drilled:
    """What came of an outage.

    Attributes:
        outage: The outage.
        run_id: Of the run that met it.
        steps: In their order.
        jobs: That the provider ever made.
        billed: USD that the provider asks for them.
        settled: USD that our ledger has for them.
        ending: Of the run.
        label: Of its rows; empty where it wrote none.
        problems: What must not be: lost, paid twice, orphaned, or booked wrongly.
        seconds: That it took.
    """

    outage: Outage
    run_id: str
    steps: list[Step] = field(default_factory=list)
    jobs: int = 0
    billed: Decimal = Decimal(0)
    settled: Decimal = Decimal(0)
    ending: str = ""
    label: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.problems:
            return "; ".join(self.problems)
        return "once, with its result" if self.jobs and self.label else f"result from a {self.label}" if self.label else "no result, nothing paid"


class Drill:
    """Outages at one service, in an installation of their own.

    Args:
        folder: Where the installation is; an empty one.
        service: The service.
    """

    def __init__(self, folder: Path, service: Service) -> None:
        self._service = service
        self._installation = Installation(folder, service.account)

    def run(self, outages: Sequence[Outage]) -> Iterator[Drilled]:
        """One after the other; what was made before an outage is gone from the emulator when it begins."""
        for outage in outages:
            started = time.monotonic()
            self._service.door.reset()
            attempt, approved = self._installation.approved(outage)
            found = _Run(self._installation, self._service, outage, attempt, approved).to_its_end()
            found.seconds = time.monotonic() - started
            yield found

    def ledger_problems(self) -> list[str]:
        """What ``gatehouse verify`` says of the drill's ledger; nothing where it holds."""
        key = VerifierKey.parse((self._installation.settings.home / "ledger.vkey").read_text())
        return [str(problem) for problem in verify(self._installation.ledger, key).problems]

    def close(self) -> None:
        """Closes the installation."""
        self._installation.close()


class _Run:
    def __init__(self, installation: Installation, service: Service, outage: Outage, attempt: Attempt, approved: ApprovedPlan) -> None:
        self._installation, self._service, self._outage = installation, service, outage
        self._attempt, self._approved = attempt, approved
        self._books: dict[str, Made] = {}
        self._found = Drilled(outage, attempt.run_id)

    def to_its_end(self) -> Drilled:
        self._outage.begins(self._service)
        ending: Ending | None = None
        if self._outage.killed:
            self._kill()
        else:
            ending = self._once("run")
        for _ in range(_ATTEMPTS - 1):
            if ending is not None:
                break
            self._outage.ends(self._service)
            did = self._goes_on()
            self._attempt = self._installation.attempt(self._attempt.run_id)
            ending = self._once(did)
        self._end(ending)
        self._compare()
        return self._found

    def _kill(self) -> None:
        """The first process's attempt, which leaves nothing but what it had written before."""
        self._attempt.release()
        kill_at_its_call(self._installation, self._service, self._attempt.run_id)
        status = self._attempt.row().status
        self._found.steps.append(Step("run", f"its process was killed; the ledger has the run as {status}, and hears no heartbeat"))

    def _once(self, did: str) -> Ending | None:
        """One process's attempt, to the end of the run or to where it leaves; None where the run can go on."""
        attempt = self._attempt
        try:
            receipt = self._gates()
        except Refused as refusal:
            self._saw(did, str(refusal))
            return refusal.ending  # type: ignore[return-value]
        except Waiting as waiting:
            self._saw(did, waiting.message)
            here = {"backend": waiting.where if waiting.jobs else "", "jobs": waiting.jobs, "position": waiting.position}
            until = time.time() + self._approved.plan.body.deadline_seconds
            attempt.record(f"queued:{attempt.number}", RunQueued(message=waiting.message, resume_at=waiting.resume_at, until=until, **here))
            return None
        except GatehouseError as error:
            self._saw(did, str(error))
            until = time.time() + window_of(self._approved.plan.admitted)
            attempt.record(f"interrupted:{attempt.number}", RunInterrupted(status="failed", message=str(error)[:1000], until=until))
            return "abandoned" if error.code in _FINAL else None
        finally:
            attempt.release()
        self._saw(did, f"{counted(receipt.rows, 'row')} written, label {receipt.label}")
        self._found.label = receipt.label
        return "completed"

    def _gates(self) -> WriteBackReceipt:
        """Gates 6 to 10."""
        raw = run_rounds(self._attempt, self._approved)
        return write_back(self._attempt, await_release(self._attempt, validate_output(self._attempt, raw)), fetch_credential)

    def _saw(self, did: str, message: str) -> None:
        """Notes a step; what the ledger tells beside the message, first."""
        for event in self._attempt.ledger.events(self._attempt.run_id):
            if event.attempt == self._attempt.number and isinstance(event.fact, BackendPassedOver | SubmissionRefused):
                fact = event.fact
                told = f"passed over: {fact.backend} {fact.detail}" if isinstance(fact, BackendPassedOver) else f"{fact.backend}: {fact.reason}"
                self._found.steps.append(Step("ledger", told))
        self._found.steps.append(Step(did, message))

    def _goes_on(self) -> str:
        """Who has the run go on: ``reconcile`` at its next looks, or the one after a quarter of an hour; otherwise a person."""
        until = time.monotonic() + _JOB_SECONDS
        while True:
            if self._ready():
                return "reconcile"
            if time.monotonic() > until or not any(made.alive for made in self._service.jobs()):
                break
            time.sleep(0.1)
        if self._ready() or self._ready(time.time() + AGAIN_SECONDS + 1):
            return "reconcile"
        return "resume --dead" if self._attempt.row().status == "running" else "resume"

    def _ready(self, now: float | None = None) -> bool:
        found = Reconciliation(self._installation.settings, self._installation.ledger, self._installation.secret, now).look()
        return any(row.run_id == self._attempt.run_id for row in found.ready)

    def _end(self, ending: Ending | None) -> None:
        """What the run's process does last, or ``gatehouse abandon``; then the next look of ``reconcile``."""
        self._enter()
        if ending in {None, "abandoned"}:
            self._attempt = self._installation.attempt(self._attempt.run_id)
        receipt = end(self._attempt, ending or "abandoned")
        self._attempt.release()
        if ending in {None, "abandoned"}:
            self._found.steps.append(Step("abandon", f"{counted(receipt.jobs_cancelled, 'job')} cancelled"))
        self._ready()
        self._enter()
        self._found.ending = receipt.ending

    def _enter(self) -> None:
        """Jobs that were deleted are in the books as they were last seen."""
        self._books |= {made.handle: made for made in self._service.jobs()}

    def _compare(self) -> None:
        found, run_id = self._found, self._attempt.run_id
        made, entries = list(self._books.values()), journal.entries(self._attempt)
        billed = [each for each in made if each.billed]
        found.jobs, found.billed = len(made), up(sum((up(each.billed) for each in billed), Decimal(0)))
        found.settled = up(sum((event.fact.cost_usd for event in self._attempt.ledger.facts(JobSettled, run_id)), Decimal(0)))
        known = {entry.handle for entry in entries}
        if len(made) > 1:
            found.problems.append(f"made {len(made)} jobs for one")
        if len(billed) > 1:
            found.problems.append(f"paid {len(billed)} times")
        orphans = [each for each in made if (each.alive or each.billed) and each.handle not in known]
        if orphans:
            found.problems.append(f"{counted(len(orphans), 'job')} that nobody knows")
        if found.settled != found.billed:
            found.problems.append(f"the provider bills {found.billed} USD, the ledger has {found.settled}")
        if any(entry.state in {"intended", "submitted", "ambiguous"} for entry in entries):
            found.problems.append("a job is still open")
        if found.label and not self._installation.is_right(self._outage):
            found.problems.append("the rows are not the right ones")
        if not self._outage.result and (found.label or found.billed):
            found.problems.append(f"a {found.label} result where there should be none" if found.label else f"paid {found.billed} USD for nothing")
        if self._outage.result and not found.label:
            found.problems.append("the result is lost")
