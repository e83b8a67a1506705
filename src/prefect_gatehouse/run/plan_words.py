"""What people sign of a plan, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.statement import plain_line
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.policy.classes import leaving
from prefect_gatehouse.run.planned import BackendSnapshot
from prefect_gatehouse.run.values import Plan


def words_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """What people sign of a plan, a line each; made from the ledger's plan, so whoever was shown another one signs nothing that is valid."""
    admitted, minimised, body = plan.admitted, plan.validated.minimised, plan.body
    manifest, who = admitted.manifest, admitted.requester
    classes = Counter(item.data_class for item in leaving(minimised.treatments, body.classes.features) if item.rule != "drop")
    target = manifest.output.target
    lines = (
        ("Pipeline", f"{manifest.name}, tier {body.tier.name}, workload {manifest.workload.entrypoint} ({body.workload_digest[:12]})"),
        ("Requester", asked_by(who)),
        ("Rows", str(minimised.artifact.rows)),
        ("Classes that leave", ", ".join(f"{each} ({counted(classes[each], 'column')})" for each in DataClass if classes[each]) or "none"),
        ("Backends", ", ".join(_backend(item) for item in body.backends)),
        *_earlier(manifest.execution.reuse),
        ("Worst cost", f"{body.cost} USD in at most {counted(body.rounds, 'round')} and {counted(body.jobs, 'job')}"),
        ("Target", f"{target.system} at {body.endpoint(target.system)}, table {target.table}, rows of class {body.classes.output_class}"),
    )
    excepted = ", ".join(f"{each.rule} until {each.expires:%Y-%m-%d}" for each in body.exceptions)
    more = (("Exceptions to the policy", excepted),) if excepted else ()
    return tuple((name, plain_line(value)) for name, value in (*lines, *more))


def asked_by(who: Requester) -> str:
    """Who asked, as people sign it: also whether that is a person."""
    if who.method == "unverified":
        return "unverified, nobody signed the request"
    return f"{who.person}, a service" if who.service else who.person


def _earlier(reuse: timedelta | None) -> Iterator[tuple[str, str]]:
    if reuse is not None:
        yield "Earlier results", f"may stand for identical requests of this pipeline, up to {reuse} old, labelled cached"


def _backend(item: BackendSnapshot) -> str:
    """Its name, and where its jobs go."""
    return f"{item.name} ({'; '.join(f'{name} {value}' for name, value in item.place)})" if item.place else item.name
