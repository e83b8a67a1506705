"""OpenLineage events, made from the ledger's: the run as the parent, and each passage through a gate as a run of its own.

They go out through openlineage-python's transports: a file of one JSON object a line unless OpenLineage's own configuration is asked for
(https://openlineage.io/docs/client/python). No event holds a message or a value: a failure is its code.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from prefect_gatehouse import __version__
from prefect_gatehouse.evidence.tags import tags_of
from prefect_gatehouse.ledger.events import AttemptStarted, GateEntered, GateFact, GateFailed, GateLeft, GatePassed, RunEnded
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.gate_value import GateValue
from prefect_gatehouse.run.values import AdmittedRun, MinimisedData, Plan, RawOutcome, RoundOutcome, Submission, WriteBackReceipt
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset

_PRODUCER = f"urn:prefect-gatehouse:{__version__}"
_NAMESPACE = uuid.UUID("8f2c1f0e-6f0b-4a52-9a0c-0d6f3f6c2b11")  # any fixed one: run ids of gates are derived from it
_JOB = "governed-pipeline"
_ENDS: dict[str, Literal["COMPLETE", "FAIL", "ABORT"]] = {"completed": "COMPLETE", "cancelled": "ABORT", "abandoned": "ABORT"}

_Classes = list[tuple[str | None, DataClass]]


class OpenLineage:
    """Tells OpenLineage of runs and gates.

    Args:
        settings: Say where the events go, and enter the namespace.
        ledger: The open ledger; values of gates are read from it.
    """

    topic = "openlineage"

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._client: OpenLineageClient | None = None
        self._chains: dict[str, Chain] = {}

    def ship(self, event: Event[Fact]) -> None:
        """Emits what an event amounts to."""
        fact = event.fact
        if isinstance(fact, AttemptStarted):
            if event.attempt == 1:
                self._emit(event, "START")
            for entered in self._never_left(event):
                self._emit(entered, "ABORT", at=event.at)
        elif isinstance(fact, GateEntered):
            self._emit(event, "START")
        elif isinstance(fact, GatePassed):
            inputs, outputs = self._datasets(event.run_id, fact)
            self._emit(event, "COMPLETE", tags=self._tags(cast(Event[GatePassed], event)), inputs=inputs, outputs=outputs)
        elif isinstance(fact, GateFailed):
            self._emit(event, "FAIL", code=fact.error)
        elif isinstance(fact, RunEnded):
            self._emit(event, _ENDS.get(fact.ending, "FAIL"))

    def _never_left(self, started: Event[Fact]) -> list[Event[Fact]]:
        """Passages whose process died in them before this attempt."""
        open_: dict[int, Event[Fact]] = {}
        for event in self._ledger.facts(GateFact, run_id=started.run_id):
            if event.seq > started.seq:
                break
            if isinstance(event.fact, GateEntered) and event.attempt == started.attempt - 1:
                open_[event.seq] = event
            elif isinstance(event.fact, GateLeft):
                open_.pop(event.fact.entered, None)
        return list(open_.values())

    def _emit(
        self,
        event: Event[Any],
        state: Literal["START", "COMPLETE", "FAIL", "ABORT"],
        *,
        at: str = "",
        tags: tuple[str, ...] = (),
        code: str = "",
        inputs: list[InputDataset] | None = None,
        outputs: list[OutputDataset] | None = None,
    ) -> None:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import error_message_run, parent_run, tags_run

        parent = str(_uuid(event.run_id))
        facets: dict[str, Any] = {}
        run_id, job = parent, _JOB
        if isinstance(event.fact, GateFact):
            entered = event.fact.entered if isinstance(event.fact, GateLeft) else event.seq
            run_id = str(uuid.uuid5(_NAMESPACE, f"{event.run_id}:{entered}"))
            job = f"{_JOB}.{_gate(event.fact)}"
            facets["parent"] = parent_run.ParentRunFacet(run=parent_run.Run(runId=parent), job=parent_run.Job(namespace=self._namespace, name=_JOB))
        pairs = [tag.partition(":") for tag in sorted(tags or (f"run:{event.run_id}", f"env:{self._settings.environment}"))]
        fields = [tags_run.TagsRunFacetFields(key=key, value=value, source="gatehouse") for key, _, value in pairs]
        facets["tags"] = tags_run.TagsRunFacet(tags=fields)
        if code:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(message=code, programmingLanguage="python")
        told = RunEvent(
            eventType=RunState[state],
            eventTime=at or event.at,
            run=Run(runId=run_id, facets=facets),
            job=Job(namespace=self._namespace, name=job),
            inputs=inputs or [],
            outputs=outputs or [],
            producer=_PRODUCER,
        )
        self._transport().emit(told)

    @property
    def _namespace(self) -> str:
        return f"gatehouse://{self._settings.environment}"

    def _transport(self) -> OpenLineageClient:
        if self._client is None:
            from openlineage.client.client import OpenLineageClient
            from openlineage.client.transport.file import FileConfig, FileTransport

            if self._settings.lineage == "openlineage":
                self._client = OpenLineageClient()
            else:
                path: Path = self._settings.folder("lineage") / "openlineage.ndjson"
                self._client = OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(path), append=True)))
        return self._client

    def _chain(self, run_id: str) -> Chain:
        """One for each run that is told of: each of its values is read once."""
        return self._chains.setdefault(run_id, Chain(self._ledger, run_id))

    def _tags(self, event: Event[GatePassed]) -> tuple[str, ...]:
        """The lineage tags that follow from what the run had stored when it passed a gate."""
        chain = self._chain(event.run_id)
        kinds: tuple[type[GateValue], ...] = (AdmittedRun, MinimisedData, Plan, RawOutcome)
        values: list[GateValue | None] = []
        for kind in kinds if event.fact.gate != CredentialLease.gate else kinds[:1]:
            stored = self._ledger.find(f"{event.run_id}:{kind.gate}", GatePassed)
            if stored is not None and stored.seq <= event.seq:
                values.append(chain.read(kind.gate, kind))
        for rounds in (Submission, RoundOutcome):
            if event.fact.gate == rounds.gate:
                values.append(chain.read(_gate(event.fact), rounds))
        return tuple(sorted(tags_of(event.run_id, self._settings.environment, values, event.fact.gate)))

    def _datasets(self, run_id: str, fact: GatePassed) -> tuple[list[InputDataset], list[OutputDataset]]:
        """What a gate read and wrote, with the classes of what it wrote."""
        chain = self._chain(run_id)
        if fact.gate == MinimisedData.gate and (minimised := chain.read(fact.gate, MinimisedData)) is not None:
            columns: _Classes = [(name, column.data_class) for name, column in minimised.admitted.manifest.data.columns.items()]
            made: _Classes = [(item.column, item.data_class) for item in minimised.admitted.classes.features]
            return [self._input(_source(minimised.admitted), columns)], [self._output(minimised.artifact.uri, made)]
        if fact.gate == RawOutcome.gate and (raw := chain.read(fact.gate, RawOutcome)) is not None:
            body = raw.approved.plan.body
            features = raw.approved.plan.validated.minimised.artifact.uri
            return [self._input(features, [])], [self._output(raw.frame.uri, [(item.column, item.data_class) for item in body.classes.outputs])]
        if fact.gate == WriteBackReceipt.gate and (receipt := chain.read(fact.gate, WriteBackReceipt)) is not None:
            outcome = chain.read(RawOutcome.gate, RawOutcome)
            inputs = [self._input(outcome.frame.uri, [])] if outcome is not None else []
            return inputs, [self._output(f"{receipt.system}/{receipt.table}", [(None, receipt.data_class)])]
        return [], []

    def _input(self, name: str, classes: _Classes) -> InputDataset:
        from openlineage.client.event_v2 import InputDataset

        return InputDataset(namespace=self._namespace, name=name, facets=_class_tags(classes))

    def _output(self, name: str, classes: _Classes) -> OutputDataset:
        from openlineage.client.event_v2 import OutputDataset

        return OutputDataset(namespace=self._namespace, name=name, facets=_class_tags(classes))


def _source(admitted: AdmittedRun) -> str:
    return f"{admitted.manifest.name}/{admitted.manifest.data.source}"


def _gate(fact: GateFact) -> str:
    return fact.gate if fact.round is None else f"{fact.gate}:{fact.round}"


def _class_tags(classes: _Classes) -> dict[str, Any]:
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
