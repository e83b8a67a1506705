"""What OpenLineage is told of a run: every START has an end, run ids are one passage's, and the events are what its schemas say."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support.plans import RUN, plan_for, write_project

from prefect_gatehouse.evidence.outbox import drain
from prefect_gatehouse.evidence.ship.openlineage import OpenLineage
from prefect_gatehouse.ledger.events import EndingDecided, GateEntered, GateFailed, GatePassed, RunEnded
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.settings import Settings

SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "schemas" / "openlineage"


class Desk:
    """A ledger with a run that passed a gate twice, failed in one, died in one, and was abandoned."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder / "home")
        self.settings.folder("")
        self.ledger = Ledger(self.settings.ledger())
        write_project(folder)
        plan = plan_for(folder, self.settings)
        self.minimised = plan.validated.minimised
        chain = Chain(self.ledger, RUN)
        self.ledger.begin_attempt(RUN)
        for value in (self.minimised.admitted, self.minimised):
            entered = self._tell(f"{value.gate}:before", GateEntered(gate=value.gate), 1)
            self._tell(value.passage, GatePassed(gate=value.gate, entered=entered, value=chain.stored(value)), 1)
        for mark in ("one", "two"):
            entered = self._tell(f"{mark}:before", GateEntered(gate="fetch_credential"), 1)
            self._tell(f"{mark}:after", GatePassed(gate="fetch_credential", entered=entered, value={}), 1)
        entered = self._tell("failed:before", GateEntered(gate="plan"), 1)
        self._tell("failed", GateFailed(gate="plan", entered=entered, error="denied", message="CANARY message"), 1)
        self._tell("died:before", GateEntered(gate="submit", round=0), 1)
        self.ledger.begin_attempt(RUN)
        self._tell("ending", EndingDecided(ending="abandoned"), 2)
        self._tell("ended", RunEnded(ending="abandoned"), 2)
        assert drain(self.ledger, OpenLineage(self.settings, self.ledger), self.settings.folder("lineage")).why == ""
        lines = (self.settings.home / "lineage" / "openlineage.ndjson").read_text().splitlines()
        self.told: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def _tell(self, name: str, fact: Any, attempt: int) -> int:
        with self.ledger.transaction() as tx:
            tx.append(f"{RUN}:{name}", RUN, fact, attempt=attempt)
            return tx.newest()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk."""
    made = Desk(tmp_path_factory.mktemp("lineage"))
    with contextlib.closing(made.ledger):
        yield made


def test_every_start_has_exactly_one_end(desk: Desk) -> None:
    """Passed, failed and died; two passages through one gate are two runs; the run itself is their parent."""
    ends: dict[str, list[str]] = {}
    for event in desk.told:
        ends.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert sorted(ends.values()) == sorted([["START", "COMPLETE"]] * 4 + [["START", "FAIL"], ["START", "ABORT"], ["START", "ABORT"]])
    (parent,) = {event["run"]["facets"]["parent"]["run"]["runId"] for event in desk.told if "parent" in event["run"]["facets"]}
    assert ends[parent] == ["START", "ABORT"]
    assert desk.told[0]["run"]["runId"] == desk.told[-1]["run"]["runId"] == parent


def test_datasets_are_on_the_side_they_belong_to(desk: Desk) -> None:
    """Admitting reads and writes no data; minimising reads the source and writes the artifact."""
    sides = {event["job"]["name"].rpartition(".")[2]: event for event in desk.told if event["eventType"] == "COMPLETE"}
    assert (sides["admit"]["inputs"], sides["admit"]["outputs"]) == ([], [])
    (source,), (artifact,) = sides["minimise"]["inputs"], sides["minimise"]["outputs"]
    assert source["name"] == f"{desk.minimised.admitted.manifest.name}/{desk.minimised.admitted.manifest.data.source}"
    assert artifact["name"] == desk.minimised.artifact.uri


def test_a_failure_is_its_code(desk: Desk) -> None:
    """No message leaves."""
    (failed,) = (event for event in desk.told if event["eventType"] == "FAIL")
    assert failed["run"]["facets"]["errorMessage"]["message"] == "denied"
    assert "CANARY" not in json.dumps(desk.told)


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason="OpenLineage's schemas are not beside the project")
def test_events_and_facets_are_what_the_schemas_say(desk: Desk) -> None:
    """Validated against OpenLineage's own files."""
    schema = json.loads((SCHEMAS / "OpenLineage.json").read_text())
    validator = jsonschema.Draft202012Validator({"$ref": "#/$defs/RunEvent", "$defs": schema["$defs"]})
    for event in desk.told:
        assert [error.message for error in validator.iter_errors(event)] == []
