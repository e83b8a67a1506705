"""``gatehouse explain``: which rule decided, and what would satisfy it: of a run, or of what somebody might ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

from prefect_gatehouse.cli.output import console, emit, gatehouse_command, plain, table
from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.vocabulary import ActAction, Action, RunAction

if TYPE_CHECKING:
    from prefect_gatehouse.evidence.by_hand import Refusal
    from prefect_gatehouse.evidence.supposed import Asked, Supposed
    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.manifest.models import Manifest
    from prefect_gatehouse.policy.interface import Fact, Policy
    from prefect_gatehouse.run.values import AdmittedRun
    from prefect_gatehouse.settings import Settings

DENIED = Denied.exit_code


@click.argument("run", required=False, default="")
@click.option("--as", "person", default="", metavar="PRINCIPAL", help="Who would ask: somebody of the registry, or unverified.")
@click.option("--action", type=click.Choice(get_args(Action)), help="What would be asked.")
@click.option("--manifest", type=click.Path(path_type=Path), help="What would be run; RUN's own manifest unless given.")
@click.option("--with", "given", multiple=True, metavar="FACT=VALUE", help="A fact of the question, such as approvals=0; may be repeated.")
@click.option("--acts", is_flag=True, help="The acts that somebody was refused at the command line, about a run or none.")
def _explain(run: str, person: str, action: Action | None, manifest: Path | None, given: tuple[str, ...], acts: bool, as_json: bool) -> None:
    """Say of each decision about RUN which rule decided, and of a no what would satisfy it.

    With --acts, which acts were refused to whom, and by which rule: all of them, or those about RUN. The same in the same hour is told once.

    With --as and --action, what the policy would answer to a question about RUN or --manifest: nothing is recorded, and what nobody knows yet is
    supposed to be in order. What people sign (promote, classify, quarantine and others) needs neither, unless it is about a pipeline. Exit code 3 if
    that is no.
    """
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.settings import load_settings

    asked = bool(person or action)
    if acts and (asked or manifest is not None or given):
        raise InputError("this lists what was refused, and asks nothing", where="--acts", advice="leave out what belongs to a question")
    if asked and not (person and action):
        raise InputError("a question has somebody who asks, and what", where="--as, --action", advice="give both")
    if not asked and (manifest is not None or given):
        raise InputError("this belongs to a question", where="--manifest, --with", advice="give --as and --action, too")
    if not run and manifest is None and not acts and not _is_act(action):
        raise InputError("nothing is named", where="RUN", advice="name a run (gatehouse runs), or ask with --as, --action and --manifest")
    if run and manifest is not None:
        raise InputError("a run has its own manifest", where="--manifest", advice="name one of the two")
    settings = load_settings()
    with open_ledger(settings) as ledger:
        if acts:
            _refused(settings, ledger, run, as_json)
            return
        if action is None:
            _of_a_run(settings, ledger, run, as_json)
            return
        found = _of_a_question(settings, ledger, run, manifest, person, action, given)
    emit({"as": person, "action": action, **found.as_dict()}, as_json, lambda: _show(found, person, action))
    if not found.allowed:
        raise click.exceptions.Exit(DENIED)


def _is_act(action: Action | None) -> bool:
    """Whether it is something that somebody signs, and no run asks."""
    return action in get_args(ActAction)


def _of_a_run(settings: Settings, ledger: Ledger, run: str, as_json: bool) -> None:
    from prefect_gatehouse.evidence.decisions import decisions
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.policy.cedar import load_policy

    run_id = find_run(ledger, run)
    policy = load_policy(settings.policies)
    found = decisions(ledger, policy, run_id)

    def render() -> None:
        rows = []
        for each in found:
            rules = "; ".join(f"{rule.sentence} [{rule.id}]" for rule in each.rules)
            rows.append((str(each.event), f"{each.at[:16].replace('T', ' ')}", each.asked, "yes" if each.allowed else "no", rules, each.satisfy))
        table(f"Decisions about {run_id[:8]}", ("Event", "At (UTC)", "Asked", "Answer", "Because", "What would satisfy it"), rows)
        if not found:
            _say("nothing has been decided about it")
        if any(each.policies not in {"", policy.digest} for each in found):
            _say(f"other policies decided than those installed now ({policy.digest[:12]}): the sentence of a yes is that of now")

    emit({"run": run_id, "decisions": [each.as_dict() for each in found], "installed_policies": policy.digest}, as_json, render)


def _refused(settings: Settings, ledger: Ledger, run: str, as_json: bool) -> None:
    from prefect_gatehouse.evidence.by_hand import refused_acts
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.policy.cedar import load_policy

    found = refused_acts(ledger, find_run(ledger, run) if run else None)

    def row(each: Refusal, policy: Policy | None) -> tuple[str, ...]:
        because = "; ".join(f"{rule.sentence} [{rule.id}]".lstrip() for rule in each.rules(policy))
        return str(each.event), each.at[:16].replace("T", " "), each.fact.person, each.what(), each.about(), because

    def render() -> None:
        try:
            policy: Policy | None = load_policy(settings.policies)
        except InputError:
            policy = None  # what was refused is there to be seen, whatever has become of the policies
        rows = [row(each, policy) for each in found]
        if rows:
            table("Refused acts", ("Event", "At (UTC)", "Who", "What", "About", "Because"), rows)
        else:
            _say("no act was refused")

    emit({"refused": [each.as_dict() for each in found]}, as_json, render)


def _of_a_question(settings: Settings, ledger: Ledger, run: str, path: Path | None, person: str, action: Action, given: tuple[str, ...]) -> Supposed:
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.evidence.supposed import suppose
    from prefect_gatehouse.evidence.supposed_acts import suppose_act

    run_id = find_run(ledger, run) if run else ""
    if _is_act(action):
        return suppose_act(settings, ledger, lambda: _manifest(ledger, path, run_id), person, cast(ActAction, action), given)
    asked = _beside(settings, path) if path is not None else _of_run(settings, ledger, run_id)
    return suppose(settings, ledger, asked, person, cast(RunAction, action), given)


def _manifest(ledger: Ledger, path: Path | None, run_id: str) -> Manifest | None:
    """The manifest alone: what is signed about a pipeline is not asked of its files."""
    from prefect_gatehouse.manifest.load import load_manifest

    if path is not None:
        return load_manifest(path).manifest
    return _admitted(ledger, run_id).manifest if run_id else None


def _beside(settings: Settings, path: Path) -> Asked:
    from prefect_gatehouse.evidence.supposed import Asked
    from prefect_gatehouse.manifest.load import load_manifest
    from prefect_gatehouse.run.apart import workload_beside
    from prefect_gatehouse.run.content import content_beside

    manifest, file = load_manifest(path).manifest, path.resolve()
    found = workload_beside(settings, manifest, file)
    return Asked(manifest, file.parent, found.digest, lambda: content_beside(settings, manifest, file, found))


def _of_run(settings: Settings, ledger: Ledger, run_id: str) -> Asked:
    from prefect_gatehouse.evidence.supposed import Asked
    from prefect_gatehouse.run.content import content_beside

    admitted = _admitted(ledger, run_id)
    folder = Path(admitted.folder)
    manifest, file = admitted.manifest, folder / admitted.file
    return Asked(manifest, folder, admitted.workload_digest, lambda: content_beside(settings, manifest, file), run_id)


def _admitted(ledger: Ledger, run_id: str) -> AdmittedRun:
    from prefect_gatehouse.run.chain import Chain
    from prefect_gatehouse.run.values import AdmittedRun

    admitted = Chain(ledger, run_id).read(AdmittedRun.gate, AdmittedRun)
    if admitted is None:
        raise InputError("the run was never admitted, so the ledger has not its manifest", where=run_id, advice="name it with --manifest")
    return admitted


def _show(found: Supposed, person: str, action: Action) -> None:
    rows = [(rule.id, rule.sentence) for rule in found.rules]
    table(f"{person}, {action}: {'yes' if found.allowed else 'no'}", ("Rule", "Because"), rows)
    if found.satisfy:
        _say(f"What would satisfy it: {found.satisfy}")
    for words, facts in (("Given", found.given), ("Supposed to be in order", found.supposed)):
        if facts:
            _say(f"{words}: {', '.join(f'{name}={_spelt(value)}' for name, value in facts.items())}")


def _spelt(value: Fact) -> str:
    """A fact as ``--with`` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _say(text: str) -> None:
    console().print(plain(text), markup=False, soft_wrap=True)


command = gatehouse_command("explain", "Which rule decided, and what would satisfy it.")(_explain)
