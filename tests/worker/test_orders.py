"""What is taken from Prefect's API and what is not: the first request of a run, and after that nothing but its identifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.request import sign_request
from prefect_gatehouse.ledger.events import OrdersIgnored, RunRequested
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.worker.configuration import WorkerConfiguration
from prefect_gatehouse.worker.orders import OWN_FLOWS, Asked, work_of

RUN = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as opened:
        yield opened


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    folder = tmp_path / "zone"
    folder.mkdir()
    (folder / "gatehouse.yaml").write_text("")
    return folder


@pytest.fixture
def configuration(zone: Path) -> WorkerConfiguration:
    return WorkerConfiguration(folders=(zone,))


@pytest.fixture
def asked(zone: Path, tmp_path: Path) -> Asked:
    generate_key(tmp_path / "key", "requester")
    request = sign_request(tmp_path / "key", "a" * 64, "local").model_dump(mode="json")
    return Asked(
        run_id=RUN,
        flow="governed-pipeline",
        deployment="governed-pipeline",
        parameters={"manifest": str(zone / "gatehouse.yaml"), "request": request},
        job_variables={},
        retries=False,
        entrypoint=OWN_FLOWS["governed-pipeline"],
        pull_steps=False,
        deployment_variables={"env": {"PYTHONHASHSEED": "0"}},
        plain_pool=True,
    )


def ignored(ledger: Ledger) -> list[OrdersIgnored]:
    return [event.fact for event in ledger.facts(OrdersIgnored, RUN)]


def test_the_first_request_is_held_and_nothing_is_told(ledger: Ledger, configuration: WorkerConfiguration, asked: Asked) -> None:
    work = work_of(configuration, ledger, asked)
    assert work.flow == "governed-pipeline"
    assert work.parameters["manifest"] == asked.parameters["manifest"]
    assert work.parameters["request"].model_dump(mode="json") == asked.parameters["request"]
    assert work_of(configuration, ledger, asked) == work
    assert len(ledger.facts(RunRequested, RUN)) == 1
    assert ignored(ledger) == []


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "garbage": ({"parameters": {"manifest": 7, "x": [1]}}, "flow_run.parameters"),
    "empty": ({"parameters": {}}, "flow_run.parameters"),
    "another manifest": ({"parameters": {"manifest": "/etc/passwd", "request": None}}, "flow_run.parameters"),
    "another request": ({"parameters": {"manifest": "SAME", "request": {"signature": "other"}}}, "flow_run.parameters"),
    "request is a list": ({"parameters": {"manifest": "SAME", "request": [1]}}, "flow_run.parameters"),
    "environment": ({"job_variables": {"env": {"GATEHOUSE_PEOPLE": "/tmp/people"}}}, "flow_run.job_variables"),
    "command": ({"job_variables": {"command": "id"}}, "flow_run.job_variables"),
    "retries": ({"retries": True}, "flow_run.empirical_policy"),
    "deployment's environment": ({"deployment_variables": {"env": {"PYTHONHASHSEED": "1"}}}, "deployment.job_variables"),
    "entry point": ({"entrypoint": "evil.flow"}, "deployment.entrypoint"),
    "pull steps": ({"pull_steps": True}, "deployment.pull_steps"),
    "pool": ({"plain_pool": False}, "work_pool.base_job_template"),
    "moved": ({"deployment": "another"}, "flow_run.deployment_id"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_later_orders_change_nothing_and_are_told_once(ledger: Ledger, configuration: WorkerConfiguration, asked: Asked, name: str) -> None:
    before = work_of(configuration, ledger, asked)
    changes, field = CHANGES[name]
    if changes.get("parameters", {}).get("manifest") == "SAME":
        changes = {"parameters": {**changes["parameters"], "manifest": asked.parameters["manifest"]}}
    for _ in range(3):
        assert work_of(configuration, ledger, replace(asked, **changes)) == before
    assert ignored(ledger) == [OrdersIgnored(fields=(field,))]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "garbage": ({"parameters": {"manifest": 7}}, "flow_run.parameters"),
    "more": ({"parameters": {"manifest": "m", "request": None, "x": 1}}, "flow_run.parameters"),
    "outside": ({"parameters": {"manifest": "/etc/passwd"}}, "flow_run.parameters"),
    "dots": ({"parameters": {"manifest": "ZONE/../elsewhere.yaml"}}, "flow_run.parameters"),
    "NUL": ({"parameters": {"manifest": "a\0b"}}, "flow_run.parameters"),
    "no request": ({"parameters": {"manifest": "ZONE/gatehouse.yaml", "request": {"statement": 1}}}, "flow_run.parameters"),
    "another deployment": ({"deployment": "evil"}, "flow_run.deployment_id"),
    "another flow": ({"flow": "evil", "deployment": "governed-pipeline"}, "flow_run.deployment_id"),
    "no deployment": ({"deployment": ""}, "flow_run.deployment_id"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_first_request_that_is_none_runs_nothing(ledger: Ledger, configuration: WorkerConfiguration, asked: Asked, zone: Path, name: str) -> None:
    """It is told why, and the same run goes its way once it is asked for as it should be."""
    changes, field = REFUSED[name]
    if "parameters" in changes and isinstance(changes["parameters"]["manifest"], str):
        named = changes["parameters"]["manifest"].replace("ZONE", str(zone))
        changes = {"parameters": {**changes["parameters"], "manifest": named}}
    with pytest.raises(InputError):
        work_of(configuration, ledger, replace(asked, **changes))
    (told,) = ignored(ledger)
    assert field in told.fields and told.refused
    assert ledger.facts(RunRequested, RUN) == []
    assert work_of(configuration, ledger, asked).parameters["manifest"] == asked.parameters["manifest"]


def test_a_link_out_of_the_folder_is_followed_and_refused(
    ledger: Ledger, configuration: WorkerConfiguration, asked: Asked, zone: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside.yaml").write_text("")
    (zone / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    with pytest.raises(InputError, match="no folder"):
        work_of(configuration, ledger, replace(asked, parameters={"manifest": str(zone / "link.yaml")}))


def test_the_sweeper_takes_no_parameters(ledger: Ledger, configuration: WorkerConfiguration, asked: Asked) -> None:
    sweeper = replace(asked, flow="clean-up", deployment="clean-up", entrypoint=OWN_FLOWS["clean-up"], parameters={})
    assert work_of(configuration, ledger, sweeper).parameters == {}
    assert ignored(ledger) == []
    assert work_of(configuration, ledger, replace(sweeper, parameters={"x": 1})).parameters == {}
    assert ignored(ledger) == [OrdersIgnored(fields=("flow_run.parameters",))]
