"""Attacks on the signed bundle of policies: each leaves a denied gate in the ledger, and nothing is submitted."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.acts import append_signed
from tests.support.bundles import ROLES, as_, enter, key_of, own_files, sign_bundle, write_bundle
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN, TICKETS

from prefect_gatehouse.errors import Denied, GatehouseError, PlanChanged, Quarantined
from prefect_gatehouse.evidence import signed
from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import BudgetSet, PolicySigned, QuarantineReleased
from prefect_gatehouse.ledger.events import GateFailed
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import bundle, key_rotation, quarantine
from prefect_gatehouse.operate.budgets import set_budget
from prefect_gatehouse.operate.registry import Registrar, signed_if_possible
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.policy.cedar import CedarPolicy, load_policy
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.values import ApprovedPlan, Plan
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.await_approval import await_approval
from prefect_gatehouse.tasks.submit import submit

# The integration tier, as far as one machine without a worker, a cell and a database to look at can serve it.
LENIENT = {
    "preflight: required": "preflight: optional",
    "rehearsal: required": "rehearsal: optional",
    "worker: gatehouse": "worker: process",
    "cell: landlock": "cell: none",
    "highest_class: confidential": "highest_class: restricted",
}


class House:
    """A run of the integration tier in an installation whose rules Lea, Sam and Eve have signed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.desk = folder, Desk(folder, backends="aer", rehearsal="skip", rounds=1)
        self.settings = own_files(self.desk.settings, folder)
        head, business, tail = self.settings.tiers.read_text().partition("\nbusiness:")
        for old, new in LENIENT.items():
            head = head.replace(old, new)
        self.settings.tiers.write_text((head + business + tail).replace("ion: required", "ion: optional"))
        self.settings.tickets_file().write_text(TICKETS)
        self.desk.change("tier: prototype", "tier: integration")
        self.people = People(self.settings.people_folder())
        for name, role in (("ann", "requester"), ("bob", "approver")):
            line = generate_key(key_of(self.settings, name), "")
            self.people.add(name, key=line, roles=frozenset({role}), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]
        self.ledger = self.desk.ledger
        self.desk.settings = self.settings
        sign_bundle(self.settings, self.ledger)
        self.desk.attempt = self.desk.next_attempt()

    def planned(self) -> Plan:
        return up_to_the_plan(self.desk.attempt, str(self.desk.manifest), signed_for(as_(self.settings, "ann"), self.desk.manifest))

    def approved(self) -> ApprovedPlan:
        plan = self.planned()
        self.answer(plan)
        return await_approval(self.desk.attempt, plan)

    def answer(self, plan: Plan) -> None:
        """Bob's yes."""
        statement, _ = ask(self.desk.attempt, plan, "k")
        judge(self.desk.attempt, plan, "k", Answer(decision="approve", proof=sshsig.sign(key_of(self.settings, "bob"), statement.message())))

    def submit(self, approved: ApprovedPlan) -> None:
        circuits, summary = self.desk.first_round(approved.plan)
        submit.in_round(0, self.desk.next_attempt(), approved, circuits, summary, 0, Fetching())

    def admit(self) -> str:
        """Another run, up to its first gate."""
        run_id = str(uuid.uuid4())
        attempt = Attempt(self.settings, self.ledger, run_id, lambda block: SecretText(""))
        admit(attempt, str(self.desk.manifest), signed_for(as_(self.settings, "ann"), self.desk.manifest))
        return run_id

    def denied(self, gate: str, run_id: str = RUN) -> str:
        """Why the last failed gate was denied."""
        fact = self.ledger.facts(GateFailed, run_id)[-1].fact
        assert (fact.gate, fact.error) == (gate, "denied")
        return f"{fact.message} ({fact.advice})"

    def refused(self) -> str:
        """Why another run is not admitted, as the ledger has it."""
        with pytest.raises(Denied):
            self.admit()
        assert [event.fact.gate for event in self.ledger.facts(GateFailed)][-1] == "admit"
        run_id = self.ledger.facts(GateFailed)[-1].run_id
        assert self.ledger.events(run_id, "run-admitted") == []
        return self.denied("admit", run_id)

    def sign(self, *persons: str) -> None:
        for person in persons:
            bundle.sign(as_(self.settings, person), self.ledger, "x")

    def forge(self, who: str, key: str, *, bundled: Settings | None = None) -> None:
        """A signature that is good, by this key and in this name, written by somebody with the database."""
        unsigned = {"person": "", "key": "", "signature": "", "action": "sign-policy", "reason": "x", "environment": "local"}
        fact = PolicySigned.model_validate({**unsigned, "bundle": bundle.bundle_of(bundled or self.settings), "act": str(uuid.uuid4())})
        fact = fact.model_copy(update={**signed_if_possible(as_(self.settings, key), fact), "person": who})
        with self.ledger.transaction() as tx:
            tx.append(f"forged:{fact.act}", "ledger", fact)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """With the run's own copies of every file."""
    monkeypatch.setattr("prefect_gatehouse.run.registry.SETTLES", 0.0)
    made = House(tmp_path)
    with closing(made.ledger):
        yield made


def test_a_signed_bundle_lets_a_run_through(house: House) -> None:
    """And is in its plan, which says so; what any of its people changes of the registry later takes nothing away."""
    approved = house.approved()
    named = approved.plan.body.bundle
    assert named is not None
    assert (named.version, named.signers) == (1, ("eve (engineering)", "lea (legal)", "sam (security)"))
    assert named.digest == bundle.bundle_of(house.settings).digest()
    Registrar(as_(house.settings, "lea"), house.ledger, "new").add("cyd", key=None, roles=frozenset({"auditor"}))
    Registrar(house.settings, house.ledger, "left").revoke("cyd", None)
    house.submit(approved)
    assert house.desk.entries() == [(0, 0, "aer", "submitted")]


EDITED = {
    "policies": ("policies/gatehouse.cedar", "policies"),
    "tiers": ("tiers.yaml", "tiers"),
    "classes": ("classes.yaml", "classes"),
    "people": ("home/people/people.json", "registry of people"),
    "bundle": ("home/bundle.yaml", "bundle.yaml"),
}


def test_another_ticket_system_during_the_wait(house: House) -> None:
    """A list of tickets may change by the day; where tickets are is signed."""
    approved = house.approved()
    file = house.settings.tickets_file()
    another = TICKETS.splitlines()[-1].replace("CHG-7", "CHG-8").replace("state: open", "state: closed")
    file.write_text(f"{TICKETS}{another}\n")
    assert house.admit()
    file.write_text(
        "kind: servicenow\nurl: https://elsewhere.example.com\ncredential: secret/x\npipelines: u_pipelines\nopen_states: {'-1': Implement}\n"
    )
    with pytest.raises(Denied, match="changed after it was signed: where tickets are"):
        house.submit(approved)
    assert house.desk.entries() == []


def test_an_authority_that_nobody_may_add(house: House) -> None:
    """Whoever adds one could be anybody, so nobody adds one by themselves; every role signs the version that has it, and anybody takes it away."""
    line = generate_key(house.folder / "ca", "")
    for who in ("bob", "sam"):
        with pytest.raises(Denied, match=r"covers the registry.*--next-version"):
            Registrar(as_(house.settings, who), house.ledger, "").add_authority(line, names="*", groups={})
    assert house.admit()
    Registrar(as_(house.settings, "bob"), house.ledger, "", next_version=True).add_authority(line, names="*", groups={})
    assert "registry of people" in house.refused()
    sign_bundle(house.settings, house.ledger, 2)
    assert house.admit()
    Registrar(house.settings, house.ledger, "").remove_authority(fingerprint(line))
    assert house.admit()


@pytest.mark.parametrize("name", EDITED)
def test_a_file_edited_during_the_wait(house: House, name: str) -> None:
    """By a line that changes nothing of what it says: the answer counts for nothing, and the process that takes the run up submits nothing."""
    file, words = EDITED[name]
    plan = house.planned()
    with (house.folder / file).open("a") as stream:
        stream.write("\n")
    with pytest.raises(Denied, match=f"version 1 was changed after it was signed: {words}"):
        house.answer(plan)
    with pytest.raises(Denied):
        await_approval(house.desk.attempt, plan)
    assert words in house.denied("await_approval")
    assert words in house.refused()
    assert house.desk.entries() == []


def test_a_file_edited_after_the_approval(house: House) -> None:
    """Every look before said yes."""
    approved = house.approved()
    for file, words in EDITED.values():
        kept = (house.folder / file).read_bytes()
        (house.folder / file).write_bytes(kept + b"\n")
        with pytest.raises(Denied):
            house.submit(approved)
        assert words in house.denied("submit")
        (house.folder / file).write_bytes(kept)
    assert house.desk.entries() == []
    house.submit(approved)


def test_policies_exchanged_while_they_are_loaded(house: House) -> None:
    """What the process decides by is what was signed, not only what lies there when it is looked at."""
    file = house.folder / "policies" / "gatehouse.cedar"
    signed_text = file.read_text()
    file.write_text(signed_text + "\n")
    assert house.desk.attempt.parts._policy.digest  # loaded now, and kept for as long as the process lives
    file.write_text(signed_text)
    with pytest.raises(Denied, match="has loaded policies that nobody signed"):
        house.planned()
    assert house.denied("admit")


LENIENT_RULE = ('unless { principal.roles.contains("approver") };', "unless { true };")


def test_policies_exchanged_while_acts_are_judged(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann, who may release nothing, releases what Bob stopped; the policies let her for as long as they are being loaded, and count for nothing."""
    imposed = quarantine.impose(as_(house.settings, "bob"), house.ledger, "tenant:test-tenant", "x").fact.quarantine
    said = {"action": "release-quarantine", "quarantine": imposed, "reason": "x", "environment": "local", "act": "a"}
    append_signed(house.ledger, QuarantineReleased, said, "ann", key_of(house.settings, "ann"))

    def exchanged(folder: Path) -> CedarPolicy:
        file = folder / "gatehouse.cedar"
        kept = file.read_text()
        file.write_text(kept.replace(*LENIENT_RULE))
        try:
            return load_policy(folder)
        finally:
            file.write_text(kept)

    monkeypatch.setattr("prefect_gatehouse.run.bundle.load_policy", exchanged)
    with pytest.raises(Quarantined):
        house.admit()
    (held,) = holding(house.settings, house.ledger).all()
    assert "the policies are not those that were signed, of version 1" in held.void[0]
    with pytest.raises(Denied, match="not those that were signed"):
        house.desk.attempt.approving_policy()


def test_acts_under_edited_policies(house: House) -> None:
    """Nothing is signed by a rule that nobody signed; an emergency is, and so is the next version. The prototype tier goes by what is there."""
    file = house.folder / "policies" / "gatehouse.cedar"
    file.write_text(file.read_text().replace(*LENIENT_RULE))
    for act in (
        lambda: set_budget(as_(house.settings, "ann"), house.ledger, tenant="test-tenant", month_usd="1000000", reason="mine"),
        lambda: key_rotation.decide(as_(house.settings, "ann"), house.ledger, "secret/key", 1, 2),
    ):
        with pytest.raises(Denied, match="not those that were signed") as caught:
            act()
        assert "gatehouse policy status" in caught.value.advice
    assert house.ledger.facts(BudgetSet) == []
    assert policy_that_counts(house.settings, house.ledger, "prototype")().digest == load_policy(house.settings.policies).digest
    assert quarantine.impose(as_(house.settings, "bob"), house.ledger, "backend:aer", "x").fact.person == "bob"
    write_bundle(house.settings, 2)
    house.sign(*ROLES.values())
    assert policy_that_counts(house.settings, house.ledger)().digest == load_policy(house.settings.policies).digest


def test_a_file_that_is_gone(house: House) -> None:
    """Without a manifest of the bundle nothing is signed; an advice says what to do."""
    house.settings.bundle_file().unlink()
    assert "there is no bundle of policies" in house.refused()


def test_an_older_signed_bundle_put_back(house: House) -> None:
    """Every file as it was signed, and every signature good: version 1, where version 2 stands."""
    approved = house.approved()
    keep = house.folder / "old"
    shutil.copytree(house.folder / "policies", keep)
    shutil.copy(house.settings.bundle_file(), keep)
    with (house.folder / "policies" / "gatehouse.cedar").open("a") as stream:
        stream.write("\n")
    write_bundle(house.settings, 2)
    house.sign(*ROLES.values())
    assert house.admit()
    with pytest.raises(PlanChanged, match="bundle of policies"):  # what was approved under version 1 ends, though no rule of its own changed
        house.submit(approved)
    shutil.copy(keep / "bundle.yaml", house.settings.bundle_file())
    shutil.copy(keep / "gatehouse.cedar", house.folder / "policies")
    assert "this is version 1, and version 2 stands, signed by eve (engineering), lea (legal), sam (security)" in house.refused()
    with pytest.raises(Denied, match="this is version 1, and version 2 stands"):
        house.submit(approved)
    with pytest.raises(Denied, match="would not count: version 2 stands"):
        house.sign("lea")
    with pytest.raises(Denied, match="only the first bundle is accepted"):
        bundle.accept(house.settings, house.ledger, "I say so")
    assert house.desk.entries() == []


def test_signed_by_too_few(house: House) -> None:
    """Two of three roles; the error names who has and who has not."""
    write_bundle(house.settings, 2)
    assert "version 2 is signed by nobody (missing: engineering (eve); legal (lea); security (sam)" in house.refused()
    house.sign("lea", "sam")
    assert "version 2 is signed by lea (legal), sam (security) only (missing: engineering (eve); each of them runs" in house.refused()
    house.sign("eve")
    assert house.admit()


def test_signed_by_one_person_twice(house: House) -> None:
    """With the same key, with a second one that was added since, and as two of the new bundle's people: one role."""
    Registrar(as_(house.settings, "sam"), house.ledger, "x").add(
        "lea", key=generate_key(key_of(house.settings, "lea2"), ""), roles=frozenset({"auditor"})
    )
    write_bundle(house.settings, 2)
    house.sign("lea", "sam")
    with pytest.raises(Denied, match="the role legal has signed already"):
        house.sign("lea")
    with pytest.raises(Denied, match="gives lea with this key no role"):
        house.sign("lea2")
    house.forge("lea", "lea")
    house.forge("eve", "lea")
    house.forge("eve", "lea2")
    assert "missing: engineering (eve)" in house.refused()
    house.settings.bundle_file().write_text(
        "version: 3\ntenants: [test-tenant]\nenvironments: [local]\nchange_policy:\n  legal: [lea]\n  engineering: [LEA]\n"
    )
    assert "lea has two roles" in house.refused()


def test_signed_by_somebody_who_was_revoked(house: House) -> None:
    """Before the signature, or between it and the last one; added again, they are in the next bundle only."""
    write_bundle(house.settings, 2)
    house.sign("lea")
    Registrar(house.settings, house.ledger, "left").revoke("lea", None)
    Registrar(as_(house.settings, "sam"), house.ledger, "back").add(
        "lea", key=public_line(key_of(house.settings, "lea")), roles=frozenset({"auditor"})
    )
    with pytest.raises(Denied, match="lea or the key was revoked since"):
        house.sign("lea")
    house.sign("sam", "eve")
    house.forge("lea", "lea")
    assert "missing: legal (nobody is left who may)" in house.refused()
    assert any("was revoked" in why for _, why in bundle.status(house.settings, house.ledger).void)


def test_signed_by_somebody_whose_role_only_the_new_bundle_gives(house: House) -> None:
    """Eve's successor is in the files of version 2: whoever promotes himself is judged by version 1."""
    Registrar(as_(house.settings, "sam"), house.ledger, "x").add(
        "mal", key=generate_key(key_of(house.settings, "mal"), ""), roles=frozenset({"approver"})
    )
    write_bundle(house.settings, 2, legal="lea", security="sam", engineering="mal")
    house.sign("lea", "sam")
    with pytest.raises(Denied, match="version 1, which stands, gives mal with this key no role in change_policy"):
        house.sign("mal")
    house.forge("mal", "mal")
    house.forge("eve", "mal")
    assert "version 2 is signed by lea (legal), sam (security) only (missing: engineering (eve)" in house.refused()
    house.sign("eve")
    assert house.admit()
    write_bundle(house.settings, 3)
    with pytest.raises(Denied, match="version 2, which stands, gives eve with this key no role"):
        house.sign("eve")


def test_a_signature_of_something_else(house: House) -> None:
    """Of another installation's bundle or of a bundle that the files are not; one that was changed in the database is found by verify."""
    write_bundle(house.settings, 2)
    house.sign("lea", "sam")
    write_bundle(house.settings, 2, more="change_people: [security]\n")
    assert "version 2 is signed by nobody" in house.refused()
    genuine = house.ledger.facts(PolicySigned)[-1].fact
    assert list(signed.problems(house.ledger)) == []
    with house.ledger.transaction() as tx:
        tx.append("forged", "ledger", genuine.model_copy(update={"bundle": bundle.bundle_of(house.settings)}))
    assert "version 2 is signed by nobody" in house.refused()
    assert len(list(signed.problems(house.ledger))) == 1


def test_a_registry_changed_by_somebody_who_may_not(house: House) -> None:
    """Without a key, with somebody's who has no role, and by a signer for themselves: refused; written beside the command, no run is admitted."""
    enter_mal = {"key": generate_key(key_of(house.settings, "mal"), ""), "roles": frozenset({"approver"})}
    for settings in (house.settings, *(as_(house.settings, who) for who in ("bob", "mal"))):
        with pytest.raises(Denied, match="covers the registry"):
            Registrar(settings, house.ledger, "").add("mal", **enter_mal)  # type: ignore[arg-type]
    with pytest.raises(Denied, match="made by eve or sam with their own key"):
        Registrar(as_(house.settings, "lea"), house.ledger, "").add("lea", key=None, roles=frozenset({"approver"}))
    assert house.admit()
    enter(house.settings, "mal")
    assert "changed after it was signed: registry of people" in house.refused()
    Registrar(as_(house.settings, "bob"), house.ledger, "it is right").accept()
    assert "changed after it was signed: registry of people" in house.refused()


def test_an_old_registry_put_back(house: House) -> None:
    """What was revoked stays so, though the files are those that were signed."""
    people = house.settings.people_folder()
    shutil.copytree(people, house.folder / "before")
    Registrar(house.settings, house.ledger, "left").revoke("bob", None)
    assert house.admit()
    shutil.copytree(house.folder / "before", people, dirs_exist_ok=True)
    assert "registry of people" in house.refused()


def test_an_old_registry_in_another_folder(house: House) -> None:
    """What is recorded of an environment's registry is about all of its folders, or a copy would undo a revocation."""
    elsewhere = house.folder / "elsewhere"
    shutil.copytree(house.settings.people_folder(), elsewhere)
    Registrar(house.settings, house.ledger, "left").revoke("bob", None)
    house.settings = house.settings.model_copy(update={"people": elsewhere})
    assert "registry of people" in house.refused()


def test_a_process_that_died_before_the_files_were_written(house: House) -> None:
    """Recorded, not made: taking away is repeated; an addition is undone by somebody who may make it, and by nobody else."""
    people, lea = house.settings.people_folder(), as_(house.settings, "lea")
    house.admit()
    for change in ("revoke", "add"):
        shutil.copytree(people, house.folder / f"before-{change}")
        if change == "add":
            Registrar(lea, house.ledger, "").add("cyd", key=None, roles=frozenset({"auditor"}))
        else:
            Registrar(house.settings, house.ledger, "").revoke("bob", None)
        shutil.copytree(house.folder / f"before-{change}", people, dirs_exist_ok=True)
        assert "registry of people" in house.refused()
        if change == "add":
            Registrar(as_(house.settings, "ann"), house.ledger, "x").accept()
            assert "registry of people" in house.refused()
            Registrar(lea, house.ledger, "it was not made").accept()
        else:
            Registrar(house.settings, house.ledger, "").revoke("bob", None)
            Registrar(house.settings, house.ledger, "it was made twice").accept()
        assert house.admit()


def test_the_prototype_tier_works_unsigned_and_says_so(house: House) -> None:
    """What approvers read names version and signers, or that nobody answers for the rules."""
    assert shown(house.planned()).startswith("bundle version 1, signed by eve (engineering), lea (legal), sam (security); ")
    house.settings.bundle_file().unlink()
    house.desk.change("tier: integration", "tier: prototype")
    attempt = Attempt(house.settings, house.ledger, str(uuid.uuid4()), house.desk.attempt.read_secret)
    plan = up_to_the_plan(attempt, str(house.desk.manifest), None)
    assert plan.body.bundle is None
    assert shown(plan) == "unsigned: nobody answers for policies, tiers, classes and registry, which only the prototype tier takes"


def shown(plan: Plan) -> str:
    """What the plan's page has about the bundle."""
    (row,) = [row for section in sections(plan) for row in section.rows if row[0] == "Bundle of policies"]
    return row[1]


@pytest.mark.parametrize("what", ["tenant", "environment"])
def test_an_unlisted_tenant_or_environment(house: House, what: str) -> None:
    """Nobody invents a boundary in a manifest; the next version may list it."""
    other = {"tenant": "new-tenant", "environment": "staging"}[what]
    house.desk.change({"tenant": "tenant: test-tenant", "environment": "environment: local"}[what], f"{what}: {other}")
    assert f"lists no such {what} (correct the manifest" in house.refused()


def test_a_malformed_manifest(house: House) -> None:
    """No traceback, and no run."""
    for text in ("", "version: 0\nchange_policy: {a: [lea]}", "version: 2", "version: 2\nchange_policy: {}", "[", "version: x"):
        house.settings.bundle_file().write_text(text)
        assert house.refused()
        with pytest.raises(GatehouseError):
            house.sign("lea")
