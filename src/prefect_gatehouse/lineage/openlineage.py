"""OpenLineage events of the gates, one JSON object a line in ``lineage/openlineage.ndjson``.

Lineage never gates a run: an event that can't be written is counted and the run goes on; the ledger is the evidence. No event
holds a message or a value: a failure is its code.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prefect_gatehouse import __version__
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.values import AdmittedRun, MinimisedData, RawOutcome, WriteBackReceipt

if TYPE_CHECKING:
    from openlineage.client.facet_v2 import DatasetFacet

_PRODUCER = f"urn:prefect-gatehouse:{__version__}"
_NAMESPACE = uuid.UUID("8f2c1f0e-6f0b-4a52-9a0c-0d6f3f6c2b11")  # any fixed one: run ids of gates are derived from it


class LineageFile:
    """Appends OpenLineage events to a file.

    Args:
        folder: Where ``openlineage.ndjson`` is.
        environment: Enters the job namespace.
    """

    def __init__(self, folder: Path, environment: str) -> None:
        self._path = folder / "openlineage.ndjson"
        self._environment = environment
        self.lost = 0

    def emit(
        self,
        state: Literal["START", "COMPLETE", "FAIL"],
        *,
        run_id: str,
        gate: str,
        attempt: int,
        values: Iterable[object] = (),
        tags: Iterable[str] = (),
        code: str = "",
    ) -> None:
        """Writes one event; a failure to write is counted in ``lost``."""
        try:
            line = self._line(state, run_id, gate, attempt, list(values), sorted(tags), code)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                # One write call of one line: two processes never interleave.
                stream.write(line.encode() + b"\n")
        except (OSError, ValueError):
            self.lost += 1

    def _line(self, state: str, run_id: str, gate: str, attempt: int, values: list[object], tags: list[str], code: str) -> str:
        from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import error_message_run, parent_run, tags_run
        from openlineage.client.serde import Serde

        namespace = f"gatehouse://{self._environment}"
        inputs, outputs = _datasets(values)
        classes = _classes_of(values)
        facets = {
            "parent": parent_run.ParentRunFacet(
                run=parent_run.Run(runId=str(_uuid(run_id))), job=parent_run.Job(namespace=namespace, name="governed-pipeline")
            ),
            "tags": tags_run.TagsRunFacet(
                tags=[
                    tags_run.TagsRunFacetFields(key=name, value=value, source="gatehouse") for name, _, value in (tag.partition(":") for tag in tags)
                ]
            ),
        }
        if code:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(message=code, programmingLanguage="python")
        event = RunEvent(
            eventType=RunState[state],
            eventTime=datetime.now(UTC).isoformat(),
            run=Run(runId=str(uuid.uuid5(_NAMESPACE, f"{run_id}:{gate}:{attempt}")), facets=facets),
            job=Job(namespace=namespace, name=f"governed-pipeline.{gate}"),
            inputs=[InputDataset(namespace=namespace, name=name) for name in inputs],
            outputs=[OutputDataset(namespace=namespace, name=name, facets=_class_tags(classes)) for name in outputs],
            producer=_PRODUCER,
        )
        return Serde.to_json(event)


def _classes_of(values: list[object]) -> list[tuple[str | None, DataClass]]:
    """Columns of what a gate returned with their classes; None stands for all of it."""
    made = values[-1] if values else None
    if isinstance(made, AdmittedRun):
        return [(name, column.data_class) for name, column in made.manifest.data.columns.items()]
    if isinstance(made, MinimisedData):
        return [(item.column, item.data_class) for item in made.admitted.classes.features]
    if isinstance(made, RawOutcome):
        return [(item.column, item.data_class) for item in made.approved.plan.body.classes.outputs]
    return [(None, made.data_class)] if isinstance(made, WriteBackReceipt) else []


def _class_tags(classes: list[tuple[str | None, DataClass]]) -> dict[str, DatasetFacet]:
    """The classes as a tags facet, one tag a column: names and classes, no value."""
    from openlineage.client.facet_v2 import tags_dataset

    if not classes:
        return {}
    tags = [tags_dataset.TagsDatasetFacetFields(key="class", value=str(found), source="gatehouse", field=column) for column, found in classes]
    return {"tags": tags_dataset.TagsDatasetFacet(tags=tags)}


def _uuid(run_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(run_id)
    except ValueError:
        return uuid.uuid5(_NAMESPACE, run_id)


def _datasets(values: list[object]) -> tuple[list[str], list[str]]:
    """Names of what a gate read and wrote: the values it took, then the one it returned."""
    inputs: list[str] = []
    outputs: list[str] = []
    for position, value in enumerate(values):
        side = outputs if position == len(values) - 1 else inputs
        if isinstance(value, AdmittedRun):
            side.append(f"{value.manifest.name}/{value.manifest.data.source}")
        elif isinstance(value, MinimisedData):
            side.append(value.artifact.uri)
        elif isinstance(value, RawOutcome):
            side.append(value.frame.uri)
        elif isinstance(value, WriteBackReceipt):
            side.append(f"{value.system}/{value.table}")
    return inputs, outputs
