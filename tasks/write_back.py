"""Gate 10: rows are staged, checked and published in one transaction; tokens are turned back inside the trust zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.errors import Denied, Tampered
from prefect_gatehouse.ledger.events import ReIdentified
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.manifest.endpoints import endpoint_of
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.policy.classes import target_of
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.run.approvals import require_approved
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.minimised import column_of
from prefect_gatehouse.run.outcome import outcome_of
from prefect_gatehouse.run.policy_questions import ask_re_identify, ask_write_back
from prefect_gatehouse.run.quarantined import refuse_quarantined_run
from prefect_gatehouse.run.re_identification import key_versions, refuse_strange, turn_back
from prefect_gatehouse.run.values import Plan, ReleasedOutcome, WriteBackReceipt
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.write_back import sql

if TYPE_CHECKING:
    import pyarrow as pa


@gate(WriteBackReceipt, heeds_cancellation="at once")
def write_back(attempt: Attempt, released: ReleasedOutcome, fetch: Fetch) -> WriteBackReceipt:
    """Publishes the frame, keyed by run, so that a repeat changes nothing.

    Where the tier asks for a release, the ledger has to have it, whatever the value says.

    Raises:
        Quarantined: The run, or a backend that a result of it came from, is in quarantine.
        Rejected: Somebody withholds the outcome.
        Denied: The outcome is not released, the database is not the declared system, the rows are of a class that it does not take, or the policy
            says no.
        PlanChanged: Something of what was approved is another one by now.
        DataRefused: The table does not fit the rows, or the frame has keys that the workload was not given.
        Tampered: The frame or a token is not what it was.
    """
    raw = released.outcome.raw
    plan = raw.approved.plan
    output = plan.admitted.manifest.output
    attempt.parts.refuse_changes(plan)
    table = attempt.store.read(raw.frame, attempt.key)
    rows_digest = table_digest(table)
    releases = _released(attempt, released, rows_digest)
    attempt.heed()
    with fetch(attempt, plan.admitted, Purpose.WRITE_BACK) as address:
        url = address.reveal(Purpose.WRITE_BACK)
        _refuse_undeclared(attempt, plan, url, releases)
        rows = _re_identified(attempt, plan, table, fetch)
        refuse_quarantined_run(attempt, *raw.backends)
        published = sql.publish(
            url,
            rows,
            table=output.target.table,
            key=output.key,
            columns=output.names,
            mode=output.mode,
            run_id=attempt.run_id,
            plan_digest=plan.digest,
            rows_digest=rows_digest,
            label=raw.label,
            data_class=str(plan.body.classes.output_class),
        )
    return WriteBackReceipt(
        run_id=attempt.run_id,
        plan_digest=plan.digest,
        system=output.target.system,
        table=output.target.table,
        rows=published.rows,
        rows_digest=rows_digest,
        mode=output.mode,
        label=raw.label,
        data_class=plan.body.classes.output_class,
        because=plan.body.classes.because,
        repeated=published.repeated,
        at=datetime.now(UTC),
    )


def _released(attempt: Attempt, released: ReleasedOutcome, rows_digest: str) -> int:
    """How many people have released these rows; every signature is checked again."""
    if not released.outcome.releases_needed:
        return 0
    outcome = outcome_of(released.outcome)
    if (outcome.body.rows_digest, outcome.digest) != (rows_digest, released.outcome_digest):
        raise Tampered("the rows are not those that were released", where="write_back", advice="start a new run")
    return len(require_approved(attempt.ledger, outcome, attempt.people, attempt.approving_policy, holding(attempt.settings, attempt.ledger)))


def _refuse_undeclared(attempt: Attempt, plan: Plan, url: str, releases: int) -> None:
    """The address came from a secret store: it must be the system that the manifest declared and people approved."""
    target = target_of(plan.admitted.manifest)
    matches = endpoint_of(url) == plan.body.endpoint(target.name)
    clearance = attempt.people.clearance(plan.admitted.requester, plan.admitted.tier.unverified_class)
    _record(attempt, "write_back", ask_write_back(attempt.policy, plan, matches, attempt.settings.environment, clearance, releases))
    if not matches:
        raise Denied("the write-back address is not the declared system", where=f"systems.{target.name}", advice="correct the block or the manifest")


def _re_identified(attempt: Attempt, plan: Plan, table: pa.Table, fetch: Fetch) -> pa.Table:
    """The frame with its key column turned back, where that is a token; permitted and written down before a value is made.

    The address has been checked: nobody comes here whose rows would go elsewhere.
    """
    manifest = plan.admitted.manifest
    key = manifest.output.key
    rule = manifest.data.columns[key]
    if not isinstance(rule, Tokenise):
        return table
    minimised = plan.validated.minimised
    column = table.column(key)
    refuse_strange(column, column_of(attempt, minimised, key))
    versions = key_versions(column, rule, minimised.token_key_version)
    clearance = attempt.people.clearance(plan.admitted.requester, plan.admitted.tier.unverified_class)
    _record(attempt, "re_identify", ask_re_identify(attempt.policy, plan, True, attempt.settings.environment, clearance))
    with fetch(attempt, plan.admitted, Purpose.RE_IDENTIFY) as lease:
        root = RootKey.parse(lease.reveal(Purpose.RE_IDENTIFY))
        act = ReIdentified(
            block=lease.record.block,
            lease_id=lease.record.lease_id,
            column=key,
            scheme=rule.scheme,
            tokens=len(column) - column.null_count,
            key_versions=versions,
            system=manifest.output.target.system,
            table=manifest.output.target.table,
            data_class=next(item.data_class for item in plan.body.classes.outputs if item.column == key),
            person=plan.admitted.requester.person,
        )
        attempt.record(f"re-identified:{lease.record.lease_id}", act)
        plain = turn_back(column, rule, root, tenant=manifest.tenant, name=key, version=minimised.token_key_version)
    return table.set_column(table.schema.get_field_index(key), key, plain)


def _record(attempt: Attempt, what: str, decision: Decision) -> None:
    """A decision is in the ledger, under a signed head, before what it permits happens."""
    attempt.permit(f"decided:{attempt.number}:{what}", decision.fact())
