"""Approvals as evidence: each is proven by its signature, of this plan, and was asked for; or it is told what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.run.test_approvals import Desk
from tests.support.plans import RUN, tier_rules

from prefect_gatehouse.evidence.approvals import problems
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.ledger.events import GatePassed, PolicyDecided, RunInterrupted
from prefect_gatehouse.run.approvals import ask
from prefect_gatehouse.run.proven import approvals_of


class Recorded(Desk):
    """A desk whose plan is in the ledger."""

    def __init__(self, folder: Path, **tier: Any) -> None:
        super().__init__(folder)
        self.made = self.plan(tier_rules(**tier), made_at=datetime.now(UTC))
        validated = self.made.validated
        for value in (validated.minimised.admitted, validated.minimised, validated, self.made):
            self.attempt.record(value.passage, GatePassed(gate=value.gate, value=self.attempt.chain.stored(value)))

    def write(self) -> int:
        """What the gates write down of rows that go out, and of a process that dies behind that; the number of the decision."""
        self.attempt.permit("decided:0:write_back", PolicyDecided(action="write_back", allowed=True, reasons=("permitted",)))
        self.attempt.record("write_back", GatePassed(gate="write_back", value={}))
        self.attempt.record("interrupted:x", RunInterrupted(status="failed", until=0.0, message="no disk"))
        return self.ledger.facts(PolicyDecided)[0].seq

    def forge_as(self, who: str, key: str, **data: object) -> None:
        """An approval in somebody's name, properly signed with a key."""
        approve, _ = ask(self.attempt, self.made, "forged")
        signature = sshsig.sign(self.folder / key, approve.message())
        mark = sshsig.verify(signature, approve.message()).fingerprint
        self.forge(self.made, **{"person": who, "signature": signature, "fingerprint": mark, **data})

    def found(self) -> list[str]:
        return [item.problem for item in approvals_of(self.ledger, RUN)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Recorded]:
    """A desk."""
    made = Recorded(tmp_path)
    yield made
    made.ledger.close()


def test_what_people_gave_is_proven(desk: Recorded) -> None:
    """A signature and a one-time code that were asked for have no problem, also after the person has left."""
    desk.answer(desk.made, "bob")
    desk.answer(desk.made, "eve", proof=desk.code("eve"))
    assert [(item.event.fact.person, item.event.fact.method) for item in approvals_of(desk.ledger, RUN)] == [("bob", "ssh"), ("eve", "totp")]
    desk.people.revoke("bob")
    assert desk.found() == ["", ""]
    assert list(problems(desk.ledger)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan_digest": "0" * 64}, "is of another plan"),
        ({"fingerprint": "SHA256:other"}, "names another key or method"),
        ({"signature": ""}, "is not signed"),
        ({"signature": "no signature at all"}, "is not signed"),
    ],
)
def test_a_forged_approval_is_told(desk: Recorded, change: dict[str, str], said: str) -> None:
    """Whatever was written into the events without the person's key, the event and the reason are named."""
    desk.forge(desk.made, **change)
    (problem,) = desk.found()
    assert said in problem
    (event,) = desk.ledger.events(RUN, "approval-given")
    assert list(problems(desk.ledger)) == [f"event {event.seq}: the approval {problem}"]


def test_a_method_stronger_than_the_signature_s(desk: Recorded) -> None:
    """An ordinary key that is called a FIDO key proves nothing."""
    fingerprint = sshsig.verify(sshsig.sign(desk.folder / "bob", b"x"), b"x").fingerprint
    desk.forge(desk.made, fingerprint=fingerprint, method="ssh-fido")
    assert "names another key or method" in desk.found()[0]


def test_a_signature_of_the_no_is_no_yes(desk: Recorded) -> None:
    """The statement is the one that was asked for, not the text beside the signature."""
    _, reject = ask(desk.attempt, desk.made, "forged")
    desk.forge(desk.made, signature=sshsig.sign(desk.folder / "bob", reject.message()), statement=reject.message().decode())
    assert "is not signed, or not what was asked for" in desk.found()[0]


TOO_FEW: dict[str, Callable[[Recorded], object]] = {
    "nobody": lambda desk: None,
    "forged": lambda desk: desk.forge(desk.made, signature=""),
    "twice": lambda desk: (desk.answer(desk.made, "bob"), desk.forge_as("bob", "bob")),
    "one key, two names": lambda desk: (desk.answer(desk.made, "bob"), desk.forge_as("eve", "bob")),
    "a code for a signature": lambda desk: (desk.answer(desk.made, "bob"), desk.forge_as("eve", "eve", method="totp")),
}


@pytest.mark.parametrize("how", TOO_FEW)
def test_rows_of_a_run_that_failed(tmp_path: Path, how: str) -> None:
    """Whether it was completed or not: what it wrote stands behind two proven approvals, or verify says how many there are."""
    desk = Recorded(tmp_path, approvers=2, weakest_method="ssh")
    TOO_FEW[how](desk)
    decided = desk.write()
    row = desk.ledger.run(RUN)
    assert row is not None and (row.status, row.ending) == ("failed", None)
    proven = 0 if how in {"nobody", "forged"} else 1
    assert list(problems(desk.ledger))[-1] == f"event {decided}: {proven} of 2 approvals of the plan that it goes by are proven"
    desk.ledger.close()


def test_approvals_behind_what_they_permit(tmp_path: Path) -> None:
    """Those before it count, those behind it are none; enough of them are no problem, however the run went on."""
    desk = Recorded(tmp_path, approvers=2, weakest_method="ssh")
    desk.answer(desk.made, "bob")
    decided = desk.write()
    desk.answer(desk.made, "eve")
    assert list(problems(desk.ledger)) == [f"event {decided}: 1 of 2 approvals of the plan that it goes by are proven"]
    desk.ledger.close()
    sound = Recorded(tmp_path / "sound", approvers=2, weakest_method="ssh")
    sound.answer(sound.made, "bob")
    sound.answer(sound.made, "eve")
    sound.write()
    assert list(problems(sound.ledger)) == []
    sound.ledger.close()


def test_a_job_without_an_approval(desk: Recorded) -> None:
    """An intent is enough: the circuits may have left."""
    desk.attempt.permit("decided:0:0", PolicyDecided(action="submit", allowed=True, reasons=("permitted",)))
    (problem,) = problems(desk.ledger)
    assert problem.endswith("0 of 1 approvals of the plan that it goes by are proven")
