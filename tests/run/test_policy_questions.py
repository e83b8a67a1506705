"""What the gates ask: the facts come from the values they hold, and a no is raised with the policy's own sentence."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.policy.decision import Decision
from prefect_gatehouse.policy.interface import Policy
from prefect_gatehouse.policy.rules import ClassedColumn, TierRules
from prefect_gatehouse.run.policy_questions import ask_re_identify, ask_read_source, ask_request, ask_secret, ask_submit, ask_write_back
from prefect_gatehouse.run.standing import Standing
from prefect_gatehouse.run.started import Started
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings
from tests.support.plans import admitted_run, plan_for, tier_rules, write_project

STANDING = Standing(promoted=True, simulated=True, unsigned=())
POLICY = load_policy(Settings().policies)
ANN = Requester(person="ann", method="ssh", clearance=DataClass.RESTRICTED)
HERE = Started("gatehouse", "bubblewrap")
NOBODY = Requester(person="unverified", method="unverified", clearance=DataClass.RESTRICTED)
RESTRICTED = DataClass.RESTRICTED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small project."""
    write_project(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def plan(folder: Path, tmp_path: Path) -> Plan:
    """A plan over it: confidential data, half of a dollar, two backends."""
    return plan_for(folder, Settings(home=tmp_path / "home"))


def changed(plan: Plan, tier: TierRules | None = None, treatments: tuple[Treatment, ...] = (), **body: object) -> Plan:
    """The plan with another tier, other treatments or another body; its digest no longer matters here."""
    minimised = plan.validated.minimised
    admitted = minimised.admitted.model_copy(update={"tier": tier or minimised.admitted.tier})
    minimised = minimised.model_copy(update={"admitted": admitted, "treatments": treatments or minimised.treatments})
    validated = plan.validated.model_copy(update={"minimised": minimised})
    return plan.model_copy(update={"validated": validated, "body": plan.body.model_copy(update=body)})


def test_request(folder: Path) -> None:
    """Permitted in its own environment with the tier's backends; otherwise denied with identifier and sentence."""
    admitted = admitted_run(folder)
    assert ask_request(POLICY, admitted.manifest, ANN, admitted.tier, admitted.classes, "local", STANDING).reasons == ("permitted",)
    with pytest.raises(Denied, match=r"another environment .* \[environment-mismatch\]"):
        ask_request(POLICY, admitted.manifest, ANN, admitted.tier, admitted.classes, "production", STANDING)
    with pytest.raises(Denied, match="backend-not-in-tier"):
        ask_request(POLICY, admitted.manifest, ANN, tier_rules(backends=("aer",)), admitted.classes, "local", STANDING)


def test_unverified_requester_where_the_tier_does_not_admit_it(folder: Path) -> None:
    """Nobody's request is the tier's to admit."""
    admitted = admitted_run(folder)
    assert ask_request(POLICY, admitted.manifest, NOBODY, tier_rules(unverified_requests=True), admitted.classes, "local", STANDING).allowed
    with pytest.raises(Denied, match=r"nobody signed .* \[unverified-requester\]"):
        ask_request(POLICY, admitted.manifest, NOBODY, tier_rules(unverified_requests=False), admitted.classes, "local", STANDING)


def test_submit(plan: Plan) -> None:
    """Approvals, class, cost and backends are looked at again, each alone decides."""
    assert ask_submit(POLICY, plan, 1, "local", RESTRICTED, STANDING).allowed
    dear = tuple(item.model_copy(update={"cost_first_round": Decimal("5.000001")}) for item in plan.body.backends[:1]) + plan.body.backends[1:]
    kept = (Treatment(column="x", data_class=DataClass.RESTRICTED, rule="keep"),)
    cases = [
        ("not-enough-approvals", plan, 0, "local"),
        ("not-enough-approvals", changed(plan, tier_rules(approvers=2)), 1, "local"),
        ("class-above-tier", changed(plan, treatments=kept), 1, "local"),
        ("class-above-tier", changed(plan, tier_rules(highest_class=DataClass.INTERNAL)), 1, "local"),
        ("cost-above-envelope", changed(plan, backends=dear), 1, "local"),
        ("cost-above-envelope", changed(plan, cost=Decimal("0.249999")), 1, "local"),
        ("backend-not-in-tier", changed(plan, tier_rules(backends=("aer",))), 1, "local"),
        ("environment-mismatch", plan, 1, "production"),
    ]
    for forbid, asked, approvals, environment in cases:
        with pytest.raises(Denied) as caught:
            ask_submit(POLICY, asked, approvals, environment, RESTRICTED, STANDING)
        assert f"[{forbid}]" in caught.value.message and caught.value.message.count("[") == 1


def test_cost_of_less_than_a_microdollar_is_not_lost(plan: Plan) -> None:
    """An envelope of nothing admits nothing that costs anything."""
    dear = tuple(item.model_copy(update={"cost_first_round": Decimal("0.0000004")}) for item in plan.body.backends)
    with pytest.raises(Denied, match="cost-above-envelope"):
        ask_submit(POLICY, changed(plan, backends=dear, cost=Decimal(0)), 1, "local", RESTRICTED, STANDING)


def test_a_cost_beyond_every_number_is_a_no(plan: Plan) -> None:
    """A price that does not fit Cedar's numbers is denied, not wrapped around."""
    dear = tuple(item.model_copy(update={"cost_first_round": Decimal(10) ** 15}) for item in plan.body.backends)
    with pytest.raises(Denied):
        ask_submit(POLICY, changed(plan, backends=dear), 1, "local", RESTRICTED, STANDING)


def test_secrets(folder: Path) -> None:
    """A purpose with a declared block, and submission, which may need none; a purpose without a block is denied."""
    admitted = admitted_run(folder)
    for purpose in (Purpose.SUBMIT, Purpose.TOKENISE, Purpose.WRITE_BACK, Purpose.RE_IDENTIFY):
        assert ask_secret(POLICY, admitted, purpose, "local", HERE).allowed
    bare = admitted.manifest.credentials.model_copy(update={"tokenise": None})
    without = admitted.model_copy(update={"manifest": admitted.manifest.model_copy(update={"credentials": bare})})
    with pytest.raises(Denied, match="purpose-not-declared"):
        ask_secret(POLICY, without, Purpose.TOKENISE, "local", HERE)
    with pytest.raises(Denied, match="environment-mismatch"):
        ask_secret(POLICY, admitted, Purpose.TOKENISE, "production", HERE)


def test_write_back(plan: Plan) -> None:
    """Only into a system that the manifest declares; a token is turned back for no other."""
    for ask in (ask_write_back, ask_re_identify):
        assert ask(POLICY, plan, True, "local", RESTRICTED).allowed
        with pytest.raises(Denied, match="system-not-declared"):
            ask(POLICY, plan, False, "local", RESTRICTED)
        with pytest.raises(Denied, match="environment-mismatch"):
            ask(POLICY, plan, True, "production", RESTRICTED)


def test_clearance_is_the_present_one(plan: Plan) -> None:
    """Who was cleared when the run was admitted and is not any more: nothing is submitted, written or turned back."""
    assert plan.admitted.requester.clearance is RESTRICTED
    for ask in (
        lambda clearance: ask_submit(POLICY, plan, 1, "local", clearance, STANDING),
        lambda clearance: ask_write_back(POLICY, plan, True, "local", clearance),
        lambda clearance: ask_re_identify(POLICY, plan, True, "local", clearance),
    ):
        for clearance in (DataClass.PUBLIC, DataClass.INTERNAL, DataClass.CONFIDENTIAL):
            with pytest.raises(Denied, match=r"not cleared .* \[class-above-clearance\]") as caught:
                ask(clearance)
            assert "restricted (from subject)" in caught.value.advice
        assert ask(RESTRICTED).allowed


def system_takes(plan: Plan, highest: DataClass) -> Plan:
    """The plan with another highest class of its target."""
    admitted = plan.admitted
    manifest = admitted.manifest.model_copy(
        update={"systems": tuple(item.model_copy(update={"highest_class": highest}) for item in admitted.manifest.systems)}
    )
    minimised = plan.validated.minimised.model_copy(update={"admitted": admitted.model_copy(update={"manifest": manifest})})
    return plan.model_copy(update={"validated": plan.validated.model_copy(update={"minimised": minimised})})


def test_a_system_that_takes_less(plan: Plan) -> None:
    """Told at the request already, and again before rows are written or tokens turned back."""
    lower = system_takes(plan, DataClass.CONFIDENTIAL)
    admitted = lower.admitted
    for ask in (
        lambda: ask_request(POLICY, admitted.manifest, ANN, admitted.tier, admitted.classes, "local", STANDING),
        lambda: ask_write_back(POLICY, lower, True, "local", RESTRICTED),
        lambda: ask_re_identify(POLICY, lower, True, "local", RESTRICTED),
    ):
        with pytest.raises(Denied, match=r"higher class than the target system takes \[class-above-system\]"):
            ask()


@pytest.mark.parametrize(
    ("change", "forbid"),
    [({"readers": ("approver",)}, "class-not-for-requesters"), ({"write_back": False}, "class-not-written-back")],
)
def test_the_rules_of_the_class_decide(folder: Path, change: dict[str, object], forbid: str) -> None:
    """A class that requesters may not read, or that is never written back, is refused at the request."""
    admitted = admitted_run(folder)
    classes = admitted.classes.model_copy(update={"rules": admitted.classes.rules.model_copy(update=change)})
    with pytest.raises(Denied, match=rf"\[{forbid}\]"):
        ask_request(POLICY, admitted.manifest, ANN, admitted.tier, classes, "local", STANDING)


def test_a_shifted_date_counts_with_its_subject(plan: Plan) -> None:
    """What leaves counts with the class that it inherits, not only with the one that is declared beside it."""
    shifted = (Treatment(column="when", data_class=DataClass.PUBLIC, rule="shift_dates"),)
    high = (ClassedColumn(column="when", data_class=RESTRICTED, because=("subject",)),)
    strict = changed(plan, tier_rules(highest_class=DataClass.INTERNAL), shifted)
    assert ask_submit(POLICY, strict, 1, "local", RESTRICTED, STANDING).allowed
    classes = plan.body.classes.model_copy(update={"features": high})
    with pytest.raises(Denied, match="class-above-tier"):
        ask_submit(POLICY, changed(plan, tier_rules(highest_class=DataClass.INTERNAL), shifted, classes=classes), 1, "local", RESTRICTED, STANDING)


def test_read_source(folder: Path) -> None:
    """Only from a system that the manifest declares."""
    admitted = admitted_run(folder)
    assert ask_read_source(POLICY, admitted, "clinic", True, "local").allowed
    with pytest.raises(Denied, match="source-not-declared"):
        ask_read_source(POLICY, admitted, "elsewhere", False, "local")


LIMITS = {
    "block": (
        'action == Gatehouse::Action::"read_secret", resource) when { context.block == "secret/key" && context.purpose != "tokenise" }',
        lambda policy, plan: ask_secret(policy, plan.admitted, Purpose.TOKENISE, "local", HERE),
        lambda policy, plan: ask_secret(policy, plan.admitted, Purpose.RE_IDENTIFY, "local", HERE),
    ),
    "cell": (
        'action == Gatehouse::Action::"read_secret", resource) when { resource.tenant == "test-tenant" } unless { context.cell == "bubblewrap" }',
        lambda policy, plan: ask_secret(policy, plan.admitted, Purpose.TOKENISE, "local", HERE),
        lambda policy, plan: ask_secret(policy, plan.admitted, Purpose.TOKENISE, "local", Started("gatehouse", "landlock")),
    ),
    "worker": (
        'action in [Gatehouse::Action::"read_secret", Gatehouse::Action::"submit"], resource) unless { context.worker == "gatehouse" }',
        lambda policy, plan: ask_submit(policy, plan, 1, "local", RESTRICTED, STANDING, worker="gatehouse"),
        lambda policy, plan: ask_submit(policy, plan, 1, "local", RESTRICTED, STANDING),
    ),
    "cell-of-a-submission": (
        'action == Gatehouse::Action::"submit", resource) unless { context.cell == "bubblewrap" }',
        lambda policy, plan: ask_submit(policy, changed(plan, cell="bubblewrap"), 1, "local", RESTRICTED, STANDING),
        lambda policy, plan: ask_submit(policy, plan, 1, "local", RESTRICTED, STANDING),
    ),
    "backend": (
        'action == Gatehouse::Action::"request", resource) when { context.backends.contains("braket-local") && resource.tenant == "other" }',
        lambda policy, plan: request_of(policy, plan, "test-tenant"),
        lambda policy, plan: request_of(policy, plan, "other"),
    ),
    "device": (
        'action == Gatehouse::Action::"submit", resource) unless { context.devices.isEmpty() }',
        lambda policy, plan: ask_submit(policy, plan, 1, "local", RESTRICTED, STANDING),
        lambda policy, plan: ask_submit(policy, with_a_device(plan), 1, "local", RESTRICTED, STANDING),
    ),
    "system": (
        'action in [Gatehouse::Action::"read_source", Gatehouse::Action::"write_back"], resource) when { context.system == "clinic" }',
        lambda policy, plan: ask_write_back(policy, plan, True, "local", RESTRICTED),
        lambda policy, plan: ask_read_source(policy, plan.admitted, "clinic", True, "local"),
    ),
}


def request_of(policy: Policy, plan: Plan, tenant: str) -> Decision:
    admitted = plan.admitted
    manifest = admitted.manifest.model_copy(update={"tenant": tenant})
    return ask_request(policy, manifest, ANN, admitted.tier, admitted.classes, "local", STANDING)


def with_a_device(plan: Plan) -> Plan:
    first, *others = plan.body.backends
    return changed(plan, backends=(first.model_copy(update={"simulator": False}), *others))


@pytest.mark.parametrize("what", LIMITS)
def test_a_policy_can_limit_what_a_question_is_about(what: str, plan: Plan, tmp_path: Path) -> None:
    """A file of an administrator's own beside ours: the same question about another block, system, backend, worker or cell is a no that names it."""
    rule, may, may_not = LIMITS[what]
    shutil.copytree(Settings().policies, tmp_path / "policies")
    (tmp_path / "policies" / "own.cedar").write_text(f'@id("own")\n@reason("not here")\nforbid (principal, {rule};\n')
    policy = load_policy(tmp_path / "policies")
    assert may(policy, plan).reasons == ("permitted",)
    assert may_not(POLICY, plan).allowed
    with pytest.raises(Denied, match=r"not here \[own\]"):
        may_not(policy, plan)


def test_every_no_says_what_to_do() -> None:
    """Each forbid that ships has an advice of its own, and every name in braces is one that is filled in."""
    import re

    text = (Settings().policies / "gatehouse.cedar").read_text()
    forbids = [item for item in re.findall(r'@id\("([a-z-]+)"\)', text) if item not in {"permitted", "act-permitted"}]
    assert len(forbids) > 10
    assert [item for item in forbids if not POLICY.advise(item)] == []
    names = {name for item in forbids for name in re.findall(r"\{(\w+)\}", POLICY.advise(item))}
    known = {"requester", "output_class", "system", "tier", "tier_class", "tier_backends", "environment", "pipeline_environment", "run"}
    assert names <= known | {
        "ticket",
        "unchecked",
        "pipeline",
        "tier_regions",
        "regions",
        "tier_shots",
        "shots",
        "tier_cost",
        "hours",
        "tier_approver_roles",
        "artifacts",
        "tier_artifacts",
        "evidence",
        "tier_evidence",
    }


def test_an_advice_can_be_pasted(folder: Path) -> None:
    """Names in braces are the question's own: the requester, the class, the environment; a request that nobody signed has to be signed."""
    admitted = admitted_run(folder)
    with pytest.raises(Denied) as told:
        ask_request(
            POLICY, admitted.manifest, ANN.model_copy(update={"clearance": DataClass.PUBLIC}), admitted.tier, admitted.classes, "local", STANDING
        )
    assert f"gatehouse people add ann --role requester --clearance {admitted.classes.output_class}" in told.value.advice
    with pytest.raises(Denied) as told:
        ask_request(
            POLICY, admitted.manifest, NOBODY.model_copy(update={"clearance": DataClass.PUBLIC}), admitted.tier, admitted.classes, "local", STANDING
        )
    assert "people add" not in told.value.advice and "gatehouse run" in told.value.advice
    with pytest.raises(Denied) as told:
        ask_request(POLICY, admitted.manifest, ANN, admitted.tier, admitted.classes, "production", STANDING)
    assert f"GATEHOUSE_ENVIRONMENT is {admitted.manifest.environment}" in told.value.advice
    assert "{" not in told.value.advice
