"""``gatehouse runs``, ``show`` and ``who``: answers from the ledger, no server needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from prefect_gatehouse.cli.outlook import in_utc, next_step, state_of
from prefect_gatehouse.cli.output import console, emit, gatehouse_command, plain, table

if TYPE_CHECKING:
    from prefect_gatehouse.evidence.questions import JobEvidence
    from prefect_gatehouse.ledger.jobs import JobClosed
    from prefect_gatehouse.ledger.projection import RunRow
    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.run.round_view import RoundView
    from prefect_gatehouse.settings import Settings


@contextmanager
def _ledger() -> Iterator[tuple[Settings, Ledger]]:
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        yield settings, ledger


def _say(text: str) -> None:
    """One line however long, so that a path or a command in it can be copied whole."""
    console().print(plain(text), markup=False, soft_wrap=True)


@click.option("--open", "only_open", is_flag=True, help="Only runs that have not ended.")
def _runs(only_open: bool, as_json: bool) -> None:
    """List runs, newest first, and what the open ones wait for."""
    from prefect_gatehouse.run.holding import holding, why_stopped

    with _ledger() as (settings, ledger):
        found = [row for row in ledger.runs() if not only_open or row.ending is None]
        held = holding(settings, ledger)
        stopped = {row.run_id: why_stopped(held, row) if row.ending is None else [] for row in found}
    # Eight characters of the identifier are what every command takes, and leave room on a line of 80.
    rows = [(row.run_id[:8], state_of(row), in_utc(row.started), row.pipeline, row.ticket, row.requester) for row in found]

    def render() -> None:
        table("Runs", ("Run", "State", "Started (UTC)", "Pipeline", "Ticket", "Requester"), rows)
        for row in found:
            if row.ending is None:
                _say(f"{row.run_id[:8]} {_goes_on(row, stopped[row.run_id])}")

    emit([{**_as_dict(row), "in_quarantine": stopped[row.run_id]} for row in found], as_json, render)


def _goes_on(row: RunRow, stopped: list[str]) -> str:
    """What an open run waits for; of one in quarantine that it can't go on."""
    return f"can't go on: {'; '.join(stopped)}; look at: gatehouse quarantine list" if stopped else next_step(row)


def _as_dict(row: RunRow) -> dict[str, object]:
    return {**asdict(row), "state": state_of(row), "next_step": next_step(row)}


@click.argument("run")
@click.option("--plan", "with_plan", is_flag=True, help="Also the plan.")
def _show(run: str, with_plan: bool, as_json: bool) -> None:
    """Show RUN: its gates with time and outcome, what came of it and why, and what it waits for."""
    from prefect_gatehouse.cli.follow import gate_table
    from prefect_gatehouse.cli.plan import print_plan
    from prefect_gatehouse.evidence.by_hand import looks_at, refused_acts
    from prefect_gatehouse.evidence.questions import (
        attempts_of,
        closed_jobs,
        find_run,
        long_lived_keys,
        open_obligations,
        passages,
        re_identifications,
        reason_of,
        recorded_plan,
        releases_in_words,
    )
    from prefect_gatehouse.evidence.services import served_by
    from prefect_gatehouse.ledger.answers import AnswerRefused
    from prefect_gatehouse.ledger.events import ReportWritten
    from prefect_gatehouse.run.extended import Extended
    from prefect_gatehouse.run.holding import holding, why_stopped
    from prefect_gatehouse.run.reader import RunReader
    from prefect_gatehouse.run.round_view import rounds_in_the_terminal
    from prefect_gatehouse.run.values import CleanupReceipt, WriteBackReceipt

    with _ledger() as (settings, ledger):
        run_id = find_run(ledger, run)
        row, passed, plan = ledger.run(run_id), passages(ledger, run_id), recorded_plan(ledger, run_id)
        turned_back, released = re_identifications(ledger, run_id), releases_in_words(ledger, run_id)
        long_lived = long_lived_keys(ledger, run_id)
        services = served_by(ledger, run_id)
        extended = Extended(settings, ledger, time.time()).of_run(run_id)
        written = sorted({event.fact.path for event in ledger.facts(ReportWritten, run_id=run_id)})
        reader = RunReader(settings, ledger, run_id)
        receipts = (reader.chain.read("write_back", WriteBackReceipt), reader.chain.read("clean_up", CleanupReceipt))
        rounds = rounds_in_the_terminal(reader)
        ends = {receipt.gate: receipt.model_dump(mode="json") for receipt in receipts if receipt is not None}
        closed = closed_jobs(ledger, run_id)
        obligations = open_obligations(ledger, run_id, ends.get("clean_up", {}).get("obligations", []))
        reason = reason_of(ledger, run_id)
        form = _form(ledger, row)
        attempts = [each.as_dict() for each in attempts_of(ledger, run_id)]
        refused = [event.fact.reason for event in ledger.facts(AnswerRefused, run_id=run_id)]
        looks, acts_refused = looks_at(ledger, run_id), refused_acts(ledger, run_id)  # this look among them, where it opened something
        assert row is not None  # find_run listed it
        backends = [each.name for each in plan.body.backends] if plan is not None else []
        stopped = why_stopped(holding(settings, ledger), row, backends) if row.ending is None else []
    left_behind = [*(_closed(job) for job in closed), *(f"still open: {item}" for item in obligations)]
    reports = [(settings.home / path).absolute() for path in written]
    because = reason if row.ending not in {None, "completed"} else row.message

    def render() -> None:
        out = console()
        out.print(f"[bold]{escape(plain(row.pipeline))}[/] run {row.run_id}: {state_of(row)}" + (escape(plain(f" - {because}")) if because else ""))
        out.print(gate_table(passed))
        _print_rounds(rounds)
        if with_plan and plan is not None:
            out.print()
            print_plan(plan)
        for line in (*form, *(f"an answer did not count: {why}" for why in refused), *(f"break-glass: {use}" for use in long_lived)):
            _say(line)
        served = (f"service: {each.in_words()}" for each in services)
        for line in (*(f"released by {each}" for each in released), *served, *(f"re-identified: {act.in_words()}" for act in turned_back)):
            _say(line)
        for path in reports:
            _say(f"report: {path.as_uri()}" + ("" if path.exists() else " (not here: another machine's, or its retention has passed)"))
        for line in (*(f"kept longer: {each.in_words()}" for each in extended), *left_behind):
            _say(line)
        for line in (*(f"looked: {each.in_words()}" for each in looks), *(f"refused: {each.in_words()}" for each in acts_refused)):
            _say(line)
        if row.ending is None:
            _say(f"the run {_goes_on(row, stopped)}")

    data = {
        "run": {**_as_dict(row), "reason": reason},
        "gates": [asdict(item) for item in passed],
        "rounds": [each.as_dict() for each in rounds],
        "receipts": ends,
        "jobs_closed": [job.model_dump(mode="json") for job in closed],
        "obligations": obligations,
        "re_identified": [act.as_dict() for act in turned_back],
        "answers_refused": refused,
        "long_lived_keys": long_lived,
        "released": released,
        "services": [each.as_dict() for each in services],
        "retention_extended": [each.as_dict() for each in extended],
        "in_quarantine": stopped,
        "form": form,
        "looks": [each.as_dict() for each in looks],
        "acts_refused": [each.as_dict() for each in acts_refused],
        "attempts": attempts,
        "reports": [str(path) for path in reports],
    }
    if with_plan and plan is not None:
        data["plan"] = plan.model_dump(mode="json", by_alias=True)
    emit(data, as_json, render)


def _closed(job: JobClosed) -> str:
    """What became of a job of an ended run."""
    cost = f"{job.cost_usd.normalize():f} USD" + (", as reserved" if job.basis == "reserved" else "")
    return f"job {job.key} at {job.backend}: {job.outcome}, {cost}"


def _print_rounds(rounds: list[RoundView]) -> None:
    """A line for each, and the newest one's counts as far as they may be shown."""
    from prefect_gatehouse.run.round_view import HEADERS

    if not rounds:
        return
    console().print()
    table("Rounds", HEADERS, [each.cells() for each in rounds])
    newest = rounds[-1]
    told = [part for part in (newest.shape, newest.note) if part]
    if told:
        _say(f"round {newest.number}: {'; '.join(told)}")
    for line in newest.histogram.lines if newest.histogram is not None else ():
        _say(f"  {line}")


def _form(ledger: Ledger, row: RunRow | None) -> list[str]:
    """What is to be told of the form in Prefect: nothing, where it shows what the ledger has."""
    from prefect_gatehouse.errors import GatehouseError
    from prefect_gatehouse.ledger.answers import FormDiffered

    assert row is not None  # find_run listed it
    told = []
    if row.status == "waiting":
        from prefect_gatehouse.cli.quiet import quiet_prefect

        quiet_prefect()
        from prefect_gatehouse.operate.answering import form_differs

        try:
            form_differs(ledger, row.run_id)
        except GatehouseError as error:
            told.append(f"the form in Prefect was not compared with the ledger: {error.message}")
    for event in ledger.facts(FormDiffered, run_id=row.run_id):
        told.append(
            f"the form in Prefect was not the ledger's: somebody changed it there; found {in_utc(event.when.timestamp())} UTC [{event.seq}]. "
            "What counts is what the ledger has: gatehouse approve shows it"
        )
    return told


def _kind(item: JobEvidence) -> str:
    return "a service, " if item.requester_is_service else ""


@click.argument("job_or_run")
def _who(job_or_run: str, as_json: bool) -> None:
    """Say who submitted JOB_OR_RUN, from which environment, with which secret, under which ticket; each with its proof.

    Numbers in brackets are ledger events; `gatehouse verify` proves that they are what was written.
    """
    from prefect_gatehouse.evidence.by_hand import looks_at, refused_acts
    from prefect_gatehouse.evidence.questions import who as find
    from prefect_gatehouse.run.extended import Extended

    with _ledger() as (settings, ledger):
        found = find(ledger, job_or_run)
        judged = Extended(settings, ledger, time.time())
        of = {item.run for item in found}
        extended = {run: judged.of_run(run) for run in of}
        looks, refused = {run: looks_at(ledger, run) for run in of}, {run: refused_acts(ledger, run) for run in of}

    def render() -> None:
        for item in found:
            proof = item.events
            rows = [
                ("Job", f"{item.job} on {item.backend}, {item.submitted_at} [{proof['submitted']}]"),
                ("Requester", f"{item.requester} ({_kind(item)}{item.requester_method} {item.requester_key}) [{proof['admitted']}]"),
                ("Approved by", f"{', '.join(item.approvers)} [{proof['approved']}]"),
                *((("Released by", f"{', '.join(item.released_by)} [{proof['released']}]"),) if item.released_by else ()),
                ("Environment", f"{item.environment}, tenant {item.tenant} [{proof['submitted']}]"),
                ("Secret", f"{f'{item.secret} {item.secret_version}'.rstrip()} [{proof['secret']}]"),
                ("Ticket", f"{item.ticket} [{proof['admitted']}]"),
                *(("Service", each.in_words()) for each in item.services),
                *(("Break-glass", use) for use in item.long_lived_keys),
                *(("Re-identified", act.in_words()) for act in item.re_identified),
                *(("Kept longer", each.in_words()) for each in extended[item.run]),
                *(("Looked", each.in_words()) for each in looks[item.run]),
                *(("Refused", each.in_words()) for each in refused[item.run]),
                ("Plan", item.plan_digest),
                ("Run", f"{item.run} ({item.pipeline})"),
                *(("Problem", problem) for problem in item.problems),
            ]
            table(f"Job {item.key}", ("", ""), rows)

    data = [
        {
            **item.as_dict(),
            "retention_extended": [each.as_dict() for each in extended[item.run]],
            "looks": [each.as_dict() for each in looks[item.run]],
            "acts_refused": [each.as_dict() for each in refused[item.run]],
        }
        for item in found
    ]
    emit(data, as_json, render)


runs = gatehouse_command("runs", "List runs.")(_runs)
show = gatehouse_command("show", "Show one run: its gates, its plan, what came of it.")(_show)
who = gatehouse_command("who", "Who submitted a job, from where, with which secret, for which ticket.")(_who)
