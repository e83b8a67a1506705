"""Every error that Gatehouse raises: one tree, one sentence each, never a data value, never a secret.

    GatehouseError
    |-- InputError            a file, a flag or a field is wrong; fix it and call again
    |-- Refused               the answer is no, and the run ends with it
    |   |-- Denied            the policy, the budget or the registry of people said no
    |   |   `-- Quarantined       somebody has stopped it in an emergency
    |   |-- Rejected          an approver said no
    |   |-- Expired           nobody decided in time
    |   |-- DataRefused       data failed minimisation, a suite or a check on what came back
    |   |-- PlanChanged       what would run is not what was approved
    |   `-- Cancelled         somebody cancelled the run
    |-- Interrupted           an operational failure; the run keeps what it has and can be resumed
    |   |-- StorageError      no disk, no permission, an artifact that is gone
    |   |-- Unavailable       a server, a backend or a secret store does not answer
    |   |-- WorkloadFailed    the workload raised, or did not do the same thing again on replay
    |   |   `-- UnusableAnswer    it gave something that is no circuits or no frame
    |   |-- JobFailed         the backend reports the job as failed
    |   `-- Waiting           its process need not wait: the run is suspended, and goes on by itself
    |-- Ambiguous             nobody can tell whether a job was submitted; a person has to look
    |-- Superseded            a newer attempt drives this run, or the ledger has closed it
    `-- Tampered              something does not match its digest or its signature

A message says what is wrong, ``where`` names the file and the field (or the gate), ``advice`` says what to do next. ``retry`` is
False unless repeating the call is free and harmless; ``job_id`` is set where a paid job exists.
"""

from __future__ import annotations

from typing import ClassVar


class GatehouseError(Exception):
    """Base of the tree.

    Args:
        message: What is wrong, without any data value or secret.
        where: File and field, gate, or table: the place to look at.
        advice: What to do next.
        retry: Whether repeating the same call is free and harmless.
        job_id: The provider's name of the job that exists, where one does.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str = "", advice: str = "", retry: bool = False, job_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.advice = advice
        self.retry = retry
        self.job_id = job_id

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        tail = f" ({self.advice})" if self.advice else ""
        return f"{place}{self.message}{tail}"

    def as_dict(self) -> dict[str, object]:
        """The error as the CLI's ``--json`` prints it and the ledger keeps it."""
        return {
            "error": self.code,
            "message": self.message,
            "where": self.where,
            "advice": self.advice,
            "retry": self.retry,
            "job_id": self.job_id,
        }


class InputError(GatehouseError):
    """A file, a flag or a field is wrong."""

    code = "input"
    exit_code = 2


class Refused(GatehouseError):
    """The answer is no; the run ends."""

    code = "refused"
    exit_code = 3
    ending: ClassVar[str] = "denied"


class Denied(Refused):
    """The policy, the budget or the registry of people said no.

    Args:
        message: As of every error.
        where: The same.
        advice: The same.
        retry: The same.
        job_id: The same.
        rules: Identifiers of what says no to somebody's act: rules of the policy, or a check of our own in their place (``policy/own_checks.py``).
        policy_digest: Of the policy whose rules these are; empty where they are none's.
    """

    code = "denied"

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        advice: str = "",
        retry: bool = False,
        job_id: str | None = None,
        rules: tuple[str, ...] = (),
        policy_digest: str = "",
    ) -> None:
        super().__init__(message, where=where, advice=advice, retry=retry, job_id=job_id)
        self.rules, self.policy_digest = rules, policy_digest


class Quarantined(Denied):
    """Somebody has put it into quarantine."""

    code = "quarantined"


class Rejected(Refused):
    """An approver said no."""

    code = "rejected"
    ending = "rejected"


class Expired(Refused):
    """Nobody decided in time."""

    code = "expired"
    ending = "expired"


class DataRefused(Refused):
    """Data failed minimisation, a suite, or a check on what came back."""

    code = "data-refused"


class PlanChanged(Refused):
    """What would run is not what was approved."""

    code = "plan-changed"


class Cancelled(Refused):
    """Somebody cancelled the run."""

    code = "cancelled"
    ending = "cancelled"


class Interrupted(GatehouseError):
    """An operational failure: the run can be resumed."""

    code = "interrupted"
    exit_code = 4


class StorageError(Interrupted):
    """No disk, no permission, or an artifact that is gone."""

    code = "storage"


class Unavailable(Interrupted):
    """A server, a backend or a secret store does not answer."""

    code = "unavailable"


class WorkloadFailed(Interrupted):
    """The workload raised, or did something else on replay than the first time."""

    code = "workload"


class UnusableAnswer(WorkloadFailed):
    """The workload gave something that is no circuits or no frame.

    Before an approval it can be mended and the run resumed; afterwards its code is bound, it would answer the same again, and
    ``flows/rounds.py`` makes an ending of it.
    """

    refusal: object = None
    """The same as a record (``workload/refusals.py``)."""


class JobFailed(Interrupted):
    """The backend reports the job as failed."""

    code = "job-failed"


class Waiting(Interrupted):
    """Nothing is wrong: the run waits for a queue, a device or an hour, and holds no process meanwhile.

    Args:
        message: What it waits for.
        where: The backend, or the gate.
        jobs: How many jobs it waits for; 0 where it waits for none.
        position: Jobs before them in the queue, None where nobody says.
        resume_at: When it may go on, seconds since the epoch; None where jobs decide that.
    """

    code = "waiting"

    def __init__(self, message: str, *, where: str, jobs: int = 0, position: int | None = None, resume_at: float | None = None) -> None:
        super().__init__(message, where=where, retry=True)
        self.jobs, self.position, self.resume_at = jobs, position, resume_at


class Ambiguous(GatehouseError):
    """Nobody can tell whether a job was submitted: a person has to look."""

    code = "ambiguous"
    exit_code = 5


class Superseded(GatehouseError):
    """A newer attempt drives this run, or the ledger has closed it."""

    code = "superseded"
    exit_code = 6


class Tampered(GatehouseError):
    """Something does not match its digest or its signature."""

    code = "tampered"
    exit_code = 7
