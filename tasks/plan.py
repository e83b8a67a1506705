"""Gate 4: exactly what would leave, what it may cost, and the digest that approvals are given to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect_gatehouse.errors import Denied, UnusableAnswer
from prefect_gatehouse.manifest.endpoints import declared_endpoint
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.interface import BackendFacts
from prefect_gatehouse.providers.registry import block_of
from prefect_gatehouse.run import plan_page
from prefect_gatehouse.run.ahead import prepared
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.boundary import guard_payload
from prefect_gatehouse.run.bundle import as_planned
from prefect_gatehouse.run.cells import cell_of, driven, start_ahead
from prefect_gatehouse.run.classified import planned_classes
from prefect_gatehouse.run.content import Content, content_planned
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.drift import refuse_drift
from prefect_gatehouse.run.excepted import exceptions_of
from prefect_gatehouse.run.first_round import keep_first_round
from prefect_gatehouse.run.image import planned_image
from prefect_gatehouse.run.later_rounds import LaterRounds
from prefect_gatehouse.run.leaving import leaving_of
from prefect_gatehouse.run.minimised import formless_tokens
from prefect_gatehouse.run.plan import present_digests
from prefect_gatehouse.run.planned import BackendSnapshot, Setting, SystemAddress
from prefect_gatehouse.run.policy_questions import ask_plan, ask_request
from prefect_gatehouse.run.preflight import preflight
from prefect_gatehouse.run.prepared import digest_of, prepare, record
from prefect_gatehouse.run.pricing import Pricing, provider_limits, require_budget
from prefect_gatehouse.run.rehearsal import rehearse
from prefect_gatehouse.run.reviewed import planned_review
from prefect_gatehouse.run.services import needs_with_services
from prefect_gatehouse.run.since import since_last_approval
from prefect_gatehouse.run.standing import named_by, planned_promotion, standing_to_ask
from prefect_gatehouse.run.values import MinimisedData, Plan, PlanBody, ValidatedData
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.report import publish
from prefect_gatehouse.usd import up
from prefect_gatehouse.validation.suite import require_present
from prefect_gatehouse.workload.angles import on_grid
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.drawing import Drawings, draw, order
from prefect_gatehouse.workload.plain_form import summarise
from prefect_gatehouse.workload.rounds import Finished
from prefect_gatehouse.workload.summary import CircuitsSummary


@gate(Plan)
def plan(attempt: Attempt, validated: ValidatedData, fetch: Fetch) -> Plan:
    """Looks at the target, asks each backend about the workload's first circuits, rehearses the workload to its end, and computes the digest.

    Between them the policy is asked whether what the tier limits is kept to.

    The plan is left as a page before anybody is asked.

    Raises:
        Denied: The target can't take the rows, a backend can't run the circuits within the manifest's envelope, or they could carry more bits
            than the tier allows; the policy says no; no service of the installation may fetch a credential; or what the run stands on (review,
            promotion, classes, image) is missing by now, or is of other files than the plan's.
        DataRefused: The circuits hold something else than numbers and gates, or the output suite names a column that will not come back.
        InputError: The pre-flight's address is none.
        StorageError: The page or the first round can't be written.
        Unavailable: The target or a provider does not answer, or the block of a backend is missing.
        WorkloadFailed: The workload raised, yielded no circuits or such as can't be sent, or failed its rehearsal; mended, the run can be
            resumed.
    """
    minimised = validated.minimised
    manifest = minimised.admitted.manifest
    needs = needs_with_services(attempt, minimised.admitted)
    folder = Path(minimised.admitted.folder)
    systems = tuple(SystemAddress(name=item.name, endpoint=declared_endpoint(item.endpoint, folder)) for item in manifest.systems)
    target = next(item for item in systems if item.name == manifest.output.target.system)
    cell = cell_of(attempt, minimised.admitted)
    with driven(attempt, minimised, cell, "plan") as rounds:
        rounds.ask(None)
        again = manifest.execution.rehearsal != "skip"
        if again and not prepared():  # it imports while the workload computes
            start_ahead(attempt, minimised.admitted, cell)
        looked, table = preflight(attempt, minimised.admitted, target.endpoint, fetch)  # while the workload computes
        step = rounds.answer()
        if not again:
            rounds.close()  # nobody asks it for more
        if isinstance(step, Finished):
            raise UnusableAnswer("the workload returned without a round of circuits", where="workload", advice="yield at least one list of circuits")
        batch = on_grid(step, manifest.execution.angle_step)
        if again:  # one that has imported draws before it starts the workload
            start_ahead(attempt, minimised.admitted, cell, draws=order(batch))
        second = attempt.ahead
        leaving = leaving_of(minimised, batch)
        envelope = manifest.execution.envelope
        summary = summarise(batch, manifest.execution.shots)
        with fetch(attempt, minimised.admitted, Purpose.SUBMIT) as lease:
            facts = {name: attempt.backend(name).facts(lease) for name in manifest.execution.backends}
            backends = tuple(_snapshot(attempt, name, each, batch, summary, minimised, lease) for name, each in facts.items())
        decision = ask_plan(attempt.policy, minimised.admitted, backends, summary, attempt.settings.environment)
        attempt.permit(f"decided:plan:{attempt.number}", decision.fact())
        output_suite = attempt.parts.output_suite(minimised.admitted)
        require_present(output_suite, (manifest.output.key, *manifest.output.names), "output.suite")
        with LaterRounds(attempt, minimised, facts, batch, leaving, fetch) as later:
            rehearsal = rehearse(attempt, minimised, rounds, batch, summary, cell=cell, suite=output_suite, target=table, later=later)
    present = present_digests(attempt.settings, minimised.admitted, attempt.policy.digest)
    body = PlanBody(
        run_id=attempt.run_id,
        data_digest=minimised.data_digest,
        circuits=summary,
        leaving=leaving,
        backends=backends,
        rounds=envelope.rounds,
        jobs=envelope.jobs,
        cost=envelope.cost,
        deadline_seconds=int(envelope.deadline.total_seconds()),
        input_suite_sha256=validated.report.suite_sha256,
        output_suite_sha256=output_suite.sha256,
        credentials=needs,
        classes=minimised.admitted.classes,
        systems=systems,
        preflight=looked,
        tier=minimised.admitted.tier,
        since=since_last_approval(attempt.history, minimised.admitted, present["files"]),
        exceptions=exceptions_of(attempt.policy, attempt.settings, attempt.history, minimised.admitted),
        source_classes=planned_classes(attempt.settings, attempt.history, minimised.admitted),
        promotion=planned_promotion(attempt.settings, attempt.history, minimised.admitted, present["workload_digest"]),
        image=planned_image(attempt.settings, attempt.history, minimised.admitted.tier),
        cell=cell,
        bundle=as_planned(attempt.parts.bundle(attempt.history, minimised.admitted.tier)),
        **present,
    )
    content = content_planned(attempt.settings, minimised.admitted, body)
    body = body.model_copy(update={"review": planned_review(attempt.settings, attempt.history, minimised.admitted, content)})
    kept = keep_first_round(attempt, minimised, batch, cell, rehearsal)
    made = Plan(validated=validated, body=body, digest=body.digest(), made_at=datetime.now(UTC), rehearsal=rehearsal, first_round=kept)
    _refuse_as_it_stands(attempt, made, content)
    _publish(attempt, made, draw(batch, None if second is None else second.runner.drawn))
    return made


def _refuse_as_it_stands(attempt: Attempt, made: Plan, content: Content) -> None:
    """Asks again what was asked at admission, by the acts that the plan names, of the files that it has: nobody approves what can't be submitted.

    Raises:
        Denied: The policy says no: a review, a promotion or a classification is missing by now, or is of something else.
    """
    admitted, environment = made.admitted, attempt.settings.environment
    tier, workload, folder = made.body.tier, made.body.workload_digest, Path(admitted.folder)
    about = (admitted.manifest, tier, folder, workload, lambda: content, admitted.requester)
    standing = standing_to_ask(attempt.settings, attempt.history, *about, named_by(made))
    asked = (admitted.manifest, admitted.requester, tier, made.body.classes, environment, standing, admitted.ticket, attempt.run_id)
    ask_request(attempt.policy, *asked)


def _publish(attempt: Attempt, made: Plan, drawings: Drawings) -> None:
    attempt.drawings = drawings
    publish(
        attempt,
        Plan.gate,
        made.admitted.manifest,
        plan_page.page(made, drawings),
        lambda path: plan_page.markdown(made, drawings, page_at=path),
        key="plan",
        description="What approvals are asked for, free of values",
    )


def _snapshot(
    attempt: Attempt,
    name: str,
    facts: BackendFacts,
    batch: CircuitBatch,
    summary: CircuitsSummary,
    minimised: MinimisedData,
    lease: CredentialLease,
) -> BackendSnapshot:
    execution = minimised.admitted.manifest.execution
    provider = attempt.backend(name)
    if batch.qubits > facts.qubits:
        raise Denied(f"{name} has {facts.qubits} qubits, the circuits need {batch.qubits}", where="execution.backends", advice="name another backend")
    refuse_drift(attempt, minimised.admitted.tier, name, provider, lease)
    prepared = prepare(provider, batch, execution.shots, execution.angle_step, lease, where=name)
    first_job = provider.encode(next(prepared.batch.parts(facts.circuits_per_job)), execution.shots)
    guard_payload(first_job, provider, where=name, tokens=formless_tokens(attempt, minimised), step=execution.angle_step)
    jobs = -(-len(batch) // facts.circuits_per_job)
    if jobs > execution.envelope.jobs:
        raise Denied(
            f"{name} needs {jobs} jobs for the first round, the envelope has {execution.envelope.jobs}",
            where="execution.envelope.jobs",
            advice="ask for more jobs or drop this backend",
        )
    pricing = Pricing(name, provider, facts, minimised.admitted.tier.name, attempt.settings.prices)
    first = pricing.round(len(batch), execution.shots, lease)
    if first.upper > execution.envelope.cost:
        raise Denied(
            f"the first round on {name} would cost more than envelope.cost",
            where="execution.envelope.cost",
            advice="raise the cost or drop this backend",
        )
    require_budget(attempt, minimised.admitted.manifest, first.upper)
    both = facts.circuits_per_job > 1 and bool(facts.priced_as)
    return BackendSnapshot(
        name=name,
        provider=facts.provider,
        version=facts.version,
        qubits=facts.qubits,
        simulator=facts.simulator,
        jobs=jobs,
        cost_first_round=first.upper,
        cost_worst_case=up(min(first.upper * execution.envelope.rounds, execution.envelope.cost)),
        cost_basis=pricing.basis(first),
        limits=provider_limits(pricing, minimised.admitted.tier, first.upper, lease),
        settings=_settings(attempt, name),
        prepared=record(prepared, digest_of(prepared, batch, summary)),
        cost_apart=pricing.apart(len(batch), execution.shots, lease).upper if both else None,
    )


def _settings(attempt: Attempt, name: str) -> tuple[Setting, ...]:
    """What the backend was asked with; what people read by itself comes first."""
    found, block = attempt.parts.backend_settings(name), block_of(name)
    shown = block[1] if block is not None else ()
    order = [*(each for each in shown if each in found), *sorted(found.keys() - set(shown))]
    return tuple(Setting(name=each, value=found[each], shown=each in shown) for each in order)
