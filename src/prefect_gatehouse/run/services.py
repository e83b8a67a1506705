"""As which service a run's credentials are fetched: the one that the registry names for the duty, the tenant and the block.

Asked when the plan is made, for every credential, and again at each fetch, by the registry of that moment: a service that was revoked meanwhile
stops the run there, and so does one that is in quarantine.
"""

from __future__ import annotations

from prefect_gatehouse.errors import Denied, PlanChanged
from prefect_gatehouse.identity.duties import DUTY_OF, service_for
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.ledger.acts import ServiceChanged
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.planned import CredentialNeed, needs_of
from prefect_gatehouse.run.quarantined import quarantines
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.settings import Settings


def needs_with_services(attempt: Attempt, admitted: AdmittedRun) -> tuple[CredentialNeed, ...]:
    """What a run needs of credentials, each with the service as which it will be fetched.

    Raises:
        Denied: Above the prototype tier an installation that names services names none for one of them, or none that may fetch its block.
    """
    people, needs = attempt.people, needs_of(admitted.manifest)
    services = [
        required_service(people, attempt.history, admitted.manifest, admitted.tier, each.purpose, each.block) if each.block is not None else ""
        for each in needs
    ]
    return tuple(each.model_copy(update={"service": service}) for each, service in zip(needs, services, strict=True))


def service_now(attempt: Attempt, admitted: AdmittedRun, purpose: Purpose, block: str) -> str:
    """The service as which a credential is fetched now; empty where none need be.

    Raises:
        Denied: As for ``needs_with_services``.
        PlanChanged: The plan that was approved names another one.
        Quarantined: It is in quarantine.
    """
    service = required_service(attempt.people, attempt.history, admitted.manifest, admitted.tier, purpose, block)
    plan = attempt.chain.read(Plan.gate, Plan)
    if plan is not None:
        planned = next((each.service for each in plan.body.credentials if each.purpose is purpose), "")
        if planned != service:
            what = f"the plan has {purpose.value} fetched as {planned or 'no service'}, and the registry now names {service or 'none'}"
            raise PlanChanged(what, where="registry of people", advice="start a new run and have it approved")
    if service:
        with attempt.effect() as tx:
            quarantines(tx, attempt).refuse_person(service)
    return service


def service_of_the_day(attempt: Attempt, admitted: AdmittedRun, purpose: Purpose, block: str) -> str:
    """The service as which a run that ends fetches what it needs for that, whatever has become of its services; empty where none is named."""
    return service_to_end_with(attempt.settings, admitted, purpose, block)


def service_to_end_with(settings: Settings, admitted: AdmittedRun, purpose: Purpose, block: str) -> str:
    """The same for what looks after the jobs of many runs."""
    return _named(People(settings.people_folder()), admitted.manifest.tenant, purpose, block)


def required_service(people: People, history: Ledger, manifest: Manifest, tier: TierRules, purpose: Purpose, block: str) -> str:
    """The service that the registry names, which the prototype tier goes on without, and so does an installation that never named one.

    Args:
        people: The registry.
        history: The ledger that knows what was ever named: revoking, which takes nobody's signature, loosens nothing.
        manifest: What is run.
        tier: Its tier.
        purpose: What the credential is for.
        block: Its block.

    Raises:
        Denied: Another tier does not.
    """
    if tier.name == "prototype":
        return _named(people, manifest.tenant, purpose, block)
    everybody, duty, tenant = people.all(), DUTY_OF[purpose], manifest.tenant
    if not any(each.service is not None and each.service.duties for each in everybody) and not _ever_named(history, manifest.environment):
        return ""
    if purpose is Purpose.SUBMIT and manifest.credentials.retrieve is None:
        advice = "name a block whose sign-in reads results and makes no jobs"
        what = "results are retrieved by a service of their own, and the manifest names no sign-in for it"
        raise Denied(what, where="credentials.retrieve", advice=advice)
    found = service_for(everybody, duty, tenant, block)
    if found is None:
        advice = f"have the registry's keeper run: gatehouse people service add NAME --duty {duty} --tenant {tenant} --block {block}"
        raise Denied(f"no service is named for the {duty} of {tenant}, which fetches {block}", where="registry of people", advice=advice)
    return found.person


def _ever_named(history: Ledger, environment: str) -> bool:
    return any(event.fact.environment == environment and event.fact.duties for event in history.facts(ServiceChanged))


def refuse_foreign_service(people: People, manifest: Manifest, requester: Requester) -> None:
    """Stops a request that a service signed for a tenant that it is not named for.

    Raises:
        Denied: It did.
    """
    asks = people.get(requester.person) if requester.service else None
    if requester.service and (asks is None or asks.service is None or manifest.tenant not in asks.service.tenants):
        advice = f"have the registry's keeper run: gatehouse people service add {requester.person} --tenant {manifest.tenant}"
        raise Denied(f"the service {requester.person} is not named for the tenant {manifest.tenant}", where="request", advice=advice)


def refuse_service_as_owner(people: People, manifest: Manifest) -> None:
    """Stops a pipeline whose owner is no person: somebody answers for it.

    Raises:
        Denied: A service is named.
    """
    owner = people.get(manifest.owner)
    if owner is not None and owner.service is not None:
        raise Denied("the pipeline's owner is a service, and a person answers for it", where="owner", advice="name a person")


def _named(people: People, tenant: str, purpose: Purpose, block: str) -> str:
    """The service, empty where none is named or none of those may fetch the block."""
    try:
        found = service_for(people.all(), DUTY_OF[purpose], tenant, block)
    except Denied:
        return ""
    return found.person if found is not None else ""
