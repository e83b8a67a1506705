"""Exceptions to the policy: to one rule, for one tenant or pipeline, until a day; whatever is wrong with one, it is as if it were not there."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.acts import append_signed, go_and_come_back
from tests.support.gates import Desk, Fetching

from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.services import Service
from prefect_gatehouse.ledger.acts import ExceptionGranted, ExceptionRevoked
from prefect_gatehouse.ledger.events import PolicyDecided
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import exceptions as control
from prefect_gatehouse.operate import quarantine
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.policy.cedar import CedarPolicy, load_policy
from prefect_gatehouse.policy.exceptions import Excepting
from prefect_gatehouse.policy.interface import Question
from prefect_gatehouse.run import excepted
from prefect_gatehouse.run.approvals import ask, standing
from prefect_gatehouse.run.form import as_markdown
from prefect_gatehouse.run.plan_words import words_of
from prefect_gatehouse.run.values import AdmittedRun, ApprovedPlan, Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.submit import submit

RULE = "backend-not-in-tier"


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


class Bureau:
    """A pipeline on a backend that its tier does not take; Ann asks for its runs, Tess, Uma and Bob may approve, Olga owns what is excepted."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder, backends="aer")
        tiers = self.desk.settings.tiers
        tiers.write_text(tiers.read_text().replace("backends: [aer, braket-local]", "backends: [braket-local]"))
        self.folder, self.ledger, self.settings = folder, self.desk.ledger, self.desk.settings
        self.people = People(self.settings.people_folder())
        for name, role in (("ann", "requester"), ("olga", "auditor"), ("tess", "approver"), ("uma", "approver")):
            key = generate_key(folder / name, "")
            self.people.add(name, key=key, roles=frozenset({role}), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]

    def as_(self, who: str) -> Settings:
        return self.settings.model_copy(update={"identity": self.folder / who})

    def serve(self, name: str) -> bool:
        self.people.add(name, key=generate_key(self.folder / name, ""), roles=frozenset({"requester"}), service=Service(tenants=("test-tenant",)))
        return False

    def again(self, who: str) -> None:
        """Somebody goes, and comes back with the same key."""
        go_and_come_back(self.settings, self.ledger, who, self.folder / who, "approver")

    def grant(self, who: str = "tess", **change: str) -> Event[ExceptionGranted]:
        said = {
            "rule": RULE,
            "tenant": "test-tenant",
            "owner": "olga",
            "ticket": "CHG-9",
            "risk": "slower",
            "control": "watched",
            "until": f"{in_days(3):%Y-%m-%d}",
        }
        return control.grant(self.as_(who), self.ledger, control.Wanted.model_validate({**said, "reason": "Pilot", **change}))

    def write(self, who: str = "tess", key: str = "", **change: Any) -> None:
        """A grant as somebody with the database could write it, signed by whoever's key it is."""
        statement = {
            "action": "grant-exception",
            "exception": secrets.token_hex(8),
            "rule": RULE,
            "tenant": "test-tenant",
            "pipeline": "",
            "owner": "olga",
            "ticket": "CHG-9",
            "residual_risk": "slower",
            "compensating_control": "watched",
            "expires": f"{in_days(3):%Y-%m-%dT%H:%M:%SZ}",
            "reason": "Pilot",
            "environment": "local",
            **change,
        }
        append_signed(self.ledger, ExceptionGranted, statement, who, self.folder / (key or who))

    def admitted(self, who: str = "ann") -> AdmittedRun:
        return admit(self.desk.attempt, str(self.desk.manifest), signed_for(self.as_(who), self.desk.manifest))

    def planned(self) -> Plan:
        return up_to_the_plan(self.desk.attempt, str(self.desk.manifest), signed_for(self.as_("ann"), self.desk.manifest))

    def submitted(self, approved: ApprovedPlan) -> None:
        circuits, summary = self.desk.first_round(approved.plan)
        submit.in_round(0, self.desk.attempt, approved, circuits, summary, 0, Fetching())


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Bureau]:
    """Nothing is excepted yet."""
    made = Bureau(tmp_path)
    with closing(made.ledger):
        yield made


def test_from_the_grant_to_the_submission(bureau: Bureau) -> None:
    """Denied without it; with it each decision names rule and exception, the plan and the signed words tell of it, and the list counts the run."""
    with pytest.raises(Denied, match=RULE):
        bureau.admitted()
    event = bureau.grant()
    reason = f"excepted:{RULE}:{event.fact.exception}"
    assert bureau.admitted().decision.reasons == (reason,)
    plan = bureau.planned()
    assert [(each.rule, each.owner, each.granted_by) for each in plan.body.exceptions] == [(RULE, "olga", "tess")]
    assert ("Exceptions to the policy", f"{RULE} until {event.fact.expires:%Y-%m-%d}") in words_of(plan)
    shown = as_markdown(plan, standing(bureau.ledger, plan), *ask(bureau.desk.attempt, plan, "shown"), {})
    assert "watched" in shown and "CHG-9" in shown
    bureau.submitted(bureau.desk.approve(plan))
    assert [fact.reasons for fact in (each.fact for each in bureau.ledger.facts(PolicyDecided)) if fact.action == "submit"] == [(reason,)]
    (known,) = control.known(bureau.settings, bureau.ledger)
    assert (known.runs, known.granted.void, known.reviews) == (1, "", ())
    assert list(problems(bureau.ledger)) == []


VOID: dict[str, Callable[[Bureau], None]] = {
    "expired": lambda bureau: bureau.write(expires=f"{in_days(-0.01):%Y-%m-%dT%H:%M:%SZ}"),
    "for_a_year": lambda bureau: bureau.write(expires=f"{in_days(365):%Y-%m-%dT%H:%M:%SZ}"),
    "granted_by_its_owner": lambda bureau: bureau.write(owner="tess"),
    "owned_by_nobody": lambda bureau: bureau.write(owner="nobody"),
    "owned_by_a_service": lambda bureau: bureau.serve("ci") or bureau.write(owner="ci"),
    "another_tenant": lambda bureau: bureau.write(tenant="other"),
    "another_pipeline": lambda bureau: bureau.write(pipeline="other"),
    "another_environment": lambda bureau: bureau.write(environment="production"),
    "another_rule": lambda bureau: bureau.write(rule="class-above-tier"),
    "by_somebody_who_may_not": lambda bureau: bureau.write("ann"),
    "in_another_s_name": lambda bureau: bureau.write("tess", key="own"),
    "revoked": lambda bureau: control.revoke(bureau.as_("uma"), bureau.ledger, str(bureau.grant().seq), "x") and None,
    "its_person_revoked": lambda bureau: bureau.grant() and bureau.people.revoke("tess"),
    "its_person_revoked_and_added_again": lambda bureau: bureau.grant() and bureau.again("tess"),
    "its_person_in_quarantine": lambda bureau: bureau.grant() and quarantine.impose(bureau.as_("uma"), bureau.ledger, "tess", "x") and None,
}


@pytest.mark.parametrize("name", VOID)
def test_what_does_not_count(bureau: Bureau, name: str) -> None:
    """The rule says no, as if there were nothing."""
    VOID[name](bureau)
    with pytest.raises(Denied, match=RULE):
        bureau.admitted()


def test_an_edited_grant(bureau: Bureau) -> None:
    """Its day put off by somebody with the database: the signature is of another one, and verify tells."""
    fact = bureau.grant(until=f"{in_days(1):%Y-%m-%d}").fact
    control.revoke(bureau.as_("tess"), bureau.ledger, fact.exception, "x")
    with bureau.ledger.transaction() as tx:
        tx.append("edited", "ledger", fact.model_copy(update={"exception": "new", "expires": fact.expires + timedelta(days=20)}))
    with pytest.raises(Denied, match=RULE):
        bureau.admitted()
    assert len(list(problems(bureau.ledger))) == 1


def test_rules_that_have_no_exceptions(bureau: Bureau) -> None:
    """Nobody grants one, and one that is written counts for nothing."""
    with pytest.raises(Denied, match="none may be excepted"):
        bureau.grant(rule="environment-mismatch")
    bureau.desk.change("environment: local", "environment: elsewhere")
    bureau.write(rule="environment-mismatch", environment="elsewhere")
    bureau.write(environment="elsewhere")
    with pytest.raises(Denied, match="environment-mismatch"):
        bureau.admitted()


def test_not_for_one_s_own_run_nor_for_nobody_s(bureau: Bureau) -> None:
    """Whoever granted it asks without it; so does whoever has not signed, who could be the same."""
    bureau.grant()
    bureau.people.add("tess", roles=frozenset({"requester"}))
    for ask_for in (lambda: bureau.admitted("tess"), bureau.desk.admitted):
        with pytest.raises(Denied, match=RULE):
            ask_for()
    assert bureau.admitted("ann")


def revoked(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    (event,) = bureau.ledger.facts(ExceptionGranted)
    control.revoke(bureau.as_("uma"), bureau.ledger, str(event.seq), "Found something")


def replaced(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    revoked(bureau, monkeypatch)
    bureau.grant("uma")  # one that the plan does not name


def expired(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(days=5)

    monkeypatch.setattr(excepted, "datetime", Later)


@pytest.mark.parametrize("happened", [revoked, replaced, expired])
def test_an_exception_that_ended_during_the_wait(bureau: Bureau, monkeypatch: pytest.MonkeyPatch, happened: Callable[..., None]) -> None:
    """Approved while it held: the submission is denied all the same, and nothing is intended. A later one is no part of the plan."""
    bureau.grant()
    approved = bureau.desk.approve(bureau.planned())
    happened(bureau, monkeypatch)
    with pytest.raises(Denied, match=RULE):
        bureau.submitted(approved)
    assert bureau.desk.entries() == []


def test_a_forged_revocation_counts(bureau: Bureau) -> None:
    """What is doubtful takes away."""
    fact = bureau.grant().fact
    forged = {"action": "revoke-exception", "exception": fact.exception, "reason": "x", "environment": "local", "act": "a"}
    with bureau.ledger.transaction() as tx:
        tx.append("forged", "ledger", ExceptionRevoked.model_validate(forged | {"person": "x", "key": "x", "signature": "x"}))
    with pytest.raises(Denied, match=RULE):
        bureau.admitted()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rule": "no-such-rule"}, "no such rule"),
        ({"owner": "nobody"}, "not in the registry"),
        ({"owner": "tess"}, "another person than its owner"),
        ({"until": "soon"}, "no day"),
        ({"until": "2020-01-01"}, "over, or too far"),
        ({"until": f"{in_days(200):%Y-%m-%d}"}, "over, or too far"),
        ({"tenant": "A B"}, "none that a manifest could have"),
        ({"risk": ""}, "nothing is written there"),
    ],
)
def test_what_is_not_granted(bureau: Bureau, change: dict[str, str], told: str) -> None:
    """One error that names the option, and nothing in the ledger."""
    with pytest.raises(GatehouseError, match=told):
        bureau.grant(**change)
    assert bureau.ledger.facts(ExceptionGranted) == []


def test_who_reviews(bureau: Bureau) -> None:
    """Neither its owner nor who granted it; the list says who looked last."""
    number = str(bureau.grant().seq)
    bureau.people.add("olga", roles=frozenset({"approver"}))
    for who in ("tess", "olga"):
        with pytest.raises(Denied, match="another person than its owner"):
            control.review(bureau.as_(who), bureau.ledger, number, "x")
    control.review(bureau.as_("uma"), bureau.ledger, number, "Still needed")
    (known,) = control.known(bureau.settings, bureau.ledger)
    assert [(each.fact.person, each.fact.reason) for each in known.reviews] == [("uma", "Still needed")]
    with pytest.raises(InputError, match="no such exception"):
        control.revoke(bureau.as_("uma"), bureau.ledger, "99", "x")


def test_an_exception_replaces_no_permit(bureau: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule that it is about nothing says no; where the policies permit nothing there either, the answer stays no."""
    asked: list[Question] = []
    ask_ = CedarPolicy.ask
    monkeypatch.setattr(CedarPolicy, "ask", lambda self, question: asked.append(question) or ask_(self, question))
    bureau.grant()
    bureau.admitted()
    question = next(each for each in asked if each.action == "request")
    folder = bureau.folder / "policies"
    shutil.copytree(bureau.settings.policies, folder)
    file, granted = folder / "gatehouse.cedar", excepted._granted(bureau.settings, bureau.ledger)
    wide = load_policy(folder)
    assert not wide.ask(question).allowed and Excepting(wide, granted).ask(question).allowed
    permit = re.search(r"permit\s*\([^;]*\);", file.read_text())
    assert permit is not None
    file.write_text(file.read_text().replace(permit[0], permit[0].removesuffix(";") + ' when { resource.tier == "business" };'))
    narrow = load_policy(folder)
    assert narrow.ask(question).reasons == wide.ask(question).reasons
    assert not Excepting(narrow, granted).ask(question).allowed
