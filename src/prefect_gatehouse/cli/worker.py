"""``gatehouse worker``: the worker that takes no orders."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from prefect_gatehouse.cli.output import gatehouse_command
from prefect_gatehouse.cli.paths import PATH


@click.option("--pool", default="gatehouse", show_default=True, help="Work pool; made when it is missing.")
@click.option("--folder", "folders", type=PATH, multiple=True, help="Take manifests from this folder and below; may be repeated.")
@click.option("--config", type=PATH, help="The worker's file, which its own user can't write; instead of --folder.")
@click.option("--limit", type=click.IntRange(1), help="The most runs at a time.")
def _worker(pool: str, folders: tuple[Path, ...], config: Path | None, limit: int | None, as_json: bool) -> None:  # noqa: ARG001 - errors alone are told
    """Start a worker for governed runs: forked from a warm process, and deaf to what the API says beside which run is due.

    The same as `prefect worker start --type gatehouse` with its configuration in the environment.
    """
    from prefect_gatehouse.errors import Unavailable
    from prefect_gatehouse.worker.configuration import CONFIG, FOLDERS, load_configuration

    environment = dict(os.environ)
    if folders:
        environment[FOLDERS] = os.pathsep.join(str(folder.resolve()) for folder in folders)
    if config is not None:
        environment[CONFIG] = str(config.resolve())
    load_configuration(environment)
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        advice = "set it to the server's address, such as http://127.0.0.1:4200/api"
        raise Unavailable("no Prefect server is set", where="PREFECT_API_URL", advice=advice)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "gatehouse", "--install-policy", "never"]
    os.execve(sys.executable, [*command, *(["--limit", str(limit)] if limit else [])], environment)  # noqa: S606 - no shell


command = gatehouse_command("worker", "Start the worker that takes no orders from Prefect's API.")(_worker)
