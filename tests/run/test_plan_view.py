"""What an approver is shown of a plan: a view that hides nothing of it, in a form that no name can break."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.canonical import canonical, digest
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.run.approvals import ask, standing
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.form import as_markdown
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.plan_words import words_of
from prefect_gatehouse.run.planned import Preflight, Preparation, ProviderLimit, Setting, Since, SourceFile, SystemAddress
from prefect_gatehouse.run.section import Section
from prefect_gatehouse.run.values import Plan, PlanBody
from prefect_gatehouse.secrets.lease import SecretText
from tests.run.project import Project
from tests.support.plans import RUN


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The small project."""
    return Project(tmp_path)


def lines(shown: Section) -> dict[str, str]:
    """A section of two columns."""
    return {row[0]: row[1] for row in shown.rows}


def test_every_column_is_shown(project: Project) -> None:
    """Each column that leaves has a row with its class and treatment; each that stays is named, declared or not."""
    minimised = project.plan.validated.minimised
    dropped = (
        Treatment(column="family_name", data_class=DataClass.RESTRICTED, rule="drop"),
        Treatment(column="undeclared", data_class=DataClass.RESTRICTED, rule="drop", declared=False),
    )
    coarse = Treatment(column="born", data_class=DataClass.INTERNAL, rule="generalise", detail="year")
    more = minimised.model_copy(update={"treatments": (*minimised.treatments, *dropped, coarse)})
    shown = sections(project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"minimised": more})}))
    leaves_, stays = shown[1], shown[2]
    assert leaves_.headers == ("Column", "Class", "Treatment", "How")
    assert leaves_.rows == (
        ("subject", "restricted", "tokenise", "siv"),
        ("x", "confidential", "keep", "as it is"),
        ("born", "internal", "generalise", "year"),
    )
    assert lines(stays)["Columns that stay behind"] == "family_name, undeclared"
    assert lines(sections(project.plan)[2])["Columns that stay behind"] == "none"


def test_the_measured_k_is_shown(project: Project) -> None:
    """What the approver reads is the group that was measured, over which columns, and how diverse the sensitive ones are in it."""
    assert "no quasi-identifiers" in sections(project.plan)[1].summary
    minimised = project.plan.validated.minimised
    data = project.plan.admitted.manifest.data.model_copy(update={"quasi_identifiers": ("x", "subject"), "k": 5})
    manifest = project.plan.admitted.manifest.model_copy(update={"data": data})
    more = minimised.model_copy(update={"k": 7, "admitted": project.plan.admitted.model_copy(update={"manifest": manifest})})
    shown = sections(project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"minimised": more})}))[1]
    assert (shown.title, shown.summary) == ("What the workload sees", "3 rows, k = 7 over x, subject")
    data = data.model_copy(update={"sensitive": ("illness",), "l": 2})
    manifest = manifest.model_copy(update={"data": data})
    more = more.model_copy(update={"l": 3, "admitted": project.plan.admitted.model_copy(update={"manifest": manifest})})
    shown = sections(project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"minimised": more})}))[1]
    assert shown.summary == "3 rows, k = 7 over x, subject; l = 3 over illness"


def test_what_was_set_aside_is_shown(project: Project) -> None:
    """Whoever approves sees how many rows the data lacks, and whether it is synthetic."""
    more = project.plan.validated.minimised.model_copy(update={"quarantined_rows": 2, "synthetic": True})
    shown = sections(project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"minimised": more})}))[1]
    assert shown.summary.startswith("3 rows, 2 set aside because they could not be read or treated, ")
    assert shown.summary.endswith(", synthetic data, recorded")


def test_what_was_suppressed_is_shown(project: Project) -> None:
    """Whoever approves sees how many rows were left out for k, in how many groups, and what the manifest allows."""
    before = project.plan.validated.minimised
    data = before.admitted.manifest.data.model_copy(update={"suppression_limit": 0.5})
    admitted = before.admitted.model_copy(update={"manifest": before.admitted.manifest.model_copy(update={"data": data})})
    more = before.model_copy(update={"suppressed_rows": 1, "suppressed_groups": 1, "admitted": admitted})
    shown = sections(project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"minimised": more})}))[1]
    assert shown.summary.startswith("3 rows, 1 suppressed (25.00%, 50 % allowed) in 1 group that missed k or l, ")


def test_every_backend_and_the_whole_envelope_are_shown(project: Project) -> None:
    """Backends in their order with provider, version, jobs and cost; width, depth, shots, rounds, jobs, cost and deadline above them."""
    runs = sections(project.plan)[3]
    assert runs.rows == (("1. aer", "test 1 (simulator)", "1", "0.25 USD"), ("2. braket-local", "test 1 (simulator)", "1", "0.25 USD"))
    for words in ("1 circuit in", "up to 2 qubits", "depth 3", "64 shots", "at most 2 rounds", "10 jobs", "5 USD", "within 1 h of the approval"):
        assert words in runs.summary
    machine = project.plan.body.backends[0].model_copy(update={"simulator": False})
    assert sections(with_body(project.plan, backends=(machine,)))[3].rows[0][1] == "test 1"


def test_the_ledger_s_plan_reads_as_the_one_that_was_asked_about(project: Project) -> None:
    """A canonical form puts keys in another order: a form that came out otherwise would look as if somebody had changed it in Prefect."""
    settings = {"transpiler": "none", "because": "a test", "basis": ["prx", "cz"], "seed": 7}
    numbers = {"depth_before": 3, "depth_after": 5, "two_qubit_before": 1, "two_qubit_after": 2, "quality": 0.123456}
    prepared = Preparation.model_validate({"settings": settings, "circuits_digest": "0" * 64, **numbers})
    limit = ProviderLimit(amount=Decimal("50.00"), left=Decimal("49.6"), until=datetime(2026, 12, 1, tzinfo=UTC))
    change = {"prepared": prepared, "limits": (limit,), "cost_basis": "a table", "cost_apart": Decimal("1.50")}
    plan = with_body(project.plan, backends=(project.plan.body.backends[0].model_copy(update=change), project.plan.body.backends[1]))
    again = PlanBody.model_validate_json(canonical(plan.body.model_dump(mode="json")))
    assert form(project, plan.model_copy(update={"body": again})) == form(project, plan)


def test_where_jobs_are_sent_is_shown_and_signed(project: Project) -> None:
    """Settings that people read by themselves one by one, all of them as a digest, before the answer and in what is signed; none, no table."""
    assert "Where jobs are sent" not in {each.title for each in sections(project.plan)}
    set_ = (Setting(name="bucket", value="a\u202eb", shown=True), Setting(name="grace_seconds", value=60, shown=False))
    plan = with_body(project.plan, backends=(project.plan.body.backends[0].model_copy(update={"settings": set_}), project.plan.body.backends[1]))
    (shown,) = [each.rows for each in sections(plan) if each.title == "Where jobs are sent"]
    assert shown == (("aer", "bucket", "a?b"), ("aer", "all 2 settings", digest({"bucket": "a\u202eb", "grace_seconds": 60})))
    assert dict(words_of(plan))["Backends"] == "aer (bucket a?b), braket-local"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(60, "1 min"), (1800, "30 min"), (3600, "1 h"), (5400, "90 min"), (30, "30 s"), (90, "90 s"), (7200, "2 h"), (86_400, "24 h")],
)
def test_the_deadline_in_words(project: Project, seconds: int, words: str) -> None:
    """Whole hours as hours, everything else as minutes."""
    assert f"within {words} of the approval" in sections(with_body(project.plan, deadline_seconds=seconds))[3].summary


def with_body(plan: Plan, **change: Any) -> Plan:
    """The plan with parts of its body changed."""
    return plan.model_copy(update={"body": plan.body.model_copy(update=change)})


def test_every_credential_purpose_is_shown(project: Project) -> None:
    """Each purpose has a line in plain words with its block, or says that none is needed."""
    rows = sections(project.plan)[4].rows
    assert [row[1] for row in rows] == ["none needed", "none needed", "secret/key", "none needed", "secret/key", "secret/url"]
    assert len({row[0] for row in rows}) == len(rows) == len(Purpose) - 1  # results are read with the sign-in that submits
    assert all(" " in row[0] for row in rows)


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_the_write_target_is_shown(project: Project, mode: str) -> None:
    """System, address, table, mode, key and every column that is written."""
    output = project.plan.admitted.manifest.output.model_copy(update={"mode": mode, "columns": ("score", "margin")})
    manifest = project.plan.admitted.manifest.model_copy(update={"output": output})
    minimised = project.plan.validated.minimised
    admitted = project.plan.admitted.model_copy(update={"manifest": manifest})
    validated = project.plan.validated.model_copy(update={"minimised": minimised.model_copy(update={"admitted": admitted})})
    rows = lines(sections(project.plan.model_copy(update={"validated": validated}))[5])
    assert rows["Target"] == f"target (sqlite:///{project.folder}/target.sqlite), table results"
    assert rows["Rows"] == f"{mode} by subject"
    assert rows["Columns"] == "score, margin"


def test_what_the_pre_flight_found_is_shown(project: Project) -> None:
    """What was looked at, or why nobody looked; and nothing in a path hides or reorders what people read."""
    nobody = Preflight(looked=False, because="the manifest names no credentials.preflight")
    assert lines(sections(with_body(project.plan, preflight=nobody))[5])["Pre-flight"] == f"nobody looked: {nobody.because}"
    looked = Preflight(looked=True, table_exists=True, checks=("address and driver work", "table results has the columns"))
    hidden = (SystemAddress(name="target", endpoint="sqlite:////srv/\u202eelif/target.sqlite"),)
    rows = lines(sections(with_body(project.plan, preflight=looked, systems=hidden))[5])
    assert rows["Pre-flight"] == "address and driver work; table results has the columns"
    assert rows["Target"] == "target (sqlite:////srv/?elif/target.sqlite), table results"


def test_the_class_of_the_output_is_shown(project: Project) -> None:
    """What approvers read before they decide: the class, the columns that it comes from, who may read it and what the target takes."""
    rows = lines(sections(project.plan)[5])
    assert rows["Class"] == "restricted (from subject)"
    assert rows["For"] == "requesters and approvers cleared for restricted; the target takes up to restricted"
    classes = project.plan.body.classes
    many = classes.model_copy(update={"because": tuple("abcdef"), "rules": classes.rules.model_copy(update={"readers": ()})})
    rows = lines(sections(with_body(project.plan, classes=many))[5])
    assert (rows["Class"], rows["For"].partition(";")[0]) == ("restricted (from a, b, c, d and 2 more)", "nobody cleared for restricted")


def test_who_and_why_are_shown(project: Project) -> None:
    """Requester and method, ticket, purpose, owner, tenant, billing code, environment, tier, run and the digest that is signed."""
    rows = lines(sections(project.plan)[0])
    assert rows == {
        "Requester": "ann (ssh)",
        "Ticket": "CHG-7, not checked: the tier prototype takes it as it is typed",
        "Purpose": "Hold a plan",
        "Pipeline": "small, owner test-owner",
        "Tenant": "test-tenant, billed to T-1",
        "Environment": "local, tier prototype",
        "Run": RUN,
        "Plan digest": project.plan.digest,
    }


def test_a_workload_that_was_changed_after_the_request_was_signed_is_told(project: Project) -> None:
    """The requester's signature is not over what would run; what nobody signed has nothing to differ from."""
    plan = project.plan
    minimised = plan.validated.minimised
    for person, method, workload, told in (
        ("ann", "ssh", "0" * 64, "ann (ssh); the workload was changed after the request was signed"),
        ("ann", "ssh", plan.body.workload_digest, "ann (ssh)"),
        ("unverified", "unverified", "0" * 64, "unverified: nobody signed the request"),
    ):
        who = Requester(person=person, method=method)  # type: ignore[arg-type]
        admitted = minimised.admitted.model_copy(update={"requester": who, "workload_digest": workload})
        validated = plan.validated.model_copy(update={"minimised": minimised.model_copy(update={"admitted": admitted})})
        assert lines(sections(plan.model_copy(update={"validated": validated}))[0])["Requester"] == told


def test_failed_checks_are_counted(project: Project) -> None:
    """The input suite's line tells how many checks passed of how many."""
    checks = project.plan.validated.report.results
    report = project.plan.validated.report.model_copy(update={"results": (checks[0].model_copy(update={"success": False}), *checks[1:])})
    plan = project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"report": report})})
    assert lines(sections(plan)[2])["Input suite"] == "input: 1 of 2 checks passed"


def test_the_code_and_its_rules_are_shown(project: Project) -> None:
    """Entry point, digest, files and what has become of them, parameters, folder, policy, tier, registry and packages."""
    rows = lines(sections(project.plan)[6])
    body = project.plan.body
    assert rows["Entry point"] == "workload.py:solve" and rows["Workload digest"] == body.workload_digest
    assert rows["Files"] == "workload.py"
    assert rows["Since run an-earli, approved last"] == "added: workload.py; removed: old.py; changed: helper.py"
    assert rows["Parameters"] == '{"rounds": 1}'
    assert rows["Folder"] == f"{project.folder}, manifest gatehouse.yaml"
    assert (rows["Policy"], rows["Installed packages"]) == (body.policy_digest, body.packages_digest)
    assert rows["Tier"] == "prototype: 1 approver, totp or stronger, data up to confidential"
    assert rows["Registry of people"] == str(project.settings.people_folder())
    same = lines(sections(with_body(project.plan, since=Since(plan_digest="5" * 64, run_id="an-earlier-run")))[6])
    assert same["Since run an-earli, approved last"] == "no file was added, removed or changed"
    first = lines(sections(with_body(project.plan, since=Since()))[6])
    assert first["Since the last approval"] == "nobody has approved this pipeline before: every file is new"
    many = tuple(SourceFile(path=f"part_{number:02}.py", sha256="0" * 64) for number in range(25))
    assert lines(sections(with_body(project.plan, files=many))[6])["Files"].endswith("part_19.py and 5 more")


def form(project: Project, plan: Plan) -> str:
    """The description of the resume form."""
    with contextlib.closing(Ledger(project.settings.ledger())) as ledger:
        approve, reject = ask(Attempt(project.settings, ledger, RUN, lambda block: SecretText("")), plan, "k")
        text = as_markdown(plan, standing(ledger, plan), approve, reject, {})
        assert all(f"printf %s '{statement.message().decode()}'" in text for statement in (approve, reject))
    return text


def test_the_form_shows_all_that_the_view_has(project: Project) -> None:
    """Every heading and every cell is in the form, with the number of approvals, the weakest method and both statements to sign."""
    text = form(project, project.plan)
    for item in sections(project.plan):
        assert f"## {item.title}" in text and item.summary in text
        for row in item.rows:
            assert f"| {' | '.join(row)} |" in text
    assert "0 of 1 approvals (nobody yet). Weakest method: totp." in text
    assert f"`gatehouse approve {RUN}`" in text


def test_what_a_code_is_worth(project: Project) -> None:
    """Said where the tier takes one; where it takes none, the form speaks of none."""
    assert "names no plan" in form(project, project.plan)
    minimised = project.plan.validated.minimised
    tier = minimised.admitted.tier.model_copy(update={"weakest_method": "ssh"})
    strict = minimised.model_copy(update={"admitted": minimised.admitted.model_copy(update={"tier": tier})})
    plan = project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"minimised": strict})})
    assert "one-time code" not in form(project, plan)


@pytest.mark.parametrize("attack", ["a|b", "a\nb", "a\n\n# Approved", "<b>x</b>", "<!-- x", "| --- |", "a |\n| b", "![a](//b)", "[a](//b)"])
def test_a_name_can_not_break_the_table(project: Project, attack: str) -> None:
    """A pipe, a line end or mark-up in a name stays inside its cell: every row has as many cells as its heading, no line is added."""
    minimised = project.plan.validated.minimised
    treatment = minimised.treatments[1].model_copy(update={"column": attack, "detail": attack})
    more = minimised.model_copy(update={"treatments": (minimised.treatments[0], treatment)})
    plan = project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"minimised": more})})
    text = form(project, plan)
    assert text.count("\n") == form(project, project.plan).count("\n")
    table = text.partition("## What the workload sees")[2].partition("## What stays")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert "<b>" not in table and "<!--" not in table and not re.search(r"(?<!\\)\[", table)
