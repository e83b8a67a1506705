"""Dual control: what a tier wants released is written back only once people who did not approve the plan have released exactly that."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import Denied, Expired, Rejected, Tampered
from prefect_gatehouse.evidence.approvals import problems
from prefect_gatehouse.evidence.examine import examine, trusted_key
from prefect_gatehouse.evidence.questions import releases_in_words, who
from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.answers import ApprovalGiven, ReleaseGiven
from prefect_gatehouse.ledger.events import PolicyDecided, RunSuspended
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.inbox import inbox
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.run import approvals
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, barred, judge, refuse_late, standing
from prefect_gatehouse.run.form import as_markdown
from prefect_gatehouse.run.matter import Matter, closes_at, digests_of, matter_of
from prefect_gatehouse.run.outcome import Outcome, outcome_of, words_of_outcome
from prefect_gatehouse.run.outcome_page import markdown, page
from prefect_gatehouse.run.planned import PlannedClasses
from prefect_gatehouse.run.policy_questions import ask_write_back
from prefect_gatehouse.run.proven import missing_releases
from prefect_gatehouse.run.reminders import due
from prefect_gatehouse.run.values import FrameShape, Plan, ReleasedOutcome, ValidatedOutcome
from prefect_gatehouse.tasks.await_release import await_release, wait_for_release
from prefect_gatehouse.tasks.validate_output import validate_output
from prefect_gatehouse.tasks.write_back import write_back


class Bureau(Desk):
    """A run that Ann asked for and Bob approved, whose outcome has passed its checks in a tier that wants it released by somebody else."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder, backends="aer", rehearsal="skip")
        tiers = self.settings.tiers
        tiers.write_text(tiers.read_text().replace("write_back_approvers: 0", "write_back_approvers: 1"))
        self.people = People(self.settings.people_folder())
        self.keys = {name: folder / name for name in ("ann", "bob", "eve", "dan")}
        for name, key in self.keys.items():
            roles = {"approver", *({"requester"} if name == "ann" else ())}
            self.people.add(name, key=generate_key(key, ""), roles=frozenset(roles), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]
        self.validated = validate_output(self.attempt, run_rounds(self.attempt, self.approved()))
        self.outcome = outcome_of(self.validated)
        self.asked = 0

    def planned(self) -> Plan:
        request = signed_for(self.settings.model_copy(update={"identity": self.keys["ann"]}), self.manifest)
        return up_to_the_plan(self.attempt, str(self.manifest), request)

    @property
    def plan(self) -> Plan:
        return self.outcome.plan

    def given(self, name: str, decision: str = "approve", *, about: Matter | None = None, proof: str = "") -> str:
        """Somebody answers; gives why it did not count, or nothing."""
        matter = about or self.outcome
        self.asked += 1
        key = f"r{self.asked}"
        statement = ask(self.attempt, matter, key)[decision == "reject"]
        proof = proof or sshsig.sign(self.keys[name], statement.message())
        before = len(standing(self.ledger, matter).refusals)
        judge(self.attempt, matter, key, Answer(decision=decision, approver=name, proof=proof))  # type: ignore[arg-type]
        refusals = standing(self.ledger, matter).refusals
        return refusals[-1] if len(refusals) > before else ""

    def forge(self, name: str, matter: Matter | None = None, **data: object) -> None:
        """Writes a release as somebody with the database could, with the signature of whoever joins in, and signs a head over it."""
        statement, _ = ask(self.attempt, matter or self.outcome, "forged")
        fields = {
            "plan_digest": self.plan.digest,
            "outcome_digest": self.outcome.digest,
            "person": name,
            "method": "ssh",
            "fingerprint": sshsig.verify(sshsig.sign(self.keys[name], b"x"), b"x").fingerprint,
            "statement": statement.message().decode(),
            "signature": sshsig.sign(self.keys[name], statement.message()),
        }
        self.attempt.record("answer:forged", ReleaseGiven.model_validate(fields | data))
        self.attempt.seal()

    def written(self) -> int:
        """Rows in the target."""
        path = self.folder / "target.sqlite"
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])

    def refuse(self, match: str, kind: type[Exception] = Denied) -> None:
        """Neither gate lets it pass, and the second one not even with a value that somebody made of their own; no secret is fetched."""
        fetch = Fetching()
        with pytest.raises(kind, match=match):
            await_release.body(self.attempt, self.validated)
        with pytest.raises(kind, match=match):
            write_back.body(self.attempt, ReleasedOutcome(outcome=self.validated, outcome_digest=self.outcome.digest), fetch)
        decided = [event.fact.action for event in self.ledger.facts(PolicyDecided, run_id=RUN)]
        assert self.written() == 0 and fetch.purposes == [] and "write_back" not in decided


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bureau, Path]:
    """The run as far as it gets by itself, and a copy of all that it left."""
    folder = tmp_path_factory.mktemp("house")
    made = Bureau(folder / "bureau")
    made.ledger.close()
    shutil.copytree(folder / "bureau", folder / "copy")
    return made, folder / "copy"


@pytest.fixture
def bureau(house: tuple[Bureau, Path]) -> Iterator[Bureau]:
    """A bureau, as it was left, and the run's next process."""
    made, copy = house
    shutil.rmtree(made.folder.parent)
    shutil.copytree(copy, made.folder.parent)
    made.ledger, made.asked = Ledger(made.settings.ledger()), 0
    made.attempt = made.next_attempt()
    with closing(made.ledger):
        yield made


def test_a_released_outcome_is_written_and_everybody_is_told_by_whom(bureau: Bureau) -> None:
    """Nothing passes before; then the run goes on, a later process finds the release, and show, who and verify name Eve."""
    bureau.refuse("0 of 1 releases")
    assert bureau.given("eve") == ""
    released = wait_for_release(bureau.attempt, bureau.validated)
    assert [(item.person, item.method) for item in released.releases] == [("eve", "ssh")] and released.outcome_digest == bureau.outcome.digest
    bureau.attempt = bureau.next_attempt()
    assert wait_for_release(bureau.attempt, bureau.validated) == released
    assert write_back(bureau.attempt, released, Fetching()).rows == bureau.written() == 3
    (line,) = releases_in_words(bureau.ledger, RUN)
    assert line.startswith("eve (ssh), ")
    (job, *_) = who(bureau.ledger, RUN)
    assert (job.approvers, job.released_by, job.problems) == (("bob (ssh)",), ("eve (ssh)",), ())
    bureau.attempt.seal()
    assert examine(bureau.settings, bureau.ledger, trusted_key(bureau.settings)).problems == []


def test_what_is_asked_shows_shape_and_checks_and_no_row(bureau: Bureau) -> None:
    """The form, the page, the artifact and what is signed name both digests, rows, columns with types, checks and target; nobody of the data."""
    outcome = bureau.outcome
    approve, reject = ask(bureau.attempt, outcome, "shown")
    form = as_markdown(outcome, standing(bureau.ledger, outcome), approve, reject, {"eve": "an SSH signature"})
    for shown in (form, page(outcome), markdown(outcome, page_at="p")):
        for text in (outcome.digest, bureau.plan.digest, "score", "int64", "restricted", "3, as many as the workload was given", "expect_"):
            assert text in shown, text
        assert "cid" not in shown and "s1_" not in shown  # of the source, whose tokens the frame has
    assert "Release the outcome of small to be written back?" in form and "0 of 1 releases (nobody yet)" in form
    said = approve.message().decode().splitlines()
    assert said[0] == "I release the outcome of this run of Gatehouse: it may be written back."
    for line in (f"Run: {RUN}", f"Plan digest: {bureau.plan.digest}", f"Outcome digest: {outcome.digest}", "Plan approved by: bob", "Requester: ann"):
        assert line in said
    assert reject.message().decode().startswith("I withhold the outcome of this run")
    asked = approvals.last_asked(bureau.ledger, outcome)
    assert asked is not None and asked.expects == {"eve": "an SSH signature", "dan": "an SSH signature"}
    report = bureau.settings.home / "reports" / RUN / "await_release.html"
    assert report.read_text() == page(outcome)


def test_who_may_not_release(bureau: Bureau) -> None:
    """Not the requester, not who approved the plan, nobody twice: the refusals say so, and nothing is written."""
    assert "the requester can't approve" in bureau.given("ann")
    assert bureau.given("bob") == "whoever approved the plan does not release its outcome"
    bureau.refuse("0 of 1 releases")
    assert bureau.given("eve") == ""
    assert "released it already" in bureau.given("eve")


def test_a_no_ends_it_also_of_somebody_who_approved_the_plan(bureau: Bureau) -> None:
    """Bob may not release, but what he approved he may stop; a yes of Eve's does not outweigh it."""
    assert bureau.given("eve") == "" and bureau.given("bob", "reject") == ""
    bureau.refuse("its outcome was withheld by bob", Rejected)
    with pytest.raises(Rejected):
        wait_for_release(bureau.attempt, bureau.validated)


def test_replayed_approvals_and_releases(bureau: Bureau) -> None:
    """A signature of the plan releases nothing, that of a release approves nothing, that for another outcome, or of a no, is none for this."""
    approve, _ = ask(bureau.attempt, bureau.plan, "plan")
    release, withhold = ask(bureau.attempt, bureau.outcome, "r9")
    other = Outcome(bureau.validated, bureau.outcome.body.model_copy(update={"rows": 2}), bureau.outcome.checked_at)
    eve = bureau.keys["eve"]
    for statement in (approve, withhold, release, ask(bureau.attempt, other, "other")[0]):
        assert "not one of the statement" in bureau.given("eve", proof=sshsig.sign(eve, statement.message()))
    assert "not one of the statement" in bureau.given("eve", about=bureau.plan, proof=sshsig.sign(eve, release.message()))
    assert [each.person for each in standing(bureau.ledger, bureau.plan).approvals] == ["bob"]
    bureau.refuse("0 of 1 releases")


def _of_the_plan(bureau: Bureau) -> dict[str, object]:
    statement, _ = ask(bureau.attempt, bureau.plan, "plan")
    return {"signature": sshsig.sign(bureau.keys["eve"], statement.message())}


FORGED: dict[str, tuple[str, Callable[[Bureau], dict[str, object]], str, str]] = {
    "plan-approvers-signature": ("bob", lambda _: {}, "whoever approved the plan", "is of somebody who approved its plan"),
    "requesters-signature": ("ann", lambda _: {}, "the requester is among the approvers", "is the requester's own"),
    "plan-approvers-key": ("bob", lambda _: {"person": "eve"}, "this key approved the plan", "or one that approved the plan"),
    "requesters-key": ("ann", lambda _: {"person": "eve"}, "a signature's key has been revoked", "is by the requester's key"),
    "plan-signature-replayed": ("eve", _of_the_plan, "not one of exactly this outcome", "is not signed, or not what was asked for"),
    "no-signature": ("eve", lambda _: {"signature": ""}, "not one of exactly this outcome", "is not signed"),
    "other-outcome": ("eve", lambda _: {"outcome_digest": "0" * 64}, "0 of 1 releases", "is of another outcome"),
    "other-plan": ("eve", lambda _: {"plan_digest": "0" * 64}, "0 of 1 releases", "is of another outcome"),
    "stronger-method": ("eve", lambda _: {"method": "ssh-fido"}, "another method than it proves", "names another key or method"),
}


@pytest.mark.parametrize("attack", FORGED)
def test_forged_releases(bureau: Bureau, attack: str) -> None:
    """Whoever writes the event into the ledger, head signed and all: neither gate takes it, and verify says what is wrong with it."""
    name, change, said, told = FORGED[attack]
    bureau.forge(name, **change(bureau))
    bureau.refuse(said)
    assert any(told in problem for problem in problems(bureau.ledger))


def test_an_approval_event_of_the_plan_is_no_release(bureau: Bureau) -> None:
    """Nor one that names the outcome: the kinds are two."""
    statement, _ = ask(bureau.attempt, bureau.outcome, "forged")
    fields = {"person": "eve", "method": "ssh", "statement": "", "signature": sshsig.sign(bureau.keys["eve"], statement.message())}
    digests = {"plan_digest": bureau.plan.digest, "outcome_digest": bureau.outcome.digest}
    bureau.attempt.permit("answer:forged", ApprovalGiven.model_validate(fields | digests))
    bureau.refuse("0 of 1 releases")
    assert len(standing(bureau.ledger, bureau.plan).approvals) == 1
    assert any("the approval is of another plan" in problem for problem in problems(bureau.ledger))


def test_rows_that_were_written_without_a_release(bureau: Bureau) -> None:
    """Whoever got round the gates: verify counts the releases before the decision to write, and one that comes behind it is none."""
    assert missing_releases(bureau.ledger, RUN) == ""
    decision = PolicyDecided(action="write_back", allowed=True, reasons=("permitted",), policy_digest=bureau.attempt.policy.digest)
    bureau.attempt.permit("decided:0:write_back", decision)
    assert bureau.given("eve") == ""
    assert "0 of 1 releases of what it writes back are proven" in missing_releases(bureau.ledger, RUN)
    assert any("0 of 1 releases" in problem for problem in problems(bureau.ledger))
    assert any("0 of 1 releases" in problem for each in who(bureau.ledger, RUN) for problem in each.problems)


def test_a_release_that_was_not_sealed(bureau: Bureau) -> None:
    """What comes after a release has a signed head between them, or verify tells: nobody slips one in behind its head."""
    statement, _ = ask(bureau.attempt, bureau.outcome, "late")
    signature = sshsig.sign(bureau.keys["eve"], statement.message())
    bureau.attempt.seal()
    fields = {"person": "eve", "method": "ssh", "fingerprint": sshsig.verify(signature, statement.message()).fingerprint, "signature": signature}
    fact = ReleaseGiven.model_validate({**fields, "statement": statement.message().decode(), **digests_of(bureau.outcome)})
    bureau.attempt.record("answer:late", fact)
    (event,) = bureau.ledger.facts(ReleaseGiven, RUN)
    await_release(bureau.attempt, bureau.validated)
    bureau.attempt.seal()
    found = examine(bureau.settings, bureau.ledger, trusted_key(bureau.settings)).problems
    assert [f"the signed head over event {event.seq}" in each for each in found] == [True]


def test_the_policy_is_told_how_many_released(bureau: Bureau) -> None:
    """Its no names the rule and the command; with the release it says yes."""
    asked = (bureau.attempt.policy, bureau.plan, True, "local", DataClass.RESTRICTED)
    with pytest.raises(Denied, match="not-enough-releases") as denied:
        ask_write_back(*asked)
    assert denied.value.advice == f"have another approver release it: gatehouse approve {RUN}"
    assert ask_write_back(*asked, releases=1).allowed


def as_of_a_service(outcome: Outcome, **body: object) -> Outcome:
    """The same, had a service asked for the run, with something else in the plan's body."""
    plan, raw = outcome.plan, outcome.validated.raw
    requester = plan.admitted.requester.model_copy(update={"service": True})
    admitted = plan.admitted.model_copy(update={"requester": requester})
    minimised = plan.validated.minimised.model_copy(update={"admitted": admitted})
    validated = plan.validated.model_copy(update={"minimised": minimised})
    changed = plan.model_copy(update={"validated": validated, "body": plan.body.model_copy(update=body)})
    approved = raw.approved.model_copy(update={"plan": changed})
    return replace(outcome, validated=outcome.validated.model_copy(update={"raw": raw.model_copy(update={"approved": approved})}))


def test_an_outcome_of_what_a_service_asked_for(bureau: Bureau) -> None:
    """Those who release it sign that a service asked; whoever signed for the run is none of them."""
    outcome = as_of_a_service(bureau.outcome, source_classes=PlannedClasses(classification="1", signed_by="dan", at="now"))
    assert dict(words_of_outcome(outcome))["Requester"] == "ann, a service"
    assert barred(bureau.ledger, outcome) == {"bob": "approved its plan", "dan": "signed the classes of its source"}
    assert "who signed the classes of its source, may have had it ask" in bureau.given("dan", about=outcome)
    assert bureau.given("eve", about=outcome) == ""


def test_people_are_reminded_of_what_waits_to_be_released(bureau: Bureau) -> None:
    """From when its checks passed, with its shape and what is asked for; not any more once it is released."""
    bureau.attempt.record("suspended:1:r", RunSuspended(until=closes_at(bureau.outcome).timestamp()))
    settings = bureau.settings.model_copy(update={"notify": "slack-webhook/first", "remind_minutes": 60})
    later = bureau.outcome.checked_at + timedelta(minutes=61)
    (reminder,) = due(settings, bureau.ledger, later)
    assert reminder.subject == "small CHG-7 waits for release of its outcome" and "0 of 1 releases" in reminder.body
    assert "3 rows of class restricted, from aer, for " in reminder.body and reminder.fact.outcome_digest == bureau.outcome.digest
    assert list(due(settings, bureau.ledger, bureau.outcome.checked_at + timedelta(minutes=59))) == []
    assert bureau.given("eve") == ""
    assert list(due(settings, bureau.ledger, later)) == []


def _changed(validated: ValidatedOutcome, what: str) -> ValidatedOutcome:
    """The same with something else in it that is asked about."""
    raw, shape = validated.raw, validated.shape
    assert shape is not None
    first, *others = validated.report.results
    return validated.model_copy(
        update={
            "rows": {"raw": raw.model_copy(update={"frame": raw.frame.model_copy(update={"rows": 2})})},
            "label": {"raw": raw.model_copy(update={"label": "fallback"})},
            "columns": {"shape": shape.model_copy(update={"columns": shape.columns[1:]})},
            "content": {"shape": shape.model_copy(update={"rows_digest": "0" * 64})},
            "checks": {"report": validated.report.model_copy(update={"results": (first.model_copy(update={"success": False}), *others)})},
        }[what]
    )


@pytest.mark.parametrize("what", ["rows", "label", "columns", "content", "checks"])
def test_another_outcome_is_asked_about_anew(bureau: Bureau, what: str) -> None:
    """What Eve released is this: with anything in it changed, nobody has released it."""
    assert bureau.given("eve") == ""
    changed = _changed(bureau.validated, what)
    assert outcome_of(changed).digest != bureau.outcome.digest and not standing(bureau.ledger, outcome_of(changed)).decided
    with pytest.raises(Denied, match="0 of 1 releases"):
        await_release.body(bureau.attempt, changed)
    with pytest.raises((Denied, Tampered)):
        write_back.body(bureau.attempt, ReleasedOutcome(outcome=changed, outcome_digest=bureau.outcome.digest), Fetching())
    assert bureau.written() == 0


def test_rows_exchanged_after_the_release(bureau: Bureau) -> None:
    """The frame's artifact is another one by now: the rows are compared with what was released."""
    assert bureau.given("eve") == ""
    shape = bureau.validated.shape
    assert isinstance(shape, FrameShape)
    released = await_release(bureau.attempt, bureau.validated)
    table = bureau.attempt.store.read(bureau.validated.raw.frame, bureau.attempt.key)
    other = bureau.attempt.store.write(RUN, "other", table.slice(0, 2), bureau.attempt.key)
    raw = released.outcome.raw.model_copy(update={"frame": other})
    forged = released.model_copy(update={"outcome": released.outcome.model_copy(update={"raw": raw})})
    with pytest.raises(Tampered, match="not those that were released"):
        write_back.body(bureau.attempt, forged, Fetching())
    assert bureau.written() == 0


def test_a_release_stands_only_as_long_as_who_gave_it(bureau: Bureau) -> None:
    """Eve is revoked between her release and the writing."""
    assert bureau.given("eve") == ""
    released = await_release(bureau.attempt, bureau.validated)
    bureau.people.revoke("eve")
    with pytest.raises(Denied, match="revoked since"):
        write_back.body(bureau.attempt, released, Fetching())
    assert bureau.written() == 0


def test_nobody_released_in_time(bureau: Bureau) -> None:
    """The window opens when the checks have passed, not when the plan was made."""
    shape = bureau.validated.shape
    assert shape is not None
    assert closes_at(bureau.outcome) == shape.checked_at + timedelta(seconds=bureau.plan.admitted.tier.approval_window_seconds)
    old = shape.model_copy(update={"checked_at": shape.checked_at - timedelta(days=2)})
    late = outcome_of(bureau.validated.model_copy(update={"shape": old}))
    assert late.digest == bureau.outcome.digest
    with pytest.raises(Expired):
        refuse_late(late)
    assert bureau.given("eve", about=late) == "the approval window has passed"


def test_what_waits_is_in_the_inbox_of_those_who_may(bureau: Bureau) -> None:
    """Eve finds it as hers; Bob and Ann are told what the gate would tell them."""
    ask(bureau.attempt, bureau.outcome, "r")
    bureau.attempt.record("suspended:1:r", RunSuspended(until=closes_at(bureau.outcome).timestamp(), message="waits for release of its outcome"))

    def told(name: str) -> list[str]:
        _, found = inbox(bureau.settings.model_copy(update={"identity": bureau.keys[name]}), bureau.ledger)
        return [f"{each.asks}: {each.not_mine}" for each in found]

    assert told("eve") == ["release the outcome: "]
    assert told("bob") == ["release the outcome: whoever approved the plan does not release its outcome"]
    assert told("ann") == ["release the outcome: the requester can't approve or reject the own run; another person has to"]
    row = bureau.ledger.run(RUN)
    assert row is not None and row.message == "waits for release of its outcome"
    matter = matter_of(bureau.ledger, RUN)
    assert isinstance(matter, Outcome) and matter.digest == bureau.outcome.digest
