"""The plan as people read it before they decide: the same tables in the form, in the terminal and on its page."""

from __future__ import annotations

import json
from collections.abc import Iterator

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.manifest.data import S3Objects
from prefect_gatehouse.policy.classes import in_words, target_of
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.planned import BackendSnapshot, PlannedClasses, PlannedImage, PlannedPromotion, PlannedReview, Since
from prefect_gatehouse.run.resume_window import window_of
from prefect_gatehouse.run.section import Section, printable
from prefect_gatehouse.run.tier_limits import limits_in_words
from prefect_gatehouse.run.values import AdmittedRun, Plan, PlanBody
from prefect_gatehouse.workload.runner.choose import denies
from prefect_gatehouse.workload.summary import CircuitsSummary

_PURPOSES = {
    "read_source": "read the source",
    "preflight": "look at the target database beforehand",
    "tokenise": "turn identifiers into tokens",
    "submit": "sign in at the quantum provider",
    "retrieve": "read results at the quantum provider",
    "re_identify": "turn tokens back at the target",
    "write_back": "address of the target database",
}


def sections(plan: Plan) -> list[Section]:
    """Who asks, what leaves, where it runs, what it costs, which secrets are used, what is written where, which code runs, how much could leave."""
    return [
        _who(plan),
        _leaves(plan),
        _stays(plan),
        _runs(plan),
        *_places(plan),
        *_prepared(plan),
        *_ways(plan),
        *_exceptions(plan),
        _secrets(plan),
        _written(plan),
        _code(plan),
        _leaving(plan),
    ]


def _who(plan: Plan) -> Section:
    admitted = plan.admitted
    manifest, who = admitted.manifest, admitted.requester
    asked = who.in_words
    if who.method != "unverified" and admitted.workload_digest and admitted.workload_digest != plan.body.workload_digest:
        asked += "; the workload was changed after the request was signed"
    rows = (
        ("Requester", asked),
        ("Ticket", printable(ticket_in_words(admitted))),
        ("Purpose", manifest.purpose),
        ("Pipeline", f"{manifest.name}, owner {manifest.owner}"),
        ("Tenant", f"{manifest.tenant}, billed to {manifest.billing_code}"),
        ("Environment", f"{manifest.environment}, tier {manifest.tier}"),
        ("Run", plan.body.run_id),
        ("Plan digest", plan.digest),
    )
    return Section("Who asks, and why", ("", ""), rows)


def ticket_in_words(admitted: AdmittedRun) -> str:
    """What was found of a run's ticket when it was admitted, or that nobody looked."""
    if admitted.ticket is not None:
        return admitted.ticket.in_words()
    return f"{admitted.manifest.ticket}, not checked: the tier {admitted.tier.name} takes it as it is typed"


def _leaves(plan: Plan) -> Section:
    minimised = plan.validated.minimised
    rows = tuple((item.column, str(item.data_class), item.rule, item.detail or "as it is") for item in minimised.treatments if item.rule != "drop")
    data = minimised.admitted.manifest.data
    groups = f"k = {minimised.k} over {', '.join(data.quasi_identifiers)}" if minimised.k else "no quasi-identifiers"
    if minimised.l:
        groups += f"; l = {minimised.l} over {', '.join(data.sensitive)}"
    aside = f", {minimised.quarantined_rows} set aside because they could not be read or treated" if minimised.quarantined_rows else ""
    if minimised.suppressed_rows:
        treated = minimised.artifact.rows + minimised.suppressed_rows
        most = f"{(data.suppression_limit or 0) * 100:g} % allowed"
        aside += (
            f", {minimised.suppressed_rows} suppressed ({minimised.suppressed_rows / treated:.2%}, {most}) "
            f"in {_count(minimised.suppressed_groups, 'group')} that missed k or l"
        )
    known = ", synthetic data, recorded" if minimised.synthetic else ""
    summary = f"{_count(minimised.artifact.rows, 'row')}{aside}, {groups}{known}"
    return Section("What the workload sees", ("Column", "Class", "Treatment", "How"), rows, summary)


_LONGEST_QUERY = 400  # characters of it that are shown


def _source(plan: Plan) -> str:
    """Where the data came from, in words."""
    manifest = plan.admitted.manifest
    source = manifest.data.source
    if isinstance(source, str):
        return source
    if isinstance(source, S3Objects):
        return f"{source.s3} in {manifest.credentials.read_source}"
    query = " ".join(source.sql.split())
    shown = query if len(query) <= _LONGEST_QUERY else query[:_LONGEST_QUERY] + " ... (the manifest has the rest)"
    return f"{source.system} ({printable(plan.body.endpoint(source.system))}): {printable(shown)}"


def _cost(item: BackendSnapshot) -> str:
    """The first round's cost, how it was reckoned, and what the provider itself would still let pass."""
    if not item.cost_basis:
        return f"{item.cost_first_round} USD"
    walls = "".join(f"; the provider's own limit: {each.left} of {each.amount} USD left until {each.until:%Y-%m-%d}" for each in item.limits)
    return f"at most {item.cost_first_round} USD: {printable(item.cost_basis)}{walls}"


def _stays(plan: Plan) -> Section:
    dropped = [item for item in plan.validated.minimised.treatments if item.rule == "drop"]
    checks = plan.validated.report
    rows = (
        ("Read from", _source(plan)),
        ("Columns that stay behind", ", ".join(item.column for item in dropped) or "none"),
        ("Input suite", f"{checks.suite}: {sum(item.success for item in checks.results)} of {len(checks.results)} checks passed"),
        ("The workload's cell", f"{plan.body.cell}; denied: {denies(plan.body.cell)}"),
        ("Leaves for the provider", "circuits: gates and numbers, no names and no tokens"),
    )
    return Section("What stays", ("", ""), rows)


def _runs(plan: Plan) -> Section:
    body = plan.body
    circuits = body.circuits
    rows = tuple(
        (
            f"{position}. {item.name}",
            f"{item.provider} {item.version}" + (" (simulator)" if item.simulator else ""),
            f"{item.jobs}",
            _cost(item),
        )
        for position, item in enumerate(body.backends, 1)
    )
    summary = (
        f"{_count(circuits.count, 'circuit')} in the first round ({_sweep(circuits)}), "
        f"up to {_count(circuits.qubits, 'qubit')} and depth {circuits.depth}, "
        f"{_count(circuits.shots, 'shot')} each; at most {_count(body.rounds, 'round')}, {_count(body.jobs, 'job')}, {body.cost} USD, "
        f"within {_duration(body.deadline_seconds)} of the approval{_limits(plan)}"
    )
    return Section("Where it runs", ("Backend", "Provider", "Jobs, first round", "Cost, first round"), rows, summary)


def _limits(plan: Plan) -> str:
    """When a round waits although a backend is there."""
    execution = plan.admitted.manifest.execution
    window = f", submitted {execution.window.in_words()}" if execution.window is not None else ""
    return window + (f", where at most {_count(execution.max_queue, 'job')} wait before" if execution.max_queue is not None else "")


def _places(plan: Plan) -> Iterator[Section]:
    """What administrators have set for the backends, where any has settings."""
    rows: list[tuple[str, str, str]] = []
    for item in plan.body.backends:
        if item.settings:
            rows += [(item.name, name, printable(value)) for name, value in item.place]
            rows.append((item.name, f"all {len(item.settings)} settings", digest(item.as_set())))
    if rows:
        yield Section(
            "Where jobs are sent", ("Backend", "Setting", "Value"), tuple(rows), "As its block said; a block that says something else stops the run"
        )


def _prepared(plan: Plan) -> Iterator[Section]:
    """How circuits are made ready for each backend, and what that makes of them."""
    known = [(item, item.prepared) for item in plan.body.backends if item.prepared is not None]
    rows = tuple(
        (
            item.name,
            printable("; ".join(f"{key}: {_word(value)}" for key, value in sorted(each.settings.items()))),
            f"{each.depth_before} -> {each.depth_after}",
            f"{each.two_qubit_before} -> {each.two_qubit_after}",
            f"{each.quality:.1%}" if each.quality is not None else "it simulates" if item.simulator else "not known",
        )
        for item, each in known
    )
    if rows:
        yield Section(
            "How circuits are prepared",
            ("Backend", "Settings", "Depth", "Gates on two qubits", "Shots free of error"),
            rows,
            "Of the first round's deepest and worst circuit, as yielded -> as sent; every later round is prepared with the same settings. "
            "The last column is the product of the calibrated fidelities of gates and read-outs: idling costs more",
        )


def _word(value: object) -> str:
    """A setting in few words; digests are shown by their beginning, the plan digest covers all of them."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text[:12] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text


def _ways(plan: Plan) -> Iterator[Section]:
    """What the first round costs in as few jobs as the backend allows, and what it would cost in one for each circuit."""
    rows: list[tuple[str, ...]] = []
    for item in plan.body.backends:
        if item.cost_apart is not None:
            rows.append((item.name, "as few jobs as the backend allows: so it is sent", f"{item.jobs:,}", f"{item.cost_first_round} USD"))
            rows.append((item.name, "a job for each circuit", f"{plan.body.circuits.count:,}", f"{item.cost_apart} USD"))
    if rows:
        yield Section("What each way would cost, first round", ("Backend", "Way", "Jobs", "At most"), tuple(rows))


def _sweep(circuits: CircuitsSummary) -> str:
    """How much of a round is repetition."""
    if circuits.templates == 1 and circuits.count > 1 and circuits.angles:
        return f"1 template, {circuits.count:,} settings of its angles"
    return _count(circuits.templates, "template")


def _secrets(plan: Plan) -> Section:
    title, needs = "Credentials, fetched just before their use", plan.body.credentials
    rows = tuple((_PURPOSES[need.purpose.value], need.block or "none needed") for need in needs)
    if not any(need.service for need in needs):
        return Section(title, ("For", "From"), rows)
    return Section(title, ("For", "From", "As the service"), tuple((*row, need.service or "none") for row, need in zip(rows, needs, strict=True)))


def _written(plan: Plan) -> Section:
    manifest = plan.admitted.manifest
    output = manifest.output
    system = target_of(manifest)
    classes = plan.body.classes
    readers = " and ".join(f"{role}s" for role in classes.rules.readers) or "nobody"
    rows = (
        ("Target", f"{system.name} ({printable(plan.body.endpoint(system.name))}), table {output.target.table}"),
        ("Pre-flight", _preflight(plan)),
        ("Rehearsed", printable(plan.rehearsal.in_words())),
        ("Class", in_words(classes.output_class, classes.because)),
        ("For", f"{readers} cleared for {classes.output_class}; the target takes up to {system.highest_class}"),
        ("Rows", f"{output.mode} by {output.key}"),
        ("Columns", ", ".join(output.names)),
        ("Artifacts", f"deleted when the run ends, their key first; if it fails it can be resumed for {_duration(int(window_of(plan.admitted)))}"),
        *_kept(plan),
    )
    return Section("What will be written", ("", ""), rows)


def _kept(plan: Plan) -> Iterator[tuple[str, str]]:
    """What outlives the run because the manifest says so."""
    reuse = plan.admitted.manifest.execution.reuse
    if reuse is not None:
        days, first = _duration(int(reuse.total_seconds())), plan.body.backends[0].name
        yield "Earlier results", f"up to {days} old, of this pipeline on {first}, stand for an identical request: not sent, free, labelled cached"
        yield "Kept to answer", f"the counts of every job there, under a key of their own, for {days} from the result"
    again = plan.admitted.manifest.reproduce
    if again is not None:
        days = _duration(int(again.keep.total_seconds()))
        circuits = _count(again.circuits, "circuit")
        yield "Kept to run again", f"up to {circuits} of each job, with angles and counts, under a key of their own, for {days} from the result"


_MOST_FILES = 20  # of each kind that are named


def _exceptions(plan: Plan) -> list[Section]:
    """Only where there are any."""
    found = plan.body.exceptions
    if not found:
        return []
    rows = tuple(
        (each.rule, f"{each.expires:%Y-%m-%d %H:%M} UTC", each.owner, each.granted_by, each.ticket, each.residual_risk, each.compensating_control)
        for each in found
    )
    headers = ("Rule", "Until", "Owner", "Granted by", "Ticket", "Risk that is left", "Instead of the rule")
    return [Section("Exceptions to the policy", headers, rows, "The run may use them; one that is over or revoked by then does not count")]


def _classes(found: PlannedClasses | None) -> Iterator[tuple[str, str]]:
    if found is not None:
        yield "Classes of the source", printable(f"signed by {found.signed_by} on {found.at[:10]}")


def _promotion(found: PlannedPromotion | None) -> Iterator[tuple[str, str]]:
    if found is not None:
        jobs = f"{_count(found.jobs, 'job')}, {found.fallbacks} of them on another backend than the first"
        rests = f"{_count(found.runs, 'run')} of {found.below} with {jobs}"
        yield "Promoted", printable(f"by {found.promoted_by} on {found.at[:10]}, {found.ticket}, on {rests}")


def _review(found: PlannedReview | None) -> Iterator[tuple[str, str]]:
    if found is not None:
        signed = f"{found.commit}, signed by {found.author} with {found.author_key} on {found.committed:%Y-%m-%d}"
        yield "Commit", printable(f"{signed}, reviewed by {found.reviewed_by} on {found.at[:10]}")


def _image(found: PlannedImage | None, tier: TierRules) -> Iterator[tuple[str, str]]:
    if found is None:
        return
    said = []
    if tier.signed_image == "required":
        said.append(f"signed with {found.signed_by}" if found.signed_by else "signed by nobody")
    if tier.image_scan_days is not None:
        said.append(f"scanned {found.scanned_at:%Y-%m-%d %H:%M} UTC, says {found.scanned_by}" if found.scanned_at else "no scan is signed")
    yield "About the image", printable("; ".join(said))


def _code(plan: Plan) -> Section:
    body, admitted = plan.body, plan.admitted
    workload = admitted.manifest.workload
    parameters = json.dumps(dict(workload.parameters), sort_keys=True, ensure_ascii=False) if workload.parameters else "none"
    tier = body.tier
    people = _count(admitted.approvers_needed, "approver") + _between_them(tier) + _releases(admitted.releases_needed)
    rows = (
        ("Entry point", printable(workload.entrypoint)),
        ("Workload digest", body.workload_digest),
        ("Files", _names(tuple(each.path for each in body.files))),
        *_since(body.since),
        ("Parameters", printable(parameters)),
        ("Folder", printable(f"{admitted.folder}, manifest {admitted.file}")),
        ("Policy", body.policy_digest),
        ("Bundle of policies", _bundle(plan)),
        ("Tier", f"{tier.name}: {people}, {tier.weakest_method} or stronger, data up to {tier.highest_class}"),
        *_limits_of(body),
        *_classes(body.source_classes),
        *_promotion(body.promotion),
        *_review(body.review),
        ("Registry of people", printable(body.registry)),
        ("Installed packages", body.packages_digest),
        ("Lock, image", f"{body.lock_digest or 'none'}, {printable(body.image_digest) or 'none'}"),
        *_image(body.image, body.tier),
    )
    return Section("Which code runs, under which rules", ("", ""), rows)


def _limits_of(body: PlanBody) -> Iterator[tuple[str, str]]:
    limits = "; ".join(limits_in_words(body))
    if limits:
        yield "Limits of the tier", limits


def _between_them(tier: TierRules) -> str:
    """Which roles approvers have, where their number is not enough."""
    return f" with the roles {' and '.join(tier.approver_roles)} between them" if tier.approver_roles else ""


def _releases(others: int) -> str:
    """Who is asked again before rows are written."""
    return f" and {_count(others, 'other')} to release the outcome" if others else ""


def _bundle(plan: Plan) -> str:
    """Who stands for the rules; that nobody does is told."""
    bundle, tier = plan.body.bundle, plan.body.tier.name
    if bundle is None:
        return f"unsigned: nobody answers for policies, tiers, classes and registry, which only the {tier} tier takes"
    return f"bundle version {bundle.version}, signed by {', '.join(bundle.signers)}; {bundle.digest}"


def _since(since: Since) -> Iterator[tuple[str, str]]:
    """What has become of the files since people approved them last."""
    if not since.plan_digest:
        yield "Since the last approval", "nobody has approved this pipeline before: every file is new"
        return
    changes = [
        f"{what}: {_names(names)}" for what, names in (("added", since.added), ("removed", since.removed), ("changed", since.changed)) if names
    ]
    yield f"Since run {since.run_id[:8]}, approved last", "; ".join(changes) or "no file was added, removed or changed"


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_FILES} more" if len(names) > _MOST_FILES else ""
    return printable(", ".join(names[:_MOST_FILES])) + more


def _leaving(plan: Plan) -> Section:
    """The bounds, whatever the workload's code means by its circuits and its frame."""
    body, leaving = plan.body, plan.body.leaving
    first, in_all = leaving.circuits, body.rounds * leaving.round_bits
    step = plan.admitted.manifest.execution.angle_step
    cap = plan.admitted.tier.leaving_bits
    allowed = f"the {plan.admitted.tier.name} tier allows {cap:,}" if cap is not None else f"the {plan.admitted.tier.name} tier has no cap"
    shape = f"{first.gates + first.order:,} bits of gates, places and order"
    rows = (
        ("Circuits, first round", f"{shape}, and {first.angles:,} angles of {first.angle_bits} bits"),
        ("Circuits, any round", f"at most {leaving.round_bits:,} bits; a round with more is refused"),
        ("Circuits, in all", f"at most {_count(body.rounds, 'round')}, {in_all:,} bits ({_bytes(in_all)}); {allowed}"),
        ("Angles", f"on a grid of {step:g} rad" if step is not None else "any double; execution.angle_step would put them on a grid"),
        ("Frame", _frame(plan)),
        *((f"Column {name}", what) for name, what in _column_types(plan)),
    )
    summary = (
        f"At most {_count(first.angles, 'angle')} of {first.angle_bits} bits in the first round, {in_all:,} bits in all, "
        "whatever the workload means by them; honest features are counted as well"
    )
    return Section("How much could leave", ("", ""), rows, summary)


def _frame(plan: Plan) -> str:
    bits = plan.body.leaving.frame_bits
    rows = _count(plan.validated.minimised.artifact.rows, "row")
    if bits is None:
        return f"no bound: up to {rows}, and columns without a declared type may hold text"
    return f"at most {bits:,} bits ({_bytes(bits)}) to the target, in up to {rows}; keys are this run's own"


def _column_types(plan: Plan) -> list[tuple[str, str]]:
    """The columns that come back with their types; free text with its class."""
    output = plan.admitted.manifest.output
    found = []
    for name in output.names if output.types is not None else ():
        kind = (output.types or {})[name]
        known = {each.column: each.data_class for each in plan.body.classes.outputs}
        detail = f", free text of class {known[name]}" if kind.type == "text" else f", one of {len(kind.values)}" if kind.type == "category" else ""
        found.append((name, f"{kind.type}{detail}: {kind.bits} bits a row"))
    return found


def _bytes(bits: int) -> str:
    """Bits as the size of a file."""
    size: float = -(-bits // 8)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.4g} {unit}"
        size /= 1000
    return f"{size:.4g} GB"


def _preflight(plan: Plan) -> str:
    found = plan.body.preflight
    return printable("; ".join(found.checks)) if found.looked else f"nobody looked: {found.because}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _duration(seconds: int) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
