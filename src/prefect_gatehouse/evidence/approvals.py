"""Whether each approval in the ledger is what it says: of exactly this plan, asked for, and signed by the key that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prefect_gatehouse.errors import Denied, Tampered
from prefect_gatehouse.identity.methods.certificate import read_certificate
from prefect_gatehouse.identity.methods.ssh import method_of
from prefect_gatehouse.ledger.events import ApprovalAsked, ApprovalGiven
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.policy.tiers import is_like_a_file
from prefect_gatehouse.run.approvals import is_token_of, signer
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.values import Plan


@dataclass(frozen=True)
class RecordedApproval:
    """An approval as the ledger has it.

    Attributes:
        event: What it says.
        problem: Why it proves nothing; empty where it does.
    """

    event: Event[ApprovalGiven]
    problem: str


def approvals_of(ledger: Ledger, run_id: str) -> list[RecordedApproval]:
    """A run's approvals in order, each with its proof checked.

    Raises:
        Tampered: The plan in the ledger is not what was stored.
    """
    plan = Chain(ledger, run_id).read(Plan.gate, Plan)
    return [RecordedApproval(event, problem_of(ledger, plan, event)) for event in ledger.facts(ApprovalGiven, run_id=run_id)]


def problems(ledger: Ledger) -> Iterator[str]:
    """What is wrong with the approvals of all runs."""
    for run_id in dict.fromkeys(event.run_id for event in ledger.facts(ApprovalGiven)):
        try:
            found = approvals_of(ledger, run_id)
        except Tampered as error:
            yield f"run {run_id}: {error.message}"
            continue
        yield from (f"event {item.event.seq}: the approval {item.problem}" for item in found if item.problem)


def problem_of(ledger: Ledger, plan: Plan | None, event: Event[ApprovalGiven]) -> str:
    """Why an approval proves nothing; empty where it does."""
    fact = event.fact
    if plan is None or fact.plan_digest != plan.digest:
        return "is of another plan"
    if fact.method == "totp":
        # A one-time code is spent: that it was asked for is all that can be looked at later.
        asked = ledger.find(event.event_id.replace(":answer:", ":asked:", 1), ApprovalAsked)
        return "" if asked is not None and asked.seq < event.seq else "was never asked for"
    if fact.method == "oidc":
        # Whether the provider had that key then is not here to be seen: its thumbprint is, to be compared with what the provider publishes.
        return "" if is_token_of(ledger, plan, event) else "is not proven by its ID token, or not of what was asked for"
    try:
        key = signer(ledger, event, plan)
        method = method_of(key)
        # A FIDO key that nobody had attested counts as a key of a file, where the tier asks for attestations.
        less = fact.method == "ssh" and is_like_a_file(method, False, plan.admitted.tier)
        if key.fingerprint != fact.fingerprint or (method != fact.method and not less):
            return "names another key or method than it was signed with"
        if key.certificate and not (found := read_certificate(key.certificate)).valid_after <= event.when < found.valid_before:
            return "was signed with a certificate that was not valid then"
    except Denied:
        return "is not signed, or not what was asked for"
    return ""
