"""What several pipeline tests run under."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest


@pytest.fixture(scope="module")
def worker(deployed_stack: Any) -> Iterator[None]:
    """A process worker with the deployments of ``deployments/prefect.yaml``, schedules and all."""
    deployed_stack.start_worker()
    yield
    deployed_stack.stop_workers()


@pytest.fixture(scope="module")
def warm(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """A gatehouse worker on a pool and a deployment of its own; gives what makes pipelines in the one folder that it takes manifests from."""
    from prefect.client.orchestration import get_client
    from tests.support.pipeline import Pipeline

    from prefect_gatehouse.flows.governed_pipeline import governed_pipeline
    from prefect_gatehouse.worker.configuration import DEPLOYMENTS, FOLDERS
    from prefect_gatehouse.worker.orders import OWN_FLOWS

    folder, name = tmp_path_factory.mktemp("warm"), "warm"
    home = folder / "home"
    before = dict(stack.environment)
    stack.environment.update({FOLDERS: str(folder), DEPLOYMENTS: f"governed-pipeline/{name},clean-up/{name}", "GATEHOUSE_HOME": str(home)})
    stack.create_pool("gatehouse", name)
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(governed_pipeline)
        entrypoint = OWN_FLOWS["governed-pipeline"]
        options = {"enforce_parameter_schema": False, "pull_steps": [], "entrypoint": entrypoint}
        client.create_deployment(flow_id=flow_id, name=name, work_pool_name=name, **options)
    stack.start_worker("gatehouse", name)
    with ExitStack() as open_:

        def make(place: str, **options: Any) -> Pipeline:
            shutil.rmtree(home / "people", ignore_errors=True)  # each has people of its own
            return open_.enter_context(Pipeline(folder / place, None, f"governed-pipeline/{name}", home=home, **options))

        yield make
        stack.stop_workers()
    stack.environment.clear()
    stack.environment.update(before)
