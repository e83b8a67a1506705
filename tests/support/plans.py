"""A small project on disk and a plan over it, for tests of what happens to a plan."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.manifest.endpoints import declared_endpoint
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.classes import classes_of
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.plan import present_digests
from prefect_gatehouse.run.planned import BackendSnapshot, Leaving, Preflight, Since, SystemAddress, needs_of
from prefect_gatehouse.run.values import AdmittedRun, MinimisedData, Plan, PlanBody, ValidatedData
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.artifact import Artifact
from prefect_gatehouse.validation.report import CheckResult, SuiteReport
from prefect_gatehouse.validation.suite import load_suite
from prefect_gatehouse.workload.summary import Capacity, CircuitsSummary

RUN = "3f0d5a3e-0000-4000-8000-000000000001"
POLICY_DIGEST = "9" * 64
MADE = datetime(2026, 11, 5, 12, tzinfo=UTC)

MANIFEST = """
gatehouse: 1
name: small
owner: test-owner
tenant: test-tenant
billing_code: T-1
ticket: CHG-7
purpose: Hold a plan
environment: local
tier: prototype
data:
  source: source.csv
  suite: suites/input.json
  columns:
    subject: {class: restricted, rule: tokenise, scheme: siv}
    x: {class: confidential, rule: keep}
systems:
  - {name: target, kind: database, endpoint: "sqlite:///target.sqlite", highest_class: restricted}
workload:
  entrypoint: workload.py:solve
  parameters: {rounds: 1}
execution:
  backends: [aer, braket-local]
  shots: 64
  envelope: {rounds: 2, jobs: 10, cost: 5, deadline: 1h}
credentials:
  tokenise: secret/key
  re_identify: secret/key
  write_back: secret/url
output:
  suite: suites/output.json
  target: {system: target, table: results}
  key: subject
  columns: [score]
"""
TICKETS = """
kind: file
tickets:
  CHG-7: {tenant: test-tenant, pipelines: [small], state: open, approved: true, start: "2026-01-01T00:00:00Z", end: "2126-01-01T00:00:00Z"}
"""
SUITE = [
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1, "max_value": 10}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "subject"}},
]


def write_project(folder: Path) -> None:
    """Manifest, suites, workload and lock file."""
    (folder / "suites").mkdir(parents=True)
    (folder / "gatehouse.yaml").write_text(MANIFEST)
    (folder / "workload.py").write_text("def solve(features, parameters):\n    yield []\n")
    (folder / "requirements.lock").write_text("# nothing\n")
    for name in ("input", "output"):
        (folder / "suites" / f"{name}.json").write_text(json.dumps({"name": name, "expectations": SUITE}))


def tier_rules(**change: Any) -> TierRules:
    """A tier that admits everything that exists."""
    fields = {
        "name": "prototype",
        "approvers": 1,
        "weakest_method": "totp",
        "unverified_requests": True,
        "highest_class": DataClass.CONFIDENTIAL,
        "backends": ("aer", "braket-local"),
        "approval_window_seconds": 3600,
        "resume_window_seconds": 3600,
        "drift": "tell",
        "classification": "optional",
        "unverified_alone": DataClass.RESTRICTED,
        "promotion": "optional",
        "simulated_first": "optional",
    }
    return TierRules.model_validate(fields | change)


def write_tiers(path: Path, tier: TierRules) -> Path:
    """A file of tiers in which each has these rules."""
    windows = (
        "approval_window",
        "resume_window",
        "wrong_window",
        "request_age",
        "approval_age",
        "proof_life",
        "artifacts_at_most",
        "evidence_at_least",
    )
    fields = tier.model_dump(mode="json", exclude={"name", *(f"{each}_seconds" for each in windows)})
    fields |= {each: f"{seconds}s" for each in windows if (seconds := getattr(tier, f"{each}_seconds")) is not None}
    # Only the prototype tier may leave these open.
    ticket = "file" if fields["ticket"] == "none" else fields["ticket"]
    capped = fields | {"leaving_bits": fields["leaving_bits"] or 10**9, "ticket": ticket}
    path.write_text(json.dumps({"prototype": fields, "integration": capped, "business": capped}))  # JSON is YAML
    return path


def admitted_run(folder: Path, **change: Any) -> AdmittedRun:
    """The project's manifest, admitted; ``tier`` and ``requester`` may be given."""
    loaded = load_manifest(folder / "gatehouse.yaml")
    fields = {
        "run_id": RUN,
        "manifest": loaded.manifest,
        "manifest_digest": loaded.digest,
        "folder": str(folder),
        "file": "gatehouse.yaml",
        "requester": Requester(person="ann", method="ssh", clearance=DataClass.RESTRICTED),
        "tier": tier_rules(),
        "classes": classes_of(loaded.manifest, load_class_rules(Settings().classes)),
        "decision": Decision(action="request", allowed=True, reasons=("permitted",), policy_digest=POLICY_DIGEST),
        "at": MADE,
    }
    return AdmittedRun.model_validate(fields | change)


def plan_for(folder: Path, settings: Settings, *, made_at: datetime = MADE, **change: Any) -> Plan:
    """A plan over the project as it is now."""
    admitted = admitted_run(folder, **change)
    suite = load_suite(folder / "suites" / "input.json")
    checks = tuple(CheckResult(type=item["type"], column=None, success=True, errored=False) for item in SUITE)  # type: ignore[arg-type]
    validated = ValidatedData(
        minimised=MinimisedData(
            admitted=admitted,
            artifact=Artifact(uri=f"artifact:{RUN}/minimised.parquet", sha256="1" * 64, rows=3, columns=("subject", "x"), bytes=1),
            source_sha256="2" * 64,
            source_rows=3,
            data_digest="3" * 64,
            treatments=(
                Treatment(column="subject", data_class=DataClass.RESTRICTED, rule="tokenise", detail="siv"),
                Treatment(column="x", data_class=DataClass.CONFIDENTIAL, rule="keep"),
            ),
            highest_class=DataClass.RESTRICTED,
            k=None,
        ),
        report=SuiteReport(suite="input", suite_sha256=suite.sha256, rows=3, declared=len(SUITE), loaded=len(SUITE), results=checks, success=True),
    )
    body = PlanBody(
        run_id=RUN,
        data_digest="3" * 64,
        circuits=CircuitsSummary(count=1, templates=1, digest="4" * 64, qubits=2, depth=3, angles=1, shots=64),
        leaving=Leaving(circuits=Capacity(angles=1, angle_bits=64, gates=40, order=2), round_bits=106, frame_bits=300),
        backends=tuple(_snapshot(name) for name in ("aer", "braket-local")),
        rounds=2,
        jobs=10,
        cost=Decimal(5),
        deadline_seconds=3600,
        input_suite_sha256=suite.sha256,
        output_suite_sha256=load_suite(folder / "suites" / "output.json").sha256,
        credentials=needs_of(admitted.manifest),
        classes=admitted.classes,
        tier=admitted.tier,
        since=Since(plan_digest="5" * 64, run_id="an-earlier-run", added=("workload.py",), removed=("old.py",), changed=("helper.py",)),
        systems=tuple(SystemAddress(name=item.name, endpoint=declared_endpoint(item.endpoint, folder)) for item in admitted.manifest.systems),
        preflight=Preflight(looked=True, checks=("address and driver work",)),
        **present_digests(settings, admitted, POLICY_DIGEST),
    )
    return Plan(validated=validated, body=body, digest=body.digest(), made_at=made_at)


def _snapshot(name: str) -> BackendSnapshot:
    return BackendSnapshot(
        name=name,
        provider="test",
        version="1",
        qubits=20,
        simulator=True,
        jobs=1,
        cost_first_round=Decimal("0.25"),
        cost_worst_case=Decimal("0.5"),
    )
