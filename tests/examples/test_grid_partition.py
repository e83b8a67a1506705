"""The grid example: the network it ships, and the cut that its rounds find on both simulators."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.support.circuit_lists import summarise

from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.providers.interface import Connection
from prefect_gatehouse.providers.registry import connect
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.validation.suite import load_suite
from prefect_gatehouse.validation.validate import validate
from prefect_gatehouse.workload.load import load_workload
from prefect_gatehouse.workload.rounds import Finished, Rounds

FOLDER = Path(__file__).parents[2] / "examples" / "grid_partition"
BUSES, BRANCHES, OPTIMUM = 14, 20, 16


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """The example's manifest."""
    return load_manifest(FOLDER / "gatehouse.yaml").manifest


@pytest.fixture(scope="module")
def branches() -> pd.DataFrame:
    """The network, with the columns that the manifest lets through."""
    return pd.read_csv(FOLDER / "branches.csv")[["branch", "from_bus", "to_bus"]]


def drive(folder: Path, manifest: Manifest, features: pd.DataFrame, backend: str, rounds: int) -> tuple[pd.DataFrame, list[str]]:
    """The workload's frame, every round run at a backend, and what each round amounted to."""
    provider = connect(backend, Connection(folder / "spool", RunKeys(folder / "keys").obtain("run").sealer()))
    lease = CredentialLease(Purpose.SUBMIT, None, None, environment="local", tenant=manifest.tenant)
    workload = Rounds(load_workload(manifest.workload.entrypoint, FOLDER), features, {"rounds": rounds})
    digests: list[str] = []
    step = workload.advance(None)
    while not isinstance(step, Finished):
        digests.append(summarise(step, manifest.execution.shots).digest)
        size = provider.facts(lease).circuits_per_job
        counts: list[Any] = []
        for job, part in enumerate(step.parts(size)):
            payload = provider.encode(part, manifest.execution.shots)
            counts += provider.result(provider.submit(payload, f"run:{len(digests)}:{job}:0", lease), lease).counts
        step = workload.advance(counts)
    return step.frame, digests


def cut_of(frame: pd.DataFrame) -> int:
    """The cut of the sides that the frame gives, counted anew; every bus has one side in all its branches."""
    sides: dict[int, str] = {}
    for row in frame.itertuples():
        for bus, side in ((row.from_bus, row.from_side), (row.to_bus, row.to_side)):
            assert sides.setdefault(int(str(bus)), str(side)) == side
    assert len(sides) == BUSES and set(sides.values()) == {"0", "1"}
    return sum(sides[int(str(row.from_bus))] != sides[int(str(row.to_bus))] for row in frame.itertuples())


def test_the_network_is_the_ieee_14_bus_system(branches: pd.DataFrame) -> None:
    """Fourteen buses, twenty branches, each named once, none double or from a bus to itself, and all in one piece."""
    edges = [tuple(sorted(pair)) for pair in zip(branches["from_bus"], branches["to_bus"], strict=True)]
    assert len(edges) == len(set(edges)) == branches["branch"].nunique() == BRANCHES
    assert {bus for edge in edges for bus in edge} == set(range(1, BUSES + 1))
    assert all(one != other for one, other in edges)
    reached = {1}
    for _ in range(BUSES):
        reached |= {bus for edge in edges if reached & set(edge) for bus in edge}
    assert len(reached) == BUSES


def test_the_optimum_by_enumeration(branches: pd.DataFrame) -> None:
    """No division of the buses cuts more than sixteen branches, by counting all of them, and one does."""
    edges = [(int(one) - 1, int(other) - 1) for one, other in zip(branches["from_bus"], branches["to_bus"], strict=True)]
    # By symmetry the first bus stays on its side.
    cuts = [sum(sides[one] != sides[other] for one, other in edges) for sides in ((0, *rest) for rest in product((0, 1), repeat=BUSES - 1))]
    assert max(cuts) == OPTIMUM


def test_the_best_cut_is_the_optimum(tmp_path: Path, manifest: Manifest, branches: pd.DataFrame) -> None:
    """Four rounds of nine circuits at Aer find a cut of sixteen, which the sides in the frame really have; the frame passes its suite."""
    frame, digests = drive(tmp_path, manifest, branches, "aer", manifest.execution.envelope.rounds)
    assert len(set(digests)) == manifest.execution.envelope.rounds == 4
    assert len(frame) == BRANCHES
    assert set(frame["cut_size"]) == set(frame["best_possible"]) == {OPTIMUM}
    whole = frame.merge(branches, on="branch")
    assert cut_of(whole) == OPTIMUM == frame["is_cut"].sum()
    assert set(manifest.output.columns) | {manifest.output.key} <= set(frame.columns)
    report = validate(load_suite(FOLDER / manifest.output.suite), frame)
    assert report.success and report.declared == report.loaded


def test_a_repeat_gives_the_same_rows(tmp_path: Path, manifest: Manifest, branches: pd.DataFrame) -> None:
    """From the start again in another place, the rows in another order as minimising gives them: the same circuits, the same frame."""
    one = drive(tmp_path / "one", manifest, branches, "aer", 2)
    other = drive(tmp_path / "other", manifest, branches.sample(frac=1, random_state=1), "aer", 2)
    assert one[1] == other[1]
    pd.testing.assert_frame_equal(one[0], other[0])


def test_braket_finds_as_much(tmp_path: Path, manifest: Manifest, branches: pd.DataFrame) -> None:
    """The fallback of the manifest reads the same bits: the cut that the workload reports is the one that its sides have."""
    assert manifest.execution.backends == ("aer", "braket-local")
    frame, digests = drive(tmp_path, manifest, branches, "braket-local", 1)
    assert len(digests) == 1
    assert cut_of(frame.merge(branches, on="branch")) == set(frame["cut_size"]).pop() >= OPTIMUM - 2


def test_the_envelope_holds_what_the_workload_asks(manifest: Manifest, branches: pd.DataFrame) -> None:
    """Nine circuits a round, fourteen qubits: at Braket, where each is a job, four rounds are within the jobs that are approved."""
    step = Rounds(load_workload(manifest.workload.entrypoint, FOLDER), branches, {"rounds": 4}).advance(None)
    assert not isinstance(step, Finished)
    summary = summarise(step, manifest.execution.shots)
    assert (summary.count, summary.qubits) == (9, BUSES)
    assert summary.count * manifest.execution.envelope.rounds <= manifest.execution.envelope.jobs
    assert manifest.workload.parameters["rounds"] == manifest.execution.envelope.rounds
