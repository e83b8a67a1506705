"""What is kept of a run stays longer by a data owner's signed word, and by nothing else; the scheduled sweeper itself is what honours it."""

from __future__ import annotations

import copy
import json
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.acts import append_signed, go_and_come_back
from tests.support.bundles import as_, enter, own_files
from tests.support.gates import Desk
from tests.support.plans import RUN
from tests.support.sweeps import sweeper

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.evidence.examine import examine, trusted_key
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.identity.keys import generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.services import Service
from prefect_gatehouse.ledger.acts import RetentionExtended
from prefect_gatehouse.ledger.events import ArtifactsDeleted, ReportDeleted, RunInterrupted
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import quarantine, retention
from prefect_gatehouse.run import reproducible, reusable
from prefect_gatehouse.run.extended import Extended, is_given_up
from prefect_gatehouse.run.resume_window import resume_window
from prefect_gatehouse.run.retained import retained
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.validation.retention import page_path

DAY = 86_400.0
BEFORE = ("circuits", "results")
PAGES = ("validate_input", "plan")


def in_days(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"


def end_of(day: str) -> float:
    return (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).timestamp()


class House:
    """A run of restricted data that keeps circuits and a result for an hour, and its pages for a day; Olga owns data, Tess approves, Ann asks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, list[dict[str, str]]()
        self.desk = Desk(folder, backends="aer")
        self.desk.manifest.write_text(self.desk.manifest.read_text() + "reproduce: {keep: 1h, circuits: 2}\nretention: {evidence: 1d}\n")
        self.settings, self.ledger = own_files(self.desk.settings, folder), self.desk.ledger
        self.people = People(self.settings.people_folder())
        for name, role in (("olga", "data-owner"), ("tess", "approver"), ("ann", "requester")):
            self.people.add(name, key=generate_key(folder / name, ""), roles=frozenset({role}), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]

    def as_(self, who: str) -> Settings:
        return self.settings.model_copy(update={"identity": self.folder / who})

    def rounds(self) -> None:
        run_rounds(self.desk.attempt, self.desk.approved())
        reusable.FILES.write(self.desk.attempt, "0" * 64, "test-owner", timedelta(hours=1), b"what a job gave")

    def ended(self) -> House:
        self.rounds()
        end(self.desk.attempt, "completed")
        return self

    def failed(self) -> House:
        self.rounds()
        until = time.time() + resume_window(self.ledger, RUN)
        self.desk.attempt.record("interrupted:1", RunInterrupted(status="failed", message="no disk", until=until))
        return self

    def extend(self, who: str = "olga", until: str = "", only: tuple[Any, ...] = BEFORE) -> retention.Extending:
        return retention.extend(self.as_(who), self.ledger, RUN[:8], until or in_days(1), "asked for by the auditor", "CHG-9", only)

    def write(self, who: str = "olga", key: str = "", **change: Any) -> None:
        """An extension as somebody with the database could write it, signed by whoever's key it is."""
        statement = {
            "action": "extend-retention",
            "extension": secrets.token_hex(8),
            "run": RUN,
            "tenant": "test-tenant",
            "pipeline": "small",
            "tier": "prototype",
            "requester": "unverified",
            "data_class": "restricted",
            "kept": sorted(self.uris()),
            "until": f"{datetime.fromtimestamp(end_of(in_days(1)), UTC):%Y-%m-%dT%H:%M:%SZ}",
            "ticket": "CHG-9",
            "reason": "x",
            "environment": "local",
            **change,
        }
        append_signed(self.ledger, RetentionExtended, statement, who, self.folder / (key or who))

    def uris(self) -> list[str]:
        return [each.uri for each in retained(self.ledger, time.time(), RUN) if each.kind in BEFORE]

    def copied(self, folder: Path) -> House:
        """The same house in another folder, with a ledger of its own."""
        shutil.copytree(self.folder, folder)
        made = copy.copy(self)
        made.folder = folder
        moved = {name: folder / getattr(self.settings, name).relative_to(self.folder) for name in ("home", "policies", "tiers", "classes")}
        made.settings = self.settings.model_copy(update=moved)
        made.ledger, made.people = Ledger(made.settings.ledger()), People(made.settings.people_folder())
        return made

    def forge(self, name: str = "", **change: Any) -> None:
        """A good act, changed, or under another name."""
        self.write()
        (event,) = self.ledger.facts(RetentionExtended)
        with self.ledger.transaction() as tx:  # which no head covers yet
            tx.connection.exec_driver_sql("DROP TRIGGER gatehouse_events_no_delete")
            tx.connection.exec_driver_sql("DELETE FROM gatehouse_events WHERE kind = 'retention-extended'")
        fact = event.fact.model_copy(update=change)
        with self.ledger.transaction() as tx:
            tx.append(name or f"retention-extended:{fact.extension}", LEDGER, fact)

    def serve(self, name: str) -> bool:
        key = self.folder / name
        line = public_line(key) if key.exists() else generate_key(key, "")
        self.people.add(name, key=line, roles=frozenset({"requester"}), service=Service(tenants=("test-tenant",)))
        return True

    def came_back(self) -> None:
        enter(self.settings, "eve")
        go_and_come_back(as_(self.settings, "eve"), self.ledger, "olga", self.folder / "olga", "data-owner")

    def forbid(self, text: str = "") -> None:
        rule = '@id("own")\n@reason("{what} by the board alone")\nforbid (principal, action == Gatehouse::Action::"extend_retention", resource);\n'
        (self.settings.policies / "own.cedar").write_text(text or rule)

    def spoil_registry(self) -> None:
        for path in self.settings.people_folder().iterdir():
            path.write_text("{")

    def there(self) -> set[str]:
        """Kinds of which files are on the disk."""
        folders = {"circuits": "reproduce", "results": "reuse", "pages": "reports", "artifacts": "artifacts"}
        return {kind for kind, name in folders.items() if any(path.is_file() for path in (self.settings.home / name).rglob("*"))}

    def events(self) -> int:
        return len(self.ledger.events(LEDGER))

    def problems(self) -> list[str]:
        return examine(self.settings, self.ledger, trusted_key(self.settings)).problems


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    with closing(made.ledger):
        yield made


@pytest.fixture
def sweeps(house: House, stack: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The scheduled flow, at a time of ours."""
    return sweeper(house.settings, house.told, monkeypatch)


def test_the_scheduled_sweeper_keeps_what_was_extended_and_no_longer(house: House, sweeps: Callable[[float], None]) -> None:
    """Behind the original end everything that the act names is there; a minute behind the new one it is gone, with a receipt."""
    house.ended()
    day = in_days(1)
    made = house.extend(until=day)
    assert made.event.fact.person == "olga" and made.event.fact.kinds == BEFORE and made.left == ()
    sweeps(time.time() + 2 * 3600)
    assert house.there() == {"circuits", "results", "pages"}
    sweeps(end_of(day) - 60)
    assert {"circuits", "results"} <= house.there()
    sweeps(end_of(day) + 60)
    assert not {"circuits", "results"} & house.there()
    gone = {uri for event in house.ledger.facts(ArtifactsDeleted, RUN) for uri in event.fact.uris}
    assert set(made.event.fact.kept) <= gone and not list((house.settings.home / "reproduce-keys").glob("*.key"))
    assert house.problems() == []


def test_pages_stay_as_evidence_may(house: House, sweeps: Callable[[float], None]) -> None:
    """Pages have the class's longer cap: half a year is more than artifacts may have, and theirs alone."""
    house.ended()
    day = in_days(180)
    with pytest.raises(Denied, match=r"circuits of class restricted stay until .* at most") as denied:
        house.extend(until=day, only=())
    assert denied.value.where == "--until" and "--only pages" in denied.value.advice
    house.extend(until=day, only=("pages",))
    pages = [page_path(house.settings.home / "reports", RUN, gate) for gate in PAGES]
    sweeps(time.time() + 2 * DAY)
    assert house.there() == {"pages"} and all(page.exists() for page in pages)
    sweeps(end_of(day) + 60)
    assert house.there() == set() and {event.fact.gate for event in house.ledger.facts(ReportDeleted, RUN)} >= set(PAGES)
    assert house.problems() == []


def test_the_artifacts_of_a_run_that_failed(house: House, sweeps: Callable[[float], None]) -> None:
    """The run is not given up before the new end, though its window has passed; then it is abandoned, and its key destroyed."""
    house.failed()
    day = in_days(2)
    house.extend(until=day, only=("artifacts",))
    sweeps(time.time() + 1.2 * DAY)
    row = house.ledger.run(RUN)
    assert row is not None and row.ending is None and "artifacts" in house.there()
    over = [is_given_up(house.settings, house.ledger, row, at) for at in (time.time() + 1.2 * DAY, end_of(day) - 1, end_of(day))]
    assert over == [False, False, True], "so long it can be resumed, too"
    sweeps(end_of(day) + 60)
    row = house.ledger.run(RUN)
    assert row is not None and row.ending == "abandoned" and "artifacts" not in house.there()
    assert not list((house.settings.home / "run-keys").glob("*.key"))


def test_a_forged_extension_of_a_failed_run(house: House, sweeps: Callable[[float], None]) -> None:
    """Signed by somebody who may not: the run is abandoned at its own time."""
    house.failed()
    house.write("tess", kept=[each.uri for each in retained(house.ledger, time.time(), RUN) if each.kind == "artifacts"])
    sweeps(time.time() + 1.2 * DAY)
    row = house.ledger.run(RUN)
    assert row is not None and row.ending == "abandoned" and "artifacts" not in house.there()
    (note,) = (each["note"] for each in house.told if each["ending"] == "abandoned")
    assert note.startswith("an extension did not count [") and "[not-a-data-owner]" in note


def far(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


VOID: dict[str, tuple[Callable[[House], object], str]] = {
    "unsigned": (lambda house: house.forge(signature=""), "not signed"),
    "changed behind its signature": (lambda house: house.forge(ticket="CHG-0"), "not signed"),
    "copied under another name": (lambda house: house.forge("retention-extended:copy"), "not signed"),
    "by an approver": (lambda house: house.write("tess"), "not-a-data-owner"),
    "by a key that is nobody's": (lambda house: house.write("mallory"), "nobody's of that name"),
    "in another's name": (lambda house: house.write("olga", key="tess"), "nobody's of that name"),
    "by a service": (lambda house: house.serve("ci") and house.write("ci"), "a service's"),
    "of another environment": (lambda house: house.write(environment="production"), "another environment"),
    "of a run that never was": (lambda house: house.write(run="3f0d5a3e-0000-4000-8000-000000000002"), "as it was admitted"),
    "with a lower class": (lambda house: house.write(data_class="public"), "as it was admitted"),
    "of another tenant": (lambda house: house.write(tenant="other"), "as it was admitted"),
    "of what is another run's, too": (lambda house: house.write(kept=[*house.uris(), "reuse:other/0"]), "another run's"),
    "of what is not kept, too": (lambda house: house.write(kept=[*house.uris(), f"lease:{RUN}/0"]), "not kept"),
    "longer than the class": (lambda house: house.write(until=far(3.1)), "longer than the class restricted allows"),
    "a policy that permits it no more": (lambda house: house.extend() and house.forbid(), "by the board alone [own]"),
    "policies that can't be read": (lambda house: house.extend() and house.forbid("forbid ("), "policies can't be read"),
    "classes that can't be read": (lambda house: house.extend() and house.settings.classes.write_text("{"), "can't be judged"),
    "a registry that can't be read": (lambda house: house.extend() and house.spoil_registry(), "can't be judged"),
    "its person revoked": (lambda house: house.extend() and house.people.revoke("olga"), "nobody's of that name"),
    "its person in quarantine": (lambda house: house.extend() and quarantine.impose(house.as_("tess"), house.ledger, "olga", "x"), "in quarantine"),
    "its person revoked and added again": (lambda house: house.extend() and house.came_back(), "revoked since"),
}


def test_what_does_not_count(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each leaves the end that was entered, and says why."""
    house.ended()
    folder = tmp_path_factory.mktemp("houses")
    for number, (name, (spoil, why)) in enumerate(VOID.items()):
        spoilt = house.copied(folder / str(number))
        with closing(spoilt.ledger):
            spoil(spoilt)
            extended = Extended(spoilt.settings, spoilt.ledger, time.time() + 2 * 3600)
            (event,) = spoilt.ledger.facts(RetentionExtended)
            (judged,) = extended.of_run(event.fact.run)
            assert why in judged.void and f"it does not count: {judged.void}" in judged.in_words(), name
            assert [extended.by(uri, 5e9) for uri in spoilt.uris()] == [(5e9, None)] * 3, name


def test_a_signed_act_that_is_good_counts_whoever_appended_it(house: House) -> None:
    """The cases above fail for what is wrong with them: the same act with nothing wrong is honoured."""
    house.ended()
    house.write()
    due = time.time() + 2 * 3600
    extended = Extended(house.settings, house.ledger, due)
    assert reproducible.FILES.delete_due(house.settings, house.ledger, due, extended.until) == []
    assert reusable.FILES.named(house.ledger, "0" * 64, due) == [], "what stays longer answers no request for longer"
    assert {each.by is not None for each in retention.kept(house.settings, house.ledger) if each.item.kind in BEFORE} == {True}


def test_an_act_behind_the_end_brings_nothing_back(house: House) -> None:
    """What only waits for the sweeper is over, whoever signs."""
    house.ended()
    with house.ledger.transaction() as tx:
        tx.connection.exec_driver_sql("UPDATE gatehouse_artifacts SET retain_until = 1")
    with pytest.raises(InputError, match="its time is over, and the sweeper deletes it: 2 circuit files, 1 result"):
        house.extend()
    house.write()
    extended = Extended(house.settings, house.ledger, time.time())
    assert all(item.deleted for item in reproducible.FILES.delete_due(house.settings, house.ledger, time.time(), extended.until))


def test_the_sweeper_says_whose_word_did_not_count(house: House, sweeps: Callable[[float], None]) -> None:
    """A forged event keeps nothing from the scheduled flow, whose table names event and reason; verify tells of the forgery."""
    house.ended()
    house.forge(signature="")
    sweeps(time.time() + 2 * 3600)
    assert not {"circuits", "results"} & house.there()
    notes = {row["note"] for row in house.told if row["run"].startswith(("reuse:", "reproduction:"))}
    (note,) = notes
    assert note.startswith("deleted; an extension did not count [") and "it is not signed, or not what was signed" in note
    assert [each.partition(": ")[2] for each in house.problems()] == ["the extension of a retention is not signed, or not what was signed"]


REFUSED: dict[str, tuple[Callable[[House], object], type[GatehouseError], str]] = {
    "an approver": (
        lambda house: house.extend("tess"),
        Denied,
        r"a retention is extended by somebody with the role data-owner.*\[not-a-data-owner\]",
    ),
    "a requester": (lambda house: house.extend("ann"), Denied, r"\[not-a-data-owner\]"),
    "a service": (lambda house: house.serve("ci") and house.extend("ci"), Denied, "service"),
    "beyond the cap": (lambda house: house.extend(until=in_days(3)), Denied, "class restricted stay until .* at most, counted from now"),
    "shorter": (lambda house: house.extend(until=in_days(-1)), InputError, "it stays until .* UTC already"),
    "no day": (lambda house: house.extend(until="soon"), InputError, "no day"),
    "key destroyed": (lambda house: house.extend(only=("artifacts",)), InputError, "can't be kept: their key was destroyed when the run ended"),
}


def test_what_is_refused(house: House) -> None:
    """One clear error each; nothing is recorded and nothing is kept longer."""
    house.ended()
    before = house.events()
    for name, (act, kind, words) in REFUSED.items():
        try:
            act(house)
            pytest.fail(name)
        except kind as error:
            assert re.search(words, str(error)), name  # noqa: PT017 - all of them on one run
    assert house.events() == before and house.ledger.facts(RetentionExtended) == []


def test_deleted_is_deleted(house: House) -> None:
    """What the sweeper has deleted is refused, and what is left can still be kept."""
    house.ended()
    for files in (reproducible.FILES, reusable.FILES):
        files.delete_due(house.settings, house.ledger, time.time() + 2 * 3600)
    with pytest.raises(InputError, match="nothing is there that could be kept: deleted already: 2 circuit files, 1 result"):
        house.extend()
    made = house.extend(until=in_days(2), only=())
    assert made.event.fact.kinds == ("pages",)
    assert made.left == (
        "its encrypted artifacts can't be kept: their key was destroyed when the run ended",
        "deleted already: 2 circuit files, 1 result",
    )


def test_a_run_under_way_keeps_its_own_artifacts(house: House) -> None:
    """While a process drives it nothing has to be kept for it, and nobody can say for how long."""
    house.rounds()
    with pytest.raises(InputError, match="which is under way"):
        house.extend(only=("artifacts",))


def test_it_only_lengthens(house: House) -> None:
    """A later act that names an earlier day takes nothing back; a longer one goes on from the first."""
    house.ended()
    house.extend(until=in_days(1))
    with pytest.raises(InputError, match="UTC already"):
        house.extend(until=in_days(0))
    house.write(until=far(0.5))
    held = [each for each in retention.kept(house.settings, house.ledger, RUN) if each.item.kind in BEFORE]
    assert {each.until for each in held} == {end_of(in_days(1))}


def test_killed_between_the_act_and_its_effect(house: House) -> None:
    """The act is one event, committed whole or not at all: whoever extends dies behind it, and the next sweeper honours what is there."""
    house.ended()
    before = house.ledger.size()
    house.ledger.close()
    pid = os.fork()
    if not pid:  # the child dies at the first thing that it does behind the commit
        try:
            import prefect_gatehouse.operate.signing as signing

            signing.seal_home = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
            house.ledger = house.desk.ledger = Ledger(house.settings.ledger())
            house.extend()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    house.ledger = house.desk.ledger = Ledger(house.settings.ledger())
    assert house.ledger.size() == before + 1
    due = time.time() + 2 * 3600
    extended = Extended(house.settings, house.ledger, due)
    assert reproducible.FILES.delete_due(house.settings, house.ledger, due, extended.until) == [] and "circuits" in house.there()
    house.ledger.close()


def test_as_people_and_programs_type_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Extended, listed with the nearest end first, shown and told; the listing says by whose word."""
    house.ended()
    monkeypatch.setenv("GATEHOUSE_HOME", str(house.settings.home))
    for name in ("tiers", "classes", "policies"):
        monkeypatch.setenv(f"GATEHOUSE_{name.upper()}", str(getattr(house.settings, name)))
    monkeypatch.setenv("GATEHOUSE_IDENTITY", str(house.folder / "olga"))

    def gatehouse(*words: str) -> Any:
        said = CliRunner().invoke(main, [*words])
        assert said.exit_code == 0, said.output
        return said.output

    listed = json.loads(gatehouse("retention", "list", RUN[:8], "--json"))
    assert [each["until"] for each in listed] == sorted(each["until"] for each in listed) and {each["by"] for each in listed} == {"the manifest"}
    only = ("--only", "circuits", "--only", "results")
    words = ("retention", "extend", RUN[:8], "--until", in_days(1), "--reason", "audit", "--ticket", "CHG-9")
    told = gatehouse(*words, *only)
    assert "2 circuit files, 1 result of run 3f0d5a3e until" in told and "signed by olga" in told
    listed = json.loads(gatehouse("retention", "list", "--json"))
    longer = {each["what"]: each for each in listed if each["extension"] is not None}
    assert set(longer) == {"circuits", "results"}
    for each in longer.values():
        assert (each["extension"]["person"], each["extension"]["ticket"], each["owner"]) == ("olga", "CHG-9", "test-owner")
        assert each["until"] == end_of(in_days(1)) > each["entered_until"]
    assert "olga" in gatehouse("retention", "list", RUN[:8])
    assert "kept longer: 2 circuit files, 1 result until" in gatehouse("show", RUN[:8])
    assert json.loads(gatehouse("show", RUN[:8], "--json"))["retention_extended"][0]["counts"] is True
    assert {each["retention_extended"][0]["person"] for each in json.loads(gatehouse("who", RUN[:8], "--json"))} == {"olga"}
    gatehouse("verify")
    refused = CliRunner().invoke(main, [*words[:4], in_days(400), *words[5:], *only])
    assert refused.exit_code == Denied.exit_code and "at most" in refused.output and "Traceback" not in refused.output
