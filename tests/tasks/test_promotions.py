"""Promotions: a workload, by its digest, into the next tier, on what it did in the one below; hardware only after a simulator."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import update
from tests.support.acts import append_signed, go_and_come_back
from tests.support.braket_gates import BACKEND, desk_at
from tests.support.bundles import as_, sign_bundle
from tests.support.gates import Desk, Fetching
from tests.support.plans import TICKETS

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied, GatehouseError, InputError, Tampered
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.identity.keys import generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import PromotionWithdrawn, WorkloadPromoted
from prefect_gatehouse.ledger.answers import ApprovalGiven
from prefect_gatehouse.ledger.jobs import JobSubmitted
from prefect_gatehouse.ledger.tables import runs
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import promotion as control
from prefect_gatehouse.operate import quarantine
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.standing import record_of, standing_of
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.vocabulary import Ending, TierName

RULE = "not-promoted"
LENIENT = {"promotion": "required", "promotion_runs": 1, "promotion_fallback_percent": 10, "simulated_first": "required"}


class House:
    """A pipeline in the prototype tier that wants into integration, which demands little else; Ann asks, Tess and Uma may approve."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.folder, self.ledger = desk, desk.folder.parent, desk.ledger
        self.tier(**LENIENT)
        desk.settings.tickets_file().write_text(TICKETS)
        self.people = People(desk.settings.people_folder())
        for name, role in (("ann", "requester"), ("tess", "approver"), ("uma", "approver"), ("bob", "approver")):
            key = generate_key(self.folder / name, "")
            self.people.add(name, key=key, roles=frozenset({role}), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]

        self.version = 0
        self.stand()

    def stand(self) -> None:
        """The rules and the registry as they are now are the signed bundle."""
        self.version += 1
        sign_bundle(self.desk.settings, self.ledger, self.version)

    @property
    def file(self) -> Path:
        return self.desk.manifest

    def tier(self, **change: Any) -> None:
        """Integration is the prototype tier with changes."""
        path = self.desk.settings.tiers
        tiers = yaml.safe_load(path.read_text())
        tiers["integration"] = {
            **tiers["prototype"],
            "leaving_bits": 10**9,
            "ticket": "file",
            **{name: tiers["integration"][name] for name in LENIENT},
            **change,
        }
        path.write_text(json.dumps(tiers))  # JSON is YAML

    def as_(self, who: str) -> Settings:
        return self.desk.settings.model_copy(update={"identity": self.folder / who})

    def into(self, tier: TierName) -> None:
        names = get_args(TierName)
        before = next(name for name in names if f"tier: {name}" in self.file.read_text())
        self.desk.change(f"tier: {before}", f"tier: {tier}")

    def another(self) -> None:
        before = self.desk.attempt
        self.desk.attempt = Attempt(self.desk.settings, self.ledger, str(uuid.uuid4()), before.read_secret, read_settings=before.read_settings)

    def ran(self, ending: Ending = "completed", who: str = "ann") -> str:
        """A run to its end, and then another one's turn."""
        outcome = run_rounds(self.desk.attempt, self.desk.approve(self.planned(who)))
        validate_output(self.desk.attempt, outcome)
        end(self.desk.attempt, ending)
        self.desk.attempt.seal()
        run = self.desk.attempt.run_id
        self.another()
        return run

    def planned(self, who: str = "ann") -> Plan:
        return up_to_the_plan(self.desk.attempt, str(self.file), signed_for(self.as_(who), self.file))

    def admitted(self, who: str = "ann") -> AdmittedRun:
        return admit(self.desk.attempt, str(self.file), signed_for(self.as_(who), self.file))

    def again(self, who: str) -> None:
        """Somebody goes, and comes back with the same key."""
        go_and_come_back(as_(self.desk.settings, "eve"), self.ledger, who, self.folder / who, "approver")

    def promote(self, who: str = "tess") -> int:
        return control.promote(self.as_(who), self.ledger, self.file, "CHG-9", "It behaves").seq

    def write(self, who: str = "tess", key: str = "", **change: Any) -> None:
        """A promotion as somebody with the database could write it, signed by whoever's key it is."""
        found = control.candidate(self.desk.settings, self.ledger, self.file)
        statement = {
            "action": "promote",
            "promotion": secrets.token_hex(8),
            "tenant": "test-tenant",
            "pipeline": found.manifest.name,
            "workload": found.workload,
            "tier": "integration",
            "below": "prototype",
            "owner": "",
            "ticket": "CHG-9",
            "runs": list(found.record.runs),
            "jobs": found.record.jobs,
            "fallbacks": 0,
            "checks": 0,
            "reason": "x",
            "environment": "local",
            **change,
        }
        append_signed(self.ledger, WorkloadPromoted, statement, who, self.folder / (key or who))
        self.desk.attempt.seal()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Nothing has run yet."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        yield House(desk)


def submitted(house: House, plan: Plan) -> None:
    approved = house.desk.approve(plan)
    circuits, summary = house.desk.first_round(plan)
    submit.in_round(0, house.desk.attempt, approved, circuits, summary, 0, Fetching())


def test_from_a_run_below_to_a_run_above(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Denied without it, with what is missing; with it admitted, and the plan says on what; any change of the files needs it again."""
    house.into("integration")
    with pytest.raises(Denied, match=RULE):
        house.admitted()
    house.desk.attempt.seal()
    assert control.candidate(house.desk.settings, house.ledger, house.file).missing == (
        "0 of 1 completed runs of exactly these files in the tier prototype, signed for, with jobs",
    )
    with pytest.raises(Denied, match="0 of 1 completed runs"):
        house.promote()
    house.another()
    house.into("prototype")
    run = house.ran()
    house.into("integration")
    monkeypatch.setenv("GATEHOUSE_HOME", str(house.desk.settings.home))
    monkeypatch.setenv("GATEHOUSE_TIERS", str(house.desk.settings.tiers))
    monkeypatch.setenv("GATEHOUSE_IDENTITY", str(house.folder / "tess"))

    def command(*words: str) -> Any:
        said = CliRunner().invoke(main, [*words, "--json"])
        assert said.exit_code == 0, said.output
        return json.loads(said.output)

    looked = command("promote", str(house.file), "--check")
    assert (looked["ready"], looked["runs"], looked["jobs"], looked["fallbacks"]) == (True, [run], 2, 0) and looked["checks"] > 0
    made = command("promote", str(house.file), "--ticket", "CHG-9", "--reason", "It behaves")
    assert made["person"] == "tess"
    plan = house.planned()
    assert plan.body.promotion is not None and plan.body.promotion.promotion == made["promotion"]
    rows = {row[0]: row[1] for section in sections(plan) for row in section.rows if len(row) == 2}
    assert rows["Promoted"].startswith("by tess on ") and rows["Promoted"].endswith(
        "1 run of prototype with 2 jobs, 0 of them on another backend than the first"
    )
    submitted(house, plan)
    assert [each["event"] for each in command("promotions", "list")] == [made["event"]]
    assert list(problems(house.ledger)) == []
    house.another()
    house.desk.write((house.file.parent / "workload.py").read_text() + "\n")
    with pytest.raises(Denied, match=RULE):
        house.admitted()


def test_withdrawn_while_the_run_waits(house: House) -> None:
    """The approved run is denied at its submission, and no job is made."""
    house.ran()
    house.into("integration")
    number = house.promote()
    plan = house.planned()
    control.withdraw(house.as_("uma"), house.ledger, str(number), "It does not")
    before = len(house.ledger.facts(JobSubmitted))
    with pytest.raises(Denied, match=RULE):
        submitted(house, plan)
    assert len(house.ledger.facts(JobSubmitted)) == before
    assert [each.void for each in control.known(house.desk.settings, house.ledger)] == ["withdrawn"]
    with pytest.raises(InputError, match=f"promotion {number} was ended already, by uma on"):
        control.withdraw(house.as_("tess"), house.ledger, str(number), "Nor does it now")
    assert len(house.ledger.facts(PromotionWithdrawn)) == 1


def test_a_later_promotion_carries_no_run_that_was_planned_before(house: House) -> None:
    """Whoever approved the plan did not know of it, and may have signed it: the run stands on the promotion that its plan names."""
    house.ran()
    house.into("integration")
    number = house.promote()
    plan = house.planned()
    house.promote("bob")
    assert standing_of(house.desk.settings, house.ledger, plan).promoted
    control.withdraw(house.as_("uma"), house.ledger, str(number), "It does not")
    before = len(house.ledger.facts(JobSubmitted))
    with pytest.raises(Denied, match=RULE):
        submitted(house, plan)
    assert len(house.ledger.facts(JobSubmitted)) == before
    house.another()
    assert admits(house)  # a new run stands on Bob's


VOID: dict[str, Callable[[House], object]] = {
    "on_nothing": lambda house: house.write(runs=[]),
    "on_a_run_that_was_not": lambda house: house.write(runs=["no-such-run"]),
    "on_another_tier": lambda house: house.write(below="integration"),
    "another_tenant": lambda house: house.write(tenant="other"),
    "another_pipeline": lambda house: house.write(pipeline="other"),
    "another_environment": lambda house: house.write(environment="production"),
    "another_tier": lambda house: house.write(tier="business"),
    "another_workload": lambda house: house.write(workload="0" * 64),
    "by_somebody_who_may_not": lambda house: house.write("ann"),
    "in_another_s_name": lambda house: house.write("tess", key="own"),
    "withdrawn": lambda house: control.withdraw(house.as_("uma"), house.ledger, str(house.promote()), "x"),
    "its_person_revoked": lambda house: house.promote() and house.people.revoke("tess"),
    "its_person_in_quarantine": lambda house: house.promote() and quarantine.impose(house.as_("uma"), house.ledger, "tess", "x"),
    "its_person_revoked_and_added_again": lambda house: house.promote("uma") and house.again("uma"),
}


def test_a_copy_of_what_is_over(house: House) -> None:
    """Whoever can write into the database appends the act again, behind what ended it: it counts for nothing, and verify tells."""
    house.ran()
    house.into("integration")
    house.promote("uma")
    house.again("uma")
    with house.ledger.transaction() as tx:
        tx.append("workload-promoted:copy", "ledger", house.ledger.facts(WorkloadPromoted)[-1].fact)
    assert not admits(house)
    assert [each.partition(": ")[2] for each in problems(house.ledger)] == ["the promotion is a copy of another event's, and counts for nothing"]


def test_evidence_is_of_one_environment(house: House) -> None:
    """Another environment of the ledger may have rules of its own."""
    house.ran()
    house.into("integration")
    found = control.candidate(house.desk.settings, house.ledger, house.file)
    asked = (house.ledger, found.manifest.tenant, found.manifest.name, found.workload, "prototype")
    assert len(record_of(*asked, "local").runs) == 1 and record_of(*asked, "sandbox").runs == ()


def admits(house: House) -> bool:
    try:
        return bool(house.admitted())
    except Denied as error:
        if RULE not in error.message:
            raise
        return False


def test_what_does_not_count(house: House) -> None:
    """The rule says no, as if there were nothing; each once, and everybody is as before behind it."""
    house.ran()
    house.into("integration")
    house.write()
    assert admits(house)
    house.another()
    control.withdraw(house.as_("uma"), house.ledger, str(house.ledger.facts(WorkloadPromoted)[-1].seq), "x")
    for name, spoil in VOID.items():
        house.people.add("tess", key=public_line(house.folder / "tess"), roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED)
        spoil(house)
        if name != "its_person_revoked_and_added_again":  # which the bundle takes in, as one of its people signed it
            house.stand()
        assert not admits(house), name
        house.another()


REFUSED: dict[str, tuple[Callable[[House], object], type[GatehouseError], str]] = {
    "a requester": (lambda house: house.promote("ann"), Denied, "this key is nobody's who may"),
    "another than the owner": (
        lambda house: house.desk.change("owner: test-owner", "owner: uma") or house.promote(),
        Denied,
        "promoted by its owner",
    ),
    "too few": (lambda house: house.tier(promotion_runs=2) or house.promote(), Denied, "1 of 2 completed runs"),
    "another workload": (lambda house: house.desk.write("# other\n") or house.promote(), Denied, "0 of 1 completed runs"),
    "the lowest tier": (lambda house: house.into("prototype") or house.promote(), InputError, "the lowest tier"),
    "over a tier": (lambda house: house.into("business") or house.promote(), Denied, "in the tier integration"),
    "elsewhere": (
        lambda house: house.desk.change("environment: local", "environment: production") or house.promote(),
        InputError,
        "another environment",
    ),
}


def test_who_and_what_is_refused(house: House) -> None:
    """Nothing is recorded; the project and the tiers are as before behind each."""
    house.ran()
    house.into("integration")
    files = (house.file, house.file.parent / "workload.py", house.desk.settings.tiers)
    before = [file.read_bytes() for file in files]
    for name, (act, kind, text) in REFUSED.items():
        try:
            act(house)
            pytest.fail(name)
        except kind as error:
            if text not in str(error):
                raise
        for file, content in zip(files, before, strict=True):
            file.write_bytes(content)
    assert house.ledger.facts(WorkloadPromoted) == []


def test_evidence_of_ones_own_and_of_an_edited_ledger(house: House) -> None:
    """An approver who asked for the run does not promote what it shows; nothing rests on a ledger that is not what was signed."""
    house.people.add("uma", key=public_line(house.folder / "uma"), roles=frozenset({"approver", "requester"}), clearance=DataClass.RESTRICTED)
    house.ran(who="uma")
    house.into("integration")
    with pytest.raises(Denied, match="whoever asked for a run"):
        house.promote("uma")
    with house.ledger.transaction() as tx:
        tx.connection.exec_driver_sql("DROP TRIGGER gatehouse_events_no_update")
        tx.connection.exec_driver_sql("UPDATE gatehouse_events SET body = replace(body, 'completed', 'Completed')")
    with pytest.raises(Tampered):
        house.promote()


def test_runs_that_verify_calls_nothing(house: House) -> None:
    """A promotion that was good rests on nothing any more: an approval of its run is not proven, or a row says that it was completed and no event."""
    run = house.ran()
    abandoned = house.ran("abandoned")
    house.into("integration")
    house.write(runs=[abandoned])
    with house.ledger.transaction() as tx:
        tx.connection.execute(update(runs).where(runs.c.run_id == abandoned).values(ending="completed"))
    assert not admits(house)
    house.another()
    with house.ledger.transaction() as tx:
        tx.connection.execute(update(runs).where(runs.c.run_id == abandoned).values(ending="abandoned"))
    house.write()
    assert admits(house)
    house.another()
    given = house.ledger.facts(ApprovalGiven, run_id=run)[0].fact
    with house.ledger.transaction() as tx:
        tx.append(f"{run}:answer:forged", run, given.model_copy(update={"person": "mallory"}))
    assert not admits(house)


def test_what_is_left_open_and_what_was_not_completed(house: House) -> None:
    """A run that has not ended is a finding; one that was abandoned is no evidence."""
    house.planned()
    house.desk.attempt.seal()
    house.another()
    house.ran("abandoned")
    house.into("integration")
    missing = control.candidate(house.desk.settings, house.ledger, house.file).missing
    assert [each.split(" ", 1)[0] for each in missing] == ["0", "run"] and missing[1].endswith("has not ended")


def test_hardware_only_after_a_simulator(tmp_path: Path, braket: BraketEmulator) -> None:
    """Denied at the submission until the same files have run on simulators alone."""
    desk = desk_at(tmp_path, braket)
    with closing(desk.ledger):
        house = House(desk)
        tiers = yaml.safe_load(desk.settings.tiers.read_text())
        tiers["prototype"]["simulated_first"] = "required"
        desk.settings.tiers.write_text(json.dumps(tiers))
        with pytest.raises(Denied, match="not-simulated"):
            submitted(house, house.planned())
        assert braket.tasks() == []
        end(desk.attempt, "denied")
        house.another()
        desk.change(f"backends: [{BACKEND}]", "backends: [aer]")
        house.ran()
        desk.change("backends: [aer]", f"backends: [{BACKEND}]")
        submitted(house, house.planned())
        assert len(braket.tasks()) == 1
