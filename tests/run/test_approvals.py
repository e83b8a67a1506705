"""Approvals in the ledger: what counts, once, and what is checked again before anything is submitted."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from prefect_gatehouse.errors import Denied, Expired, PlanChanged, Quarantined, Rejected, Superseded
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.statement import Statement
from prefect_gatehouse.identity.totp import STEP_SECONDS, code_at
from prefect_gatehouse.ledger.answers import ApprovalGiven, Asked, SignedAnswer
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import quarantine
from prefect_gatehouse.operate.registry import Registrar
from prefect_gatehouse.policy.cedar import policy_now
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run import approvals
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge, last_asked, refuse_late, require_approved, standing, statements
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.form import as_markdown
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.plan import refuse_changes
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings
from tests.support.bundles import own_files
from tests.support.plans import POLICY_DIGEST, RUN, plan_for, tier_rules, write_project


class Desk:
    """A run that waits for approval, and the people around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_project(folder / "project")
        self.settings = Settings(home=folder / "home")
        self.settings.folder("")
        self.ledger = Ledger(self.settings.ledger())
        self.attempt = Attempt(self.settings, self.ledger, RUN, lambda block: SecretText(""))
        self.people = People(self.settings.people_folder())
        self.secrets: dict[str, str] = {}
        for name, roles in (("ann", {"requester", "approver"}), ("bob", {"approver"}), ("eve", {"approver"})):
            line = generate_key(folder / name, "")
            secret = self.people.add(name, key=line, roles=frozenset(roles), totp=True, clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]
            self.secrets[name] = secret or ""
        self.asked = 0

    def plan(self, tier: TierRules | None = None, made_at: datetime | None = None) -> Plan:
        return plan_for(self.folder / "project", self.settings, tier=tier or tier_rules(), made_at=made_at or datetime.now(UTC))

    def answer(self, plan: Plan, who: str, decision: str = "approve", *, proof: str | None = None, key: str | None = None) -> None:
        """Asks under a new key, and answers with a signature unless a proof is given."""
        self.asked += 1
        key = key or f"k{self.asked}"
        approve, reject = ask(self.attempt, plan, key)
        signed = sshsig.sign(self.folder / who, (approve if decision == "approve" else reject).message())
        judge(self.attempt, plan, key, Answer(decision=decision, approver=who, proof=proof or signed))  # type: ignore[arg-type]

    def code(self, who: str) -> str:
        return code_at(base64.b32decode(self.secrets[who]), int(datetime.now(UTC).timestamp()) // STEP_SECONDS)

    def forge(self, plan: Plan, **data: object) -> None:
        """Writes an approval event as somebody with the database could."""
        approve, _ = ask(self.attempt, plan, "forged")
        event = {
            "plan_digest": plan.digest,
            "person": "bob",
            "method": "ssh",
            "fingerprint": "",
            "totp_step": None,
            "statement": approve.message().decode(),
            "signature": sshsig.sign(self.folder / "bob", approve.message()),
        }
        self.attempt.record("answer:forged", ApprovalGiven.model_validate(event | data))

    def require(self, plan: Plan) -> list[str]:
        held = holding(self.settings, self.ledger)
        return [approval.person for approval in require_approved(self.ledger, plan, self.people, policy_now(self.settings), held)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk."""
    made = Desk(tmp_path)
    with contextlib.closing(made.ledger):
        yield made


def test_an_approval_is_recorded_and_carries_the_plan(desk: Desk) -> None:
    """The event holds statement and signature, enough for an auditor with ssh-keygen; the plan is decided."""
    plan = desk.plan()
    assert not standing(desk.ledger, plan).decided
    with pytest.raises(Denied, match="0 of 1 approvals"):
        desk.require(plan)
    desk.answer(plan, "bob")
    (event,) = desk.ledger.events(RUN, "approval-given")
    assert sshsig.verify(event.data["signature"], event.data["statement"].encode()).fingerprint == event.data["fingerprint"]
    permitted = (event.data["permitted_by"], event.data["policy_digest"])
    assert permitted == (["act-permitted"], policy_now(desk.settings)().digest)
    now = standing(desk.ledger, plan)
    assert (now.decided, now.needed, now.answers, [item.person for item in now.approvals]) == (True, 1, 1, ["bob"])
    assert desk.require(plan) == ["bob"]


def test_what_is_signed_says_what_is_approved(desk: Desk) -> None:
    """Pipeline, requester, rows, classes, backends, worst cost, target and plan digest, a line each, from the ledger's plan."""
    plan = desk.plan()
    approve, reject = ask(desk.attempt, plan, "k")
    said, *lines = approve.message().decode().split("\n")
    words = dict(line.split(": ", 1) for line in lines)
    assert said == "I approve this run of Gatehouse."
    assert words["Pipeline"] == f"small, tier prototype, workload workload.py:solve ({plan.body.workload_digest[:12]})"
    assert (words["Requester"], words["Rows"], words["Backends"]) == ("ann", "3", "aer, braket-local")
    assert words["Classes that leave"] == "confidential (1 column), restricted (1 column)"
    assert words["Worst cost"] == "5 USD in at most 2 rounds and 10 jobs"
    assert words["Target"] == f"target at sqlite:///{desk.folder}/project/target.sqlite, table results, rows of class restricted"
    assert (words["Run"], words["Plan digest"]) == (RUN, plan.digest)
    assert reject.message().decode().split("\n")[1:] == lines


FORGED = {
    "pipeline": ("Pipeline: small", "Pipeline: harmless"),
    "rows": ("Rows: 3", "Rows: 1"),
    "classes": ("restricted (1 column)", "public (1 column)"),
    "cost": ("Worst cost: 5 USD", "Worst cost: 0 USD"),
    "target": ("table results", "table sandbox"),
    "requester": ("Requester: ann", "Requester: eve"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_form_that_shows_something_else_gives_no_valid_signature(desk: Desk, name: str) -> None:
    """Somebody changed a word of the statement in Prefect's form, digest and nonce are the plan's: what an operator signs there approves nothing."""
    plan = desk.plan()
    text = ask(desk.attempt, plan, "k1")[0].message().decode()
    old, new = FORGED[name]
    assert old in text
    desk.answer(plan, "bob", proof=sshsig.sign(desk.folder / "bob", text.replace(old, new).encode()))
    (refusal,) = standing(desk.ledger, plan).refusals
    assert refusal == "the SSH signature is not one of the statement to approve exactly this plan"
    with pytest.raises(Denied, match="0 of 1 approvals"):
        desk.require(plan)
    desk.answer(plan, "bob")
    assert desk.require(plan) == ["bob"]


def test_asking_twice_under_one_key_asks_the_same(desk: Desk) -> None:
    """A restarted process finds its own question again, nonce and all; a new key has a new nonce."""
    plan = desk.plan()
    first = ask(desk.attempt, plan, "k")
    assert ask(desk.attempt, plan, "k") == first
    assert ask(desk.attempt, plan, "k2")[0].nonce != first[0].nonce
    asked = last_asked(desk.ledger, plan)
    assert asked is not None and statements(plan, asked)[0].nonce == ask(desk.attempt, plan, "k2")[0].nonce


def test_replayed_signature_of_an_earlier_asking(desk: Desk) -> None:
    """What was signed for one question does not answer the next one of the same plan."""
    plan = desk.plan(tier_rules(approvers=2))
    old = sshsig.sign(desk.folder / "bob", ask(desk.attempt, plan, "old")[0].message())
    desk.answer(plan, "bob", proof=old)
    now = standing(desk.ledger, plan)
    assert now.approvals == ()
    assert "not one of the statement" in now.refusals[0]


def test_approval_of_another_plan(desk: Desk) -> None:
    """An approval stays with its plan: a changed one starts from nothing."""
    plan = desk.plan()
    desk.answer(plan, "bob")
    (desk.folder / "project" / "workload.py").write_text("def solve(features, parameters):\n    yield [1]\n")
    changed = desk.plan()
    assert changed.digest != plan.digest
    assert standing(desk.ledger, changed).approvals == ()
    with pytest.raises(Denied, match="0 of 1"):
        desk.require(changed)


def test_one_person_counts_once(desk: Desk) -> None:
    """Two approvals are two persons'; the second answer of the same one says so and changes nothing."""
    plan = desk.plan(tier_rules(approvers=2))
    desk.answer(plan, "bob")
    desk.answer(plan, "bob")
    assert standing(desk.ledger, plan).refusals == ("this person has approved already; another approver is needed",)
    with pytest.raises(Denied, match="1 of 2"):
        desk.require(plan)
    desk.answer(plan, "eve")
    assert desk.require(plan) == ["bob", "eve"]


def test_judging_twice_under_one_key(desk: Desk) -> None:
    """An answer is worth what it was worth the first time."""
    plan = desk.plan(tier_rules(approvers=2))
    desk.answer(plan, "bob", key="k")
    desk.answer(plan, "eve", key="k")
    judge(desk.attempt, plan, "k", None)
    assert [item.person for item in standing(desk.ledger, plan).approvals] == ["bob"]


def test_rejection_ends_it(desk: Desk) -> None:
    """One no stands, also beside enough approvals."""
    plan = desk.plan()
    desk.answer(plan, "bob")
    desk.answer(plan, "eve", "reject")
    assert standing(desk.ledger, plan).rejected_by == "eve"
    with pytest.raises(Rejected, match="eve"):
        desk.require(plan)


def test_refused_answers_do_not_count(desk: Desk) -> None:
    """The requester's own, an unreadable form and a wrong code are written down with their reason, and without the code."""
    plan = desk.plan()
    desk.answer(plan, "ann")
    judge(desk.attempt, plan, "unreadable", None)
    desk.answer(plan, "bob", proof="000000" if desk.code("bob") != "000000" else "000001")
    now = standing(desk.ledger, plan)
    assert (now.decided, now.answers, len(now.refusals)) == (False, 3, 3)
    assert not any("00000" in str(event.data) for event in desk.ledger.events(RUN, "answer-refused"))


def test_replayed_one_time_code(desk: Desk) -> None:
    """A code is spent for every run and plan of the ledger, also by a rejection; the code itself is kept nowhere."""
    plan = desk.plan(tier_rules(approvers=2))
    code = desk.code("bob")
    desk.answer(plan, "bob", "reject", proof=code)
    ((person, step),) = [(event.fact.person, event.fact.totp_step) for event in desk.ledger.facts(SignedAnswer)]
    assert step is not None
    assert (person, code_at(base64.b32decode(desk.secrets["bob"]), step)) == ("bob", code)
    desk.answer(plan, "bob", proof=code)
    assert any("has been used" in reason for reason in standing(desk.ledger, plan).refusals)
    assert not any(code in str(event.data.get("signature")) for event in desk.ledger.events(RUN))


def revoke_key(desk: Desk) -> None:
    desk.people.revoke("bob", fingerprint((desk.folder / "bob.pub").read_text()))


@pytest.mark.parametrize("revoke", [revoke_key, lambda desk: desk.people.revoke("bob")])
def test_revoked_after_approving(desk: Desk, revoke: Callable[[Desk], None]) -> None:
    """A key or a person that is revoked before the submission takes the approval along."""
    plan = desk.plan()
    desk.answer(plan, "bob")
    revoke(desk)
    with pytest.raises(Denied, match="revoked"):
        desk.require(plan)


def test_in_quarantine_after_approving(desk: Desk) -> None:
    """The approval of somebody who was stopped since carries nothing, whatever the run's tier."""
    plan = desk.plan()
    desk.answer(plan, "bob")
    quarantine.impose(desk.settings.model_copy(update={"identity": desk.folder / "eve"}), desk.ledger, "principal:bob", "x")
    with pytest.raises(Quarantined, match="principal bob"):
        desk.require(plan)


def test_a_clearance_taken_away_after_approving(desk: Desk) -> None:
    """An approver who may not read the data any more carries no plan about it; cleared again, the approval stands again."""
    plan = desk.plan()
    desk.answer(plan, "bob")
    desk.people.add("bob", roles=frozenset(), clearance=DataClass.CONFIDENTIAL)
    with pytest.raises(Denied, match="not cleared for data of class restricted"):
        desk.require(plan)
    desk.people.add("bob", roles=frozenset(), clearance=DataClass.RESTRICTED)
    assert desk.require(plan) == ["bob"]


def test_an_approval_that_is_too_old(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the manifest's deadline is: the tier's age counts, to the second."""
    plan = desk.plan(tier_rules(approval_age_seconds=3600))
    desk.answer(plan, "bob")
    (event,) = desk.ledger.facts(ApprovalGiven, RUN)

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return (event.when + timedelta(seconds=seconds)).astimezone(tz)

    monkeypatch.setattr(approvals, "datetime", Later)
    seconds = 3600
    assert desk.require(plan) == ["bob"]
    seconds = 3601
    with pytest.raises(Denied, match="older than the tier prototype lets it be"):
        desk.require(plan)


def test_another_class_is_another_plan(desk: Desk) -> None:
    """The class of the output and the rules of that class are in the digest that is signed: a change of either starts from nothing."""
    plan = desk.plan()
    desk.answer(plan, "bob")
    classes = plan.body.classes
    for change in (
        {"output_class": DataClass.PUBLIC},
        {"because": ("x",)},
        {"rules": classes.rules.model_copy(update={"artifacts_seconds": 1})},
        {"outputs": classes.outputs[:1]},
    ):
        body = plan.body.model_copy(update={"classes": classes.model_copy(update=change)})
        other = plan.model_copy(update={"body": body, "digest": body.digest()})
        assert other.digest != plan.digest
        with pytest.raises(Denied, match="0 of 1"):
            desk.require(other)
        with pytest.raises(PlanChanged, match="plan"):
            refuse_changes(desk.settings, plan.model_copy(update={"body": body}), POLICY_DIGEST)


def other_statement(desk: Desk, plan: Plan, **change: object) -> dict[str, object]:
    """A genuine signature of Bob's over another statement."""
    approve, _ = ask(desk.attempt, plan, "forged")
    statement = Statement.model_validate(approve.model_dump() | change)
    return {"statement": statement.message().decode(), "signature": sshsig.sign(desk.folder / "bob", statement.message())}


FORGERIES: dict[str, Callable[[Desk, Plan], dict[str, object]]] = {
    "signature_of_another_plan": lambda desk, plan: other_statement(desk, plan, subject_digest="f" * 64),
    "signature_of_another_run": lambda desk, plan: other_statement(desk, plan, request_id="another"),
    "signature_for_another_environment": lambda desk, plan: other_statement(desk, plan, environment="production"),
    "rejection_as_approval": lambda desk, plan: other_statement(desk, plan, action="reject"),
    "request_as_approval": lambda desk, plan: other_statement(desk, plan, action="request"),
    "signature_of_an_asking_that_was_not": lambda desk, plan: other_statement(desk, plan, nonce="e" * 32),
    "signature_of_another_person": lambda desk, plan: {"person": "eve"},
    "signature_missing": lambda desk, plan: {"signature": ""},
    "statement_no_json": lambda desk, plan: {
        "statement": "yes",
        "signature": sshsig.sign(desk.folder / "bob", b"yes"),
    },
    "the_requesters_own": lambda desk, plan: {
        "person": "ann",
        "signature": sshsig.sign(desk.folder / "ann", ask(desk.attempt, plan, "forged")[0].message()),
    },
    "stronger_method_claimed": lambda desk, plan: {"method": "ssh-fido"},
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_approval_event(desk: Desk, attack: str) -> None:
    """An event that somebody wrote into the ledger carries nothing: signature and statement are checked against this plan again."""
    plan = desk.plan()
    desk.forge(plan, **FORGERIES[attack](desk, plan))
    with pytest.raises(Denied):
        desk.require(plan)


def test_the_same_event_unforged(desk: Desk) -> None:
    """What the forgeries above start from is good: each is refused for its own reason."""
    plan = desk.plan()
    desk.forge(plan)
    assert desk.require(plan) == ["bob"]


@pytest.mark.parametrize("weakest", ["ssh", "ssh-fido"])
def test_event_of_a_code_where_the_tier_wants_more(desk: Desk, weakest: str) -> None:
    """An event that claims a code can't stand in a tier that wants a signature."""
    plan = desk.plan(tier_rules(weakest_method=weakest))
    desk.forge(plan, method="totp", signature="", statement="")
    with pytest.raises(Denied):
        desk.require(plan)


def test_expired_window(desk: Desk) -> None:
    """From the window's end on an answer is refused, and the plan is Expired."""
    plan = desk.plan(made_at=datetime.now(UTC) - timedelta(hours=2))
    desk.answer(plan, "bob")
    assert standing(desk.ledger, plan).refusals == ("the approval window has passed",)
    with pytest.raises(Expired):
        refuse_late(plan)
    refuse_late(desk.plan())


def test_a_superseded_attempt_judges_nothing(desk: Desk) -> None:
    """Once another process drives the run, this one can neither ask nor write down an answer."""
    plan = desk.plan()
    approve, _ = ask(desk.attempt, plan, "k")
    proof = sshsig.sign(desk.folder / "bob", approve.message())
    desk.ledger.begin_attempt(RUN)
    for act in (lambda: ask(desk.attempt, plan, "k2"), lambda: judge(desk.attempt, plan, "k", Answer(decision="approve", proof=proof))):
        with pytest.raises(Superseded):
            act()
    assert standing(desk.ledger, plan).answers == 0


@pytest.mark.parametrize("key", [True, False])
def test_revoked_and_added_again(desk: Desk, key: bool) -> None:
    """What somebody approved before the own revocation counts no more, whoever comes back with the same key; a new approval does."""
    line = (desk.folder / "bob.pub").read_text()
    plan = desk.plan()
    desk.answer(plan, "bob")
    registrar = Registrar(desk.settings, desk.ledger, "left the house")
    registrar.revoke("bob", fingerprint(line) if key else None)
    registrar.add("bob", key=line, roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED)
    with pytest.raises(Denied, match="revoked since"):
        desk.require(plan)
    later = desk.plan(tier=tier_rules(approval_window_seconds=1801))
    desk.answer(later, "bob")
    assert desk.require(later) == ["bob"]


def test_a_policy_limits_who_approves_what(desk: Desk) -> None:
    """Asked when an answer is judged, and again before jobs are made: an approval that it permits no more carries nothing."""
    desk.settings = desk.attempt.settings = own_files(desk.settings, desk.folder)
    rule = (
        '@id("own")\n@reason("{what} by Eve alone, where it costs so much")\nforbid (principal, action == Gatehouse::Action::"approve", resource)\n'
    )
    own = desk.settings.policies / "own.cedar"
    own.write_text(
        rule + 'when { context.cost_microdollars >= 1000000 && context.method == "ssh" } unless { principal == Gatehouse::Signer::"eve" };\n'
    )
    plan = desk.plan()
    desk.answer(plan, "bob")
    assert standing(desk.ledger, plan).refusals == ("a plan is approved by Eve alone, where it costs so much [own]",)
    own.unlink()
    desk.answer(plan, "bob")
    assert desk.require(plan) == ["bob"]
    own.write_text(rule + 'when { resource.tenant == "test-tenant" };\n')
    with pytest.raises(Denied, match=r"by Eve alone.*\[own\]"):
        desk.require(plan)
    own.write_text("forbid (")
    with pytest.raises(Denied, match="the policies can't be loaded"):
        desk.require(plan)
    desk.answer(plan, "eve", "reject")
    assert standing(desk.ledger, plan).rejected_by == "eve"


def owned(desk: Desk) -> Plan:
    """A plan that one approver is enough for, who, or another one, is a data owner as well."""
    return desk.plan(tier_rules(approver_roles=("approver", "data-owner")))


def add_role(desk: Desk, name: str, *roles: str) -> None:
    desk.people.add(name, roles=frozenset(roles), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]


def test_a_role_that_nobody_has_who_approved(desk: Desk) -> None:
    """Enough approvals are not enough: the run waits, says for whom, and goes on with the approval of somebody who has the role."""
    plan = owned(desk)
    desk.answer(plan, "bob")
    now = standing(desk.ledger, plan)
    assert (len(now.approvals), now.needed, now.missing, now.decided) == (1, 1, ("data-owner",), False)
    assert now.lacks == "; needed as well: somebody with the role data-owner"
    with pytest.raises(Denied, match="approved by nobody with the role data-owner"):
        desk.require(plan)
    form = as_markdown(plan, now, *statements(plan, ask_again(desk, plan)), {})
    assert "1 of 1 approvals (bob); needed as well: somebody with the role data-owner" in form
    add_role(desk, "eve", "approver", "data-owner")
    desk.answer(plan, "eve")
    now = standing(desk.ledger, plan)
    assert (now.missing, now.lacks, now.decided, desk.require(plan)) == ((), "", True, ["bob", "eve"])
    assert [event.data["roles"] for event in desk.ledger.events(RUN, "approval-given")] == [["approver"], ["approver", "data-owner"]]


def ask_again(desk: Desk, plan: Plan) -> Asked:
    ask(desk.attempt, plan, "again")
    asked = last_asked(desk.ledger, plan)
    assert asked is not None
    return asked


def test_one_person_with_both_roles(desk: Desk) -> None:
    """Between them is not each: one who is both is enough where one is."""
    plan = owned(desk)
    add_role(desk, "eve", "approver", "data-owner")
    desk.answer(plan, "eve")
    assert standing(desk.ledger, plan).decided and desk.require(plan) == ["eve"]


def test_roles_do_not_make_up_for_numbers(desk: Desk) -> None:
    """Two are asked for, one has every role: another one is needed."""
    plan = desk.plan(tier_rules(approvers=2, approver_roles=("data-owner",)))
    add_role(desk, "eve", "approver", "data-owner")
    desk.answer(plan, "eve")
    assert (standing(desk.ledger, plan).missing, standing(desk.ledger, plan).decided) == ((), False)
    with pytest.raises(Denied, match="1 of 2 approvals"):
        desk.require(plan)


def test_a_role_that_an_approver_had(desk: Desk) -> None:
    """Who is a data owner no more when jobs are about to be made, or became one after approving, does not count as one."""
    plan = owned(desk)
    desk.answer(plan, "bob")
    add_role(desk, "bob", "approver", "data-owner")
    assert standing(desk.ledger, plan).missing == ("data-owner",)
    with pytest.raises(Denied, match="nobody with the role data-owner"):
        desk.require(plan)
    add_role(desk, "eve", "approver", "data-owner")
    desk.answer(plan, "eve")
    assert desk.require(plan) == ["bob", "eve"]
    for name in ("bob", "eve"):
        desk.people.revoke(name)
        desk.people.add(name, key=public_line(desk.folder / name), roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED)
    with pytest.raises(Denied, match="nobody with the role data-owner"):
        desk.require(plan)
