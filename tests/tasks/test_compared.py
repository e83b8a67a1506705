"""Compared at every use: a run that failed or waited goes on with what was approved, or it ends; nobody asked again is nobody who approved.

Each attack is made after the approval, where a run waits longest: its job is made, and collecting its result failed. What was changed then
used to complete on resume.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.gates import HEAD, TWO_ROUNDS, Desk, Fetching
from tests.support.plans import RUN, SUITE

from prefect_gatehouse.errors import PlanChanged, Unavailable
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.run import packages, parts
from prefect_gatehouse.run.values import ApprovedPlan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.await_approval import await_approval
from prefect_gatehouse.tasks.await_release import await_release
from prefect_gatehouse.tasks.clean_up import clean_up
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.tasks.write_back import write_back

ALL_666 = TWO_ROUNDS.replace('counts[0].get("11", 0)', "666")


class Installation(Desk):
    """A desk whose policies, tiers and classes are its own, and which has one package installed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, backends="aer")
        self.ledger.close()
        shutil.copytree(Settings().policies, folder / "policies")
        shutil.copy(Settings().classes, folder / "classes.yaml")
        self.site = folder / "site"
        (self.site / "library").mkdir(parents=True)
        (self.site / "library" / "__init__.py").write_text("FACTOR = 1\n")
        update = {"policies": folder / "policies", "classes": folder / "classes.yaml", "home": folder / "home-2"}
        self.settings = self.settings.model_copy(update=update)
        self.settings.folder("")
        self.ledger = type(self.ledger)(self.settings.ledger())
        self.attempt = self.next_attempt()

    def failed_at_collection(self, monkeypatch: pytest.MonkeyPatch) -> ApprovedPlan:
        """A run that was approved, made all its jobs, and then did not reach the backend: nothing is left to submit."""
        approved = self.approved()
        result, asked = AerBackend.result, []

        def unreachable(self: AerBackend, *given: Any) -> Any:
            asked.append(1)
            if len(asked) == 2:
                raise Unavailable("no answer", where="aer")
            return result(self, *given)

        with monkeypatch.context() as cut:
            cut.setattr(AerBackend, "result", unreachable)
            with pytest.raises(Unavailable):
                run_rounds(self.attempt, approved)
        assert [entry[3] for entry in self.entries()] == ["settled", "submitted"]
        return approved

    def resumed(self) -> list[Any]:
        """What a process does that takes the run up again, to its end; the rows that are then in the target."""
        self.attempt = self.next_attempt()
        approved = await_approval.kept(self.attempt)
        assert approved is not None
        write_back(self.attempt, await_release(self.attempt, validate_output(self.attempt, run_rounds(self.attempt, approved))), Fetching())
        return self.rows()

    def rows(self) -> list[Any]:
        if not (self.folder / "target.sqlite").exists():
            return []
        with closing(sqlite3.connect(self.folder / "target.sqlite")) as connection:
            return [score for (score,) in connection.execute("SELECT score FROM results")]

    def edit(self, path: Path, old: str, new: str) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run of the small project on an installation of its own."""
    monkeypatch.setattr(packages, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(packages, "site_folders", lambda: (tmp_path / "site",) if (tmp_path / "site").exists() else ())
    monkeypatch.setattr(packages, "_OWN", tmp_path / "site")
    made = Installation(tmp_path)
    with closing(made.ledger):
        yield made


def without_a_forbid(desk: Installation) -> None:
    """Deletes the last policy."""
    path = desk.settings.policies / "gatehouse.cedar"
    text = path.read_text()
    path.write_text(text[: text.rindex("@id(")])


ATTACKS: dict[str, tuple[Callable[[Installation], object], str]] = {
    "workload": (lambda desk: desk.write(ALL_666), "workload"),
    "data-beside-the-workload": (lambda desk: (desk.folder / "weights.json").write_text("[666]"), "workload"),
    "output-suite": (
        lambda desk: (desk.folder / "suites" / "output.json").write_text(json.dumps({"name": "o", "expectations": SUITE[::-1]})),
        "output suite",
    ),
    "policy": (without_a_forbid, "policy"),
    "tier": (lambda desk: desk.edit(desk.settings.tiers, "approvers: 1", "approvers: 2"), "tier"),
    "classes": (lambda desk: desk.edit(desk.settings.classes, "artifacts: 3d", "artifacts: 2d"), "classes"),
    "package": (lambda desk: (desk.site / "library" / "__init__.py").write_text("FACTOR = 6\n"), "packages"),
    "package-that-shadows": (lambda desk: (desk.site / "json.py").write_text("FACTOR = 6\n"), "packages"),
    "manifest": (lambda desk: desk.change("purpose: Hold a plan", "purpose: Another"), "manifest"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_was_exchanged_after_the_approval(desk: Installation, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Another workload, suite, policy, tier, class, package or manifest: the resumed run ends with the part's name, and nothing was written."""
    change, part = ATTACKS[name]
    desk.failed_at_collection(monkeypatch)
    change(desk)
    with pytest.raises(PlanChanged, match=rf"changed since the approval: {part} \("):
        desk.resumed()
    assert desk.rows() == [] and desk.ledger.events(RUN, "re-identified") == []


@pytest.mark.parametrize("name", ATTACKS)
def test_without_the_comparison_it_completes(desk: Installation, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What used to happen: so nothing else stops these attacks, and none of the tests above passes for another reason."""
    desk.failed_at_collection(monkeypatch)
    ATTACKS[name][0](desk)
    monkeypatch.setattr(parts, "refuse_other", lambda plan, now: None)
    monkeypatch.setattr(parts, "refuse_changes", lambda settings, plan, policy_digest: None)
    found = desk.resumed()
    assert len(found) == 3 and (set(found) == {666}) is (name == "workload")


@pytest.mark.parametrize("name", ["workload", "package"])
def test_exchanged_code_does_not_even_start(desk: Installation, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The comparison comes before the first line of it."""
    desk.failed_at_collection(monkeypatch)
    mark = desk.folder.parent / "ran"
    ATTACKS[name][0](desk)
    if name == "workload":
        (desk.folder / "workload.py").write_text(f"open({str(mark)!r}, 'w').close()\n" + HEAD + ALL_666)
    with pytest.raises(PlanChanged) as caught:
        desk.resumed()
    assert not mark.exists()
    assert ("changed: workload.py" in caught.value.advice) is (name == "workload")


def test_nothing_was_exchanged(desk: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on in another process to its end; so none of the tests above passes for another reason."""
    desk.failed_at_collection(monkeypatch)
    (desk.folder / "source.csv").write_text("subject,x\n")  # it was read, and has a digest of its own
    desk.manifest.write_text("# a comment\n" + desk.manifest.read_text())
    People(desk.settings.people_folder()).add("eve", roles=frozenset({"auditor"}))  # people come and go
    assert len(desk.resumed()) == 3


def test_another_registry_of_people(desk: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose settings name another registry knows other people: it neither judges an answer nor submits."""
    desk.failed_at_collection(monkeypatch)
    shutil.copytree(desk.settings.people_folder(), desk.folder.parent / "other-people")
    desk.settings = desk.settings.model_copy(update={"people": desk.folder.parent / "other-people"})
    with pytest.raises(PlanChanged, match="changed since the approval: registry of people"):
        desk.resumed()


@pytest.mark.parametrize("name", ["policy", "tier", "classes", "package", "manifest"])
def test_what_was_exchanged_before_the_write_back(desk: Installation, name: str) -> None:
    """The workload has returned and its frame is validated: the last effect, too, happens under what was approved."""
    change, part = ATTACKS[name]
    outcome = validate_output(desk.attempt, run_rounds(desk.attempt, desk.approved()))
    change(desk)
    desk.attempt, fetch = desk.next_attempt(), Fetching()
    with pytest.raises(PlanChanged, match=rf"changed since the approval: {part} \("):
        write_back(desk.attempt, await_release(desk.attempt, outcome), fetch)
    assert (fetch.purposes, desk.rows()) == ([], [])


def test_a_file_that_is_gone_is_a_change(desk: Installation) -> None:
    """The tiers can't be read any more: that ends the run as well, it does not wait for somebody to put other ones there."""
    outcome = validate_output(desk.attempt, run_rounds(desk.attempt, desk.approved()))
    desk.settings.tiers.unlink()
    desk.attempt = desk.next_attempt()
    with pytest.raises(PlanChanged, match="changed since the approval: the tiers can't be read"):
        write_back(desk.attempt, await_release(desk.attempt, outcome), Fetching())


def test_cleaning_up_goes_by_the_policy_of_the_day(desk: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose policy was replaced can't go on, but it can end: its job is not left behind because of that."""
    from prefect_gatehouse.ledger.events import EndingDecided

    desk.failed_at_collection(monkeypatch)
    without_a_forbid(desk)
    desk.attempt = desk.next_attempt()
    with pytest.raises(PlanChanged):
        _ = desk.attempt.policy
    desk.attempt.record("ending", EndingDecided(ending="denied"))
    assert desk.attempt.policy.digest
    assert clean_up(desk.attempt, "denied", fetch_credential).obligations == ()
