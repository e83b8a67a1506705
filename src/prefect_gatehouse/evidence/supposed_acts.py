"""What the policy would answer to somebody who would sign an act, before they do: nothing is recorded, and no other check of the act is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import get_args

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.evidence.decisions import Rule
from prefect_gatehouse.evidence.supposed import Supposed, read_fact
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person, refuse_service
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.policy.act_questions import ABOUT_NO_PIPELINE, IN_WORDS, advice_of, question_of
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.classes import classes_of
from prefect_gatehouse.policy.interface import Fact
from prefect_gatehouse.policy.sentences import filled
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.usd import micro
from prefect_gatehouse.vocabulary import ActAction, TierName


def suppose_act(
    settings: Settings, ledger: Ledger, named: Callable[[], Manifest | None], person: str, action: ActAction, given: Iterable[str]
) -> Supposed:
    """What would be answered.

    Args:
        settings: The installation.
        ledger: Its ledger, for quarantines.
        named: Gives the manifest of what it would be about, None where none is named; called where the action is about one, or about a tenant's.
        person: Who would sign, as the registry has them; ``unverified`` for a key that is nobody's.
        action: What the policy would be asked.
        given: Facts as NAME=VALUE.

    Raises:
        InputError: The registry does not have the person, the action has no such fact, or it is about a pipeline and none is named.
        Denied: The policies are not those that were signed, so they answer nothing.
    """
    manifest = named() if action not in _ABOUT_NOBODYS else None
    if action in _ABOUT_A_PIPELINE and manifest is None:
        raise InputError("this is about a pipeline, and none is named", where="--manifest", advice="name its manifest, or a run")
    people = People(settings.people_folder())
    signer = Person(person=NOBODY, roles=frozenset()) if person == NOBODY else people.get(person)
    if signer is None:
        raise InputError("the registry has nobody of this name", where="--as", advice="list them with: gatehouse people list; or unverified")
    known = _known(settings, action, manifest)
    supposed = {name: value for name, value in _SUPPOSED[action].items() if name not in known}
    told = dict(read_fact(each, {**known, **supposed}, action) for each in given)
    pipeline = manifest.name if manifest is not None and action not in ABOUT_NO_PIPELINE else ""
    tenant = manifest.tenant if manifest is not None and action not in _OF_NO_TENANT else ""
    tier = manifest.tier if manifest is not None and action in _OF_A_TIER else ""
    # As when it is signed: an emergency goes by whatever lies there, and the next version by the files that are being signed.
    newest = action in {"quarantine", "change_policy"}
    of_a_run = tier if action in {"approve", "read_result"} else ""
    policy = load_policy(settings.policies) if newest else policy_that_counts(settings, ledger, of_a_run)()
    decision = policy.ask(question_of(action, signer, pipeline, tenant, settings.environment, tier, {**known, **supposed, **told}))
    what = IN_WORDS[action]
    rules = [Rule(each, filled(policy.explain(each), {"what": what})) for each in decision.reasons]
    satisfy = [] if decision.allowed else [advice_of(policy, decision, signer.person)]
    for refuse in _REFUSALS[:1] if action == "read_result" else _REFUSALS:
        try:
            refuse(settings, ledger, signer, what)
        except Denied as stopped:
            rules.append(Rule(stopped.code, stopped.message))
            satisfy.append(stopped.advice)
    return Supposed(
        allowed=not satisfy,
        rules=tuple(rules),
        satisfy="; ".join(satisfy),
        known={name: value for name, value in known.items() if name not in told},
        given=told,
        supposed={name: value for name, value in supposed.items() if name not in told},
        policies=policy.digest,
    )


_ABOUT_NOBODYS = frozenset[ActAction]({"approve_provider", "change_policy", "rotate_key"})
_ABOUT_A_PIPELINE = frozenset[ActAction]({"promote", "review", "approve", "read_result", "extend_retention"})
# As the acts themselves tell it: see ask_act.
_OF_NO_TENANT = frozenset[ActAction]({"quarantine", "release"})
_OF_A_TIER = frozenset[ActAction]({"promote", "approve", "read_result"})

_REFUSALS: tuple[Callable[[Settings, Ledger, Person, str], None], ...] = (
    lambda settings, ledger, signer, what: holding(settings, ledger).refuse_person(signer.person),
    lambda settings, ledger, signer, what: refuse_service(signer, what, f"the service {signer.person}"),
)
"""What no policy lifts; the first of anybody, the others of whoever signs."""

_SUPPOSED: dict[ActAction, dict[str, Fact]] = {
    "promote": {"act": "promote"},
    "review": {"act": "review", "commit": "", "author": ""},
    "classify": {"act": "classify", "source": "", "highest_class": 0},
    "grant_exception": {"act": "grant-exception", "rule": "", "owner": ""},
    "quarantine": {"act": "quarantine", "scope": "tenant", "name": ""},
    "release": {"act": "release-quarantine", "scope": "tenant", "name": "", "imposed_by": ""},
    "set_budget": {"act": "set-budget", "backend": "", "month_microdollars": 0},
    "approve_provider": {"act": "approve-provider", "backend": ""},
    "change_policy": {"act": "sign-policy", "version": 1, "bundle_role": ""},
    "rotate_key": {"act": "rotate-keys", "block": ""},
    "extend_retention": {"act": "extend-retention", "requester": "", "kept": ("pages",)},
    "read_result": {"act": "show", "requester": ""},
    "approve": {"act": "approve", "requester": "", "method": "ssh", "devices": ()},
}
"""What nobody knows before the act."""


def _known(settings: Settings, action: ActAction, manifest: Manifest | None) -> dict[str, Fact]:
    """What the manifest tells of it."""
    if manifest is None:
        return {}
    if action == "promote":
        order = get_args(TierName)
        return {"owner": manifest.owner, "below": order[max(0, order.index(manifest.tier) - 1)]}
    if action == "classify":
        return {"highest_class": max((each.data_class.rank for each in manifest.data.columns.values()), default=0)}
    if action in {"approve", "read_result", "extend_retention"}:
        output = classes_of(manifest, load_class_rules(settings.classes)).output_class.rank
        if action != "approve":
            return {"output_class": output}
        cost = micro(manifest.execution.envelope.cost)
        return {"backends": tuple(manifest.execution.backends), "output_class": output, "cost_microdollars": cost}
    if action in {"quarantine", "release"}:
        return {"name": manifest.tenant}
    return {}
