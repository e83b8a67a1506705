"""Driving a run in this process: take the fence, go through the gates, and leave in exactly one of the ways a run can end."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Literal

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, Pause, TerminationSignal
from prefect.flow_runs import suspend_flow_run
from prefect.states import Cancelled, Completed, Failed

from prefect_gatehouse.blocks.devices import read_settings
from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.errors import GatehouseError, Interrupted, Refused, StorageError, Superseded, Waiting
from prefect_gatehouse.evidence.tell import tell_outside
from prefect_gatehouse.flows.ending import decided_ending, end
from prefect_gatehouse.flows.leaving import end_quickly, leave_as
from prefect_gatehouse.flows.linger import go_on_here, leave, stays
from prefect_gatehouse.flows.started_by import take
from prefect_gatehouse.ledger.events import RunInterrupted, RunQueued
from prefect_gatehouse.ledger.heartbeat import beating
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.run.ahead import drop_spare
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.cells import keep_ahead, start_spares
from prefect_gatehouse.run.log_depth import log_as_before, log_from
from prefect_gatehouse.run.resume_window import is_interrupted, resume_window
from prefect_gatehouse.run.values import AdmittedRun, ApprovedPlan
from prefect_gatehouse.settings import load_settings
from prefect_gatehouse.tasks.gate import sanitised
from prefect_gatehouse.tasks.progress import progress_of
from prefect_gatehouse.tasks.tagging import tag_with_jobs
from prefect_gatehouse.vocabulary import Ending
from prefect_gatehouse.workload.hashing import require_fixed_hashing
from prefect_gatehouse.workload.silence import withhold_ignored_errors


def drive(pipeline: Callable[[Attempt], object]) -> State[None]:
    """Runs a pipeline under the ledger's fence and turns its end into a state that says what happened.

    Ends (completed, denied, rejected, expired, cancelled) clean up. An operational failure leaves the run resumable.

    Returns:
        The state of a run that completed.

    Raises:
        Abort: The run ended in another way or can be resumed, or went on in an engine of its own; its state is set.
        Pause: It waits.
    """
    withhold_ignored_errors()
    end_quickly()
    try:
        state = _driven(pipeline)
    except Pause as signal:
        waits = signal.with_traceback(None)  # whose frames hold what the run was about
    else:
        if not state.is_completed():
            leave_as(state)
        return state
    if stays(waits):
        go_on_here()
    raise waits


def _driven(pipeline: Callable[[Attempt], object]) -> State[None]:
    run_id, flow_id = _flow_run()
    log_as_before()
    try:
        settings = load_settings()
        ledger = open_ledger(settings)
    except Exception as error:  # noqa: BLE001 - a malformed setting, too, is told in our words
        return _to_resume(run_id, sanitised(error, "settings"))
    try:
        before = ledger.run(run_id)
        start_spares(settings, ledger, run_id, before)
        attempt = Attempt(settings, ledger, run_id, read_secret, progress_of, read_settings=read_settings, prefect_flow=flow_id, log_from=log_from)
    except Superseded:
        row = ledger.run(run_id)
        drop_spare()
        ledger.close()
        return state_of(row.ending if row is not None else None, "the run had ended before")
    except GatehouseError as error:
        drop_spare()
        ledger.close()
        return _to_resume(run_id, error)
    try:
        with beating(ledger, run_id, attempt.number):
            attempt.asked_prefect = time.monotonic()  # which has just let the run begin
            take(attempt)
            return _drive(attempt, pipeline, before)
    except GatehouseError as error:  # the worker's proof is not good; whatever a gate says was turned into a state above
        return _resumable(attempt, error)
    except Pause as waits:
        _suspended(attempt)
        if stays(waits):
            try:
                keep_ahead(attempt)
            except TerminationSignal:
                leave()
        raise
    except TerminationSignal:
        if _cancelling():
            return _end(attempt, "cancelled", "cancelled in Prefect")
        _interrupted(attempt, "failed", f"its process was told to stop; go on with: gatehouse resume {run_id[:8]}")
        raise
    finally:
        drop_spare()
        attempt.release()
        tell_outside(settings, ledger)
        ledger.close()


def _log_as_admitted(attempt: Attempt) -> None:
    """A run that was admitted has its tier's depth of logging from here on; another one from the moment that its manifest is read."""
    admitted = attempt.chain.read(AdmittedRun.gate, AdmittedRun)
    if admitted is not None:
        attempt.log_from(admitted.tier.logging)


def _too_late(attempt: Attempt, before: RunRow | None) -> bool:
    """Whether the run's time to be resumed was over when this process took it up: its artifacts are for nobody any more."""
    now = time.time()
    if before is None or not is_interrupted(before, now):
        return False
    from prefect_gatehouse.run.extended import is_given_up  # what judges acts, which most processes never need

    return is_given_up(attempt.settings, attempt.ledger, before, now)


def _drive(attempt: Attempt, pipeline: Callable[[Attempt], object], before: RunRow | None) -> State[None]:
    try:
        _log_as_admitted(attempt)
        decided = decided_ending(attempt)
        if decided is not None:
            return _end(attempt, decided, "the end had been decided before")
        if _too_late(attempt, before):
            return _end(attempt, "abandoned", "not resumed in time")
        require_fixed_hashing()
        pipeline(attempt)
        return _end(attempt, "completed", "every gate passed")
    except Refused as refusal:
        return _end(attempt, refusal.ending, str(refusal))  # type: ignore[arg-type]
    except Superseded as error:
        return Failed(name="Superseded", message=str(error))
    except Waiting as waiting:
        return _suspend(attempt, waiting)
    except GatehouseError as error:
        return _resumable(attempt, error)
    except Exception as error:  # noqa: BLE001 - between gates, too, no foreign text gets out
        return _resumable(attempt, sanitised(error, "governed pipeline"))


def _end(attempt: Attempt, ending: Ending, message: str) -> State[None]:
    try:
        end(attempt, ending, message)
        tag_with_jobs(attempt)
    except Superseded as error:
        return Failed(name="Superseded", message=str(error))
    except GatehouseError as error:
        return _resumable(attempt, error)
    return state_of(ending, message)


def _resumable(attempt: Attempt, error: GatehouseError) -> State[None]:
    _interrupted(attempt, "failed", str(error))
    with suppress(Exception):  # neither a ledger nor a server that is gone keeps the state from saying what happened
        tag_with_jobs(attempt)
    return _to_resume(attempt.run_id, error)


def _suspend(attempt: Attempt, waiting: Waiting) -> State[None]:
    """Suspends a run whose process need not wait, as the approval does; the deployed ``reconcile`` resumes it.

    Raises:
        Pause: It is suspended.
    """
    try:
        queued = RunQueued(
            message=waiting.message,
            backend=waiting.where if waiting.jobs else "",
            jobs=waiting.jobs,
            position=waiting.position,
            resume_at=waiting.resume_at,
            until=_waits_until(attempt),
        )
        attempt.record(f"queued:{attempt.number}", queued)
        suspend_flow_run(key=f"queued-{attempt.number}")
    except Superseded as error:
        return Failed(name="Superseded", message=str(error))
    except Exception as error:  # noqa: BLE001 - Prefect's client lets through whatever its transport raises
        return _resumable(attempt, sanitised(error, "suspend"))
    return _resumable(attempt, Interrupted("Prefect did not suspend the run", where="suspend"))


def _waits_until(attempt: Attempt) -> float:
    """No earlier than the approval's deadline, and than a run that failed now could be resumed."""
    approved = attempt.chain.read(ApprovedPlan.gate, ApprovedPlan)
    window = time.time() + resume_window(attempt.ledger, attempt.run_id)
    if approved is None:
        return window
    return max(window, (approved.decided_at + timedelta(seconds=approved.plan.body.deadline_seconds)).timestamp())


def _suspended(attempt: Attempt) -> None:
    """Notes a suspension by hand; who asks for approval or waits for a queue has noted it before the run was suspended."""
    with suppress(StorageError):
        if attempt.row().status == "running":
            _interrupted(attempt, "suspended", f"suspended by hand in Prefect; go on with: gatehouse resume {attempt.run_id[:8]}")


def _interrupted(attempt: Attempt, status: Literal["failed", "suspended"], message: str) -> None:
    """Notes why nothing goes on, and until when the run can be resumed."""
    # The ledger can't be written: Prefect's state carries the message, and by its heartbeat the sweeper finds the run.
    with suppress(StorageError, Superseded):
        until = time.time() + resume_window(attempt.ledger, attempt.run_id)
        attempt.record(f"interrupted:{attempt.number}", RunInterrupted(status=status, message=message[:1000], until=until))


def _to_resume(run_id: str, error: GatehouseError) -> State[None]:
    if error.code == "ambiguous":
        return Failed(name="Ambiguous", message=str(error))
    return Failed(name="Resumable", message=f"{error}; resume it with: gatehouse resume {run_id}")


def state_of(ending: str | None, message: str) -> State[None]:
    """Prefect's state for an ending."""
    if ending == "completed":
        return Completed(message=message)
    if ending == "cancelled":
        return Cancelled(message=message)
    return Failed(name=(ending or "closed").capitalize(), message=message)


def _flow_run() -> tuple[str, str]:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise GatehouseError("the pipeline runs only as a Prefect flow", where="governed_pipeline", advice="use: gatehouse run")
    return str(context.flow_run.id), str(context.flow_run.flow_id)


def _cancelling() -> bool:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return False
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(context.flow_run.id).state
        except ObjectNotFound:
            return True  # deleted in Prefect: nobody can go on with it
    return state is not None and (state.is_cancelling() or state.is_cancelled())
