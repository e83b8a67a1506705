"""What the gates ask: the facts come from the values they hold, and a no is raised with the policy's own sentence."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from tests.identity.plans import admitted_run, plan_for, tier_rules, write_project

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.policy.questions import ask_read_source, ask_request, ask_secret, ask_submit, ask_write_back
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.values import Plan, Requester, TierRules, Treatment

POLICY = load_policy(Settings().policies)
ANN = Requester(person="ann", method="ssh")
NOBODY = Requester(person="unverified", method="unverified")


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
    assert ask_request(POLICY, admitted.manifest, ANN, admitted.tier, "local").reasons == ("permitted",)
    with pytest.raises(Denied, match=r"another environment .* \[environment-mismatch\]"):
        ask_request(POLICY, admitted.manifest, ANN, admitted.tier, "production")
    with pytest.raises(Denied, match="backend-not-in-tier"):
        ask_request(POLICY, admitted.manifest, ANN, tier_rules(backends=("aer",)), "local")


def test_unverified_requester_where_the_tier_does_not_admit_it(folder: Path) -> None:
    """Nobody's request is the tier's to admit."""
    admitted = admitted_run(folder)
    assert ask_request(POLICY, admitted.manifest, NOBODY, tier_rules(unverified_requests=True), "local").allowed
    with pytest.raises(Denied, match=r"nobody signed .* \[unverified-requester\]"):
        ask_request(POLICY, admitted.manifest, NOBODY, tier_rules(unverified_requests=False), "local")


def test_submit(plan: Plan) -> None:
    """Approvals, class, cost and backends are looked at again, each alone decides."""
    assert ask_submit(POLICY, plan, 1, "local").allowed
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
            ask_submit(POLICY, asked, approvals, environment)
        assert f"[{forbid}]" in caught.value.message and caught.value.message.count("[") == 1


def test_cost_of_less_than_a_microdollar_is_not_lost(plan: Plan) -> None:
    """An envelope of nothing admits nothing that costs anything."""
    dear = tuple(item.model_copy(update={"cost_first_round": Decimal("0.0000004")}) for item in plan.body.backends)
    with pytest.raises(Denied, match="cost-above-envelope"):
        ask_submit(POLICY, changed(plan, backends=dear, cost=Decimal(0)), 1, "local")


def test_a_cost_beyond_every_number_is_a_no(plan: Plan) -> None:
    """A price that does not fit Cedar's numbers is denied, not wrapped around."""
    dear = tuple(item.model_copy(update={"cost_first_round": Decimal(10) ** 15}) for item in plan.body.backends)
    with pytest.raises(Denied):
        ask_submit(POLICY, changed(plan, backends=dear), 1, "local")


def test_secrets(folder: Path) -> None:
    """A purpose with a declared block, and submission, which may need none; a purpose without a block is denied."""
    admitted = admitted_run(folder)
    for purpose in (Purpose.SUBMIT, Purpose.TOKENISE, Purpose.WRITE_BACK, Purpose.RE_IDENTIFY):
        assert ask_secret(POLICY, admitted, purpose, "local").allowed
    bare = admitted.manifest.credentials.model_copy(update={"tokenise": None})
    without = admitted.model_copy(update={"manifest": admitted.manifest.model_copy(update={"credentials": bare})})
    with pytest.raises(Denied, match="purpose-not-declared"):
        ask_secret(POLICY, without, Purpose.TOKENISE, "local")
    with pytest.raises(Denied, match="environment-mismatch"):
        ask_secret(POLICY, admitted, Purpose.TOKENISE, "production")


def test_write_back(folder: Path) -> None:
    """Only into a system that the manifest declares."""
    admitted = admitted_run(folder)
    assert ask_write_back(POLICY, admitted, "target", True, "local").allowed
    with pytest.raises(Denied, match="system-not-declared"):
        ask_write_back(POLICY, admitted, "elsewhere", False, "local")
    assert ask_read_source(POLICY, admitted, "clinic", True, "local").allowed
    with pytest.raises(Denied, match="source-not-declared"):
        ask_read_source(POLICY, admitted, "elsewhere", False, "local")
