"""Gate 10: rows are staged, checked and published in one transaction; tokens are turned back inside the trust zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect_gatehouse.attempt import Attempt
from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.policy.questions import ask_write_back
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tokens import siv
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.values import AdmittedRun, ValidatedOutcome, WriteBackReceipt
from prefect_gatehouse.write_back import sql

if TYPE_CHECKING:
    import pyarrow as pa


@gate(WriteBackReceipt)
def write_back(attempt: Attempt, outcome: ValidatedOutcome) -> WriteBackReceipt:
    """Publishes the frame, keyed by run, so that a repeat changes nothing.

    Raises:
        Denied: The database is not the declared system, or the policy says no.
        DataRefused: The table does not fit the rows.
        Tampered: The frame or a token is not what it was.
    """
    raw = outcome.raw
    plan = raw.approved.plan
    admitted = plan.admitted
    output = admitted.manifest.output
    table = attempt.store.read(raw.frame, attempt.key)
    rows_digest = table_digest(table)
    with fetch_credential(attempt, admitted, Purpose.WRITE_BACK) as address:
        url = address.reveal(Purpose.WRITE_BACK)
        _refuse_undeclared(attempt, admitted, url)
        published = sql.publish(
            url,
            _re_identified(attempt, admitted, table).to_pandas(),
            table=output.target.table,
            key=output.key,
            columns=output.columns,
            mode=output.mode,
            run_id=attempt.run_id,
            plan_digest=plan.digest,
            rows_digest=rows_digest,
            label=raw.label,
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
        repeated=published.repeated,
        at=datetime.now(UTC),
    )


def _refuse_undeclared(attempt: Attempt, admitted: AdmittedRun, url: str) -> None:
    """The address came from a secret store: it must be the system that the manifest declared and people approved."""
    target = admitted.manifest.output.target
    declared = next(system for system in admitted.manifest.systems if system.name == target.system)
    matches = sql.endpoint_of(url) == declared.endpoint
    ask_write_back(attempt.policy, admitted, target.system, matches, attempt.settings.environment)
    if not matches:
        raise Denied(
            "the write-back address is not the declared system", where=f"systems.{target.system}", advice="correct the block or the manifest"
        )


def _re_identified(attempt: Attempt, admitted: AdmittedRun, table: pa.Table) -> pa.Table:
    """The frame with its key column turned back, where that is a token."""
    manifest: Manifest = admitted.manifest
    key = manifest.output.key
    rule = manifest.data.columns[key]
    if not isinstance(rule, Tokenise):
        return table
    with fetch_credential(attempt, admitted, Purpose.RE_IDENTIFY) as lease:
        root = RootKey.parse(lease.reveal(Purpose.RE_IDENTIFY))
        column = table.column(key).combine_chunks()
        plain = siv.detokenise(column, root, tenant=manifest.tenant, join_domain=rule.join_domain or key)
    return table.set_column(table.schema.get_field_index(key), key, plain)
