"""The bundle of policies by hand: signed by each role that the bundle before demands, the first one accepted once; and how it stands."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import PolicyAccepted, PolicyAct, PolicySigned
from prefect_gatehouse.ledger.policy_bundle import PolicyBundle, PolicySigner
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import LEDGER, Event, Ledger
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.operate.registry import signed_if_possible
from prefect_gatehouse.operate.signing import record
from prefect_gatehouse.policy.bundle_manifest import BundleManifest
from prefect_gatehouse.policy.bundles import Accepted, Bundles
from prefect_gatehouse.policy.cedar import load_policy, policy_now
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.interface import Fact
from prefect_gatehouse.policy.quarantine import quarantines_in
from prefect_gatehouse.policy.tiers import load_tiers
from prefect_gatehouse.run.bundle import Found, bundles_of, candidate_of, differing, find_bundle, missing_roles, require_signed
from prefect_gatehouse.run.refused_acts import recorded_if_refused, tried_by_caller
from prefect_gatehouse.run.under import this_user
from prefect_gatehouse.settings import Settings

_LISTS = ("change_policy", "change_people", "tenants", "environments", "image_signers", "image_scanners")


def sign(settings: Settings, ledger: Ledger, reason: str) -> Event[PolicySigned]:
    """Signs the bundle as the files are now, in the role that the bundle which stands gives the caller.

    Raises:
        InputError: A part is malformed, somebody in bundle.yaml has no key in the registry, or the caller has no usable signing key.
        Denied: The signature would not count; says why.
        Tampered: The registry was changed beside `gatehouse people`.
    """
    load_policy(settings.policies)  # nobody signs what could not be loaded
    load_tiers(settings.tiers)
    load_class_rules(settings.classes)
    bundles = bundles_of(settings, ledger)
    unsigned = {"person": "", "key": "", "signature": ""}
    said = {"action": "sign-policy", "bundle": bundle_of(settings), "reason": line_of(reason, "--reason"), "environment": settings.environment}
    fact = PolicySigned.model_validate({**said, **unsigned, "act": str(uuid.uuid4())})

    def refuse(signed: PolicySigned) -> None:
        _, why = bundles.role_of(signed, datetime.now(UTC))
        if why:
            advice = "see who has to sign: gatehouse policy status"
            raise Denied(f"your signature would not count: {why}", where="bundle of policies", advice=advice, rules=("no-signer",))

    def told(signed: PolicySigned) -> dict[str, Fact]:
        return {"bundle_role": bundles.role_of(signed, datetime.now(UTC))[0]}

    return record(settings, ledger, PolicySigned, fact.statement, fact.act, "policies are signed", refuse, told=told)


def bundle_of(settings: Settings) -> PolicyBundle:
    """The bundle that the files are, with the keys that the registry has of its signers.

    Raises:
        InputError: A file can't be read or is malformed, or a signer has no key in the registry.
        Tampered: The registry can't be read.
    """
    found = find_bundle(settings)
    signers = tuple(_signers(settings, found.manifest))
    manifest = found.manifest
    lists = {name: tuple(getattr(manifest, name)) for name in _LISTS}
    return PolicyBundle.model_validate({"version": manifest.version, **found.digests, **lists, "signers": signers})


def _signers(settings: Settings, manifest: BundleManifest) -> list[PolicySigner]:
    people = People(settings.people_folder())
    signers = []
    for role, persons in manifest.change_policy.items():
        for name in persons:
            known = people.get(name)
            if known is not None and known.service is not None:
                where = f"{settings.bundle_file()}: change_policy.{role}"
                raise InputError(f"{name} is a service, and people sign policies", where=where, advice="name a person")
            if known is None or not known.keys:
                add = f"gatehouse people add {name} --role auditor --key FILE.pub"
                raise InputError(f"{name} has no key in the registry", where=f"{settings.bundle_file()}: change_policy.{role}", advice=f"run: {add}")
            for key in sorted(known.keys, key=lambda each: each.fingerprint):
                times = {"valid_after": key.valid_after, "valid_before": key.valid_before}
                signers.append(PolicySigner(role=role, person=name, key=key.fingerprint, **times))
    return signers


def accept(settings: Settings, ledger: Ledger, reason: str) -> Event[PolicyAct]:
    """Makes the first bundle stand, which every role that it names has signed; recorded as who says so, signed where the caller has a key.

    Raises:
        InputError: There is no reason, or a file can't be read.
        Denied: A bundle stands already, this one is not signed whole, or the caller is in quarantine.
        Tampered: The registry can't be read.
    """
    why, found = line_of(reason, "--reason"), find_bundle(settings)
    tried = tried_by_caller(settings, "accept_policy", "accept-policy", {"version": str(found.manifest.version)})
    with recorded_if_refused(ledger, tried):
        fact = _accepted(settings, ledger, found, why)
        with ledger.transaction() as tx:
            quarantines_in(tx, People(settings.people_folder()), settings.environment, policy_now(settings)).refuse_person(fact.person)
            tx.append(f"{fact.kind}:{fact.act}", LEDGER, fact)
    seal_home(settings.folder(""), ledger)
    recorded = ledger.find(f"{fact.kind}:{fact.act}", PolicyAccepted)
    assert recorded is not None  # appended above
    return recorded


def _accepted(settings: Settings, ledger: Ledger, found: Found, why: str) -> PolicyAccepted:
    """The act that makes the first bundle stand.

    Raises:
        Denied: It is not for anybody to make now, or not by a service's key.
    """
    bundles = bundles_of(settings, ledger)
    if bundles.current is not None:
        message = f"version {bundles.current.bundle.version} stands, and says who signs the next one; only the first bundle is accepted"
        raise Denied(message, where="bundle of policies", advice="sign: gatehouse policy sign --reason WHY", rules=("bundle-stands",))
    candidate = bundles.candidates.get(bundle_of(settings).digest())  # with the people and keys that the registry has, whatever another one names
    if candidate is None or bundles.missing(candidate.bundle):
        who = "; ".join(f"{role} ({' or '.join(people)})" for role, people in missing_roles(bundles, found).items())
        advice = f"missing: {who}; each of them runs: gatehouse policy sign --reason WHY"
        message = f"version {found.manifest.version} is not signed by every role that it names"
        raise Denied(message, where="bundle of policies", advice=advice, rules=("roles-missing",))
    fact = PolicyAccepted(
        action="accept-policy",
        bundle=candidate.bundle.digest(),
        of_version=candidate.bundle.version,
        reason=why,
        host=socket.gethostname(),
        user=this_user(),
        environment=settings.environment,
        act=str(uuid.uuid4()),
    )
    return fact.model_copy(update=signed_if_possible(settings, fact))


@dataclass(frozen=True)
class Status:
    """How the installation's bundle stands.

    Attributes:
        version: Of bundle.yaml; None where there is none, or it is malformed.
        digests: Of each part.
        changed: Parts that are others than in the bundle that stands.
        signed: Who has signed what the files say, by role.
        missing: The roles that have not, each with the people who may.
        history: Every bundle that stood, oldest first; the last one stands.
        void: Signatures that do not count, and why.
        refusal: Why no run above the prototype tier is admitted; None where they are.
    """

    version: int | None
    digests: Mapping[str, str]
    changed: tuple[str, ...]
    signed: Mapping[str, str]
    missing: Mapping[str, tuple[str, ...]]
    history: tuple[Accepted, ...]
    void: tuple[tuple[Event[PolicyAct], str], ...]
    refusal: GatehouseError | None


def status(settings: Settings, ledger: Ledger) -> Status:
    """How it stands; a bundle that is malformed or not there is told, not raised.

    Raises:
        Denied: The history is of a newer release.
    """
    bundles = bundles_of(settings, ledger)
    refusal: GatehouseError | None = None
    try:
        require_signed(settings, ledger)
    except Denied as error:
        refusal = error
    history, void = tuple(bundles.accepted), tuple(bundles.void)
    try:
        found = find_bundle(settings)
    except GatehouseError:
        return Status(None, {}, (), {}, {}, history, void, refusal)
    current = bundles.current
    changed = tuple(differing(current.bundle, found)) if current is not None and refusal is not None else ()
    signed, missing = _signatures(settings, bundles, refusal)
    return Status(found.manifest.version, found.digests, changed, signed, missing, history, void, refusal)


def _signatures(settings: Settings, bundles: Bundles, refusal: GatehouseError | None) -> tuple[dict[str, str], Mapping[str, tuple[str, ...]]]:
    """Who has signed what the files say, and who is missing."""
    if bundles.current is not None and refusal is None:
        return {role: event.fact.person for role, event in bundles.current.signed}, {}
    found = find_bundle(settings)
    if bundles.current is not None and found.manifest.version <= bundles.current.bundle.version:
        return {}, {}  # nobody can sign it: it needs a higher version
    candidate = candidate_of(bundles, found)
    signed = {role: event.fact.person for role, event in sorted(candidate.signed.items())} if candidate is not None else {}
    return signed, missing_roles(bundles, found)
