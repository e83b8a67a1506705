"""A run that waits, and what is tried on it: each attempt has to leave its refusal or denial in the ledger, and no submission."""

from __future__ import annotations

from uuid import UUID

from prefect_gatehouse.evidence.examine import examine, trusted_key
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.statement import Statement
from prefect_gatehouse.ledger.answers import AnswerRefused
from prefect_gatehouse.ledger.events import EndingDecided, GateFailed
from prefect_gatehouse.ledger.jobs import SubmissionIntended
from prefect_gatehouse.operate import runs as control
from prefect_gatehouse.run.approvals import last_asked, statements
from tests.support.pipeline import APPROVER, Pipeline


class Siege:
    """One waiting run of a pipeline, through Prefect's real server and the ledger.

    Attributes:
        run_id: The run.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.run_id = pipeline.start()
        pipeline.process(self.run_id)
        self.stands()

    def stands(self) -> None:
        """It waits, in the ledger and in Prefect, and nothing was sent."""
        self.pipeline.wait_paused(self.run_id)
        assert self.pipeline.ledger.run(self.run_id).status == "waiting", self.pipeline.log.read_text()[-3000:]  # type: ignore[union-attr]
        assert self.pipeline.ledger.facts(SubmissionIntended, self.run_id) == []

    def asked(self) -> tuple[Statement, Statement]:
        """What the form asks people to sign now: to approve, and to reject."""
        plan = self.pipeline.standing_plan(self.run_id)
        found = last_asked(self.pipeline.ledger, plan)
        assert found is not None
        return statements(plan, found)

    def message(self) -> bytes:
        """What an approver signs now."""
        return self.asked()[0].message()

    def signed(self, who: str = APPROVER) -> str:
        """An approver's signature of what is asked now."""
        return sshsig.sign(self.pipeline.keys[who], self.message())

    def answer(self, proof: str, approver: str = "") -> None:
        """Gives it to the form; nobody has judged it yet."""
        control.answer(self.run_id, "approve", proof=proof, approver=approver)

    def write(self, part: str, text: str | None) -> None:
        """Writes an input of the waiting run as any client of Prefect's API can: straight into the server, without resuming it."""
        keys = self.pipeline.state(self.run_id).state_details.run_input_keyset
        if text is not None:
            with control.server() as client:
                client.create_flow_run_input(UUID(self.run_id), keys[part], text)

    def refused(self, proof: str, approver: str = "") -> AnswerRefused:
        """Answers, and has a process judge it: the form comes back, and the ledger has why."""
        self.answer(proof, approver)
        return self.judged_wrong()

    def counted(self, proof: str, approver: str = "") -> None:
        """Answers, and it counts, though it does not suffice."""
        before = len(self.pipeline.standing(self.run_id).approvals)
        self.answer(proof, approver)
        self.pipeline.process(self.run_id)
        self.stands()
        assert len(self.pipeline.standing(self.run_id).approvals) == before + 1, self.refusals()[-1:]

    def judged_wrong(self) -> AnswerRefused:
        """The answer that was given is judged, and counts for nothing: exactly one refusal more, no approval more."""
        before, counted = len(self.refusals()), self.pipeline.standing(self.run_id).approvals
        self.pipeline.process(self.run_id)
        self.stands()
        refusals = self.refusals()
        assert (len(refusals), self.pipeline.standing(self.run_id).approvals) == (before + 1, counted), self.pipeline.log.read_text()[-3000:]
        return refusals[-1]

    def refusals(self) -> list[AnswerRefused]:
        """Every one of this run."""
        return [event.fact for event in self.pipeline.ledger.facts(AnswerRefused, self.run_id)]

    def denied(self) -> str:
        """The next process ends it: the ledger has at which gate and why, and nothing was sent, written or left; in words."""
        self.pipeline.process(self.run_id)
        row, state = self.pipeline.ledger.run(self.run_id), self.pipeline.state(self.run_id)
        assert row is not None and row.ending == "denied", (row, state, self.pipeline.log.read_text()[-3000:])
        assert self.pipeline.ledger.facts(SubmissionIntended, self.run_id) == []
        assert not any(self.run_id in each for each in self.pipeline.left_behind())
        (decided,) = self.pipeline.ledger.facts(EndingDecided, self.run_id)
        failed = [event.fact.gate for event in self.pipeline.ledger.facts(GateFailed, self.run_id)]
        return f"{failed[-1] if failed else 'between gates'}: {decided.fact.reason}"


def verified(pipeline: Pipeline) -> None:
    """What ``gatehouse verify`` looks at has no problem."""
    found = examine(pipeline.settings, pipeline.ledger, trusted_key(pipeline.settings))
    assert (found.ok, found.problems) == (True, [])
