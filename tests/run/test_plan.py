"""The plan: one digest over everything that an approval covers."""

from __future__ import annotations

import contextlib
import json
import random
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
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.policy.hours import SubmitHours
from prefect_gatehouse.policy.rules import ClassedColumn, ClassRules, RunClasses, TierRules
from prefect_gatehouse.run.plan import present_digests
from prefect_gatehouse.run.planned import (
    BackendSnapshot,
    CredentialNeed,
    PlannedClasses,
    PlannedException,
    PlannedImage,
    PlannedPromotion,
    PlannedReview,
    Preflight,
    Preparation,
    ProviderLimit,
    Setting,
    SignedBundle,
    Since,
    SourceFile,
    SystemAddress,
)
from prefect_gatehouse.run.values import Plan, PlanBody
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import CellName, LogDepth
from prefect_gatehouse.workload.summary import CircuitsSummary
from tests.run.project import Project
from tests.support.plans import MANIFEST, POLICY_DIGEST, SUITE, admitted_run, write_project

Where = tuple[str | int, ...]

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
NAMES = st.lists(LINE, max_size=3).map(tuple)
MONEY = st.decimals(0, 10**8, places=4)
COUNT = st.integers(0, 2**53 - 1)
CLASSED = st.builds(ClassedColumn, column=LINE, data_class=st.sampled_from(DataClass), because=st.lists(LINE, max_size=3).map(tuple))
BODIES = st.builds(
    PlanBody,
    run_id=LINE,
    manifest_digest=HEX,
    data_digest=HEX,
    workload_digest=HEX,
    lock_digest=HEX | st.none(),
    image_digest=LINE,
    packages_digest=HEX,
    files=st.lists(st.builds(SourceFile, path=LINE, sha256=HEX), max_size=3).map(tuple),
    since=st.builds(Since, plan_digest=HEX | st.just(""), run_id=LINE, added=NAMES, removed=NAMES, changed=NAMES),
    tier=st.builds(
        TierRules,
        name=st.sampled_from(["prototype", "integration", "business"]),
        approvers=st.integers(1, 20),
        weakest_method=st.sampled_from(["totp", "ssh", "ssh-fido"]),
        unverified_requests=st.booleans(),
        unverified_class=st.sampled_from(DataClass),
        highest_class=st.sampled_from(DataClass),
        backends=NAMES,
        approval_window_seconds=st.integers(60, 2**40),
        resume_window_seconds=st.integers(60, 2**40),
        synthetic_only=st.booleans(),
        preflight=st.sampled_from(["required", "optional", "never"]),
    ),
    registry=LINE,
    circuits=st.builds(
        CircuitsSummary,
        count=st.integers(1, 10**6),
        templates=st.integers(1, 10**6),
        digest=HEX,
        qubits=COUNT,
        depth=COUNT,
        angles=COUNT,
        shots=COUNT,
    ),
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
            settings=st.lists(st.builds(Setting, name=LINE, value=LINE | COUNT | st.none(), shown=st.booleans()), max_size=3).map(tuple),
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
    if isinstance(value, float):
        return [value + 1e-6]
    if value is None:
        return ["secret/other", 7]
    flipped = ("0" if value[:1] != "0" else "1") + value[1:]
    with contextlib.suppress(ArithmeticError):
        return [str(Decimal(value) + Decimal("0.0001")), flipped]
    return [
        flipped,
        value + "x",
        *Purpose,
        *DataClass,
        *get_args(CellName),
        *get_args(LogDepth),
        "requester",
        "auditor",
        "integration",
        "ssh",
        "optional",
        "required",
        "process",
        "allowed",
        "forbidden",
        "reported",
        "stop",
        "tell",
        "file",
        "fri",
        "08:01",
        "UTC",
    ]


def fields_of(model: type[BaseModel]) -> set[str]:
    """Every field of a model and of the models in it, by the name that it is written with."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(field.serialization_alias or name)
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= fields_of(inner)
    return found


def test_any_single_change_gives_another_digest(project: Project) -> None:
    """Each value of the body in turn, at every depth, is changed as little as its type allows; no two results share a digest."""
    settings = (Setting(name="region", value="eu-north-1", shown=True), Setting(name="grace_seconds", value=60, shown=False))
    numbers = {"depth_before": 3, "depth_after": 5, "two_qubit_before": 1, "two_qubit_after": 2, "quality": 0.5}
    prepared = Preparation.model_validate({"settings": {"version": "2"}, "circuits_digest": "0" * 64, **numbers})
    limit = ProviderLimit(amount=Decimal(50), left=Decimal(49), until=datetime(2026, 12, 1, tzinfo=UTC))
    more = {"settings": settings, "prepared": prepared, "limits": (limit,), "cost_apart": Decimal("1.5")}
    backends = tuple(each.model_copy(update=more) for each in project.plan.body.backends)
    words = ("exception", "rule", "owner", "granted_by", "ticket", "residual_risk", "compensating_control")
    excepted = PlannedException.model_validate({**dict.fromkeys(words, "x"), "expires": datetime(2026, 12, 1, tzinfo=UTC)})
    signed = PlannedClasses(classification="c", signed_by="olga", at="2026-11-29")
    promotion = PlannedPromotion(promotion="p", promoted_by="tess", ticket="CHG-9", at="2026-11-29", below="prototype", runs=3, jobs=9, fallbacks=1)
    when = datetime(2026, 11, 28, tzinfo=UTC)
    people = {"author": "ann", "author_key": "SHA256:x", "reviewed_by": "tess"}
    review = PlannedReview.model_validate({"review": "r", "commit": "0" * 40, "committed": when, "at": "2026-11-29", **people})
    image = PlannedImage(signed_by="sha256:x", scanned_by="sha256:y", scanned_at=when)
    bundle = SignedBundle(version=1, digest="0" * 64, signers=("ann (legal)",))
    hours = SubmitHours.model_validate({"days": ["mon"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"})
    limits = {"regions": ("eu-north-1",), "shots": 10_000, "cost": Decimal(1000), "submit_hours": hours, "approver_roles": ("data-owner",)}
    kept = {"artifacts_at_most_seconds": 86_400, "evidence_at_least_seconds": 31_536_000}
    tier = project.plan.body.tier.model_copy(update=limits | kept)
    said = {
        "tier": tier,
        "exceptions": (excepted,),
        "promotion": promotion,
        "review": review,
        "image": image,
        "source_classes": signed,
        "bundle": bundle,
    }
    body = project.plan.body.model_copy(update={"backends": backends, **said})
    places = list(leaves(dumped(body)))
    assert {step for where in places for step in where if isinstance(step, str)} == fields_of(PlanBody)
    found = {where: PlanBody.digest(changed(body, where, others(at(dumped(body), where)))) for where in places}
    assert not {project.plan.digest, body.digest()} & set(found.values())
    assert len(set(found.values())) == len(places) > 30


@pytest.mark.parametrize("name", ["backends", "credentials"])
@pytest.mark.parametrize("change", ["reversed", "shortened", "repeated", "emptied"])
def test_lists_are_covered_with_their_order(project: Project, name: str, change: str) -> None:
    """Backends are in order of preference: another order, one less, one twice or none at all is another plan."""
    items = dumped(project.plan.body)[name]
    made = {"reversed": items[::-1], "shortened": items[:-1], "repeated": [*items, items[-1]], "emptied": []}[change]
    assert PlanBody.digest(changed(project.plan.body, (name,), [made])) != project.plan.digest


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
    assert {PlanBody.digest(PlanBody.model_validate_json(text)) for text in texts} == {project.plan.digest}


@given(BODIES)
def test_a_body_survives_the_form_it_is_stored_in(body: PlanBody) -> None:
    """Whatever a body holds: written as the ledger writes it and read back it is equal, and has the digest of its stored bytes."""
    stored = canonical(dumped(body))
    again = PlanBody.model_validate_json(stored)
    assert again == body
    assert PlanBody.digest(again) == PlanBody.digest(body) == digest(json.loads(stored))


@given(BODIES, BODIES)
def test_two_bodies_share_a_digest_only_if_they_are_equal(one: PlanBody, other: PlanBody) -> None:
    """The digest tells any two bodies apart."""
    assert (PlanBody.digest(one) == PlanBody.digest(other)) is (dumped(one) == dumped(other))


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
    "workload-data": ("weights.json", "[1, 2]\n"),
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
    assert caught.value.message == f"changed since the approval: {part.partition('-')[0]}"


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


def unreadable(_: Path) -> str:
    """For root, who may read everything."""
    raise PermissionError


def test_the_lock_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest folder's lock wins, in it a hashed lock before a plain list; a setting wins over both; where there is none, there is no digest."""
    folder = tmp_path / "outer" / "project"
    write_project(folder)
    settings = Settings(home=tmp_path / "home")
    admitted = admitted_run(folder)

    def lock(**change: Any) -> str | None:
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
    (folder.parent / "uv.lock").unlink()
    assert lock() is None
    (folder / "pylock.toml").write_text("x")
    monkeypatch.setattr("prefect_gatehouse.run.plan.sha256_file", unreadable)
    with pytest.raises(InputError, match="lock file") as caught:
        lock()
    assert caught.value.where == str(folder / "pylock.toml")
