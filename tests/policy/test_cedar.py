"""The policies that ship, and what becomes of policies that are broken: nothing but a clean Allow is a yes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.policy.cedar import DEFAULT_DENY, CedarPolicy, load_policy
from prefect_gatehouse.policy.interface import Fact, Question
from prefect_gatehouse.settings import Settings

SHIPPED = Settings().policies
POLICY = load_policy(SHIPPED)

EVERYWHERE: dict[str, Fact] = {"running_environment": "local", "tier_unverified": False}
READ: dict[str, Fact] = {"output_class": 2, "class_for_requesters": True}
TARGET: dict[str, Fact] = {"system_highest_class": 2, "class_written_back": True}
TICKET = dict.fromkeys(("tier_ticket_checked", "ticket_checked", "ticket_open", "ticket_approved", "ticket_names_pipeline", "ticket_in_window"), True)
CODE = dict.fromkeys(("workload_reviewed", "image_signed", "image_scanned"), True)
REGIONS: dict[str, Fact] = {"regions": ("us-east",), "regions_in_tier": True}
SHOTS: dict[str, Fact] = {"shots": 10, "tier_shots": 10}
KEPT: dict[str, Fact] = dict.fromkeys(("artifacts_seconds", "tier_artifacts_seconds", "evidence_seconds", "tier_evidence_seconds"), 60)
OF_TICKETS = {
    "ticket-not-checked": "ticket_checked",
    "ticket-not-open": "ticket_open",
    "ticket-not-approved": "ticket_approved",
    "ticket-of-another-pipeline": "ticket_names_pipeline",
    "ticket-outside-window": "ticket_in_window",
}
CONTEXTS: dict[str, dict[str, Fact]] = {
    "request": {
        "envelope_microdollars": 10,
        "tier_cost_microdollars": 10,
        "backends": ("aer", "ibm/device"),
        "backends_in_tier": True,
        "promoted": True,
        "classes_signed": True,
        **KEPT,
        **CODE,
        **TICKET,
        **READ,
        **TARGET,
    },
    "plan": {"backends": ("aer", "ibm/device"), "devices": ("ibm/device",), **REGIONS, **SHOTS, **KEPT},
    "submit": {
        **REGIONS,
        **SHOTS,
        **KEPT,
        "tier_cost_microdollars": 10,
        "in_hours": True,
        "approver_roles": ("approver", "data-owner"),
        "tier_approver_roles": ("data-owner",),
        "backends": ("aer", "ibm/device"),
        "devices": ("ibm/device",),
        "worker": "gatehouse",
        "cell": "bubblewrap",
        "backends_in_tier": True,
        "data_class": 2,
        "tier_highest_class": 2,
        "approvals": 1,
        "tier_approvers": 1,
        "synthetic": False,
        "tier_synthetic_only": False,
        "promoted": True,
        **CODE,
        "classes_signed": True,
        "simulated": True,
        "cost_microdollars": 10,
        "envelope_microdollars": 10,
        **TICKET,
        **READ,
    },
    "read_secret": {"purpose": "submit", "purpose_declared": True, "block": "secret/device", "worker": "gatehouse", "cell": "bubblewrap"},
    "read_source": {"system": "clinic", "source_declared": True},
    "write_back": {"releases": 1, "tier_releases": 1, "system": "target", "system_declared": True, **READ, **TARGET},
    "re_identify": {"column": "subject", "system": "target", "system_declared": True, **READ, **TARGET},
}
READING = ("request", "submit", "write_back", "re_identify")
WRITING = ("request", "write_back", "re_identify")


def question(action: str, **change: Fact) -> Question:
    """A question that is allowed, with a change in its context."""
    return Question(
        action=action,  # type: ignore[arg-type]
        person="ann@example.org",
        authentic=True,
        clearance=DataClass.CONFIDENTIAL,
        pipeline="small",
        tenant="clinic",
        environment="local",
        tier="integration",
        context=EVERYWHERE | CONTEXTS[action] | change,
    )


@pytest.mark.parametrize("action", CONTEXTS)
def test_what_is_in_order_is_permitted(action: str) -> None:
    """Each action passes when nothing speaks against it, and names the permit and the policy's digest."""
    decision = POLICY.ask(question(action))
    assert (decision.allowed, decision.reasons, decision.action) == (True, ("permitted",), action)
    assert decision.policy_digest == POLICY.digest


# One fact is wrong and every other in order: forbid, action, change of the context.
FORBIDS: list[tuple[str, str, dict[str, Fact]]] = [
    *(("environment-mismatch", action, {"running_environment": "production"}) for action in CONTEXTS),
    *(("environment-mismatch", action, {"running_environment": ""}) for action in CONTEXTS),
    ("backend-not-in-tier", "request", {"backends_in_tier": False}),
    ("backend-not-in-tier", "submit", {"backends_in_tier": False}),
    *(("region-not-in-tier", action, {"regions_in_tier": False}) for action in ("plan", "submit")),
    *(("shots-above-tier", action, {"shots": 11}) for action in ("plan", "submit")),
    *(("cost-above-tier", action, {"envelope_microdollars": 11}) for action in ("request", "submit")),
    *(("artifacts-kept-too-long", action, {"artifacts_seconds": 61}) for action in ("request", "plan", "submit")),
    *(("evidence-kept-too-short", action, {"evidence_seconds": 59}) for action in ("request", "plan", "submit")),
    ("outside-hours", "submit", {"in_hours": False}),
    ("approver-role-missing", "submit", {"approver_roles": ("approver",)}),
    ("class-above-tier", "submit", {"data_class": 3}),
    ("not-enough-approvals", "submit", {"approvals": 0}),
    ("not-enough-releases", "write_back", {"releases": 0}),
    ("not-synthetic", "submit", {"tier_synthetic_only": True}),
    *((rule, action, {fact: False}) for action in ("request", "submit") for rule, fact in OF_TICKETS.items()),
    ("class-not-signed", "request", {"classes_signed": False}),
    ("class-not-signed", "submit", {"classes_signed": False}),
    ("not-promoted", "request", {"promoted": False}),
    ("not-promoted", "submit", {"promoted": False}),
    ("workload-not-reviewed", "request", {"workload_reviewed": False}),
    ("workload-not-reviewed", "submit", {"workload_reviewed": False}),
    *((f"image-not-{fact}", action, {f"image_{fact}": False}) for action in ("request", "submit") for fact in ("signed", "scanned")),
    ("not-simulated", "submit", {"simulated": False}),
    ("not-enough-approvals", "submit", {"tier_approvers": 2}),
    ("not-enough-approvals", "submit", {"approvals": 0, "tier_approvers": 0}),
    ("not-enough-approvals", "submit", {"approvals": -1, "tier_approvers": -1}),
    ("cost-above-envelope", "submit", {"cost_microdollars": 11}),
    ("purpose-not-declared", "read_secret", {"purpose_declared": False}),
    ("source-not-declared", "read_source", {"source_declared": False}),
    ("system-not-declared", "write_back", {"system_declared": False}),
    ("system-not-declared", "re_identify", {"system_declared": False}),
    *(("class-not-for-requesters", action, {"class_for_requesters": False}) for action in READING),
    *(("class-above-system", action, {"system_highest_class": 1}) for action in WRITING),
    *(("class-not-written-back", action, {"class_written_back": False}) for action in WRITING),
    ("class-above-clearance", "submit", {"output_class": 3}),
    *(("class-above-clearance", action, {"output_class": 3, "system_highest_class": 3}) for action in WRITING),
]


@pytest.mark.parametrize(("forbid", "action", "change"), FORBIDS)
def test_each_forbid_alone_denies_and_is_named(forbid: str, action: str, change: dict[str, Fact]) -> None:
    """The denial names this forbid and no other, and its sentence is one that people can read."""
    decision = POLICY.ask(question(action, **change))
    assert (decision.allowed, decision.reasons) == (False, (forbid,))
    assert POLICY.explain(forbid) not in ("", forbid)


@pytest.mark.parametrize("action", CONTEXTS)
def test_unverified_requester(action: str) -> None:
    """Whoever did not sign is refused everything, except where the tier says so."""
    unsigned = replace(question(action), authentic=False, person="unverified")
    assert POLICY.ask(unsigned).reasons == ("unverified-requester",)
    assert POLICY.ask(replace(unsigned, context={**unsigned.context, "tier_unverified": True})).allowed


@pytest.mark.parametrize("action", READING)
@pytest.mark.parametrize("output", DataClass)
@pytest.mark.parametrize("clearance", DataClass)
def test_clearance_against_class(action: str, output: DataClass, clearance: DataClass) -> None:
    """Over every pair: whoever is cleared for the class or a higher one may, nobody else."""
    change: dict[str, Fact] = {"output_class": output.rank} | ({"system_highest_class": 3} if action in WRITING else {})
    decision = POLICY.ask(replace(question(action, **change), clearance=clearance))
    assert decision.allowed is (clearance.rank >= output.rank)
    assert decision.reasons == (("permitted",) if decision.allowed else ("class-above-clearance",))


@pytest.mark.parametrize("action", WRITING)
@pytest.mark.parametrize("output", DataClass)
@pytest.mark.parametrize("system", DataClass)
def test_system_against_class(action: str, output: DataClass, system: DataClass) -> None:
    """Over every pair: rows go into a system that takes their class or a higher one, into no other."""
    asked = question(action, output_class=output.rank, system_highest_class=system.rank)
    decision = POLICY.ask(replace(asked, clearance=DataClass.RESTRICTED))
    assert decision.allowed is (system.rank >= output.rank)
    assert decision.reasons == (("permitted",) if decision.allowed else ("class-above-system",))


ACTS: dict[str, dict[str, Fact]] = {
    "review": {"act": "review", "commit": "0" * 40, "author": "ann"},
    "promote": {"act": "promote", "owner": "olga", "below": "prototype"},
    "classify": {"act": "classify", "source": "source.csv", "highest_class": 3},
    "grant_exception": {"act": "grant-exception", "rule": "backend-not-in-tier", "owner": "olga"},
    "quarantine": {"act": "quarantine", "scope": "tenant", "name": "clinic"},
    "release": {"act": "release-quarantine", "scope": "tenant", "name": "clinic", "imposed_by": "tess"},
    "set_budget": {"act": "set-budget", "backend": "", "month_microdollars": 1},
    "approve_provider": {"act": "approve-provider", "backend": "braket/garnet"},
    "change_policy": {"act": "sign-policy", "version": 2, "bundle_role": "legal"},
    "rotate_key": {"act": "rotate-keys", "block": "secret/key"},
    "extend_retention": {"act": "extend-retention", "requester": "ann", "output_class": 3, "kept": ("circuits", "pages")},
    "approve": {
        "act": "approve",
        "requester": "ann",
        "method": "ssh",
        "output_class": 2,
        "backends": ("aer", "ibm/device"),
        "devices": ("ibm/device",),
        "cost_microdollars": 10,
    },
    "read_result": {"act": "show", "requester": "ann", "output_class": 2},
}
ROLES_OF_ACTS = {"approver": "not-an-approver", "data-owner": "not-a-data-owner", "": "not-in-the-registry"}


def act(action: str, *roles: str, authentic: bool = True, **change: Fact) -> Question:
    """Somebody's act; about a pipeline only where it is one's."""
    pipeline = "small" if action in {"promote", "review", "grant_exception", "approve", "read_result", "extend_retention"} else ""
    asked = replace(question("request"), action=action, pipeline=pipeline, roles=frozenset(roles), authentic=authentic)  # type: ignore[arg-type]
    return replace(asked, context=ACTS[action] | change)


@pytest.mark.parametrize("action", ACTS)
def test_whose_an_act_is_to_sign(action: str) -> None:
    """Over every role alone: whoever has the one that the act needs, nobody else. Signing policies needs none, rotation and a look nobody."""
    needed = {"classify": "data-owner", "extend_retention": "data-owner", "change_policy": "", "review": "", "rotate_key": "", "read_result": ""}.get(
        action, "approver"
    )
    for role in ("approver", "data-owner", "auditor", "requester"):
        decision = POLICY.ask(act(action, role))
        assert decision.reasons == (("act-permitted",) if needed in {role, ""} else (ROLES_OF_ACTS[needed],))
        assert decision.allowed is (needed in {role, ""})
    unknown = POLICY.ask(act(action, authentic=False))
    assert unknown.allowed is (action in {"rotate_key", "read_result"})


@pytest.mark.parametrize("action", ACTS)
def test_an_act_whose_question_does_not_fit(action: str) -> None:
    """A missing fact, one of another type and an act that a run asks are no yes; nor is a run's question with roles."""
    whole = act(action, "approver", "data-owner")
    assert whole.roles is not None and POLICY.ask(whole).allowed
    for name, value in whole.context.items():
        assert not POLICY.ask(replace(whole, context={key: each for key, each in whole.context.items() if key != name})).allowed
        assert not POLICY.ask(replace(whole, context={**whole.context, name: 7 if isinstance(value, str) else "7"})).allowed
    assert not POLICY.ask(replace(whole, roles=None)).allowed
    assert not POLICY.ask(replace(question("submit"), roles=whole.roles)).allowed


def test_several_reasons_are_all_named() -> None:
    """Whoever is denied for three reasons learns all three."""
    decision = POLICY.ask(question("submit", approvals=0, cost_microdollars=11, data_class=3))
    assert decision.reasons == ("class-above-tier", "cost-above-envelope", "not-enough-approvals")


def test_every_forbid_that_ships_is_tested_here() -> None:
    """A policy without a test above does not ship."""
    text = "".join(path.read_text() for path in SHIPPED.glob("*.cedar"))
    shipped = {part.partition('"')[0] for part in text.split('@id("')[1:]}
    assert shipped == {name for name, _, _ in FORBIDS} | {"permitted", "unverified-requester", "act-permitted"} | set(ROLES_OF_ACTS.values())
    assert text.count("forbid (") == len(shipped) - 2


# A question that does not fit the schema is never a yes.


@pytest.mark.parametrize("action", CONTEXTS)
def test_a_missing_fact_is_a_no(action: str) -> None:
    """Without any one of the facts that the schema demands, the answer is no: a forbid that can't be evaluated is not skipped."""
    whole = question(action)
    for name in whole.context:
        decision = POLICY.ask(replace(whole, context={key: value for key, value in whole.context.items() if key != name}))
        assert (decision.allowed, decision.reasons) == (False, ("policy-error",)), name


@pytest.mark.parametrize("action", CONTEXTS)
def test_a_fact_of_another_type_or_too_many_is_a_no(action: str) -> None:
    """A string for a number, a number for a truth value, and a fact that nobody declared are errors, and errors are no."""
    whole = question(action)
    for name, value in whole.context.items():
        other: Fact = "7" if not isinstance(value, str) else 7
        assert not POLICY.ask(question(action, **{name: other})).allowed, name
        assert not POLICY.ask(question(action, **{name: 1 if isinstance(value, bool) else True})).allowed, name
    assert not POLICY.ask(question(action, surprise=True)).allowed
    assert not POLICY.ask(question(action, **{next(iter(whole.context)): 2**63})).allowed


@pytest.mark.parametrize("action", ["", "delete", "Request", "request ", 'request"', "submit\n", '"] || true', "request\\"])
def test_unknown_action(action: str) -> None:
    """An action that the schema does not have can't even be written down as a decision, let alone as a permitted one."""
    with pytest.raises(ValidationError):
        POLICY.ask(replace(question("request"), action=action))


def test_a_fact_for_another_action() -> None:
    """The facts of one action do not carry another."""
    for action in CONTEXTS:
        for other in CONTEXTS:
            if other != action:
                assert not POLICY.ask(replace(question(action), context=question(other).context)).allowed


@settings(max_examples=100, deadline=None)
@given(person=st.text(max_size=30), pipeline=st.text(max_size=30), tenant=st.text(max_size=10), environment=st.text(max_size=10))
def test_no_identifier_changes_the_answer(person: str, pipeline: str, tenant: str, environment: str) -> None:
    """Quotes, escapes and anything else in a name neither permit something nor raise."""
    there = replace(question("request"), person=person, pipeline=pipeline, tenant=tenant, environment=environment)
    assert not POLICY.ask(there).allowed or environment == "local"
    assert not POLICY.ask(replace(there, authentic=False)).allowed
    denied = POLICY.ask(replace(there, environment=f"{environment}x", context={**there.context, "running_environment": environment}))
    assert not denied.allowed


# Policies that are broken.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the policies that ship."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "policies"))


def append(folder: Path, text: str, name: str = "gatehouse.cedar") -> None:
    with (folder / name).open("a") as stream:
        stream.write(text)


def test_an_added_forbid_counts(folder: Path) -> None:
    """An administrator's own file beside ours is loaded, denies, and explains itself; one without a sentence shows its name."""
    (folder / "own.cedar").write_text(
        '@id("no-mondays")\n@reason("not on a Monday")\nforbid (principal, action, resource) when { resource.tenant == "clinic" };\n'
    )
    policy = load_policy(folder)
    decision = policy.ask(question("request"))
    assert (decision.allowed, decision.reasons) == (False, ("no-mondays",))
    assert policy.explain("no-mondays") == "not on a Monday"
    assert policy.digest != POLICY.digest
    (folder / "own.cedar").write_text("forbid (principal, action, resource);\n")
    nameless = load_policy(folder)
    (reason,) = nameless.ask(question("request")).reasons
    assert reason.startswith("policy")
    assert nameless.explain(reason) == reason


def test_the_digest_covers_every_file(folder: Path) -> None:
    """Any change of a byte or a name changes it, also in a comment, in the schema, and by renaming; the place does not."""
    digests = {load_policy(folder).digest}
    assert digests == {POLICY.digest}
    append(folder, "// a comment\n")
    digests.add(load_policy(folder).digest)
    schema = folder / "gatehouse.cedarschema"
    schema.write_text(schema.read_text() + "\n")
    digests.add(load_policy(folder).digest)
    (folder / "gatehouse.cedar").rename(folder / "renamed.cedar")
    digests.add(load_policy(folder).digest)
    assert len(digests) == 4


@pytest.mark.parametrize(
    "error",
    [
        "principal.missing == 1",
        "context.approvals + 9223372036854775807 > 0",
    ],
)
def test_a_policy_set_that_errs_is_a_no(error: str) -> None:
    """Evaluated past its validation, a forbid that errs turns everything into a no, although Cedar alone would skip it."""
    schema = (SHIPPED / "gatehouse.cedarschema").read_text()
    text = (SHIPPED / "gatehouse.cedar").read_text() + f'@id("errs")\nforbid (principal, action, resource) when {{ {error} }};\n'
    policy = CedarPolicy(text, schema, "0" * 64, {}, {})
    decision = policy.ask(question("submit", approvals=9))
    assert (decision.allowed, decision.reasons) == (False, ("policy-error",))
    assert policy.explain("policy-error") == "the policy could not be evaluated"


@pytest.mark.parametrize(("policies", "schema"), [("permit (", None), (None, "entity ("), ("", None)])
def test_an_engine_that_fails_is_a_no(policies: str | None, schema: str | None) -> None:
    """Text that the engine can't read, at the moment of asking, permits nothing and raises nothing."""
    files = {path.suffix: path.read_text() for path in SHIPPED.iterdir()}
    policy = CedarPolicy(files[".cedar"] if policies is None else policies, files[".cedarschema"] if schema is None else schema, "0" * 64, {}, {})
    decision = policy.ask(question("request"))
    assert not decision.allowed
    assert decision.reasons in {("policy-error",), (DEFAULT_DENY,)}


def test_default_deny(folder: Path) -> None:
    """What no permit covers is denied under a name of its own, with a sentence."""
    text = (folder / "gatehouse.cedar").read_text()
    permitted = 'Gatehouse::Action::"request",\n'
    assert text.index(permitted) < text.index("forbid (")
    (folder / "gatehouse.cedar").write_text(text.replace(permitted, "", 1))
    policy = load_policy(folder)
    decision = policy.ask(question("request"))
    assert (decision.allowed, decision.reasons) == (False, (DEFAULT_DENY,))
    assert policy.explain(DEFAULT_DENY) == "nothing permits this"
    assert policy.ask(question("submit")).allowed


RULE = '\n@id("mine")\nforbid (principal, action, resource) when { WHEN };'


BROKEN: Mapping[str, tuple[str, object]] = {
    "no_folder": ("holds one .cedarschema", lambda folder: shutil.rmtree(folder)),
    "missing_schema": ("holds one .cedarschema", lambda folder: (folder / "gatehouse.cedarschema").unlink()),
    "missing_policies": ("holds one .cedarschema", lambda folder: (folder / "gatehouse.cedar").unlink()),
    "two_schemas": ("holds one .cedarschema", lambda folder: shutil.copy(folder / "gatehouse.cedarschema", folder / "b.cedarschema")),
    "empty_schema": ("the schema can't be read", lambda folder: (folder / "gatehouse.cedarschema").write_text("")),
    "blank_schema": ("do not fit", lambda folder: (folder / "gatehouse.cedarschema").write_text(" \n// nothing\n")),
    "empty_policies": ("permit nothing", lambda folder: (folder / "gatehouse.cedar").write_text("")),
    "only_forbids": ("permit nothing", lambda folder: (folder / "gatehouse.cedar").write_text("forbid (principal, action, resource);")),
    "syntax": ("do not fit", lambda folder: append(folder, "permit (principal")),
    "unknown_action": ("do not fit", lambda folder: append(folder, 'permit (principal, action == Gatehouse::Action::"x", resource);')),
    "unknown_attribute": ("do not fit", lambda folder: append(folder, "forbid (principal, action, resource) when { principal.x };")),
    "wrong_type": ("do not fit", lambda folder: append(folder, "forbid (principal, action, resource) when { resource.tenant > 1 };")),
    "one_id_twice": ("one identifier", lambda folder: append(folder, '@id("permitted")\nforbid (principal, action, resource);')),
    "no_text": ("can't be read", lambda folder: (folder / "more.cedar").write_bytes(b"\xff\xfe")),
    "a_folder_as_file": ("can't be read", lambda folder: (folder / "more.cedar").mkdir()),
    "template": ("nobody links it", lambda folder: append(folder, "forbid (principal == ?principal, action, resource);")),
    "dangling_link": ("can't be read", lambda folder: (folder / "more.cedar").symlink_to(folder / "none")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_policies_do_not_load(folder: Path, case: str) -> None:
    """One clear InputError with the folder, before anybody could ask."""
    message, act = BROKEN[case]
    act(folder)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        load_policy(folder)
    assert str(folder) in caught.value.where
    assert caught.value.advice


def own(folder: Path, text: str) -> None:
    (folder / "own.cedar").write_text(text)


UNNAMED, TWICE = RULE.replace('@id("mine")', ""), RULE.replace("mine", "permitted").replace("WHEN", "true")


PLACES: Mapping[str, tuple[str, str, object]] = {
    "syntax": ("own.cedar", "parse error", lambda folder: own(folder, "permit (principal")),
    "attribute": ("own.cedar:2: mine", "attribute `x`", lambda folder: own(folder, RULE.replace("WHEN", "principal.x"))),
    "without_an_id": (
        "own.cedar: policy0",
        "attribute `x`",
        lambda folder: own(folder, UNNAMED.replace("WHEN", "principal.x")),
    ),
    "the_schema": ("gatehouse.cedarschema", "garbage", lambda folder: append(folder, "garbage", "gatehouse.cedarschema")),
    "one_id_twice": (
        "own.cedar:2: permitted",
        "one identifier",
        lambda folder: own(folder, RULE.replace("mine", "permitted").replace("WHEN", "2 > 1")),
    ),
    "no_text": ("own.cedar", "can't be read", lambda folder: (folder / "own.cedar").write_bytes(b"\xff\xfe")),
}


@pytest.mark.parametrize("case", PLACES)
def test_the_file_is_named(folder: Path, case: str) -> None:
    """The file that is malformed, of several; line and identifier of the policy where they are known, and what the engine says of it."""
    where, message, act = PLACES[case]
    act(folder)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        load_policy(folder)
    assert caught.value.where == f"{folder / where}"
