"""What has become of a workload's files since a plan of the same pipeline was approved last: people need not read again what they have read."""

from __future__ import annotations

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.ledger.answers import ApprovalGiven
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.plan import differences
from prefect_gatehouse.run.planned import Since, SourceFile
from prefect_gatehouse.run.proven import approvals_of
from prefect_gatehouse.run.values import AdmittedRun, Plan


def since_last_approval(ledger: Ledger, admitted: AdmittedRun, files: tuple[SourceFile, ...]) -> Since:
    """Compares the workload's files with those of the plan of this pipeline, for this tenant, that was approved last.

    Only digests of files are in the ledger, so what has changed in a file is not told.
    """
    manifest = admitted.manifest
    for row in ledger.runs():  # newest first
        if row.run_id == admitted.run_id or (row.pipeline, row.tenant) != (manifest.name, manifest.tenant):
            continue
        before = _approved(ledger, row.run_id)
        if before is not None:
            return Since(plan_digest=before.digest, run_id=row.run_id, **differences(before.body.files, files))
    return Since()


def _approved(ledger: Ledger, run_id: str) -> Plan | None:
    if not ledger.facts(ApprovalGiven, run_id=run_id):
        return None
    try:
        plan = Chain(ledger, run_id).read(Plan.gate, Plan)
        people = {each.event.fact.person for each in approvals_of(ledger, run_id) if not each.problem}
        return plan if plan is not None and len(people) >= plan.admitted.approvers_needed else None
    except Tampered:  # an earlier release's, or not what was stored: nothing to compare with; `gatehouse verify` tells
        return None
