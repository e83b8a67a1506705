"""What people sign: the policy is asked before it is recorded, and again whenever what it gave is used, so a policy ends what it permits no more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.bundles import ROLES, enter, key_of, own_files, write_bundle
from tests.support.plans import write_project

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import BudgetSet
from prefect_gatehouse.ledger.by_hand import ActRefused
from prefect_gatehouse.ledger.store import LEDGER, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import bundle, classification, exceptions, key_rotation, quarantine
from prefect_gatehouse.operate.budgets import set_budget
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.settings import Settings

WANTED = exceptions.Wanted(
    rule="backend-not-in-tier",
    tenant="clinic",
    owner="olga",
    ticket="CHG-1",
    risk="noisier",
    control="compared daily",
    until=f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}",
    reason="pilot",
)


class Office:
    """An installation with policies of its own; Tess and Uma may approve, Olga owns data, Ann asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = own_files(Settings(home=folder / "home"), folder)
        self.settings.folder("")
        self.ledger = Ledger(self.settings.ledger())
        people = People(self.settings.people_folder())
        for name, role in (("tess", "approver"), ("uma", "approver"), ("olga", "data-owner"), ("ann", "requester")):
            people.add(name, key=generate_key(folder / name, ""), roles=frozenset({role}), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]
        write_project(folder / "project")

    def as_(self, who: str) -> Settings:
        return self.settings.model_copy(update={"identity": self.folder / who})

    def forbid(self, action: str, when: str) -> None:
        """A rule of the administrator's own."""
        rule = '@id("own")\n@reason("{what} by the board alone")\n@advice("ask the board about {signer}")\n'
        text = f'{rule}forbid (principal, action == Gatehouse::Action::"{action}", resource) when {{ {when} }};\n'
        (self.settings.policies / "own.cedar").write_text(text)

    def permit_again(self) -> None:
        (self.settings.policies / "own.cedar").unlink()

    def events(self) -> int:
        return len(self.ledger.events(LEDGER))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.ledger.close()


ACTS = {
    "an exception": (
        ("grant_exception", 'context.rule == "backend-not-in-tier" && resource.tenant == "clinic"'),
        lambda office: exceptions.grant(office.as_("tess"), office.ledger, WANTED),
    ),
    "classes": (
        ("classify", 'resource.tenant == "test-tenant" && context.highest_class >= 3'),
        lambda office: classification.sign(office.as_("olga"), office.ledger, office.folder / "project" / "gatehouse.yaml", (), "as agreed"),
    ),
    "a quarantine": (
        ("quarantine", 'context.scope == "backend" && context.name == "aer"'),
        lambda office: quarantine.impose(office.as_("tess"), office.ledger, "backend:aer", "it hurts"),
    ),
    "a budget": (
        ("set_budget", 'context.month_microdollars > 100000000 && resource.tenant == "clinic"'),
        lambda office: set_budget(office.as_("tess"), office.ledger, tenant="clinic", month_usd="100.0001", reason="more"),
    ),
    "a key's rotation": (
        ("rotate_key", 'context.block == "secret/key" && !principal.roles.contains("data-owner")'),
        lambda office: key_rotation.decide(office.as_("ann"), office.ledger, "secret/key", 1, 2),
    ),
}


@pytest.mark.parametrize("name", ACTS)
def test_a_policy_limits_an_act(name: str, office: Office) -> None:
    """One error that names the rule and what to do; that it was refused is recorded, and no act. Without the rule the act is."""
    rule, do = ACTS[name]
    office.forbid(*rule)
    before = office.events()
    digest = load_policy(office.settings.policies).digest
    with pytest.raises(Denied, match=r"by the board alone \[own\]") as denied:
        do(office)
    assert denied.value.where == f"policy: {rule[0]}" and denied.value.advice.startswith("ask the board about ")
    assert office.events() == before + 1
    (event,) = office.ledger.facts(ActRefused)
    assert (event.run_id, event.fact.action, event.fact.reasons, event.fact.policy_digest) == (LEDGER, rule[0], ("own",), digest)
    assert event.fact.person in {"tess", "olga", "ann"} and event.fact.fingerprint.startswith("SHA256:")
    office.permit_again()
    do(office)
    recorded = office.ledger.events(LEDGER)[-1]
    assert recorded.data["permitted_by"] == ["act-permitted"]
    assert recorded.data["policy_digest"] == load_policy(office.settings.policies).digest
    assert list(problems(office.ledger)) == [], "what permitted it is no part of what was signed"


def test_a_policy_ends_what_it_permits_no_more(office: Office) -> None:
    """An exception and a release count while the policy of now lets whoever signed them; the reason names the rule."""
    exceptions.grant(office.as_("tess"), office.ledger, WANTED)
    quarantine.impose(office.as_("tess"), office.ledger, "tenant:clinic", "it hurts")
    quarantine.release(office.as_("uma"), office.ledger, "tenant:clinic", "it is over")

    def states() -> tuple[str, int]:
        (known,) = exceptions.known(office.settings, office.ledger)
        return known.granted.void, len(holding(office.settings, office.ledger).all())

    assert states() == ("", 0)
    office.forbid("grant_exception", 'principal == Gatehouse::Signer::"tess"')
    assert states() == ("its person may not sign it: an exception is granted by the board alone [own]", 0)
    office.forbid("release", 'context.imposed_by == "tess" && context.scope == "tenant"')
    void, held = states()
    assert (void, held) == ("", 1)
    (only,) = holding(office.settings, office.ledger).all()
    assert "a quarantine is released by the board alone [own]" in only.void[-1]
    office.permit_again()
    assert states() == ("", 0)
    (office.settings.policies / "own.cedar").write_text("forbid (")
    assert states() == ("the policies can't be read", 1)


def test_an_ending_counts_whoever_may_begin(office: Office) -> None:
    """Who ends is asked, too, with what it gave; once it is signed, no policy brings it back."""
    event = exceptions.grant(office.as_("tess"), office.ledger, WANTED)
    office.forbid("grant_exception", 'context.act == "revoke-exception" && context.rule == "backend-not-in-tier"')
    with pytest.raises(Denied, match=r"\[own\]"):
        exceptions.revoke(office.as_("uma"), office.ledger, str(event.seq), "enough")
    office.permit_again()
    exceptions.revoke(office.as_("uma"), office.ledger, str(event.seq), "enough")
    office.forbid("grant_exception", 'context.act == "revoke-exception"')
    (known,) = exceptions.known(office.settings, office.ledger)
    assert known.granted.void == "revoked"


def test_an_emergency_needs_no_policies(office: Office) -> None:
    """With policies that can't be loaded nothing is signed, but what stops is; a role is asked as long as they can be."""
    with pytest.raises(Denied, match=r"a quarantine is imposed by somebody who may approve.*\[not-an-approver\]"):
        quarantine.impose(office.as_("ann"), office.ledger, "backend:aer", "it hurts")
    (office.settings.policies / "own.cedar").write_text("forbid (")
    with pytest.raises(InputError, match="do not fit"):
        set_budget(office.as_("tess"), office.ledger, tenant="clinic", month_usd="1", reason="more")
    event = quarantine.impose(office.as_("tess"), office.ledger, "backend:aer", "it hurts")
    assert not {"permitted_by", "policy_digest"} & event.data.keys(), "nothing was asked"
    assert [each.name for each in holding(office.settings, office.ledger).all()] == ["backend aer"]


def test_the_bundle_is_signed_as_its_own_policy_lets(office: Office) -> None:
    """What is signed is asked, not what stands: a version under which its own signers could not sign the next one is not signed."""
    enter(office.settings, *ROLES.values())
    write_bundle(office.settings)
    office.forbid("change_policy", 'context.bundle_role == "legal"')
    lea, sam = (office.settings.model_copy(update={"identity": key_of(office.settings, who)}) for who in ("lea", "sam"))
    with pytest.raises(Denied, match=r"policies are signed by the board alone \[own\]"):
        bundle.sign(lea, office.ledger, "as agreed")
    assert bundle.sign(sam, office.ledger, "as agreed").fact.person == "sam"


def test_what_nobody_signs_is_no_limit(office: Office) -> None:
    """A policy that lets anybody set a budget does not make one of a key that is nobody's: it would count for nothing."""
    policies = office.settings.policies / "gatehouse.cedar"
    policies.write_text(policies.read_text().replace('unless { principal.roles.contains("approver") };', "unless { true };"))
    generate_key(office.folder / "stranger", "")
    with pytest.raises(Denied, match="nobody's in the registry of people"):
        set_budget(office.as_("stranger"), office.ledger, tenant="clinic", month_usd="5", reason="x")
    assert office.ledger.facts(BudgetSet) == []
    (event,) = office.ledger.facts(ActRefused)
    assert (event.fact.person, event.fact.reasons, event.fact.policy_digest) == ("unverified", ("key-of-nobody",), "")
    set_budget(office.as_("ann"), office.ledger, tenant="clinic", month_usd="5", reason="x")


def test_an_act_of_before_is_read(office: Office) -> None:
    """An event that does not say what permitted it counts as before: both fields are left out of the body where they have their default."""
    granted = exceptions.grant(office.as_("tess"), office.ledger, WANTED).fact
    older = granted.model_copy(update={"permitted_by": (), "policy_digest": ""})
    assert older.statement == granted.statement and set(granted.data()) - set(older.data()) == {"permitted_by", "policy_digest"}
    with Ledger(f"sqlite:///{office.folder / 'older.sqlite'}") as ledger:
        with ledger.transaction() as tx:
            tx.append(f"{older.kind}:{older.exception}", LEDGER, older)
        (known,) = exceptions.known(office.settings, ledger)
        assert known.granted.void == "" and known.granted.event.fact == older
