"""Approvals as evidence: each is proven by its signature, of this plan, and was asked for; or it is told what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.run.test_approvals import Desk
from tests.support.plans import RUN

from prefect_gatehouse.evidence.approvals import approvals_of, problems
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.ledger.events import GatePassed
from prefect_gatehouse.run.approvals import ask


class Recorded(Desk):
    """A desk whose plan is in the ledger."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.made = self.plan(made_at=datetime.now(UTC))
        validated = self.made.validated
        for value in (validated.minimised.admitted, validated.minimised, validated, self.made):
            self.attempt.record(value.passage, GatePassed(gate=value.gate, value=self.attempt.chain.stored(value)))

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
