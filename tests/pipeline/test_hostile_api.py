"""Somebody with Prefect's URL, who may write whatever its API lets a client write: it has no effect on a governed run, and is told in an event.

``WRITABLE`` names every field of flow runs, deployments, work pools and queues that the server's own schema lets a client write, with what it can
do where a gatehouse worker runs the pool; a field that a newer server adds fails the first test until somebody has thought about it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.support.pipeline import APPROVER, ROWS, Pipeline
from tests.support.sieges import verified
from tests.support.waiting import wait_for

from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.sshsig import sign
from prefect_gatehouse.ledger.events import AttemptStarted, OrdersIgnored, RunTaken
from prefect_gatehouse.ledger.jobs import JobSubmitted
from prefect_gatehouse.operate import runs as control
from prefect_gatehouse.operate.doctor import examine
from prefect_gatehouse.run.approvals import last_asked, statements

pytestmark = pytest.mark.timeout(400)

SHOWN = "shown to people, read by nobody else"
OWN = "of a run that the writer makes: unsigned or signed by its own requester, taken once, from a folder that the worker knows"
NOT_READ = "not read by the worker; told in an event where it differs"
WHEN = "whether and when runs are due: anybody with the URL can delay runs, the ledger's times decide how long they wait"
PREFECT = "what Prefect itself does with it, never the worker"
STATE = "a claim; the ledger decides, an end is believed only as a wish to cancel"

WRITABLE: dict[str, dict[str, str]] = {
    "FlowRunUpdate": {
        "name": SHOWN,
        "flow_version": SHOWN,
        "parameters": NOT_READ,
        "empirical_policy": NOT_READ,
        "tags": SHOWN,
        "infrastructure_pid": "not read: the worker knows its processes by itself",
        "job_variables": NOT_READ,
    },
    "FlowRunCreate": {
        "state": STATE, "name": SHOWN, "flow_id": OWN, "flow_version": SHOWN, "parameters": OWN, "context": PREFECT, "parent_task_run_id": PREFECT,
        "infrastructure_document_id": PREFECT, "empirical_policy": NOT_READ, "tags": SHOWN, "labels": SHOWN, "idempotency_key": PREFECT,
        "work_pool_name": WHEN, "work_queue_name": WHEN, "job_variables": NOT_READ, "deployment_id": OWN,
    },
    "DeploymentFlowRunCreate": {
        "state": STATE, "name": SHOWN, "parameters": OWN, "enforce_parameter_schema": OWN, "context": PREFECT, "infrastructure_document_id": PREFECT,
        "empirical_policy": NOT_READ, "tags": SHOWN, "idempotency_key": PREFECT, "labels": SHOWN, "parent_task_run_id": PREFECT,
        "work_queue_name": WHEN, "job_variables": NOT_READ,
    },
    "DeploymentUpdate": {
        "version": SHOWN, "description": SHOWN, "paused": WHEN, "schedules": WHEN, "concurrency_limit": WHEN, "concurrency_options": WHEN,
        "global_concurrency_limit_id": WHEN, "parameters": OWN, "parameter_openapi_schema": OWN, "tags": SHOWN, "work_queue_name": WHEN,
        "work_pool_name": WHEN, "path": NOT_READ, "job_variables": NOT_READ, "pull_steps": NOT_READ, "entrypoint": NOT_READ,
        "storage_document_id": NOT_READ, "infrastructure_document_id": NOT_READ, "enforce_parameter_schema": OWN, "version_info": SHOWN,
    },
    "DeploymentCreate": {
        "name": "a deployment that the worker's configuration does not name is not run", "flow_id": OWN, "paused": WHEN, "schedules": WHEN,
        "concurrency_limit": WHEN, "concurrency_options": WHEN, "global_concurrency_limit_id": WHEN, "enforce_parameter_schema": OWN,
        "parameter_openapi_schema": OWN, "parameters": OWN, "tags": SHOWN, "labels": SHOWN, "pull_steps": NOT_READ, "work_queue_name": WHEN,
        "work_pool_name": WHEN, "storage_document_id": NOT_READ, "infrastructure_document_id": NOT_READ, "description": SHOWN, "path": NOT_READ,
        "version": SHOWN, "entrypoint": NOT_READ, "job_variables": NOT_READ, "version_info": SHOWN,
    },
    "WorkPoolUpdate": {
        "description": SHOWN, "is_paused": WHEN, "base_job_template": NOT_READ, "concurrency_limit": WHEN,
        "storage_configuration": "of flows that are sent as bundles, which this worker does not take",
    },
    "WorkPoolCreate": {
        "name": "a pool without a worker", "description": SHOWN, "type": "a pool without a worker", "base_job_template": NOT_READ, "is_paused": WHEN,
        "concurrency_limit": WHEN, "storage_configuration": "of flows that are sent as bundles, which this worker does not take",
    },
    "WorkQueueUpdate": {
        "name": WHEN, "description": SHOWN, "is_paused": WHEN, "concurrency_limit": WHEN, "priority": WHEN, "last_polled": SHOWN, "filter": WHEN,
    },
    "WorkQueueCreate": {"name": WHEN, "description": SHOWN, "is_paused": WHEN, "concurrency_limit": WHEN, "priority": WHEN, "filter": WHEN},
    "StateCreate": {"type": STATE, "name": STATE, "message": SHOWN, "data": "not read", "state_details": STATE},
}  # fmt: skip

CHANGING = {
    "/flow_runs/": "creates: FlowRunCreate",
    "/flow_runs/{id}": "FlowRunUpdate; deletes: a wish to cancel, which the sweeper heeds",
    "/flow_runs/{id}/resume": "an answer to a form: judged by its signature (test_hostile_answers.py), or a wish that changes nothing",
    "/flow_runs/{id}/set_state": "StateCreate",
    "/flow_runs/bulk_delete": "as one by one",
    "/flow_runs/bulk_set_state": "as one by one",
    "/flow_runs/{id}/input": "answers and forms: judged (test_hostile_answers.py)",
    "/flow_runs/{id}/input/{key}": "answers and forms: judged (test_hostile_answers.py)",
    "/flow_runs/{id}/labels": SHOWN,
    "/deployments/": "creates: DeploymentCreate",
    "/deployments/{id}": "DeploymentUpdate; deletes: Prefect cancels runs that are due, the ledger's wait on",
    "/deployments/bulk_delete": "as one by one",
    "/deployments/{id}/schedule": WHEN,
    "/deployments/{id}/resume_deployment": WHEN,
    "/deployments/{id}/pause_deployment": WHEN,
    "/deployments/{id}/create_flow_run": "DeploymentFlowRunCreate",
    "/deployments/{id}/create_flow_run/bulk": "DeploymentFlowRunCreate",
    "/deployments/{id}/schedules": WHEN,
    "/deployments/{id}/schedules/{schedule_id}": WHEN,
    "/work_pools/": "creates: WorkPoolCreate",
    "/work_pools/{name}": "WorkPoolUpdate; deletes: the worker makes its pool again",
    "/work_pools/{work_pool_name}/queues": "WorkQueueCreate",
    "/work_pools/{work_pool_name}/queues/{name}": "WorkQueueUpdate",
    "/work_pools/{work_pool_name}/workers/heartbeat": SHOWN,
    "/work_pools/{work_pool_name}/workers/{name}": SHOWN,
}
"""Every way to change something of them."""

READING = ("count", "lateness", "history", "filter", "paginate", "get_scheduled_flow_runs", "concurrency_status")
"""What is asked for with a body, and changes nothing."""


class Client:
    """Somebody who can reach the server and nothing else."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """One call; the server on SQLite answers 503 now and then."""
        for _ in range(20):
            found = self._http.request(method, path, json=body)
            if found.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        found.raise_for_status()
        return found.json() if found.content else None

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def api(stack: Any) -> Iterator[Client]:
    client = Client(stack.environment["PREFECT_API_URL"])
    yield client
    client.close()


@pytest.fixture(scope="module")
def pipeline(warm: Callable[..., Pipeline]) -> Pipeline:
    """One pipeline, whose runs are attacked one after the other."""
    return warm("hostile", rounds=1)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that appears if somebody's command is run."""
    return tmp_path / "owned"


def test_every_writable_field_is_known(stack: Any) -> None:
    """The server's schema has no field and no way to write that is not listed above with what it can do."""
    schema = httpx.get(f"{stack.url}/openapi.json", timeout=60).json()
    bodies = schema["components"]["schemas"]
    for name, fields in WRITABLE.items():
        assert set(bodies[name]["properties"]) == set(fields), name
    changing = set()
    for path, methods in schema["paths"].items():
        short = path.removeprefix("/api").replace(":uuid", "")
        if short.startswith(("/flow_runs/", "/deployments/", "/work_pools/")) and short.rpartition("/")[2] not in READING:
            changing.update(short for method in methods if method in {"post", "patch", "put", "delete"})
    assert changing == set(CHANGING)


def waiting(pipeline: Pipeline) -> str:
    """A run that waits for its approval."""
    run_id = pipeline.start()
    pipeline.wait_paused(run_id, 120)
    return run_id


@contextmanager
def held(api: Client) -> Iterator[None]:
    """The worker's pool is paused for a while, so what is due stays so: of other runs the server takes no job variables."""
    api.send("PATCH", "/work_pools/warm", {"is_paused": True})
    try:
        yield
    finally:
        api.send("PATCH", "/work_pools/warm", {"is_paused": False})


def completes(pipeline: Pipeline, run_id: str, attack: Callable[[], Any] | None = None, api: Client | None = None) -> None:
    """The run goes its own way: approved by somebody whom the registry knows, it completes, attempt by attempt this worker's.

    Args:
        pipeline: Whose run it is.
        run_id: The run.
        attack: What somebody does between the answer and the process that takes it up.
        api: By which they do it.
    """
    if attack is None or api is None:
        pipeline.answer(run_id)
    else:
        with held(api):
            pipeline.answer(run_id)
            attack()
    row = wait_for(lambda: (row := pipeline.ledger.run(run_id)) is not None and row.status in {"ended", "failed"} and row, 90)
    assert row.ending == "completed", row
    assert len(pipeline.rows()) == ROWS
    assert len(pipeline.ledger.facts(RunTaken, run_id)) == len(pipeline.ledger.facts(AttemptStarted, run_id))


def told(pipeline: Pipeline, run_id: str) -> set[str]:
    """What the events say was ignored."""
    return {field for event in pipeline.ledger.facts(OrdersIgnored, run_id) for field in event.fact.fields}


def no_job(pipeline: Pipeline, run_id: str) -> bool:
    return pipeline.ledger.facts(JobSubmitted, run_id) == []


def test_another_registry_of_people(pipeline: Pipeline, api: Client, tmp_path: Path) -> None:
    """The environment of a waiting run names a registry that knows the attacker as its approver: the real one does not, and the run asks again."""
    run_id = waiting(pipeline)
    key = tmp_path / "attacker"
    forged = People(tmp_path / "people")
    forged.add("attacker@example.org", key=generate_key(key, "attacker"), roles=frozenset({"approver"}), totp=False)
    plan = pipeline.standing_plan(run_id)
    approve, _ = statements(plan, last_asked(pipeline.ledger, plan))
    with held(api):
        control.answer(run_id, "approve", proof=sign(key, approve.message()))
        api.send("PATCH", f"/flow_runs/{run_id}", {"job_variables": {"env": {"GATEHOUSE_PEOPLE": str(tmp_path / "people")}}})
    wait_for(lambda: pipeline.standing(run_id).refusals)
    assert "nobody in the registry" in pipeline.standing(run_id).refusals[-1] and no_job(pipeline, run_id)
    assert told(pipeline, run_id) == {"flow_run.job_variables"}
    completes(pipeline, run_id)


def test_a_command_of_a_run(pipeline: Pipeline, api: Client, marker: Path) -> None:
    run_id = waiting(pipeline)
    variables = {"command": f"touch {marker}", "env": "no object", "working_dir": "/nowhere"}
    completes(pipeline, run_id, lambda: api.send("PATCH", f"/flow_runs/{run_id}", {"job_variables": variables}), api)
    assert told(pipeline, run_id) == {"flow_run.job_variables"} and not marker.exists()


@pytest.mark.parametrize(
    "parameters", [{}, {"manifest": 7, "request": [[]]}, {"manifest": "/etc/passwd", "x": "y" * 9000}], ids=["none", "garbage", "other"]
)
def test_changed_parameters(pipeline: Pipeline, api: Client, parameters: dict[str, Any]) -> None:
    """The run goes on with what the ledger holds."""
    run_id = waiting(pipeline)
    api.send("PATCH", f"/flow_runs/{run_id}", {"parameters": parameters})
    completes(pipeline, run_id)
    assert told(pipeline, run_id) == {"flow_run.parameters"}


def test_retries_labels_tags_names_and_a_process(pipeline: Pipeline, api: Client) -> None:
    """What else a run lets one write: no second run in the same process, and no signal to a process that somebody names."""
    run_id = waiting(pipeline)
    victim = subprocess.Popen(["sleep", "300"])
    change = {"empirical_policy": {"retries": 5, "retry_delay": 0}, "infrastructure_pid": str(victim.pid), "tags": ["tier:business"]}
    api.send("PATCH", f"/flow_runs/{run_id}", {**change, "name": "harmless", "flow_version": "0"})
    api.send("PATCH", f"/flow_runs/{run_id}/labels", {"prefect.worker.type": "process"})
    completes(pipeline, run_id)
    assert told(pipeline, run_id) == {"flow_run.empirical_policy"}
    other = waiting(pipeline)
    api.send("PATCH", f"/flow_runs/{other}", {"infrastructure_pid": str(victim.pid)})
    api.send("POST", f"/flow_runs/{other}/set_state", {"state": {"type": "CANCELLING"}, "force": True})
    time.sleep(5)
    assert victim.poll() is None
    victim.kill()
    victim.wait()
    assert no_job(pipeline, other)


@pytest.fixture
def deployment(api: Client) -> Iterator[dict[str, Any]]:
    """The worker's deployment, put back as it was."""
    found = api.send("GET", "/deployments/name/governed-pipeline/warm")
    yield found
    api.send("PATCH", f"/deployments/{found['id']}", {name: found[name] for name in ("entrypoint", "pull_steps", "job_variables", "path")})


def test_a_changed_deployment(pipeline: Pipeline, api: Client, marker: Path, deployment: dict[str, Any], tmp_path: Path) -> None:
    """Another entry point, pull steps that run a shell, an environment: a new run and a waiting one run this installation's flow."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"import pathlib\nfrom prefect import flow\npathlib.Path({str(marker)!r}).touch()\n@flow\ndef evil(**_): ...\n")
    step = {"prefect.deployments.steps.run_shell_script": {"script": f"touch {marker}"}}
    change = {"entrypoint": f"{evil}:evil", "pull_steps": [step], "path": str(tmp_path), "job_variables": {"command": f"touch {marker}"}}
    run_id = waiting(pipeline)
    api.send("PATCH", f"/deployments/{deployment['id']}", change)
    completes(pipeline, run_id)
    completes(pipeline, new := waiting(pipeline))
    assert not marker.exists()
    for each in (run_id, new):
        assert told(pipeline, each) == {"deployment.entrypoint", "deployment.pull_steps", "deployment.job_variables"}
    assert any("entrypoint, pull_steps, job_variables" in finding.message for finding in examine())


def test_a_changed_work_pool(pipeline: Pipeline, api: Client, marker: Path) -> None:
    """A template with a command and an environment: nothing of it is run, and `gatehouse doctor` says so."""
    run_id = waiting(pipeline)
    assert not [finding for finding in examine() if finding.where == "work pool warm"]
    plain = api.send("GET", "/work_pools/warm")["base_job_template"]
    evil = {
        "job_configuration": {"command": "{{ command }}", "env": {"GATEHOUSE_PEOPLE": "/nowhere"}},
        "variables": {"type": "object", "properties": {"command": {"type": "string", "default": f"touch {marker}"}}},
    }
    try:
        api.send("PATCH", "/work_pools/warm", {"base_job_template": evil})
        (finding,) = [each for each in examine() if each.where == "work pool warm"]
        assert finding.level == "problem" and "placeholder" in finding.message
        completes(pipeline, run_id)
        assert not marker.exists()
    finally:
        api.send("PATCH", "/work_pools/warm", {"base_job_template": plain})


def test_another_deployment_in_the_pool(pipeline: Pipeline, api: Client, marker: Path, tmp_path: Path) -> None:
    """A flow and a deployment of somebody's own on the worker's pool: its run is refused, and an event says so."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"import pathlib\nfrom prefect import flow\npathlib.Path({str(marker)!r}).touch()\n@flow\ndef evil(): ...\n")
    for name in ("evil", "governed-pipeline"):
        flow = api.send("POST", "/flows/", {"name": name})
        made = {"name": f"by-{name}", "flow_id": flow["id"], "work_pool_name": "warm", "entrypoint": f"{evil}:evil", "path": str(tmp_path)}
        deployment = api.send("POST", "/deployments/", made)
        body = {"parameters": {"manifest": str(pipeline.manifest)}, "enforce_parameter_schema": False}
        run_id = api.send("POST", f"/deployments/{deployment['id']}/create_flow_run", body)["id"]
        state = wait_for(lambda run_id=run_id: (state := pipeline.state(run_id)).is_final() and state)
        assert (state.name, "does not run the deployment" in state.message) == ("Refused", True)
        assert "flow_run.deployment_id" in told(pipeline, run_id) and pipeline.ledger.run(run_id) is None
    assert not marker.exists()


@pytest.mark.parametrize("parameters", [{"manifest": ["x"]}, {"manifest": "/etc/passwd"}], ids=["garbage", "outside"])
def test_a_first_request_that_somebody_spoilt(pipeline: Pipeline, api: Client, parameters: dict[str, Any]) -> None:
    """A run that nobody has begun, with parameters that are none: refused, told, and mended it goes its way."""
    deployment = api.send("GET", "/deployments/name/governed-pipeline/warm")
    body = {"parameters": parameters, "enforce_parameter_schema": False}
    run_id = api.send("POST", f"/deployments/{deployment['id']}/create_flow_run", body)["id"]
    state = wait_for(lambda: (state := pipeline.state(run_id)).is_final() and state)
    assert state.name == "Refused"
    assert told(pipeline, run_id) == {"flow_run.parameters"} and pipeline.ledger.run(run_id) is None
    request = pipeline.sign().model_dump(mode="json")
    api.send("PATCH", f"/flow_runs/{run_id}", {"parameters": {"manifest": str(pipeline.manifest), "request": request}})
    control.resume(pipeline.ledger, run_id)
    pipeline.wait_paused(run_id)
    completes(pipeline, run_id)


def test_a_forced_state(pipeline: Pipeline, api: Client) -> None:
    """Whatever state somebody forces on a waiting run, nothing is approved; scheduled again, it says so and asks again, and completes."""
    run_id = waiting(pipeline)
    for number, kind in enumerate(("SCHEDULED", "COMPLETED", "RUNNING", "PENDING", "FAILED", "CRASHED"), 1):
        attempts = pipeline.ledger.run(run_id).attempt
        state = {"type": kind, "name": "Approved", "message": "approved by the board", "data": None}
        api.send("POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})
        if kind != "SCHEDULED":
            time.sleep(2)
            assert (pipeline.ledger.run(run_id).status, no_job(pipeline, run_id)) == ("waiting", True)
            api.send("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "SCHEDULED"}, "force": True})
        wait_for(lambda before=attempts: pipeline.ledger.run(run_id).attempt > before)
        wait_for(lambda: pipeline.ledger.run(run_id).status == "waiting")
        pipeline.wait_paused(run_id, 60)
        refusals = pipeline.standing(run_id).refusals
        assert (len(refusals), no_job(pipeline, run_id)) == (number, True) and "whatever the run's state says" in refusals[-1]
    completes(pipeline, run_id)


def test_a_deleted_run_and_a_run_that_is_cancelled(pipeline: Pipeline, api: Client) -> None:
    """Deleting is heeded as a wish to cancel, by the sweeper, with an event; nothing is submitted."""
    from prefect_gatehouse.flows.clean_up import sweep

    run_id = waiting(pipeline)
    api.send("DELETE", f"/flow_runs/{run_id}")
    (row,) = [row for row in sweep(pipeline.settings) if row["run"] == run_id]
    assert row["ending"] == "cancelled" and no_job(pipeline, run_id)
    assert "deleted in Prefect" in json.dumps([event.data for event in pipeline.ledger.events(run_id, "ending-decided")], default=str)


def test_blocks_and_variables_that_a_template_names_are_not_read(pipeline: Pipeline, api: Client) -> None:
    """Prefect's own workers fill a job's configuration with whatever block or variable somebody names in it."""
    name = f"{{{{ prefect.blocks.{pipeline.manifest.read_text().split('tokenise: ')[-1].split()[0].replace('/', '.')} }}}}"
    run_id = waiting(pipeline)
    variables = {"name": name, "labels": {"x": "{{ prefect.variables.nowhere }}"}}
    completes(pipeline, run_id, lambda: api.send("PATCH", f"/flow_runs/{run_id}", {"job_variables": variables}), api)
    found = api.send("GET", f"/flow_runs/{run_id}")
    assert pipeline.token_key not in json.dumps(found)
    assert UUID(found["id"]) == UUID(run_id) and APPROVER not in json.dumps(found["labels"])


def test_the_ledger_behind_all_of_them(pipeline: Pipeline) -> None:
    """Verifies."""
    completes(pipeline, waiting(pipeline))
    verified(pipeline)
