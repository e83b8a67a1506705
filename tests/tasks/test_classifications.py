"""Whose word the classes of a source are: a data owner's, signed, and nobody's for their own runs; without it a column is restricted."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.support.acts import append_signed, go_and_come_back
from tests.support.gates import Desk, Fetching

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import ClassesSigned
from prefect_gatehouse.ledger.jobs import JobSubmitted
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.operate import classification as control
from prefect_gatehouse.operate import quarantine
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.run.classified import source_of
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.standing import standing_of
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.submit import submit

RULE = "class-not-signed"


class Archive:
    """A pipeline whose manifest says that x is confidential; Ann asks, Olga owns the data, Tess may approve."""

    def __init__(self, folder: Path) -> None:
        self.desk, self.folder = Desk(folder, backends="aer"), folder
        tiers = yaml.safe_load(self.desk.settings.tiers.read_text())
        tiers["prototype"]["classification"] = "required"
        self.desk.settings.tiers.write_text(json.dumps(tiers))
        self.ledger, self.file = self.desk.ledger, self.desk.manifest
        self.people = People(self.desk.settings.people_folder())
        for name, roles in (("ann", {"requester"}), ("olga", {"data-owner", "requester"}), ("tess", {"approver"})):
            self.people.add(name, key=generate_key(folder / name, ""), roles=frozenset(roles), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]

    def as_(self, who: str) -> Settings:
        return self.desk.settings.model_copy(update={"identity": self.folder / who})

    def sign(self, who: str = "olga", *changed: str) -> int:
        return control.sign(self.as_(who), self.ledger, self.file, changed, "Looked at").seq

    def again(self, who: str) -> None:
        """Somebody goes, and comes back with the same key."""
        go_and_come_back(self.desk.settings, self.ledger, who, self.folder / who, "data-owner")

    def write(self, who: str = "olga", key: str = "", **change: Any) -> None:
        """A classification as somebody with the database could write it, signed by whoever's key it is."""
        statement = {
            "action": "classify",
            "classification": secrets.token_hex(8),
            "tenant": "test-tenant",
            "source": source_of(load_manifest(self.file).manifest, self.file.parent)[0],
            "named": "source.csv",
            "columns": {"subject": "restricted", "x": "confidential"},
            "reason": "x",
            "environment": "local",
            **change,
        }
        append_signed(self.ledger, ClassesSigned, statement, who, self.folder / (key or who))

    def admits(self, who: str = "ann") -> bool:
        try:
            admit.body(self.desk.attempt, str(self.file), signed_for(self.as_(who), self.file))
        except Denied as error:
            if RULE not in error.message:
                raise
            return False
        return True


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Nobody has signed anything yet."""
    made = Archive(tmp_path)
    with closing(made.ledger):
        yield made


def test_unsigned_is_restricted(archive: Archive) -> None:
    """The column is named; declared as restricted it needs nobody's word."""
    with pytest.raises(Denied, match=rf"nobody has signed one: x \[{RULE}\].*classes sign"):
        admit.body(archive.desk.attempt, str(archive.file), signed_for(archive.as_("ann"), archive.file))
    archive.desk.change("x: {class: confidential", "x: {class: restricted")
    assert archive.admits()


def test_from_the_signature_to_the_submission(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed by the command, admitted, in the plan; withdrawn while the run waits it is denied at its submission."""
    for name, value in (("HOME", archive.desk.settings.home), ("TIERS", archive.desk.settings.tiers), ("IDENTITY", archive.folder / "olga")):
        monkeypatch.setenv(f"GATEHOUSE_{name}", str(value))

    def command(*words: str) -> Any:
        said = CliRunner().invoke(main, ["classes", *words, "--json"])
        assert said.exit_code == 0, said.output
        return json.loads(said.output)

    made = command("sign", str(archive.file), "--reason", "Looked at")
    assert (made["person"], made["columns"]["x"]) == ("olga", "confidential")
    plan = up_to_the_plan(archive.desk.attempt, str(archive.file), signed_for(archive.as_("ann"), archive.file))
    rows = {row[0]: row[1] for section in sections(plan) for row in section.rows if len(row) == 2}
    assert rows["Classes of the source"].startswith("signed by olga on ")
    assert [each["event"] for each in command("list")] == [made["event"]]
    approved = archive.desk.approve(plan)
    command("withdraw", str(made["event"]), "--reason", "Wrong")
    assert command("list") == []
    circuits, summary = archive.desk.first_round(plan)
    with pytest.raises(Denied, match=RULE):
        submit.in_round(0, archive.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert archive.ledger.facts(JobSubmitted) == []
    assert list(problems(archive.ledger)) == []


def test_a_later_word_carries_no_run_that_was_planned_before(archive: Archive) -> None:
    """The newest counts, and where that is not the one which the plan names, none does: whoever approved did not know of it."""
    archive.sign()
    plan = up_to_the_plan(archive.desk.attempt, str(archive.file), signed_for(archive.as_("ann"), archive.file))
    approved = archive.desk.approve(plan)
    assert standing_of(archive.desk.settings, archive.ledger, plan).unsigned == ()
    archive.sign()
    circuits, summary = archive.desk.first_round(plan)
    with pytest.raises(Denied, match=rf"x \[{RULE}\].*a run that was planned before is started anew"):
        submit.in_round(0, archive.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert archive.ledger.facts(JobSubmitted) == []
    archive.desk.attempt = archive.desk.next_attempt()
    assert archive.admits()


VOID: dict[str, Callable[[Archive], object]] = {
    "a_higher_class": lambda archive: archive.sign("olga", "x=restricted"),
    "another_tenant": lambda archive: archive.write(tenant="other"),
    "another_source": lambda archive: archive.write(source="0" * 64),
    "another_environment": lambda archive: archive.write(environment="production"),
    "by_an_approver": lambda archive: archive.write("tess"),
    "in_another_s_name": lambda archive: archive.write("olga", key="own"),
    "its_person_revoked_and_added_again": lambda archive: archive.sign() and archive.again("olga"),
    "its_person_in_quarantine": lambda archive: archive.sign() and quarantine.impose(archive.as_("tess"), archive.ledger, "olga", "x"),
}


@pytest.mark.parametrize("name", VOID)
def test_what_does_not_count(archive: Archive, name: str) -> None:
    """As if there were nothing."""
    VOID[name](archive)
    assert not archive.admits()


def test_the_newest_counts_and_nobodys_for_their_own_runs(archive: Archive) -> None:
    """A stricter word replaces the one before, and an older one does not come back; Olga's run needs another owner's."""
    archive.sign()
    assert archive.admits() and not archive.admits("olga")
    newer = archive.sign("olga", "x=restricted")
    assert not archive.admits()
    control.withdraw(archive.as_("olga"), archive.ledger, str(newer), "x")
    assert not archive.admits()
    archive.sign()
    assert archive.admits()


def test_who_may_not_and_what_is_malformed(archive: Archive) -> None:
    """An approver is no data owner; a class that is none is told with the option."""
    with pytest.raises(Denied, match="with the role data-owner"):
        archive.sign("tess")
    for text in ("x", "x=secret", "=public"):
        with pytest.raises(InputError, match="--class"):
            archive.sign("olga", text)
    assert archive.ledger.facts(ClassesSigned) == []


def test_a_copy_of_a_milder_word(archive: Archive) -> None:
    """Appended again behind a stricter one by whoever can write into the database, it does not come back."""
    archive.sign()
    archive.sign("olga", "x=restricted")
    with archive.ledger.transaction() as tx:
        tx.append("classes-signed:copy", "ledger", archive.ledger.facts(ClassesSigned)[0].fact)
    assert not archive.admits()


def test_columns_that_the_manifest_renames(archive: Archive) -> None:
    """What was signed goes by the names that a file has when it is read so: other names are another source."""
    archive.sign()
    assert archive.admits()
    archive.desk.change("data:\n", "data:\n  csv: {names: [x, subject], skip_rows: 1, header: none}\n")
    assert not archive.admits()


def test_a_word_of_ones_own_may_only_raise(archive: Archive) -> None:
    """Olga has raised a class since Tom signed: for her own run it is raised, too; a run that nobody signed has nobody's word."""
    archive.people.add("tom", key=generate_key(archive.folder / "tom", ""), roles=frozenset({"data-owner"}), clearance=DataClass.RESTRICTED)
    archive.sign("tom")
    assert archive.admits("olga")
    archive.sign("olga", "x=restricted")
    assert not archive.admits("olga")
    with pytest.raises(Denied, match=RULE):
        admit.body(archive.desk.attempt, str(archive.file), None)


def test_another_query_is_another_source(archive: Archive) -> None:
    """What was signed for one select says nothing of another, whose columns have the same names; the ledger holds no query."""
    manifest = load_manifest(archive.file).manifest
    kinds = [{"sql": "select subject, x from t", "system": "target"}, {"sql": "select name as subject, salary as x from t", "system": "target"}]
    data = [
        manifest.data.model_copy(update={"source": type(manifest.data).model_validate({**manifest.data.model_dump(), "source": each}).source})
        for each in kinds
    ]
    found = [source_of(manifest.model_copy(update={"data": each}), archive.file.parent) for each in data]
    assert found[0][0] != found[1][0] and found[0][1] == found[1][1] == "a query on target"
