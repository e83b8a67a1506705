"""A real HTTP server that answers as AWS does: moto in a process of its own, reached through an endpoint and fixed, worthless keys."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.services import clean_environment, free_port, unavailable, wait_until

if TYPE_CHECKING:
    from prefect_aws import AwsCredentials

REGION = "eu-central-1"
# Names that moto's documentation uses; no account has them.
ACCESS_KEY, SECRET_KEY = "testing", "testing-secret-key"


@dataclass(frozen=True)
class MotoServer:
    """A running server."""

    url: str

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client of one service."""
        import boto3

        return boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=region).client(service, endpoint_url=self.url)

    def credentials(self) -> AwsCredentials:
        """prefect_aws's block for this server."""
        from prefect_aws import AwsClientParameters, AwsCredentials
        from pydantic import SecretStr

        return AwsCredentials(
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SecretStr(SECRET_KEY),
            region_name=REGION,
            aws_client_parameters=AwsClientParameters(endpoint_url=self.url),
        )


@contextmanager
def moto_server(folder: Path) -> Iterator[MotoServer]:
    """Starts and stops a server with nothing in it."""
    import importlib.util

    import httpx

    if importlib.util.find_spec("moto") is None:
        unavailable("no moto")
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            return httpx.get(f"{url}/moto-api/", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    with (folder / "moto.log").open("w") as log:
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=clean_environment())
        try:
            wait_until(up, "moto")
            yield MotoServer(url)
        finally:
            process.kill()
            process.wait()
