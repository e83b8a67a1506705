"""The installation's policies, tiers, classes and registry against the bundle of them that stands: what is not as it was signed admits nothing.

Only the prototype tier goes by what nobody has signed, and its plan says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from prefect_gatehouse.canonical import sha256_file
from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.ledger.acts import PeopleChanged, PolicyAct
from prefect_gatehouse.ledger.policy_bundle import PolicyBundle
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.acts import Facts
from prefect_gatehouse.policy.bundle_manifest import BundleManifest, load_bundle_manifest
from prefect_gatehouse.policy.bundles import Accepted, Bundles, Candidate, registry_now
from prefect_gatehouse.policy.cedar import CedarPolicy, load_policy, policies_digest
from prefect_gatehouse.run import registry
from prefect_gatehouse.run.planned import SignedBundle
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tickets.config import tickets_digest

_WHERE = "bundle of policies"
_WORDS = {
    "manifest": "bundle.yaml",
    "policies": "policies",
    "tiers": "tiers",
    "classes": "classes",
    "tickets": "where tickets are",
    "people": "registry of people",
}
_SIGN = "each of them runs: gatehouse policy sign --reason WHY"


@dataclass(frozen=True)
class Found:
    """What an installation's files say now.

    Attributes:
        manifest: Of the bundle.
        digests: Of each part, by its name in a signed bundle.
    """

    manifest: BundleManifest
    digests: Mapping[str, str]

    def is_(self, bundle: PolicyBundle, *without: str) -> bool:
        """Whether a bundle was signed of exactly this, apart from some parts."""
        return bundle.version == self.manifest.version and not [each for each in differing(bundle, self) if each not in without]


def find_bundle(settings: Settings) -> Found:
    """Version and digests as the files are now.

    Raises:
        InputError: There is no manifest of a bundle, or a file can't be read.
        Tampered: The registry can't be read.
    """
    manifest = load_bundle_manifest(settings.bundle_file())
    files = {"manifest": settings.bundle_file(), "tiers": settings.tiers, "classes": settings.classes}
    digests = {
        "policies": policies_digest(settings.policies),
        "people": registry.digest_of(settings),
        "tickets": tickets_digest(settings.tickets_file()),
    }
    for name, path in files.items():
        try:
            digests[name] = sha256_file(path)
        except OSError:
            raise InputError(f"the {_WORDS[name]} can't be read", where=str(path), advice="restore the file") from None
    return Found(manifest, digests)


def differing(bundle: PolicyBundle, found: Found) -> list[str]:
    """The parts that are others than those of a bundle."""
    return [name for name in _WORDS if found.digests[name] != getattr(bundle, name)]


def in_words(parts: list[str]) -> str:
    """Parts of a bundle, for people."""
    return ", ".join(_WORDS[each] for each in parts)


def bundles_of(settings: Settings, ledger: Facts) -> Bundles:
    """The history of this installation's bundles, by a ledger or a transaction of one.

    Raises:
        Denied: It is of a newer release.
    """
    return Bundles(ledger.facts(PolicyAct), ledger.facts(PeopleChanged), settings.environment)


def require_signed(settings: Settings, ledger: Ledger, loaded: Callable[[], str] | None = None) -> Accepted:
    """The bundle that stands, which is what the files say.

    Args:
        settings: The installation.
        ledger: The ledger with its history.
        loaded: Gives the digest of the policies that this process decides by, which the files may have been at another moment; called last.

    Raises:
        Denied: They say something else, or nothing stands; says what would satisfy it.
    """
    until = time.monotonic() + registry.SETTLES
    while True:
        bundles = bundles_of(settings, ledger)
        try:
            found = find_bundle(settings)
        except GatehouseError as error:  # a part that is gone or malformed is not what was signed
            raise Denied(error.message, where=error.where or _WHERE, advice=error.advice) from None
        current = bundles.current
        if current is None:
            raise _unsigned(bundles, found)
        # A change of the registry is recorded a moment before it is made.
        settles = found.is_(current.bundle, "people") and time.monotonic() < until
        right = _registry_is_right(settings, ledger, bundles, found)
        if right or not settles:
            break
        time.sleep(0.1)
    _refuse_other(bundles, current, found, registry_is_right=right)
    if loaded is not None and loaded() != current.bundle.policies:
        raise Denied("this process has loaded policies that nobody signed", where=_WHERE, advice="see who edits them; then start a new run")
    return current


def policy_that_counts(settings: Settings, source: Facts, tier: str = "") -> Callable[[], CedarPolicy]:
    """Gives the policy of now by which people sign and approve: the files', which, where a bundle stands, have to be those that were signed.

    What was loaded is compared, not the files, which could be exchanged for as long as loading takes; it is loaded when first asked for, once.

    Args:
        settings: The installation.
        source: A ledger with the history of its bundles, or a transaction of one.
        tier: Of the run that it is about: the prototype tier goes by what nobody has signed. Empty where it is about none.

    Returns:
        A callable that raises InputError where the policies can't be loaded, and Denied where they are not those that were signed.
    """

    @cache
    def load() -> CedarPolicy:
        policy = load_policy(settings.policies)
        current = bundles_of(settings, source).current if tier != "prototype" else None
        if current is not None and policy.digest != current.bundle.policies:
            what = f"the policies are not those that were signed, of version {current.bundle.version}"
            advice = "put them back, or have the next version signed; how they stand: gatehouse policy status"
            raise Denied(what, where=_WHERE, advice=advice, rules=("policies-not-signed",))
        return policy

    return load


def refuse_unlisted(current: Accepted, tenant: str, environment: str) -> None:
    """Stops a run of a tenant, or in an environment, that the bundle which stands does not list: a boundary that nobody drew protects nobody.

    Raises:
        Denied: It lists no such.
    """
    for what, name, listed in (("tenant", tenant, current.bundle.tenants), ("environment", environment, current.bundle.environments)):
        if name not in listed:
            advice = f"correct the manifest, or list it under {what}s in the next version of bundle.yaml and have that signed"
            raise Denied(f"version {current.bundle.version} of the bundle of policies lists no such {what}", where=what, advice=advice)


def signed_or_none(settings: Settings, ledger: Ledger) -> Accepted | None:
    """The same for the prototype tier; None where the files are no signed bundle."""
    if not settings.bundle_file().exists():
        return None
    try:
        return require_signed(settings, ledger)
    except Denied:
        return None


def as_planned(current: Accepted | None) -> SignedBundle | None:
    """What a plan says of the bundle that it was made under."""
    if current is None:
        return None
    return SignedBundle(version=current.bundle.version, digest=current.bundle.digest(), signers=current.signers)


def _registry_is_right(settings: Settings, ledger: Ledger, bundles: Bundles, found: Found) -> bool:
    # Of every folder: a copy of the registry elsewhere would be an older one, and undo what was taken away since.
    changes = [event for event in ledger.facts(PeopleChanged) if event.fact.environment == settings.environment]
    return registry_now(bundles, changes) == found.digests["people"]


def _refuse_other(bundles: Bundles, current: Accepted, found: Found, *, registry_is_right: bool) -> None:
    stands, mine = current.bundle.version, found.manifest.version
    if mine < stands:
        advice = f"put version {stands} back; its digests: gatehouse policy status"
        raise Denied(f"this is version {mine}, and version {stands} stands, signed by {', '.join(current.signers)}", where=_WHERE, advice=advice)
    if mine > stands:
        raise _unsigned(bundles, found)
    changed = [each for each in differing(current.bundle, found) if each != "people"]
    if not registry_is_right:
        changed.append("people")
    if changed:
        who = f"; changes of the registry are signed by {' or '.join(bundles.registrars) or 'nobody'}" if "people" in changed else ""
        advice = f"put version {stands} back as it was signed, or write a higher version into bundle.yaml and have that signed{who}"
        raise Denied(f"version {stands} was changed after it was signed: {in_words(changed)}", where=_WHERE, advice=advice)


def _unsigned(bundles: Bundles, found: Found) -> Denied:
    """What is said of a version that does not stand yet."""
    version, candidate = found.manifest.version, candidate_of(bundles, found)
    roles = missing_roles(bundles, found)
    if not roles:
        advice = "somebody accepts it, once: gatehouse policy accept --reason WHY"
        return Denied(f"version {version} is signed, and no first bundle was accepted yet", where=_WHERE, advice=advice)
    who = "; ".join(f"{role} ({' or '.join(people) or 'nobody is left who may'})" for role, people in roles.items())
    if candidate is None or not candidate.signed:
        return Denied(f"version {version} is signed by nobody", where=_WHERE, advice=f"missing: {who}; {_SIGN}")
    have = ", ".join(f"{event.fact.person} ({role})" for role, event in sorted(candidate.signed.items()))
    return Denied(f"version {version} is signed by {have} only", where=_WHERE, advice=f"missing: {who}; {_SIGN}")


def candidate_of(bundles: Bundles, found: Found) -> Candidate | None:
    """The signatures that what the files say has so far; None where nobody has signed it."""
    return next((each for each in bundles.candidates.values() if found.is_(each.bundle)), None)


def missing_roles(bundles: Bundles, found: Found) -> Mapping[str, tuple[str, ...]]:
    """The roles that have to sign what the files say, each with the people who may."""
    candidate = candidate_of(bundles, found)
    if candidate is not None:
        return bundles.missing(candidate.bundle)
    return bundles.missing(bundles.current.bundle) if bundles.current is not None else found.manifest.change_policy
