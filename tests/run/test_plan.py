"""The plan: one digest over everything that an approval covers, and a view that hides nothing of it."""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from prefect_gatehouse.canonical import canonical, digest
from prefect_gatehouse.errors import InputError, PlanChanged
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.policy.rules import ClassedColumn, ClassRules, RunClasses
from prefect_gatehouse.run.approvals import ask, standing
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.plan import digest_of, present_digests, refuse_changes
from prefect_gatehouse.run.plan_view import Section, as_markdown, sections
from prefect_gatehouse.run.values import BackendSnapshot, CredentialNeed, Plan, PlanBody, Preflight, SystemAddress
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.summary import CircuitsSummary
from tests.support.plans import MANIFEST, POLICY_DIGEST, RUN, SUITE, admitted_run, plan_for, write_project

Where = tuple[str | int, ...]

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
MONEY = st.decimals(0, 10**8, places=4)
COUNT = st.integers(0, 2**53 - 1)
CLASSED = st.builds(ClassedColumn, column=LINE, data_class=st.sampled_from(DataClass), because=st.lists(LINE, max_size=3).map(tuple))
BODIES = st.builds(
    PlanBody,
    run_id=LINE,
    manifest_digest=HEX,
    data_digest=HEX,
    workload_digest=HEX,
    lock_digest=HEX | st.just("none"),
    image_digest=LINE,
    circuits=st.builds(CircuitsSummary, count=st.integers(1, 10**6), digest=HEX, qubits=COUNT, depth=COUNT, shots=COUNT),
    backends=st.lists(
        st.builds(
            BackendSnapshot,
            name=LINE,
            provider=LINE,
            version=LINE,
            qubits=COUNT,
            simulator=st.booleans(),
            jobs=COUNT,
            cost_first_round=MONEY,
            cost_worst_case=MONEY,
        ),
        max_size=3,
    ).map(tuple),
    rounds=COUNT,
    jobs=COUNT,
    cost=MONEY,
    deadline_seconds=COUNT,
    policy_digest=HEX,
    input_suite_sha256=HEX,
    output_suite_sha256=HEX,
    credentials=st.lists(st.builds(CredentialNeed, purpose=st.sampled_from(Purpose), block=st.none() | LINE), max_size=4).map(tuple),
    classes=st.builds(
        RunClasses,
        features=st.lists(CLASSED, max_size=3).map(tuple),
        outputs=st.lists(CLASSED, max_size=3).map(tuple),
        output_class=st.sampled_from(DataClass),
        because=st.lists(LINE, max_size=3).map(tuple),
        rules=st.builds(
            ClassRules,
            data_class=st.sampled_from(DataClass),
            readers=st.lists(st.sampled_from(["requester", "approver", "auditor"]), max_size=3).map(tuple),
            artifacts_seconds=st.integers(1, 2**40),
            evidence_seconds=st.integers(1, 2**40),
            write_back=st.booleans(),
        ),
    ),
    systems=st.lists(st.builds(SystemAddress, name=LINE, endpoint=LINE), max_size=2).map(tuple),
    preflight=st.builds(Preflight, looked=st.booleans(), because=LINE, table_exists=st.booleans(), checks=st.lists(LINE, max_size=2).map(tuple)),
)


class Project:
    """A project on disk, an installation beside it, and the plan over both."""

    def __init__(self, folder: Path, **change: Any) -> None:
        self.folder = folder / "project"
        write_project(self.folder)
        self.settings = Settings(home=folder / "home", image_digest="sha256:" + "5" * 64)
        self.settings.folder("")
        self.plan = plan_for(self.folder, self.settings, made_at=datetime.now(UTC), **change)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def refuse(self, plan: Plan | None = None, policy_digest: str = POLICY_DIGEST, **settings: Any) -> None:
        refuse_changes(self.settings.model_copy(update=settings), plan or self.plan, policy_digest)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The small project."""
    return Project(tmp_path)


def dumped(body: BaseModel) -> Any:
    """The body as JSON."""
    return json.loads(body.model_dump_json(by_alias=True))


def leaves(value: Any, where: Where = ()) -> Iterator[Where]:
    """Where every single value stands, however deep."""
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*where, key))
    else:
        yield where


def at(value: Any, where: Where) -> Any:
    for step in where:
        value = value[step]
    return value


def changed(body: PlanBody, where: Where, candidates: list[Any]) -> PlanBody:
    """The body with one value changed to the first candidate that its type admits."""
    for candidate in candidates:
        tree = dumped(body)
        at(tree, where[:-1])[where[-1]] = candidate
        with contextlib.suppress(ValidationError):
            other = PlanBody.model_validate_json(json.dumps(tree))
            if other != body:
                return other
    raise AssertionError(f"nothing else fits at {where}")


def others(value: Any) -> list[Any]:
    """What could stand instead of a value: as little different as its type allows."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if value is None:
        return ["secret/other"]
    flipped = ("0" if value[:1] != "0" else "1") + value[1:]
    with contextlib.suppress(ArithmeticError):
        return [str(Decimal(value) + Decimal("0.0001")), flipped]
    return [flipped, value + "x", *Purpose, *DataClass, "requester", "auditor"]


def fields_of(model: type[BaseModel]) -> set[str]:
    """Every field of a model and of the models in it."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(name)
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= fields_of(inner)
    return found


def test_any_single_change_gives_another_digest(project: Project) -> None:
    """Each value of the body in turn, at every depth, is changed as little as its type allows; no two results share a digest."""
    body = project.plan.body
    places = list(leaves(dumped(body)))
    assert {step for where in places for step in where if isinstance(step, str)} == fields_of(PlanBody)
    found = {where: digest_of(changed(body, where, others(at(dumped(body), where)))) for where in places}
    assert project.plan.digest not in found.values()
    assert len(set(found.values())) == len(places) > 30


@pytest.mark.parametrize("name", ["backends", "credentials"])
@pytest.mark.parametrize("change", ["reversed", "shortened", "repeated", "emptied"])
def test_lists_are_covered_with_their_order(project: Project, name: str, change: str) -> None:
    """Backends are in order of preference: another order, one less, one twice or none at all is another plan."""
    items = dumped(project.plan.body)[name]
    made = {"reversed": items[::-1], "shortened": items[:-1], "repeated": [*items, items[-1]], "emptied": []}[change]
    assert digest_of(changed(project.plan.body, (name,), [made])) != project.plan.digest


def shuffled(value: Any, order: random.Random) -> Any:
    """The same content with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


def test_the_order_of_fields_does_not_matter(project: Project) -> None:
    """The same content read from JSON in twenty other orders, with white space, has the same digest."""
    tree = dumped(project.plan.body)
    texts = {json.dumps(shuffled(tree, random.Random(seed)), indent=seed % 3) for seed in range(20)}
    assert len(texts) == 20
    assert {digest_of(PlanBody.model_validate_json(text)) for text in texts} == {project.plan.digest}


@given(BODIES)
def test_a_body_survives_the_form_it_is_stored_in(body: PlanBody) -> None:
    """Whatever a body holds: written as the ledger writes it and read back it is equal, and has the digest of its stored bytes."""
    stored = canonical(dumped(body))
    again = PlanBody.model_validate_json(stored)
    assert again == body
    assert digest_of(again) == digest_of(body) == digest(json.loads(stored))


@given(BODIES, BODIES)
def test_two_bodies_share_a_digest_only_if_they_are_equal(one: PlanBody, other: PlanBody) -> None:
    """The digest tells any two bodies apart."""
    assert (digest_of(one) == digest_of(other)) is (dumped(one) == dumped(other))


def test_a_plan_survives_the_form_it_is_stored_in(project: Project) -> None:
    """The whole plan, with the chain of values before it, is the same after the ledger's canonical JSON, also twice."""
    stored = canonical(json.loads(project.plan.model_dump_json(by_alias=True)))
    again = Plan.model_validate_json(stored)
    assert again == project.plan
    assert canonical(json.loads(again.model_dump_json(by_alias=True))) == stored
    project.refuse(again)


@pytest.mark.parametrize("field", ["extra", "run_id", "circuits"])
def test_a_stored_body_is_closed(project: Project, field: str) -> None:
    """A field more, a field less or one of another type is no plan."""
    tree = dumped(project.plan.body)
    made = {"extra": tree | {"extra": 1}, "run_id": {key: tree[key] for key in tree if key != "run_id"}, "circuits": tree | {"circuits": []}}
    with pytest.raises(ValidationError):
        PlanBody.model_validate_json(json.dumps(made[field]))


def test_nothing_changed(project: Project) -> None:
    """The same files, and files that say the same in another way, are what was approved."""
    project.refuse()
    project.write("gatehouse.yaml", "# a comment\n" + MANIFEST.replace("shots: 64", "shots:   64  # as before"))
    project.write("source.csv", "subject,x\n")
    (project.folder / "tests").mkdir()
    project.write("tests/test_workload.py", "assert True\n")
    project.refuse()


CHANGES = {
    "manifest": ("gatehouse.yaml", MANIFEST.replace("shots: 64", "shots: 65")),
    "workload": ("workload.py", "def solve(features, parameters):\n    yield [1]\n"),
    "workload-helper": ("helper.py", "ANGLE = 1\n"),
    "lock": ("requirements.lock", "# something\n"),
    "input suite": ("suites/input.json", json.dumps({"name": "input", "expectations": SUITE[::-1]})),
    "output suite": ("suites/output.json", json.dumps({"name": "output", "expectations": SUITE[::-1]})),
}


@pytest.mark.parametrize("part", CHANGES)
def test_one_changed_file_is_named(project: Project, part: str) -> None:
    """A file that is another one since the plan was made is refused by the name of its part, and no other part is blamed."""
    project.write(*CHANGES[part])
    with pytest.raises(PlanChanged) as caught:
        project.refuse()
    assert caught.value.message == f"changed since the approval: {part.removesuffix('-helper')}"


def test_another_installation_is_named(project: Project, tmp_path: Path) -> None:
    """Another image, none, another lock file by setting, another policy: each is refused by name, and all at once are all named."""
    (tmp_path / "other.lock").write_text("# other\n")
    changes: list[tuple[str, dict[str, Any]]] = [
        ("image", {"image_digest": "sha256:" + "6" * 64}),
        ("image", {"image_digest": ""}),
        ("lock", {"lock": tmp_path / "other.lock"}),
        ("policy", {"policy_digest": "8" * 64}),
        ("lock, image, policy", {"policy_digest": "8" * 64, "image_digest": "", "lock": tmp_path / "other.lock"}),
    ]
    for parts, change in changes:
        with pytest.raises(PlanChanged) as caught:
            project.refuse(**change)
        assert caught.value.message == f"changed since the approval: {parts}"


def test_a_body_that_is_not_the_digest_s(project: Project) -> None:
    """A stored plan whose body was made cheaper, or whose digest was exchanged, is refused."""
    body = project.plan.body.model_copy(update={"cost": Decimal(500)})
    with pytest.raises(PlanChanged, match="changed since the approval: plan"):
        project.refuse(project.plan.model_copy(update={"body": body}))
    with pytest.raises(PlanChanged, match="changed since the approval: plan"):
        project.refuse(project.plan.model_copy(update={"digest": "0" * 64}))


def test_the_lock_that_counts(tmp_path: Path) -> None:
    """The nearest folder's lock wins, in it a hashed lock before a plain list; a setting wins over both."""
    folder = tmp_path / "outer" / "project"
    write_project(folder)
    settings = Settings(home=tmp_path / "home")
    admitted = admitted_run(folder)

    def lock(**change: Any) -> str:
        return present_digests(settings.model_copy(update=change), admitted, POLICY_DIGEST)["lock_digest"]

    nearest = lock()
    (folder.parent / "uv.lock").write_text("outer")
    (folder / "requirements.txt").write_text("plain")
    assert lock() == nearest
    (folder / "requirements.lock").unlink()
    plain = lock()
    (folder / "requirements.txt").unlink()
    outer = lock()
    (tmp_path / "set.lock").write_text("set")
    assert len({nearest, plain, outer, lock(lock=tmp_path / "set.lock")}) == 4
    with pytest.raises(InputError, match="lock file") as caught:
        lock(lock=tmp_path / "missing.lock")
    assert caught.value.where == "GATEHOUSE_LOCK"


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
    assert len({row[0] for row in rows}) == len(rows) == len(Purpose)
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
        "Ticket": "CHG-7",
        "Purpose": "Hold a plan",
        "Pipeline": "small, owner test-owner",
        "Tenant": "test-tenant, billed to T-1",
        "Environment": "local, tier prototype",
        "Run": RUN,
        "Plan digest": project.plan.digest,
    }


def test_failed_checks_are_counted(project: Project) -> None:
    """The input suite's line tells how many checks passed of how many."""
    checks = project.plan.validated.report.results
    report = project.plan.validated.report.model_copy(update={"results": (checks[0].model_copy(update={"success": False}), *checks[1:])})
    plan = project.plan.model_copy(update={"validated": project.plan.validated.model_copy(update={"report": report})})
    assert lines(sections(plan)[2])["Input suite"] == "input: 1 of 2 checks passed"


def form(project: Project, plan: Plan) -> str:
    """The description of the resume form."""
    with contextlib.closing(Ledger(project.settings.ledger())) as ledger:
        approve, reject = ask(Attempt(project.settings, ledger, RUN, lambda block: SecretText("")), plan, "k")
        text = as_markdown(plan, standing(ledger, plan), approve, reject)
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


@pytest.mark.parametrize("attack", ["a|b", "a\nb", "a\n\n# Approved", "<b>x</b>", "<!-- x", "| --- |", "a |\n| b"])
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
    assert "<b>" not in table and "<!--" not in table
