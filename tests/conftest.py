"""Servers that the tests share: one a test process, started when the first test asks."""

from __future__ import annotations

import contextlib
import gc
import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from prefect_gatehouse.cli.quiet import QUIET
from prefect_gatehouse.run import packages
from tests.support.logs import DELETED, ENDED_ITSELF, TOLD_TO_STOP, unknown_errors

# The emulators' fixtures, taken as a user takes them.
pytest_plugins = ["prefect_gatehouse.testing.fixtures", "prefect_gatehouse.testing.conformance"]

# Before anything imports Prefect: no test reads or writes the caller's profile, and none phones home.
os.environ.update(QUIET)
for _name in [name for name in os.environ if name.startswith(("GATEHOUSE_", "PREFECT_API", "PREFECT_HOME", "PREFECT_PROFILE"))]:
    if _name != "GATEHOUSE_REQUIRE_SERVICES" and not _name.startswith("GATEHOUSE_TEST_"):
        del os.environ[_name]


# The search for leaks reads all that the server has stored, which is least at the beginning.
_FIRST = ("tests/test_wheel.py", "tests/pipeline/test_leaks.py", "tests/pipeline/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist, which keeps a file's tests in one worker and in this order, the longest files begin, lest one of them ends alone."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: next((place for place, start in enumerate(_FIRST) if item.nodeid.startswith(start)), len(_FIRST)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported and collected by now stays: no collection of garbage has to walk it again."""
    gc.freeze()


# An example's deadline is an assertion about time, and so is how long making one takes: a busy machine breaks both.
settings.register_profile("no-deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-deadline")


# Nobody installs anything while tests run: one look at all of it for each of their processes, not one a minute.
packages.FRESH_SECONDS = math.inf


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's home, database and logs of this test process."""
    folder = tmp_path_factory.mktemp("prefect")
    os.environ["PREFECT_HOME"] = str(folder / "prefect")
    return folder


@pytest.fixture(scope="session")
def stack(prefect_home: Path) -> Iterator[Any]:
    """A real Prefect server on SQLite with the work pool and the deployments; workers are started by the tests that need one."""
    from prefect_gatehouse.cli.stack import Stack

    server = Stack(prefect_home, prefect_home / "gatehouse-home", {"PREFECT_LOGGING_LEVEL": "INFO"})
    server.start_server()
    kept = dict(os.environ)
    os.environ.update(server.environment)
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    try:
        server.wait()
        server.create_pool()
        yield server
    finally:
        server.stop()
        os.environ.clear()
        os.environ.update(kept)
        refresh_global_settings_context()
    # Whatever the tests were about: what the server and the workers logged meanwhile holds no error that nobody knows.
    assert unknown_errors(prefect_home / "logs", DELETED | ENDED_ITSELF | TOLD_TO_STOP) == []


@pytest.fixture(scope="session")
def deployed_stack(stack: Any) -> Any:
    """The server with the deployments of ``deployments/prefect.yaml``, schedules and all; who needs others gives them names of their own."""
    stack.deploy()
    return stack


@pytest.fixture(scope="session")
def by_hand(stack: Any) -> str:
    """A deployment without a work pool: no worker takes its runs up, the tests run them."""
    from prefect.client.orchestration import get_client

    from prefect_gatehouse.flows.governed_pipeline import governed_pipeline
    from prefect_gatehouse.worker.orders import OWN_FLOWS

    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(governed_pipeline)
        options = {"enforce_parameter_schema": False, "pull_steps": [], "entrypoint": OWN_FLOWS["governed-pipeline"]}
        client.create_deployment(flow_id=flow_id, name="by-hand", **options)
    return "governed-pipeline/by-hand"


@pytest.fixture(scope="session")
def zygote(stack: Any) -> Iterator[Any]:
    """The warm process that runs flow runs in forked children."""
    from tests.support.pipeline import Zygote

    warm = Zygote(stack.environment)
    yield warm
    warm.stop()


@pytest.fixture(scope="session")
def warm_commands(prefect_home: Path) -> Iterator[Any]:
    """The warm process that commands are forked from."""
    from tests.support.warm_commands import WarmCommands

    warm = WarmCommands()
    yield warm
    warm.stop()


@pytest.fixture
def make_pipeline(tmp_path: Path, zygote: Any, by_hand: str) -> Iterator[Callable[..., Any]]:
    """Makes pipelines in folders of their own."""
    from tests.support.pipeline import Pipeline

    with ExitStack() as open_:

        def make(name: str = "p", **options: Any) -> Pipeline:
            return open_.enter_context(Pipeline(tmp_path / name, zygote, by_hand, **options))

        yield make


@pytest.fixture
def pipeline(make_pipeline: Callable[..., Any]) -> Any:
    """One pipeline."""
    return make_pipeline()


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real Vault in development mode."""
    from tests.services.vault_server import vault_server

    with vault_server(tmp_path_factory.mktemp("vault")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """AWS as moto plays it."""
    from tests.services.moto_server import moto_server

    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A real PostgreSQL."""
    from tests.services.postgres_server import postgres_server

    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty target database, on each of the two dialects."""
    from tests.write_back.databases import Database

    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path / 'target.sqlite'}", "no-password")
    server = request.getfixturevalue("postgres")
    return Database(server.url(server.new_database()), server.password)


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An installation with one attempt that drives one run, its ledger on each of the two databases."""
    from tests.run.desk import Desk

    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = Desk(tmp_path / "home", str(server.url(server.new_database())) if server is not None else "")
    with contextlib.closing(made.ledger):
        yield made
