"""Between gates 9 and 10, where the tier asks for dual control: the run is suspended until enough people have released exactly this outcome."""

from __future__ import annotations

from prefect_gatehouse.run.approvals import require_approved
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.outcome import outcome_of
from prefect_gatehouse.run.quarantined import refuse_quarantined_run
from prefect_gatehouse.run.values import ReleasedOutcome, ValidatedOutcome
from prefect_gatehouse.tasks.asking import wait_until_decided
from prefect_gatehouse.tasks.gate import gate


def _nobody_asked(_: Attempt, validated: ValidatedOutcome) -> ReleasedOutcome | None:
    """The way of a tier that asks for nobody's release."""
    return None if validated.releases_needed else ReleasedOutcome(outcome=validated)


@gate(ReleasedOutcome, nothing_to_do=_nobody_asked)
def await_release(attempt: Attempt, validated: ValidatedOutcome) -> ReleasedOutcome:
    """Turns the releases in the ledger into the permission to write back.

    Raises:
        Rejected: Somebody withholds it.
        Denied: There are not enough, or one no longer stands.
        Quarantined: The run, whoever released it, or a backend that a result came from, is in quarantine.
        PlanChanged: Something of what was approved is another one by now.
    """
    outcome = outcome_of(validated)
    attempt.parts.refuse_changes(outcome.plan)
    refuse_quarantined_run(attempt, *outcome.body.backends)
    releases = require_approved(attempt.ledger, outcome, attempt.people, attempt.approving_policy, holding(attempt.settings, attempt.ledger))
    return ReleasedOutcome(outcome=validated, outcome_digest=outcome.digest, releases=releases)


def wait_for_release(attempt: Attempt, validated: ValidatedOutcome) -> ReleasedOutcome:
    """Suspends the run as often as it takes, where the tier asks for a release at all.

    Raises:
        Expired: Nobody decided in time.
        Rejected: Somebody withholds it.
    """
    if validated.releases_needed and await_release.kept(attempt) is None:
        wait_until_decided(attempt, outcome_of(validated))
    return await_release(attempt, validated)
