"""``deployments/prefect.yaml`` as the server takes it, and both forms of an entry point as a worker starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "deployments" / "prefect.yaml"


def deployed(stack: Any, name: str) -> Any:
    """A deployment of the file as the server has it."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_deployment_by_name(name)


def test_the_server_has_what_the_file_says(deployed_stack: Any) -> None:
    """Names, tags, schedules, limits and entry points; no path of the machine that deployed, and nothing to pull."""
    declared = yaml.safe_load(FILE.read_text())["deployments"]
    assert [item["name"] for item in declared] == ["governed-pipeline", "clean-up", "reconcile"]
    for item in declared:
        found = deployed(deployed_stack, f"{item['name']}/{item['name']}")
        assert (found.entrypoint, found.tags, found.work_pool_name) == (item["entrypoint"], item["tags"], item["work_pool"]["name"])
        assert not found.pull_steps
        assert found.path in (None, "", ".")
        assert [schedule.schedule.cron for schedule in found.schedules] == [schedule["cron"] for schedule in item["schedules"]]
        assert found.global_concurrency_limit.limit == item["concurrency_limit"]["limit"]
        assert found.concurrency_options.collision_strategy.value == item["concurrency_limit"]["collision_strategy"]


def by_file() -> str:
    """The deployments with the sweeper named by its file, which is relative to where a worker's code is: here the checkout."""
    project = yaml.safe_load(FILE.read_text())
    (sweeper,) = (item for item in project["deployments"] if item["name"] == "clean-up")
    assert sweeper["entrypoint"] == "prefect_gatehouse.flows.clean_up.clean_up"
    pull = [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
    changed = {**sweeper, "name": "clean-up-by-file", "entrypoint": "flows/clean_up.py:clean_up", "pull": pull}
    return str(yaml.safe_dump({**project, "deployments": [changed]}))


@pytest.mark.parametrize("form", ["module", "file"])
def test_both_forms_of_an_entry_point_run(form: str, deployed_stack: Any, tmp_path: Path) -> None:
    """The sweeper, started as a worker starts it, completes: by module from anywhere, by file from a checkout."""
    from prefect.client.orchestration import get_client

    name = "clean-up" if form == "module" else "clean-up-by-file"
    if form == "file":
        (tmp_path / "prefect.yaml").write_text(by_file())
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", name, "--prefect-file", str(tmp_path / "prefect.yaml")]
        environment = {**os.environ, **deployed_stack.environment}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    found = deployed(deployed_stack, f"clean-up/{name}")
    assert (":" in found.entrypoint) is (form == "file")
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(found.id)
        environment = {**os.environ, **deployed_stack.environment, "PREFECT__FLOW_RUN_ID": str(run.id)}
        done = subprocess.run([sys.executable, "-m", "prefect.engine"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        state = client.read_flow_run(UUID(str(run.id))).state
    assert state is not None and state.is_completed(), done.stdout + done.stderr


def test_the_governed_pipeline_runs_by_file(deployed_stack: Any, tmp_path: Path) -> None:
    """Loaded by its path it is the same flow, with the same name and parameters, and not a second module of its own tasks."""
    from prefect.flows import load_flow_from_entrypoint

    by_module = load_flow_from_entrypoint("prefect_gatehouse.flows.governed_pipeline.governed_pipeline")
    by_file = load_flow_from_entrypoint(f"{ROOT / 'flows' / 'governed_pipeline.py'}:governed_pipeline")
    assert (by_file.name, by_file.parameters) == (by_module.name, by_module.parameters)
    assert by_file.fn.__globals__["admit"] is by_module.fn.__globals__["admit"]


def test_a_sweep_that_can_not_be_made_says_why(deployed_stack: Any, tmp_path: Path) -> None:
    """A home that can't be used: the flow run fails with one sentence, and no traceback is stored."""
    from prefect.client.orchestration import get_client

    (tmp_path / "home").write_text("")
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(deployed(deployed_stack, "clean-up/clean-up").id)
        environment = {**os.environ, **deployed_stack.environment, "PREFECT__FLOW_RUN_ID": str(run.id), "GATEHOUSE_HOME": str(tmp_path / "home")}
        subprocess.run([sys.executable, "-m", "prefect.engine"], cwd=tmp_path, env=environment, capture_output=True, check=False)
        state = client.read_flow_run(UUID(str(run.id))).state
    assert state is not None and state.is_failed()
    assert str(tmp_path / "home") in state.message and "GATEHOUSE_HOME" in state.message
    assert "Traceback" not in state.message
