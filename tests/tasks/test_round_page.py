"""Rounds as people see them: where, how long, at what cost; counts only as far as their class and the place allow."""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.bundles import own_files
from tests.support.gates import Collected, Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.providers.interface import JobStatus
from prefect_gatehouse.run.counts import counts_of
from prefect_gatehouse.run.reader import RunReader
from prefect_gatehouse.run.round_view import RoundView, markdown, round_in_prefect, rounds_in_the_terminal, view_of
from prefect_gatehouse.run.values import Job
from prefect_gatehouse.tasks import round_page
from prefect_gatehouse.tasks.clean_up import clean_up
from prefect_gatehouse.tasks.submit import submit


def _shown(collected: Collected, data_class: DataClass) -> RoundView:
    attempt, outcome = collected.desk.attempt, collected.outcome.rounds[0]
    return round_in_prefect(attempt, outcome, counts_of(attempt, outcome), data_class)


def test_prefect_is_told_nothing_of_restricted_counts(collected: Collected) -> None:
    """Not even how many outcomes there are: the workload chooses that, and the page asks nobody who they are."""
    text = markdown(_shown(collected, DataClass.RESTRICTED))
    assert "aer" in text and "primary" in text and "1 x 3 x 64" in text and "of class restricted" in text
    assert "svg" not in text and "distinct" not in text and "entropy" not in text


def test_public_counts_are_a_picture(collected: Collected) -> None:
    """The three circuits' shots, added up, as an image that Prefect's pages show."""
    view = _shown(collected, DataClass.PUBLIC)
    assert view.histogram is not None and view.histogram.shots == 3 * 64
    text = markdown(view)
    image = b64decode(text.partition("data:image/svg+xml;base64,")[2].rstrip(")")).decode()
    assert image == view.histogram.svg and f"{view.shape.capitalize()}." in text


def test_the_terminal_of_whoever_holds_the_key_has_the_shape(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gatehouse show` lists every round, and of restricted counts how many outcomes there are, never which; --json the same."""
    desk = collected.desk
    monkeypatch.setenv("GATEHOUSE_HOME", str(desk.settings.home))
    said = CliRunner().invoke(main, ["show", RUN[:8]], env={"COLUMNS": "160"}).output
    assert "Rounds" in said and "0 / 0" in said and "round 2: " in said and "distinct outcome" in said and "not shown" in said
    rounds = json.loads(CliRunner().invoke(main, ["show", RUN, "--json"]).output)["rounds"]
    assert [(each["number"], each["circuits"], each["histogram"]) for each in rounds] == [(1, 3, None), (2, 1, None)]
    outcomes = {bits for outcome in collected.outcome.rounds for counts in counts_of(desk.attempt, outcome) for bits in counts}
    assert outcomes and not any(f'"{bits}"' in json.dumps(rounds) or f" {bits} " in said for bits in outcomes)


def test_a_policy_limits_who_sees_what_came_of_a_run(collected: Collected, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`gatehouse show` leaves out what it may not open and names the rule; an auditor, by the key that lies there, sees it. Nobody is authentic."""
    desk = collected.desk
    policies = own_files(desk.settings, desk.settings.home).policies
    rule = '@id("own")\n@reason("{what} by auditors alone")\nforbid (principal, action == Gatehouse::Action::"read_result", resource)\n'
    (policies / "own.cedar").write_text(rule + 'unless { principal.roles.contains("auditor") && !principal.authentic && context.act == "show" };\n')
    for name, value in {"HOME": desk.settings.home, "POLICIES": policies, "IDENTITY": tmp_path / "aud"}.items():
        monkeypatch.setenv(f"GATEHOUSE_{name}", str(value))

    def shown() -> str:
        return str(json.loads(CliRunner().invoke(main, ["show", RUN, "--json"]).output)["rounds"][0]["note"])

    line = generate_key(tmp_path / "aud", "")
    assert shown() == "no counts: what came of a run is opened by auditors alone [own]"
    People(desk.settings.people_folder()).add("aud", key=line, roles=frozenset({"auditor"}))
    assert "not shown" in shown()
    told = CliRunner().invoke(main, ["reproduce", RUN, "--json"])
    assert (told.exit_code, json.loads(told.output)["message"]) == (Denied.exit_code, "what came of a run is opened by auditors alone [own]")


def test_a_round_that_waits_and_a_run_whose_key_is_gone(tmp_path: Path) -> None:
    """Without a result there is what was reserved; after the end there is no count that anybody could read."""
    with closing((desk := Desk(tmp_path, backends="aer")).ledger):
        approved = desk.approved()
        made = submit.in_round(0, desk.attempt, approved, *desk.first_round(approved.plan), 0, Fetching())
        reader = RunReader(desk.settings, desk.ledger, RUN)
        (view,) = rounds_in_the_terminal(reader)
        assert view == view_of(reader, made, None) and view.cells()[4:7] == ("waits", "", f"{made.reserved} / -")
        from prefect_gatehouse.flows.rounds import run_rounds

        run_rounds(desk.attempt, approved)
        clean_up(desk.attempt, "completed", Fetching())
        first, second = rounds_in_the_terminal(RunReader(desk.settings, desk.ledger, RUN))
        assert first.settled is not None and second.shape == "" and "key is gone" in second.note


def test_the_place_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told where it changes: full when the job is next; no place, no artifact; a server that fails stops nothing."""
    told: list[tuple[float, str]] = []

    def create(progress: float, description: str) -> str:
        told.append((progress, description))
        return "artifact"

    def update(artifact_id: str, progress: float, description: str) -> None:
        told.append((progress, description))
        if progress == 100.0:
            raise RuntimeError("the server is gone")

    monkeypatch.setattr(round_page.TaskRunContext, "get", lambda: object())
    monkeypatch.setattr(round_page, "create_progress_artifact", create)
    monkeypatch.setattr(round_page, "update_progress_artifact", update)
    queue = round_page.Queue(Job(key="r:0:0:0", backend="braket/garnet-eu", handle="h", circuits=1))
    places: list[Any] = [None, 4, 4, 1, 0, None]
    for place in places:
        queue.tell(JobStatus("queued", place))
    assert [progress for progress, _ in told] == [0.0, 75.0, 100.0]
    assert told[1][1] == "1 job before it in the queue of braket/garnet-eu"
