"""Lineage tags: short ``name:value`` marks on every flow run and task run, read off the values that a gate saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel

from prefect_gatehouse.run.values import AdmittedRun, Job, MinimisedData, Plan, Submission

DIGEST_LENGTH = 12


def _parts(value: object) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from _parts(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _parts(item)


def tags_of(run_id: str, environment: str, values: Iterable[object], gate: str | None = None) -> set[str]:
    """The tags that follow from a run, a gate and any values of the chain."""
    tags = {f"run:{run_id}", f"env:{environment}"}
    if gate is not None:
        tags.add(f"gate:{gate}")
    for value in values:
        for part in _parts(value):
            if isinstance(part, AdmittedRun):
                tags |= {f"tenant:{part.manifest.tenant}", f"tier:{part.tier.name}", f"ticket:{part.manifest.ticket}"}
            elif isinstance(part, MinimisedData):
                tags.add(f"dataset:{part.data_digest[:DIGEST_LENGTH]}")
            elif isinstance(part, Plan):
                tags.add(f"plan:{part.digest[:DIGEST_LENGTH]}")
            elif isinstance(part, Submission):
                tags.add(f"plan:{part.plan_digest[:DIGEST_LENGTH]}")
            elif isinstance(part, Job):
                tags |= {f"backend:{part.backend}", *([f"job:{part.handle}"] if part.handle else [])}
    return tags
