"""Wrong answers are limited and slow down, per person and per run, whichever process judges them; a code counts once."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.methods.totp import SPENT
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.totp import STEP_SECONDS, code_at
from prefect_gatehouse.ledger import store
from prefect_gatehouse.ledger.answers import AnswerRefused
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.run import approvals
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge, standing
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings
from tests.support.installed import know_packages
from tests.support.plans import plan_for, tier_rules, write_project

RUNS = tuple(f"3f0d5a3e-0000-4000-8000-00000000000{number}" for number in range(1, 5))
TIER = tier_rules(wrong_per_person=4, wrong_per_run=6, wrong_window_seconds=900)


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def now(self, zone: Any = None) -> datetime:
        return self.at

    def fromisoformat(self, text: str) -> datetime:
        return datetime.fromisoformat(text)


class Office:
    """Several runs of one pipeline that wait for approval, each with a process of its own, and one ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_project(folder / "project")
        self.settings = Settings(home=folder / "home")
        self.settings.folder("")
        self.ledger = Ledger(self.settings.ledger())
        self.people = People(self.settings.people_folder())
        self.secrets = {}
        for name in ("bob", "eve"):
            line = generate_key(folder / name, "")
            self.secrets[name] = self.people.add(name, key=line, roles=frozenset({"approver"}), totp=True, clearance=DataClass.RESTRICTED) or ""
        self.plans = {run_id: self._plan(run_id) for run_id in RUNS}
        self.attempts = {run_id: Attempt(self.settings, self.ledger, run_id, lambda block: SecretText("")) for run_id in RUNS}
        self.asked = 0

    def _plan(self, run_id: str) -> Plan:
        plan = plan_for(self.folder / "project", self.settings, tier=TIER, made_at=datetime.now(UTC))
        body = plan.body.model_copy(update={"run_id": run_id})
        return plan.model_copy(update={"body": body, "digest": body.digest()})

    def code(self, who: str, at: datetime) -> str:
        return code_at(base64.b32decode(self.secrets[who]), int(at.timestamp()) // STEP_SECONDS)

    def wrong(self, who: str, at: datetime) -> str:
        """A code that is none of the three that are right."""
        right = {self.code(who, at + timedelta(seconds=shift)) for shift in (-STEP_SECONDS, 0, STEP_SECONDS)}
        return next(code for code in ("000000", "000001", "000002", "000003") if code not in right)

    def answer(self, run_id: str, who: str, proof: str | None = None, decision: Any = "approve") -> Event[Any]:
        """Answers the run's next asking, by signature unless a code is given; the event of what it was worth."""
        self.asked += 1
        plan, attempt, key = self.plans[run_id], self.attempts[run_id], f"k{self.asked}"
        approve, reject = ask(attempt, plan, key)
        proof = proof or sshsig.sign(self.folder / who, (approve if decision == "approve" else reject).message())
        judge(attempt, plan, key, Answer(decision=decision, approver=who, proof=proof))
        event = self.ledger.event(f"{run_id}:answer:{key}")
        assert event is not None
        return event


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Four runs that wait."""
    made = Office(tmp_path)
    with contextlib.closing(made.ledger):
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time of judging and of writing."""
    made = Clock()
    for module in (approvals, store):
        monkeypatch.setattr(module, "datetime", made)
    return made


def test_thirty_wrong_codes_in_a_minute(office: Office, clock: Clock) -> None:
    """Over several runs: four are judged, the rest not looked at, a right one neither; the person is told until when, and may sign meanwhile."""
    told: list[AnswerRefused] = []
    for number in range(30):
        told.append(office.answer(RUNS[number % 3], "bob", office.wrong("bob", clock.at)).fact)
        clock.at += timedelta(seconds=2.4)
    assert sum(fact.wrong for fact in told) <= 4 and {fact.claimed for fact in told} == {"bob"}
    while told[-1].reason.startswith("too many"):  # past the pauses, to the limit itself
        assert told[-1].until is not None and not told[-1].wrong
        if sum(fact.wrong for fact in told) == 4:
            break
        clock.at = told[-1].until
        told.append(office.answer(RUNS[0], "bob", office.wrong("bob", clock.at)).fact)
    refused = office.answer(RUNS[3], "bob", office.code("bob", clock.at)).fact
    assert refused.until is not None and f"none is before {refused.until:%Y-%m-%d %H:%M:%S} UTC" in refused.reason
    assert refused.until - clock.at > timedelta(minutes=10)
    assert office.answer(RUNS[3], "bob").kind == "approval-given"
    assert office.answer(RUNS[2], "eve", office.code("eve", clock.at)).kind == "approval-given"  # somebody else's codes are theirs
    clock.at = refused.until
    assert office.answer(RUNS[1], "bob", office.code("bob", clock.at)).kind == "approval-given"


def test_each_wrong_code_makes_the_next_one_wait_longer(office: Office, clock: Clock) -> None:
    """The first one is a slip of the finger and costs no time; then 5 s, 10 s, and the refusal says so before the next code is typed."""
    waits = []
    for _ in range(3):
        fact = office.answer(RUNS[0], "bob", office.wrong("bob", clock.at)).fact
        assert fact.wrong and fact.reason == "the one-time code is wrong or too old"
        assert ("no code is looked at before" in fact.advice) == (fact.until is not None)
        waits.append(None if fact.until is None else (fact.until - clock.at).total_seconds())
        if fact.until is not None:
            clock.at = fact.until - timedelta(seconds=0.1)
            assert not office.answer(RUNS[1], "bob", office.code("bob", clock.at)).fact.wrong
            clock.at = fact.until
    assert [None if wait is None else round(wait) for wait in waits] == [None, 5, 10]
    assert office.answer(RUNS[0], "bob", office.code("bob", clock.at)).kind == "approval-given"


def test_a_run_has_a_limit_of_its_own(office: Office, clock: Clock) -> None:
    """In whoever's name: three wrong codes of each of two people close the run to codes of both, and no other run."""
    for number in range(6):
        clock.at += timedelta(seconds=60)
        office.answer(RUNS[0], ("bob", "eve")[number % 2], office.wrong("bob", clock.at) if number % 2 == 0 else office.wrong("eve", clock.at))
    clock.at += timedelta(seconds=60)
    assert office.answer(RUNS[0], "eve", office.code("eve", clock.at)).fact.reason.startswith("too many")
    assert office.answer(RUNS[1], "eve", office.code("eve", clock.at)).kind == "approval-given"


def test_an_event_names_only_people_of_the_registry(office: Office) -> None:
    """What somebody typed as the approver could be a code or a datum: it is written down where it is a person's identifier, and else unknown."""
    assert office.answer(RUNS[0], "BOB", office.wrong("bob", datetime.now(UTC))).fact.claimed == "bob"
    for run_id, typed in zip(RUNS[1:], ("CANARY-4711", "123456"), strict=False):
        fact = office.answer(run_id, typed, "654321").fact
        assert (fact.claimed, fact.wrong) == ("unknown", True)
    judge(office.attempts[RUNS[0]], office.plans[RUNS[0]], "none", None)
    assert office.ledger.find(f"{RUNS[0]}:answer:none", AnswerRefused).fact.wrong is False  # type: ignore[union-attr]
    assert "CANARY" not in "".join(str(event.data) for event in office.ledger.events())


def test_a_right_code_of_an_answer_that_did_not_count_is_spent(office: Office) -> None:
    """Whoever may not approve this plan has shown the code to every client of Prefect's API: nobody uses it for another run."""
    office.people.add("bob", roles=frozenset(), clearance=DataClass.PUBLIC)
    code = office.code("bob", datetime.now(UTC))
    fact = office.answer(RUNS[0], "bob", code).fact
    assert "not cleared" in fact.reason and not fact.wrong
    office.people.add("bob", roles=frozenset(), clearance=DataClass.RESTRICTED)
    assert office.answer(RUNS[1], "bob", code).fact.reason == SPENT


def test_a_tier_that_takes_no_codes_does_not_say_whether_one_is_right(office: Office) -> None:
    """Right or wrong, the answer is the same, and the code is not looked at."""
    office.plans = {run_id: plan_of_ssh(office, plan) for run_id, plan in office.plans.items()}
    now = datetime.now(UTC)
    facts = [office.answer(RUNS[0], "bob", proof).fact for proof in (office.code("bob", now), office.wrong("bob", now))]
    assert {(fact.reason, fact.wrong, fact.totp_step) for fact in facts} == {("the tier prototype needs ssh, this proof is totp", False, None)}


def plan_of_ssh(office: Office, plan: Plan) -> Plan:
    """The plan in a tier that wants signatures."""
    admitted = plan.admitted.model_copy(update={"tier": tier_rules(weakest_method="ssh")})
    minimised = plan.validated.minimised.model_copy(update={"admitted": admitted})
    return plan.model_copy(update={"validated": plan.validated.model_copy(update={"minimised": minimised})})


RIVAL = """
import json, sys
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import judge
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings

order = json.loads(sys.argv[1])
plan = Plan.model_validate_json(order["plan"])
settings = Settings(home=order["home"])
attempt = Attempt(settings, Ledger(settings.ledger()), plan.body.run_id, lambda block: SecretText(""))
attempt.people
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    judge(attempt, plan, f"race{number}", Answer(decision="approve", approver="bob", proof=line.strip()))
"""


def rivals(office: Office, proofs: list[str]) -> None:
    """Two processes judge the same answers of two runs at once."""
    know_packages(office.settings.home)
    started = []
    for run_id in RUNS[:2]:
        order = {"home": str(office.settings.home), "plan": office.plans[run_id].model_dump_json()}
        rival = subprocess.Popen([sys.executable, "-c", RIVAL, json.dumps(order)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(rival)
        assert rival.stdout is not None and rival.stdout.readline() == "ready\n"
    for rival in started:
        assert rival.stdin is not None
        rival.stdin.write("".join(f"{proof}\n" for proof in proofs))
        rival.stdin.flush()
    for rival in started:
        rival.communicate(timeout=100)
    assert [rival.returncode for rival in started] == [0, 0]


def test_two_processes_race_for_one_code(office: Office) -> None:
    """Both hold the same right code for their run at the same moment: it counts in one of them, and the other one says that it is spent."""
    rivals(office, [office.code("bob", datetime.now(UTC))])
    stood = [standing(office.ledger, office.plans[run_id]) for run_id in RUNS[:2]]
    assert sorted((len(each.approvals), each.refusals) for each in stood) == [(0, (SPENT,)), (1, ())]


def test_two_processes_guess_at_once(office: Office) -> None:
    """Thirty wrong codes each, as fast as they go: no more are judged than one process would have judged, and every one is in the ledger."""
    rivals(office, [office.wrong("bob", datetime.now(UTC))] * 30)
    refused = [event.fact for event in office.ledger.facts(AnswerRefused)]
    assert len(refused) == 60
    assert 2 <= sum(fact.wrong for fact in refused) <= 3  # the second one closes it for 5 s
