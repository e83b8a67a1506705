"""Services: a pipeline fetches as one and CI asks as one, and no service decides; each attack leaves a denial and fetches nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.identity.attestations import Vendor
from tests.support.acts import append_signed
from tests.support.bundles import as_, key_of
from tests.support.gates import Desk
from tests.support.plans import RUN
from tests.tasks.test_bundle import House

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied, InputError, PlanChanged, Quarantined, Tampered
from prefect_gatehouse.evidence.questions import who
from prefect_gatehouse.evidence.services import served_by
from prefect_gatehouse.evidence.supposed import Asked, Supposed, suppose
from prefect_gatehouse.evidence.supposed_acts import suppose_act
from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.services import Service, service_of
from prefect_gatehouse.ledger.acts import WorkloadPromoted
from prefect_gatehouse.ledger.answers import AnswerRefused
from prefect_gatehouse.ledger.events import EndingDecided, GateFailed, RunSuspended
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.operate import bundle, exceptions, quarantine
from prefect_gatehouse.operate.inbox import inbox
from prefect_gatehouse.operate.registry import Registrar
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.operate.signing import record
from prefect_gatehouse.policy.acts import signatories
from prefect_gatehouse.policy.cedar import policy_now
from prefect_gatehouse.run import approvals
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, barred, judge, last_asked, standing
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.content import Content
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.matter import closes_at
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.planned import PlannedClasses, PlannedPromotion, PlannedReview
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.run.vouching import vouching_for
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.await_approval import await_approval
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.vocabulary import RunAction

TENANT = "test-tenant"
NOTHING = Service()
PROMOTED = {
    "action": "promote", "promotion": "1", "reason": "x", "environment": "local", "tenant": TENANT, "pipeline": "small", "workload": "0" * 64,
    "tier": "integration", "below": "prototype", "owner": "x", "ticket": "CHG-7", "runs": [], "jobs": 0, "fallbacks": 0, "checks": 0,
}  # fmt: skip


class Served(House):
    """The House of the signed bundle, whose registrar has named services: CI asks, and one each submits and archives."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lines = {"ci": generate_key(key_of(self.settings, "ci"), "")}
        self.name("ci", service_of([], [TENANT], []), key=self.lines["ci"], role="requester")
        self.name("submits", service_of(["submission"], [TENANT], ["secret/key"]))
        self.name("archives", service_of(["archival"], [TENANT], ["secret/url", "secret/ke*"]))
        Registrar(as_(self.settings, "lea"), self.ledger, "a second").add(
            "dan", key=generate_key(key_of(self.settings, "dan"), ""), roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED
        )

    def name(self, service: str, what: Service, *, key: str | None = None, role: str = "") -> None:
        roles = frozenset({role} if role else ())
        Registrar(as_(self.settings, "lea"), self.ledger, "as agreed").add_service(
            service,
            what,
            key=key,
            roles=roles,
            clearance=DataClass.RESTRICTED,  # type: ignore[arg-type]
        )

    def revoke(self, who: str) -> None:
        Registrar(as_(self.settings, "lea"), self.ledger, "gone").revoke(who, None)

    def except_(self, who: str) -> None:
        """Somebody grants an exception that any run of the tenant's may use."""
        said = {"rule": "backend-not-in-tier", "tenant": TENANT, "owner": "lea", "ticket": "CHG-7", "risk": "x", "control": "x", "reason": "x"}
        until = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"
        exceptions.grant(as_(self.settings, who), self.ledger, exceptions.Wanted.model_validate({**said, "until": until}))

    def planned_by(self, who: str, attempt: Attempt | None = None) -> Plan:
        return up_to_the_plan(attempt or self.desk.attempt, str(self.desk.manifest), signed_for(as_(self.settings, who), self.desk.manifest))

    def answer_as(self, who: str, plan: Plan, key: str, named: str = "") -> str:
        """What somebody's yes comes to: why it does not count, empty where it does."""
        statement, _ = ask(self.desk.attempt, plan, key)
        proof = sshsig.sign(key_of(self.settings, who), statement.message())
        judge(self.desk.attempt, plan, key, Answer(decision="approve", approver=named, proof=proof))
        found = self.ledger.find(f"{RUN}:answer:{key}", AnswerRefused) if not self.counted(key) else None
        return found.fact.reason if found is not None else ""

    def counted(self, key: str) -> bool:
        return any(event.event_id == f"{RUN}:answer:{key}" for event in self.ledger.events(RUN, "approval-given"))

    def reading(self, run_id: str = RUN) -> tuple[Attempt, list[str]]:
        """A next attempt, and the blocks that it reads."""
        asked: list[str] = []

        def read(block: str) -> SecretText:
            asked.append(block)
            return SecretText("CANARY-secret")

        return Attempt(self.settings, self.ledger, run_id, read), asked


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr("prefect_gatehouse.run.registry.SETTLES", 0.05)
    made = Served(tmp_path)
    with closing(made.ledger):
        yield made


def test_a_run_that_ci_asks_for(house: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan says who fetches what; two people approve, since one could have had CI ask; leases, `show` and `who` name each service."""
    plan = house.planned_by("ci")
    assert (plan.admitted.requester.person, plan.admitted.requester.service) == ("ci", True)
    assert {each.purpose.value: each.service for each in plan.body.credentials if each.block} == {
        "tokenise": "submits",
        "re_identify": "archives",
        "write_back": "archives",
    }
    shown = {each.title: each for each in sections(plan)}
    assert shown["Who asks, and why"].rows[0][1] == "ci (ssh, a service)"
    assert ("address of the target database", "secret/url", "archives") in shown["Credentials, fetched just before their use"].rows
    assert dict(ask(house.desk.attempt, plan, "x")[0].words)["Requester"] == "ci, a service"
    assert [house.answer_as("bob", plan, "1"), standing(house.ledger, plan).decided] == ["", False]
    assert [house.answer_as("dan", plan, "2"), standing(house.ledger, plan).decided] == ["", True]
    approved = await_approval(house.desk.attempt, plan)
    house.submit(approved)
    fetch_credential(house.desk.next_attempt(), plan.admitted, Purpose.WRITE_BACK)
    assert [(each.duty, each.service, each.purpose) for each in served_by(house.ledger, RUN)] == [
        ("submission", "submits", "tokenise"),
        ("archival", "archives", "write_back"),
    ]
    (job,) = who(house.ledger, RUN)
    assert (job.requester, job.requester_is_service, [each.service for each in job.services]) == ("ci", True, ["submits", "archives"])
    monkeypatch.setenv("GATEHOUSE_HOME", str(house.settings.home))
    told = CliRunner().invoke(main, ["who", RUN]).output
    assert "ci (a service, ssh" in told and "archives, archival: write_back with secret/url" in " ".join(told.split())
    assert "submits, submission: tokenise" in " ".join(CliRunner().invoke(main, ["show", RUN]).output.split())


def test_a_person_asks_and_one_approves(house: Served) -> None:
    """The rule of two is for services: a person's request needs what the tier says."""
    assert house.planned_by("ann").admitted.approvers_needed == 1


SIGNED: dict[str, dict[str, object]] = {
    "reviewed its commit": {
        "review": PlannedReview(review="1", commit="0" * 40, author="ann", author_key="x", committed=datetime.now(UTC), reviewed_by="bob", at="now")
    },
    "promoted its workload": {
        "promotion": PlannedPromotion(promotion="1", promoted_by="bob", ticket="CHG-7", at="now", below="prototype", runs=1, jobs=1, fallbacks=0)
    },
    "signed the classes of its source": {"source_classes": PlannedClasses(classification="1", signed_by="bob", at="now")},
}


@pytest.mark.parametrize("did", SIGNED)
def test_whoever_signed_for_what_a_service_asks_approves_none_of_it(house: Served, did: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may have had it ask: they are not asked, and a yes of theirs counts neither when it comes nor at the gate; of a person's run it does."""
    plan = house.planned_by("ci")
    body = plan.body.model_copy(update=SIGNED[did])
    plan = plan.model_copy(update={"body": body, "digest": body.digest()})
    why = f"a service asked for this run, and this person, who {did}, may have had it ask"
    assert house.answer_as("bob", plan, "1") == why
    asked = last_asked(house.ledger, plan)
    assert asked is not None and "dan" in asked.expects and "bob" not in asked.expects
    with monkeypatch.context() as patched:
        patched.setattr(approvals, "refuse_vouching", lambda *_: None)
        assert [house.answer_as("bob", plan, "2"), house.answer_as("dan", plan, "3")] == ["", ""]
    with pytest.raises(Denied, match=why):
        approvals.require_approved(house.ledger, plan, house.people, policy_now(house.settings), holding(house.settings, house.ledger))
    asker = plan.admitted.requester.model_copy(update={"person": "ann", "service": False})
    assert barred(house.ledger, plan) == {"bob": did} and vouching_for(with_requester(plan, asker)) == {}


def with_requester(plan: Plan, requester: Requester) -> Plan:
    admitted = plan.admitted.model_copy(update={"requester": requester})
    minimised = plan.validated.minimised.model_copy(update={"admitted": admitted})
    return plan.model_copy(update={"validated": plan.validated.model_copy(update={"minimised": minimised})})


def test_whoever_granted_an_exception_to_what_a_service_asks(house: Served) -> None:
    """Nor do they approve it, and their inbox says why."""
    house.except_("bob")
    plan = house.planned_by("ci")
    house.desk.attempt.record("suspended:1:k", RunSuspended(until=closes_at(plan).timestamp()))
    mine = {who: inbox(as_(house.settings, who), house.ledger)[1][0].not_mine for who in ("bob", "dan")}
    assert mine["dan"] == "" and "who granted an exception that it may use, may have had it ask" in mine["bob"]
    assert house.answer_as("bob", plan, "1") == mine["bob"]


def test_what_a_service_might_ask(house: Served) -> None:
    """`explain --as` reckons with as many approvers as the gate."""
    manifest = load_manifest(house.desk.manifest).manifest

    def no_content() -> Content:
        raise AssertionError("the tier asks for no reviewed commit")

    asked = Asked(manifest, house.desk.manifest.parent, "0" * 64, no_content)
    for asker, needed in (("ann", 1), ("ci", 2)):
        admitted = admit(house.reading(str(uuid.uuid4()))[0], str(house.desk.manifest), signed_for(as_(house.settings, asker), house.desk.manifest))
        found = suppose(house.settings, house.ledger, asked, asker, "submit", [])
        assert (found.known["tier_approvers"], found.supposed["approvals"], admitted.approvers_needed) == (needed, needed, needed)
    short = suppose(house.settings, house.ledger, asked, "ci", "submit", ["approvals=1"])
    assert not short.allowed and [each.id for each in short.rules] == ["not-enough-approvals"]


def test_what_is_missing_for_a_service(house: Served) -> None:
    """`explain` tells what the fetch and the request would be stopped by: no service for a block, one in quarantine, one of another tenant's."""
    manifest = load_manifest(house.desk.manifest).manifest

    def asked(who: str, action: RunAction, *given: str, **change: str) -> Supposed:
        about = Asked(manifest.model_copy(update=change), house.desk.manifest.parent, "0" * 64, lambda: pytest.fail("no content is asked for"))
        return suppose(house.settings, house.ledger, about, who, action, given)

    assert asked("ann", "read_secret", "purpose=tokenise").allowed and asked("ci", "request").allowed
    quarantine.impose(as_(house.settings, "bob"), house.ledger, "archives", "x")
    held = asked("ann", "read_secret", "purpose=write_back")
    assert not held.allowed and [each.id for each in held.rules] == ["quarantined"]
    house.revoke("submits")
    missing = asked("ann", "read_secret", "purpose=tokenise")
    assert [each.sentence for each in missing.rules] == [f"no service is named for the submission of {TENANT}, which fetches secret/key"]
    assert "gatehouse people service add NAME --duty submission" in missing.satisfy
    with pytest.raises(Denied, match="no service is named for the submission"):
        house.planned_by("ann")
    foreign = asked("ci", "request", tenant="other")
    assert "gatehouse people service add ci --tenant other" in foreign.satisfy
    owned = asked("ann", "request", owner="ci")
    assert [each.sentence for each in owned.rules] == ["the pipeline's owner is a service, and a person answers for it"]
    signs = suppose_act(house.settings, house.ledger, lambda: manifest, "ci", "review", [])
    assert not signs.allowed and signs.rules[-1].sentence == "a commit is reviewed by people, and this key is the service ci's"


def test_a_service_decides_nothing(house: Served) -> None:
    """With a good signature of its own key it approves, promotes, signs, stops, releases and registers nothing."""
    plan, settings = house.planned_by("ann"), as_(house.settings, "ci")
    assert "only people approve" in house.answer_as("ci", plan, "1")
    assert "only people approve" in house.answer_as("ci", plan, "2", named="ci")
    assert "not the named approver's" in house.answer_as("ci", plan, "3", named="bob")
    assert standing(house.ledger, plan).approvals == ()
    why = "by people, and this key is the service ci's"
    with pytest.raises(Denied, match=why):
        bundle.sign(settings, house.ledger, "mine")
    with pytest.raises(Denied, match=why):
        quarantine.impose(settings, house.ledger, f"tenant:{TENANT}", "mine")
    with pytest.raises(Denied, match=why):
        record(settings, house.ledger, WorkloadPromoted, PROMOTED, "1", "workloads are promoted")
    before = house.people.digest()
    with pytest.raises(Denied, match=why):
        Registrar(settings, house.ledger, "").add("eve2", key=None, roles=frozenset({"approver"}))
    assert house.people.digest() == before
    # Somebody with the database writes what the command refuses: it is judged again wherever it would count.
    append_signed(house.ledger, WorkloadPromoted, PROMOTED, "ci", key_of(house.settings, "ci"))
    (event,) = house.ledger.facts(WorkloadPromoted)
    assert "its key is a service's" in signatories(house.ledger, house.people, "local", policy_now(house.settings)).why_void(event)


@pytest.mark.parametrize("role", ["approver", "auditor", "data-owner"])
def test_a_role_that_only_people_have(house: Served, role: str) -> None:
    """Refused when it is registered; and a registry that says it all the same is not understood, so nothing goes by it."""
    with pytest.raises(InputError, match=f"a service can't be {role}"):
        house.name("ci", NOTHING, role=role)
    path = house.settings.people_folder() / "people.json"
    content = json.loads(path.read_text())
    content["people"]["ci"]["roles"] = [role]
    path.write_text(json.dumps(content))
    with pytest.raises(Tampered, match="what only people have"):
        house.people.all()


def test_a_key_is_of_one_kind_for_good(house: Served) -> None:
    """A person's key is no service's, nor a service's a person's, also after it was revoked; and neither takes the other's name."""
    registrar, ann = Registrar(as_(house.settings, "lea"), house.ledger, ""), public_line(key_of(house.settings, "ann"))
    with pytest.raises(InputError, match="another"):
        house.name("robot", NOTHING, key=ann, role="requester")
    with pytest.raises(InputError, match="the service ci's"):
        registrar.add("mal", key=house.lines["ci"], roles=frozenset({"approver"}))
    house.revoke("ci")
    with pytest.raises(InputError, match="is, or was, the service ci's"):
        registrar.add("mal", key=house.lines["ci"], roles=frozenset({"approver"}))
    house.revoke("dan")
    with pytest.raises(InputError, match="is, or was, the person dan's"):
        house.name("robot", NOTHING, key=public_line(key_of(house.settings, "dan")), role="requester")
    with pytest.raises(InputError, match="this name is a person's"):
        house.name("bob", NOTHING, role="requester")
    with pytest.raises(InputError, match="this name is, or was, a service's"):
        registrar.add("submits", key=None, roles=frozenset({"approver"}))
    with pytest.raises(InputError, match="this name is, or was, a service's"):
        registrar.add("ci", key=None, roles=frozenset({"approver"}))
    with pytest.raises(InputError, match="this name is, or was, a person's"):
        house.name("dan", NOTHING, role="requester")


def test_a_block_that_its_service_may_not_fetch(house: Served) -> None:
    """The run is denied before the store is asked: at the fetch, and at the plan for what would be fetched after the approval."""
    house.desk.change("write_back: secret/url", "write_back: secret/other-url")
    with pytest.raises(Denied, match=r"archives, named for the archival of test-tenant, may not fetch secret/other-url"):
        house.planned_by("ann")
    assert house.ledger.facts(GateFailed, RUN)[-1].fact.gate == "plan"
    house.desk.change("tokenise: secret/key", "tokenise: secret/keys")
    run, asked = house.reading(str(uuid.uuid4()))
    with pytest.raises(Denied, match="submits, named for the submission of test-tenant, may not fetch secret/keys"):
        house.planned_by("ann", run)
    assert asked == [] and house.ledger.facts(GateFailed, run.run_id)[0].fact.gate == "fetch_credential"


def test_duties_that_nobody_is_named_for(house: Served) -> None:
    """Once there is a service, each credential is some service's to fetch; another tenant's service is not this one's."""
    house.revoke("archives")
    with pytest.raises(Denied, match="no service is named for the archival of test-tenant"):
        house.planned_by("ann")
    house.name("others", service_of(["archival"], ["another-tenant"], ["secret/url", "secret/key"]))
    run = Attempt(house.settings, house.ledger, str(uuid.uuid4()), house.desk.attempt.read_secret)
    with pytest.raises(Denied, match="no service is named for the archival of test-tenant"):
        house.planned_by("ann", run)


def test_two_services_for_one_credential(house: Served) -> None:
    """Whose doing it was could not be told afterwards, so neither fetches."""
    house.name("also", service_of(["archival"], [TENANT], ["secret/u*"]))
    with pytest.raises(Denied, match="also and archives are both named to fetch secret/url"):
        house.planned_by("ann")


def test_a_service_that_is_revoked_while_the_run_waits(house: Served) -> None:
    """The next fetch ends the run and asks no store; with another service in its place the plan is another one."""
    plan = house.planned_by("ann")
    house.revoke("archives")
    attempt, asked = house.reading()
    with pytest.raises(Denied, match="no service is named"):
        fetch_credential(attempt, plan.admitted, Purpose.WRITE_BACK)
    house.name("instead", service_of(["archival"], [TENANT], ["secret/url", "secret/key"]))
    with pytest.raises(PlanChanged, match="the plan has write_back fetched as archives, and the registry now names instead"):
        fetch_credential(attempt, plan.admitted, Purpose.WRITE_BACK)
    assert asked == []


def test_a_service_in_quarantine(house: Served) -> None:
    """The next fetch as it is refused, and another service's is not; nor is what CI asks for admitted while CI is."""
    plan = house.planned_by("ann")
    quarantine.impose(as_(house.settings, "bob"), house.ledger, "principal:archives", "its token leaked")
    attempt, asked = house.reading()
    with pytest.raises(Quarantined, match="principal archives is in quarantine"):
        fetch_credential(attempt, plan.admitted, Purpose.WRITE_BACK)
    assert asked == []
    fetch_credential(attempt, plan.admitted, Purpose.TOKENISE)
    assert asked == ["secret/key"]


def test_a_service_that_is_no_requester(house: Served) -> None:
    """A service without the role asks for nothing, with a good key; nor does a revoked one."""
    line = generate_key(key_of(house.settings, "submits"), "")
    house.name("submits", NOTHING, key=line)
    with pytest.raises(Denied, match="has not the role requester"):
        house.planned_by("submits")
    house.revoke("ci")
    with pytest.raises(Denied, match="belongs to nobody"):
        house.planned_by("ci")


def test_a_service_asks_for_its_tenants_alone(house: Served) -> None:
    """One that is named for another tenant, or for none, has no run of this one started."""
    house.revoke("ci")
    house.name("ci", service_of([], ["another-tenant"], []), key=house.lines["ci"], role="requester")
    with pytest.raises(Denied, match="the service ci is not named for the tenant test-tenant"):
        house.planned_by("ci")


def test_revoking_loosens_nothing(house: Served) -> None:
    """Where services were ever named, a run without any is denied, though revoking takes nobody's signature."""
    for each in ("submits", "archives"):
        house.revoke(each)
    with pytest.raises(Denied, match="no service is named for the"):
        house.planned_by("ann")


def test_one_more_than_the_tier_asks_for(house: Served) -> None:
    """Whoever had the service ask may be among those who answer: beside them there are as many as a person's run has, releases included."""
    admitted = house.planned_by("ci").admitted
    strict = admitted.model_copy(update={"tier": admitted.tier.model_copy(update={"approvers": 2, "write_back_approvers": 1})})
    assert (strict.approvers_needed, strict.releases_needed) == (3, 2)
    persons = strict.model_copy(update={"requester": strict.requester.model_copy(update={"service": False})})
    assert (persons.approvers_needed, persons.releases_needed) == (2, 1)


def test_a_service_answers_for_no_pipeline(house: Served) -> None:
    """The owner of a manifest is a person."""
    house.desk.change("owner: test-owner", "owner: ci")
    with pytest.raises(Denied, match="the pipeline's owner is a service"):
        house.planned_by("ann")


def test_results_are_retrieved_with_a_sign_in_of_their_own(house: Served) -> None:
    """Where services fetch and a provider is signed in at, the manifest names what reads results; it makes no jobs."""
    house.desk.change("  tokenise: secret/key", "  tokenise: secret/key\n  submit: secret/key")
    with pytest.raises(Denied, match="the manifest names no sign-in for it") as caught:
        house.planned_by("ann")
    assert caught.value.where == "credentials.retrieve"
    house.desk.change("  submit: secret/key", "  submit: secret/key\n  retrieve: secret/reads")
    run = Attempt(house.settings, house.ledger, str(uuid.uuid4()), house.desk.attempt.read_secret)
    with pytest.raises(Denied, match="no service is named for the retrieval of test-tenant, which fetches secret/reads"):
        house.planned_by("ann", run)


def test_a_signed_bundle_takes_in_services_and_no_vendors(house: Served) -> None:
    """A registrar's signature is enough to name a service; whose FIDO keys are believed takes every role, in the next version."""
    assert house.planned_by("ann").body.bundle is not None  # the services were named after the version was signed
    before = house.people.digest()
    with pytest.raises(Denied, match="make it with --next-version"):
        Registrar(as_(house.settings, "lea"), house.ledger, "x").add_roots(Vendor().pem)
    with pytest.raises(Denied, match="version 1 of the bundle of policies covers the registry"):
        Registrar(as_(house.settings, "ann"), house.ledger, "x").add_service(
            "own", service_of([], [TENANT], []), key=None, roles=frozenset({"requester"})
        )
    assert house.people.digest() == before


def test_the_prototype_tier_goes_on_without(desk: Desk) -> None:
    """It fetches as the service that is named for a block, and as nobody where none is; what was planned as one's is not fetched as nobody."""
    people = People(desk.settings.people_folder())
    people.add("submits", roles=frozenset(), service=service_of(["submission", "archival"], [TENANT], ["secret/key"]))
    plan = desk.planned()
    assert {each.purpose.value: each.service for each in plan.body.credentials if each.block} == {
        "tokenise": "submits",
        "re_identify": "submits",
        "write_back": "",
    }
    assert fetch_credential(desk.attempt, plan.admitted, Purpose.WRITE_BACK).record.service == ""
    people.revoke("submits")
    with pytest.raises(PlanChanged, match="fetched as submits, and the registry now names none"):
        fetch_credential(desk.attempt, plan.admitted, Purpose.RE_IDENTIFY)
    desk.attempt.record("ending", EndingDecided(ending="cancelled"))
    assert fetch_credential(desk.attempt, plan.admitted, Purpose.RE_IDENTIFY).record.service == ""  # what ends a run is fetched all the same
