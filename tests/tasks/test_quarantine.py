"""Quarantine: every way round it is shut, at the next gate and in the transaction of what would come next, until another person releases it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Failed
from sqlalchemy import create_engine, inspect
from tests.support.acts import append_signed, go_and_come_back
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import Denied, InputError, Quarantined, Tampered, Unavailable
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.flows import reconcile, resuming, rounds
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import QuarantineImposed, QuarantineReleased
from prefect_gatehouse.ledger.events import RunQueued, RunSuspended
from prefect_gatehouse.ledger.jobs import JobClosed, JobLeft
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.operate import quarantine as control
from prefect_gatehouse.operate.budgets import set_budget
from prefect_gatehouse.operate.inbox import inbox
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge, standing
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks import submit as submitting
from prefect_gatehouse.tasks.await_approval import await_approval
from prefect_gatehouse.tasks.await_release import await_release
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.tasks.write_back import write_back

TENANT = "tenant:test-tenant"


class Yard:
    """A run of the small project, and three people who may stop it: Tess, Uma and Bob, who may also approve it."""

    def __init__(self, folder: Path, backends: str = "aer") -> None:
        self.desk = Desk(folder, backends=backends)
        self.folder, self.ledger = folder, self.desk.ledger
        self.people = People(self.desk.settings.people_folder())
        for name in ("tess", "uma", "bob"):
            self.people.add(name, key=generate_key(folder / name, ""), roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED)
        self.asked = 0

    def as_(self, who: str) -> Settings:
        return self.desk.settings.model_copy(update={"identity": self.folder / who})

    def impose(self, what: str = TENANT, who: str = "tess") -> Event[QuarantineImposed]:
        return control.impose(self.as_(who), self.ledger, what, "Incident 7")

    def release(self, what: str = TENANT, who: str = "uma") -> None:
        control.release(self.as_(who), self.ledger, what, "It is over")

    def held(self) -> list[str]:
        return [each.name for each in holding(self.desk.settings, self.ledger).all()]

    def answer(self, plan: Plan, who: str = "bob", decision: Any = "approve") -> tuple[str, ...]:
        """Answers under a new key; why answers did not count so far."""
        self.asked += 1
        approve, reject = ask(self.desk.attempt, plan, f"k{self.asked}")
        proof = sshsig.sign(self.folder / who, (approve if decision == "approve" else reject).message())
        judge(self.desk.attempt, plan, f"k{self.asked}", Answer(decision=decision, proof=proof))
        return standing(self.ledger, plan).refusals

    def submitted(self) -> None:
        """Approved by Bob, its first round sent."""
        plan = self.desk.planned()
        self.answer(plan)
        approved = await_approval(self.desk.attempt, plan)
        circuits, summary = self.desk.first_round(plan)
        submit.in_round(0, self.desk.attempt, approved, circuits, summary, 0, Fetching())

    def forge(self, imposed: QuarantineImposed, **change: Any) -> None:
        """Writes a release as somebody with the database could; signed with a key of their own unless they have another one's signature."""
        generate_key(self.folder / f"own{self.asked}", "")
        statement = {
            "action": "release-quarantine",
            "quarantine": imposed.quarantine,
            "reason": "x",
            "environment": imposed.environment,
            "act": secrets.token_hex(16),
        }
        own = self.folder / f"own{self.asked}"
        self.asked += 1
        append_signed(self.ledger, QuarantineReleased, statement, "uma", own, **change)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """One backend."""
    made = Yard(tmp_path)
    with closing(made.ledger):
        yield made


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Yard]:
    """With a fallback."""
    made = Yard(tmp_path, "aer, braket-local")
    with closing(made.ledger):
        yield made


@pytest.mark.parametrize("what", [TENANT, "pipeline:small", "backend:aer", "backend:aer-gone", "principal:bob"])
def test_admission(yard: Yard, what: str) -> None:
    """Tenant, pipeline, the only backend; an unsigned request is anybody's, so one person in quarantine stops it. What has another name goes on."""
    yard.impose(what)
    if what == "backend:aer-gone":
        assert yard.desk.admitted()
        return
    with pytest.raises(Quarantined, match=r"is in quarantine, by tess since .* UTC \[\d+\]"):
        yard.desk.admitted()
    assert yard.ledger.events(RUN, "run-admitted") == []
    yard.release(what)
    assert yard.desk.admitted()


def test_a_run_that_waits(yard: Yard) -> None:
    """Its approval does not count and says why, the run goes on waiting; a no counts; released, the next yes does."""
    plan = yard.desk.planned()
    yard.impose()
    assert yard.answer(plan)[-1].startswith("tenant test-tenant is in quarantine, by tess")
    assert not standing(yard.ledger, plan).decided
    yard.release()
    yard.answer(plan)
    assert standing(yard.ledger, plan).decided and await_approval(yard.desk.attempt, plan)


def test_a_run_whose_approval_was_there_before(yard: Yard) -> None:
    """The process that takes it up does not pass the gate."""
    plan = yard.desk.planned()
    yard.answer(plan)
    yard.impose()
    with pytest.raises(Quarantined):
        await_approval(yard.desk.attempt, plan)


def test_an_approver_in_quarantine(yard: Yard) -> None:
    """Neither what they approved before carries anything, nor do they approve, budget or release any more."""
    plan = yard.desk.planned()
    yard.answer(plan)
    yard.impose("principal:bob")
    with pytest.raises(Quarantined):
        await_approval(yard.desk.attempt, plan)
    assert "principal bob is in quarantine" in yard.answer(plan, decision="reject")[-1]
    yard.impose("pipeline:small")
    for act in (lambda: yard.release("pipeline:small", "bob"), lambda: yard.impose(TENANT, "bob")):
        with pytest.raises(Quarantined):
            act()
    with pytest.raises(Quarantined):
        set_budget(yard.as_("bob"), yard.ledger, tenant="t", month_usd="1", reason="x")
    assert yard.held() == ["principal bob", "pipeline small"]


def test_a_run_resumed(yard: Yard) -> None:
    """Another process, the same no: before a credential is fetched; nothing is intended."""
    plan = yard.desk.planned()
    yard.answer(plan)
    approved = await_approval(yard.desk.attempt, plan)
    yard.impose("backend:aer")
    yard.desk.attempt, fetch = yard.desk.next_attempt(), Fetching()
    circuits, summary = yard.desk.first_round(plan)
    with pytest.raises(Quarantined, match="backend aer is in quarantine"):
        submit.in_round(0, yard.desk.attempt, approved, circuits, summary, 0, fetch)
    yard.impose()
    with pytest.raises(Quarantined, match="tenant test-tenant"):
        submit.in_round(0, yard.desk.attempt, approved, circuits, summary, 0, Fetching())
    with pytest.raises(Quarantined, match="tenant test-tenant"):
        Fetching()(yard.desk.attempt, plan.admitted, Purpose.WRITE_BACK)
    assert yard.desk.entries() == []


@pytest.mark.parametrize("what", [TENANT, "backend:aer"])
def test_in_the_middle_of_rounds(yard: Yard, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The first round is over, the second one is not begun."""
    plan = yard.desk.planned()
    yard.answer(plan)
    approved = await_approval(yard.desk.attempt, plan)
    monkeypatch.setattr(rounds, "show_round", lambda *of_the_round: yard.impose(what))
    with pytest.raises(Quarantined):
        rounds.run_rounds(yard.desk.attempt, approved)
    assert yard.desk.entries() == [(0, 0, "aer", "settled")]


def refusing(self: AerBackend, payload: bytes, key: str, lease: Any) -> str:
    raise Denied("no room", where="aer")


def test_a_fallback_to_a_backend_in_quarantine(two: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one refuses, the second one is in quarantine: nothing is intended there, and the run ends with that."""
    plan = two.desk.planned()
    two.answer(plan)
    approved = await_approval(two.desk.attempt, plan)
    two.impose("backend:braket-local")
    monkeypatch.setattr(AerBackend, "submit", refusing)
    circuits, summary = two.desk.first_round(plan)
    with pytest.raises(Quarantined, match="backend braket-local is in quarantine"):
        submit.in_round(0, two.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert two.desk.entries() == [(0, 0, "aer", "refused")]


def test_the_first_backend_in_quarantine(two: Yard) -> None:
    """The approved fallback is left, and its label says so; a quarantine of another provider is none of it."""
    two.impose("backend:aer")
    two.impose("backend:braket")
    plan = two.desk.planned()
    two.answer(plan)
    approved = await_approval(two.desk.attempt, plan)
    circuits, summary = two.desk.first_round(plan)
    made = submit.in_round(0, two.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert (made.label, {job.backend for job in made.jobs}) == ("fallback", {"braket-local"})


def test_between_the_look_and_the_intent(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look said yes, and the quarantine came then: the transaction of the intent says no."""
    plan = yard.desk.planned()
    yard.answer(plan)
    approved = await_approval(yard.desk.attempt, plan)
    monkeypatch.setattr(submitting, "passed_over", lambda *args, **more: yard.impose() and "")
    circuits, summary = yard.desk.first_round(plan)
    with pytest.raises(Quarantined):
        submit.in_round(0, yard.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert yard.desk.entries() == []


def test_between_the_intent_and_the_call(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The intent was there: nothing is sent, and it is not written off, since a process that died may have sent it."""
    plan = yard.desk.planned()
    yard.answer(plan)
    approved = await_approval(yard.desk.attempt, plan)
    monkeypatch.setattr(AerBackend, "find_by_key", lambda *args: yard.impose() and None)
    monkeypatch.setattr(AerBackend, "submit", lambda *args: pytest.fail("sent"))
    circuits, summary = yard.desk.first_round(plan)
    with pytest.raises(Quarantined):
        submit.in_round(0, yard.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert yard.desk.entries() == [(0, 0, "aer", "intended")]


@pytest.mark.parametrize("what", [TENANT, "backend:aer", "principal:bob"])
def test_write_back(yard: Yard, what: str) -> None:
    """Whatever was computed, where it was computed, and who approved it: no row of it arrives."""
    plan = yard.desk.planned()
    yard.answer(plan)
    outcome = validate_output(yard.desk.attempt, rounds.run_rounds(yard.desk.attempt, await_approval(yard.desk.attempt, plan)))
    yard.impose(what)
    with pytest.raises(Quarantined):
        write_back(yard.desk.attempt, await_release(yard.desk.attempt, outcome), Fetching())
    engine = create_engine(yard.desk.secrets["secret/url"])
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    yard.release(what)
    assert write_back(yard.desk.attempt, await_release(yard.desk.attempt, outcome), Fetching()).rows == 3


def test_released_by_the_same_person(yard: Yard) -> None:
    """Not with the same key, nor with another one of theirs; somebody without the role neither; and nothing of it counts if it is written anyway."""
    event = yard.impose()
    yard.people.add("tess", key=generate_key(yard.folder / "second", ""), roles=frozenset())
    yard.people.add("carl", key=generate_key(yard.folder / "carl", ""), roles=frozenset({"auditor"}))
    for who, why in (("tess", "by you"), ("second", "by you"), ("carl", "nobody's who may")):
        with pytest.raises(Denied, match=why):
            yard.release(who=who)
    for who, why in (("tess", "whoever imposed it"), ("second", "whoever imposed it"), ("carl", "not-an-approver")):
        held = holding(yard.desk.settings, yard.ledger).all()[0]
        _signed_by(yard, who, held.event.fact)
        assert why in holding(yard.desk.settings, yard.ledger).all()[0].void[-1]
    assert yard.held() == ["tenant test-tenant"]
    yard.release(str(event.seq))
    assert yard.held() == []


def _signed_by(yard: Yard, who: str, imposed: QuarantineImposed) -> None:
    """A release that this key has really signed."""
    statement = {
        "action": "release-quarantine",
        "quarantine": imposed.quarantine,
        "reason": "x",
        "environment": "local",
        "act": secrets.token_hex(16),
    }
    key = yard.folder / who
    person = {"second": "tess"}.get(who, who)
    append_signed(yard.ledger, QuarantineReleased, statement, person, key)


def test_forged_releases(yard: Yard) -> None:
    """In another's name with a key of one's own, with a key that did not sign, with a signature of another act: none counts, and verify tells."""
    imposed = yard.impose().fact
    other = yard.impose("pipeline:small").fact
    yard.release("pipeline:small")
    genuine = yard.ledger.facts(QuarantineReleased)[-1].fact
    yard.forge(imposed)
    yard.forge(imposed, key=genuine.key)
    yard.forge(imposed, key=genuine.key, signature=genuine.signature)
    yard.forge(imposed, signature="")
    yard.forge(other)
    assert yard.held() == ["tenant test-tenant"]
    assert len(list(problems(yard.ledger))) == 3  # the others are signed, by keys of nobody
    with pytest.raises(Quarantined):
        yard.desk.admitted()


def test_a_forged_quarantine_holds(yard: Yard) -> None:
    """Whoever can write into the database can stop things; what is doubtful stops, says so, and is released as any other."""
    fact = yard.impose("pipeline:other").fact
    with yard.ledger.transaction() as tx:
        tx.append("forged", "ledger", fact.model_copy(update={"quarantine": "forged", "scope": "tenant", "name": "test-tenant"}))
    (forged,) = [each for each in holding(yard.desk.settings, yard.ledger).all() if not each.authentic]
    assert forged.name == "tenant test-tenant"
    with pytest.raises(Quarantined):
        yard.desk.admitted()
    yard.release()
    assert yard.desk.admitted()


def test_a_release_whose_person_was_revoked_since(yard: Yard) -> None:
    """Revocation takes effect at once, here too: the quarantine holds again, says why, and somebody else releases it."""
    yard.impose()
    yard.release()
    yard.people.revoke("uma")
    (held,) = holding(yard.desk.settings, yard.ledger).all()
    assert "its key is nobody's of that name" in held.void[-1]
    yard.release(who="bob")
    assert yard.held() == []


def test_a_release_whose_person_was_revoked_and_added_again(yard: Yard) -> None:
    """Whoever comes back has released nothing."""
    yard.impose()
    yard.release()
    go_and_come_back(yard.desk.settings, yard.ledger, "uma", yard.folder / "uma", "approver")
    (held,) = holding(yard.desk.settings, yard.ledger).all()
    assert "revoked since" in held.void[-1]


def test_a_registry_that_nobody_can_read(yard: Yard) -> None:
    """A line that is none stops no emergency: the quarantine is signed with the key alone, and holds; no release counts meanwhile."""
    yard.impose()
    yard.release()
    with (yard.desk.settings.people_folder() / "allowed_signers").open("a") as stream:
        stream.write("junk\n")
    (held,) = holding(yard.desk.settings, yard.ledger).all()
    assert "can't be read" in held.void[-1]
    event = control.impose(yard.as_("tess"), yard.ledger, "pipeline:small", "leak")
    assert event.fact.person == event.fact.key and len(holding(yard.desk.settings, yard.ledger).all()) == 2


def test_a_release_whose_key_has_expired_since(yard: Yard) -> None:
    """What was signed while the key was valid stands, as an approval does; with the key revoked it would not."""
    yard.impose()
    yard.release()
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    yard.people.add("uma", key=public_line(yard.folder / "uma"), roles=frozenset(), valid_before=end)
    time.sleep(1.5)
    assert yard.people.owner_of(fingerprint(public_line(yard.folder / "uma"))) is None
    assert yard.held() == []


def test_an_act_of_a_newer_release(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this release can't read may stop anything, so it stops everything."""
    monkeypatch.setattr(QuarantineImposed, "version", QuarantineImposed.version + 1)
    event = QuarantineImposed.model_construct(scope="everything")  # type: ignore[call-arg]
    monkeypatch.setattr(QuarantineImposed, "data", lambda self: {"scope": "everything"})
    with yard.ledger.transaction() as tx:
        tx.append("newer", "ledger", event)
    monkeypatch.undo()
    with pytest.raises(Quarantined, match="newer release"):
        yard.desk.admitted()


def test_what_can_be_meant(yard: Yard) -> None:
    """A name alone is one that is known, once; another one stops nothing, and says so."""
    yard.desk.admitted()
    assert yard.impose("small").fact.scope == "pipeline" and yard.impose("BOB").fact.name == "bob" and yard.impose("aer").fact.scope == "backend"
    for what in ("smal", "tenant:", "tenant:A B", "team:small", "backend:a b", "principal:unverified"):
        with pytest.raises(InputError):
            yard.impose(what)
    with pytest.raises(InputError, match="not in quarantine"):
        yard.release("braket-local")


class Server:
    """As much of Prefect's client as going on needs; the run waits there for nobody."""

    def __init__(self) -> None:
        self.scheduled = 0

    def read_flow_run(self, _: Any) -> Any:
        return SimpleNamespace(state=Failed(timestamp=datetime.now(UTC) - timedelta(minutes=5)))

    def set_flow_run_state(self, _: Any, state: Any) -> Any:
        self.scheduled += 1
        return SimpleNamespace(status=SetStateStatus.ACCEPT)


def no_server() -> Any:
    raise Unavailable("no Prefect server is set", where="PREFECT_API_URL")


def test_what_is_queued_is_cancelled(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that has a job is ended: closed at its provider, key shredded; the server that is not there is told; who drove it is fenced out."""
    monkeypatch.setattr(control, "server", no_server)
    yard.submitted()
    event = yard.impose("backend:aer")
    done = control.carry_out(yard.as_("tess"), yard.ledger, event)
    assert [run_id for run_id, _ in done.ended] == [RUN] and done.paused == [] and len(done.not_done) == 1
    assert "no deployment was paused" in done.not_done[0]
    row = yard.ledger.run(RUN)
    assert row is not None and row.ending == "cancelled"
    assert yard.desk.entries() == [(0, 0, "aer", "closed")] and len(yard.ledger.facts(JobClosed)) == 1


def test_whoever_approved_it_ends_it_as_well(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what a server says in the middle of it keeps nothing else from being done, nor does it quote anybody."""

    def broken() -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(control, "server", broken)
    yard.submitted()
    done = control.carry_out(yard.as_("tess"), yard.ledger, yard.impose("principal:bob"))
    assert [run_id for run_id, _ in done.ended] == [RUN]
    assert done.not_done == ["no deployment was paused: RuntimeError"]


def test_a_machine_without_the_ledger_s_key_stops_it_all_the_same(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The act is recorded and carried out; whoever has the key signs the next head over it. To release is no emergency, and is told."""

    def no_key(*_: object) -> None:
        raise Tampered("the newest head is another key's", where="ledger")

    monkeypatch.setattr("prefect_gatehouse.operate.signing.seal_home", no_key)
    monkeypatch.setattr(control, "server", no_server)
    yard.submitted()
    done = control.carry_out(yard.as_("tess"), yard.ledger, yard.impose())
    assert [run_id for run_id, _ in done.ended] == [RUN] and yard.held() == ["tenant test-tenant"]
    with pytest.raises(Tampered):
        yard.release()


def test_nothing_resumes_a_run_in_quarantine(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand or by reconcile it would be denied at its next gate, and end; released, it goes on."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(yard.desk.settings.home))
    server = Server()
    yard.desk.planned()
    yard.desk.attempt.record("queued:1", RunQueued(message="waits", resume_at=time.time(), until=time.time() + 900))
    yard.impose()
    with pytest.raises(InputError, match="tenant test-tenant is in quarantine") as caught:
        resuming.go_on(server, yard.ledger, RUN)  # type: ignore[arg-type]
    assert "when it is released" in caught.value.advice
    row = yard.ledger.run(RUN)
    assert row is not None
    assert reconcile._resumed(server, yard.ledger, row, time.time())[0] == "not resumed"  # type: ignore[arg-type]
    assert server.scheduled == 0
    yard.release()
    assert reconcile._resumed(server, yard.ledger, row, time.time())[0] == "resumed"  # type: ignore[arg-type]
    assert server.scheduled == 1


def test_what_can_t_be_cancelled_is_an_obligation(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its provider does not answer: the run is ended all the same, and the job is left for reconcile."""
    monkeypatch.setattr(control, "server", no_server)
    yard.submitted()

    def away(*args: object) -> bool:
        raise Unavailable("the provider does not answer", where="aer")

    monkeypatch.setattr(AerBackend, "cancel", away)
    monkeypatch.setattr(AerBackend, "status", away)
    done = control.carry_out(yard.as_("tess"), yard.ledger, yard.impose())
    assert [(run_id, len(left)) for run_id, left in done.ended] == [(RUN, 1)]
    assert [event.fact.backend for event in yard.ledger.facts(JobLeft)] == ["aer"]


def test_a_run_that_waits_stays(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds nothing at a provider, and can't go on, which the inbox says: released, it can be approved."""
    monkeypatch.setattr(control, "server", no_server)
    yard.desk.planned()
    yard.desk.attempt.record("suspended", RunSuspended(until=4e9))
    done = control.carry_out(yard.as_("tess"), yard.ledger, yard.impose())
    assert (done.held, done.ended) == ([RUN], [])
    (waits,) = inbox(yard.as_("bob"), yard.ledger)[1]
    assert waits.not_mine.startswith("tenant test-tenant is in quarantine [")
    yard.release()
    assert inbox(yard.as_("bob"), yard.ledger)[1][0].not_mine == ""
