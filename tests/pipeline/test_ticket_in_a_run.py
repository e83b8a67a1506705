"""A run whose ticket is another one when the round is to be sent than it was when people approved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.pipeline import TICKETS


def test_ticket_closed_between_admit_and_submit(make_pipeline: Callable[..., Any]) -> None:
    """Approved, and denied all the same: the no is in the ledger with its rule, no job was made, and the run has ended and cleaned up."""
    pipeline = make_pipeline(rounds=1, tier="integration")
    text = pipeline.manifest.read_text()
    block = text.partition("write_back: ")[2].split()[0]
    pipeline.manifest.write_text(text.replace("credentials:\n", f"credentials:\n  preflight: {block}\n"))
    run_id = pipeline.start()
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).status == "waiting", pipeline.log.read_text()
    pipeline.settings.tickets_file().write_text(TICKETS.replace("state: open", "state: closed"))
    pipeline.answer(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "denied", pipeline.log.read_text()
    assert "[ticket-not-open]" in pipeline.state(run_id).message
    (denial,) = pipeline.ledger.events(run_id, "policy-denied")
    assert (denial.data["action"], denial.data["reasons"]) == ("submit", ["ticket-not-open"])
    assert [event.data["gate"] for event in pipeline.ledger.events(run_id, "ticket-checked")] == ["admit", "submit"]
    assert not pipeline.ledger.events(run_id, "submission-intended") and not pipeline.target.exists()
