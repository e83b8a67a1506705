"""What a tier limits of a plan: each limit alone decides, at the plan and again before a round, and people read it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.providers.registry import region_of
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.planned import Setting
from prefect_gatehouse.run.policy_questions import ask_plan, ask_request, ask_submit
from prefect_gatehouse.run.standing import Standing
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings
from tests.support.plans import plan_for, tier_rules, write_project

POLICY = load_policy(Settings().policies)
STANDING = Standing(promoted=True, simulated=True, unsigned=())
CRN = "crn:v1:bluemix:public:quantum-computing:eu-de:a/0123456789abcdef0123456789abcdef:00000000-0000-4000-8000-000000000000::"
GARNET, TORINO = ("braket/garnet", {"region": "eu-north-1"}), ("ibm/torino", {"instance": CRN})


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of two rounds of a circuit of 64 shots, for at most five dollars, on two simulators of this machine."""
    write_project(tmp_path / "project")
    return plan_for(tmp_path / "project", Settings(home=tmp_path / "home"))


def on(plan: Plan, *devices: tuple[str, dict[str, Any]]) -> Plan:
    """The plan with devices beside its simulators; its digest no longer matters here."""
    first = plan.body.backends[0]
    more = (
        first.model_copy(
            update={
                "name": name,
                "simulator": False,
                "settings": tuple(Setting(name=key, value=value, shown=True) for key, value in settings.items()),
            }
        )
        for name, settings in devices
    )
    return plan.model_copy(update={"body": plan.body.model_copy(update={"backends": (*plan.body.backends, *more)})})


def under(plan: Plan, tier: TierRules) -> Plan:
    minimised = plan.validated.minimised
    minimised = minimised.model_copy(update={"admitted": minimised.admitted.model_copy(update={"tier": tier})})
    validated = plan.validated.model_copy(update={"minimised": minimised})
    return plan.model_copy(update={"validated": validated, "body": plan.body.model_copy(update={"tier": tier})})


def asked_twice(plan: Plan, limits: dict[str, Any]) -> set[str]:
    """The rules that stop it, which are the same at the plan and before a round."""
    limited = under(plan, tier_rules(backends=tuple(each.name for each in plan.body.backends), **limits))
    found = []
    for ask in (
        lambda: ask_plan(POLICY, limited.admitted, limited.body.backends, limited.body.circuits, "local"),
        lambda: ask_submit(POLICY, limited, 1, "local", DataClass.RESTRICTED, STANDING),
    ):
        try:
            assert ask().reasons == ("permitted",)
            found.append(set())
        except Denied as no:
            found.append(set(no.denial.reasons))  # type: ignore[attr-defined]
    assert found[0] == found[1]
    return found[0]


def test_where_a_device_is() -> None:
    """By the setting of an Amazon device, by the CRN of an instance of IBM's; nothing is guessed, and a simulator of this machine is nowhere."""
    assert [region_of(*each) for each in (GARNET, TORINO)] == ["eu-north-1", "eu-de"]
    for name, settings in (("braket/garnet", {}), ("ibm/torino", {}), ("ibm/torino", {"instance": "torino"}), ("aer", {"region": "eu-de"})):
        assert region_of(name, settings) == ""


REGIONS: dict[str, tuple[list[tuple[str, dict[str, Any]]], tuple[str, ...] | None, bool]] = {
    "no-limit": ([GARNET, TORINO], None, True),
    "no-limit-and-unknown": ([("braket/garnet", {})], None, True),
    "simulators-alone": ([], ("eu-de",), True),
    "inside": ([GARNET, TORINO], ("eu-de", "eu-north-1"), True),
    "one-outside": ([GARNET, TORINO], ("eu-north-1",), False),
    "all-outside": ([GARNET], ("us-east-1",), False),
    "unknown": ([("braket/garnet", {})], ("eu-north-1",), False),
    "unknown-beside-one-inside": ([GARNET, ("ibm/torino", {})], ("eu-north-1",), False),
    "a-tier-that-names-unknown": ([("braket/garnet", {})], ("unknown",), False),
    "of-another-name": ([GARNET], ("eu-north",), False),
}


@pytest.mark.parametrize("name", REGIONS)
def test_regions(plan: Plan, name: str) -> None:
    """Every device is in one of the tier's regions, where it names any; one whose region nothing says is in none of them."""
    devices, regions, may = REGIONS[name]
    assert asked_twice(on(plan, *devices), {"regions": regions}) == (set() if may else {"region-not-in-tier"})


def test_a_managed_simulator_is_somewhere(plan: Plan) -> None:
    """What a provider simulates for money is in its region like a machine."""
    managed = on(plan, ("braket/sv1", {"region": "us-west-1"}))
    backends = tuple(each.model_copy(update={"simulator": True}) for each in managed.body.backends)
    managed = managed.model_copy(update={"body": managed.body.model_copy(update={"backends": backends})})
    assert asked_twice(managed, {"regions": ("eu-north-1",)}) == {"region-not-in-tier"}


def test_what_to_do_about_a_region(plan: Plan) -> None:
    """The advice names where the devices are and where they may be."""
    limited = under(on(plan, GARNET, ("ibm/torino", {})), tier_rules(regions=("us-east-1", "us-west-1")))
    with pytest.raises(Denied, match=r"\[region-not-in-tier\]") as caught:
        ask_plan(POLICY, limited.admitted, limited.body.backends, limited.body.circuits, "local")
    assert "the devices are in eu-north-1, unknown" in caught.value.advice
    assert "a region of the tier prototype: us-east-1, us-west-1" in caught.value.advice and "{" not in caught.value.advice


@pytest.mark.parametrize(("cap", "may"), [(None, True), (129, True), (128, True), (127, False), (1, False)])
def test_shots(plan: Plan, cap: int | None, may: bool) -> None:
    """Two rounds of one circuit of 64 shots are 128; a cap is the last number that is allowed."""
    assert asked_twice(plan, {"shots": cap}) == (set() if may else {"shots-above-tier"})


def test_rounds_that_are_larger_than_the_first(plan: Plan) -> None:
    """What was sent by now counts where it is more than the plan has; where it is less, the plan's does."""
    limited = under(plan, tier_rules(shots=640))
    for shots in (0, 640):
        assert ask_submit(POLICY, limited, 1, "local", DataClass.RESTRICTED, STANDING, shots=shots).allowed
    with pytest.raises(Denied) as caught:
        ask_submit(POLICY, limited, 1, "local", DataClass.RESTRICTED, STANDING, shots=641)
    assert "641 shots were asked for, the tier prototype allows 640" in caught.value.advice
    with pytest.raises(Denied, match="shots-above-tier"):
        ask_submit(POLICY, under(plan, tier_rules(shots=127)), 1, "local", DataClass.RESTRICTED, STANDING, shots=64)


@pytest.mark.parametrize(("cap", "may"), [(None, True), ("5.0001", True), ("5", True), ("4.9999", False), ("0", False)])
def test_cost(plan: Plan, cap: str | None, may: bool) -> None:
    """An envelope of five dollars: told at the request, and again before a round; a cap is the last amount that is allowed."""
    limited = under(plan, tier_rules(cost=None if cap is None else Decimal(cap)))
    admitted = limited.admitted
    for ask in (
        lambda: ask_request(POLICY, admitted.manifest, admitted.requester, admitted.tier, admitted.classes, "local", STANDING),
        lambda: ask_submit(POLICY, limited, 1, "local", DataClass.RESTRICTED, STANDING),
    ):
        if may:
            assert ask().allowed
            continue
        with pytest.raises(Denied, match=r"\[cost-above-tier\]") as caught:
            ask()
        assert f"the tier prototype allows {cap} USD for a run" in caught.value.advice


RETENTION: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no-limit": ({}, set()),
    "at-both-ends": ({"artifacts_at_most_seconds": 86_400, "evidence_at_least_seconds": 3650 * 86_400}, set()),
    "artifacts-a-second-too-long": ({"artifacts_at_most_seconds": 86_399}, {"artifacts-kept-too-long"}),
    "evidence-a-second-too-short": ({"evidence_at_least_seconds": 3650 * 86_400 + 1}, {"evidence-kept-too-short"}),
    "both": ({"artifacts_at_most_seconds": 1, "evidence_at_least_seconds": 10**10}, {"artifacts-kept-too-long", "evidence-kept-too-short"}),
}


@pytest.mark.parametrize("name", RETENTION)
def test_retention(plan: Plan, name: str) -> None:
    """A manifest that says nothing keeps artifacts for a day and evidence for ten years: told at the request, at the plan and before a round."""
    limits, stopped = RETENTION[name]
    assert asked_twice(plan, limits) == stopped
    admitted = under(plan, tier_rules(**limits)).admitted
    if not stopped:
        assert ask_request(POLICY, admitted.manifest, admitted.requester, admitted.tier, admitted.classes, "local", STANDING).allowed
        return
    with pytest.raises(Denied) as caught:
        ask_request(POLICY, admitted.manifest, admitted.requester, admitted.tier, admitted.classes, "local", STANDING)
    assert set(caught.value.denial.reasons) == stopped  # type: ignore[attr-defined]
    if name == "artifacts-a-second-too-long":
        assert caught.value.advice == "lower retention.artifacts: it is 1d, the tier prototype allows 86399s at most"
    if name == "evidence-a-second-too-short":
        assert caught.value.advice == "raise retention.evidence: it is 3650d, the tier prototype asks for 315360001s at least"


def rules_shown(plan: Plan) -> dict[str, str]:
    return dict(next(each for each in sections(plan) if each.title == "Which code runs, under which rules").rows)  # type: ignore[arg-type]


def test_people_read_the_limits(plan: Plan) -> None:
    """One line beside the tier; none where the tier limits nothing."""
    assert "Limits of the tier" not in rules_shown(plan)
    shown = rules_shown(under(plan, tier_rules(regions=("eu-de", "eu-north-1"))))["Limits of the tier"]
    assert shown == "devices in eu-de, eu-north-1 only"
    shown = rules_shown(under(plan, tier_rules(shots=1_000_000, cost=Decimal(1000))))["Limits of the tier"]
    assert shown == "at most 1,000,000 shots in all; with as many circuits in every round as in the first they are 128; at most 1000 USD"
    hours = {"days": ["mon"], "from": "08:00", "to": "18:00"}
    assert rules_shown(under(plan, tier_rules(submit_hours=hours)))["Limits of the tier"] == "jobs are submitted on mon from 08:00 to 18:00 (UTC)"
    kept = tier_rules(artifacts_at_most_seconds=3 * 86_400, evidence_at_least_seconds=365 * 86_400)
    assert rules_shown(under(plan, kept))["Limits of the tier"] == "retention.artifacts at most 3d; retention.evidence at least 365d"
    quiet = rules_shown(under(plan, tier_rules(logging="warning")))["Limits of the tier"]
    assert quiet == "records less severe than warning stay out of Prefect's log"
    # Reading the plan again from the ledger gives the digest that was approved.
    limited = under(plan, tier_rules(submit_hours=hours, regions=("eu-de",), cost=Decimal("0.5")))
    assert TierRules.model_validate_json(limited.body.tier.model_dump_json(by_alias=True)) == limited.body.tier
    assert "approver with" not in rules_shown(plan)["Tier"]
    owned = rules_shown(under(plan, tier_rules(approver_roles=("approver", "data-owner"))))["Tier"]
    assert owned.startswith("prototype: 1 approver with the roles approver and data-owner between them, totp or stronger")


def test_roles_of_those_who_approved(plan: Plan) -> None:
    """Asked before a round with the roles of now; nobody is supposed to have one."""
    owned = under(plan, tier_rules(approver_roles=("approver", "data-owner")))
    assert ask_submit(POLICY, owned, 1, "local", DataClass.RESTRICTED, STANDING, roles={"approver", "data-owner", "auditor"}).allowed
    for roles in ((), ("approver",), ("data-owner", "auditor")):
        with pytest.raises(Denied, match=r"\[approver-role-missing\]") as caught:
            ask_submit(POLICY, owned, 1, "local", DataClass.RESTRICTED, STANDING, roles=roles)
        assert "the roles approver and data-owner between them" in caught.value.advice
