"""The emulator of Amazon Braket in a process of its own, for as long as a context lasts.

with braket_emulator() as braket:
braket.create_bucket("results")
os.environ.update(braket.environment)
braket.fault("CreateQuantumTask", "drop-after")
...
assert len(braket.tasks()) == 1
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prefect_gatehouse.errors import Unavailable

MACHINE = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
SIMULATOR = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
REGION = "eu-north-1"


@dataclass(frozen=True)
class BraketEmulator:
    """A running emulator.

    Attributes:
        url: Its endpoint, for every service of AWS that it has.
        environment: What the SDKs' environment needs to come here.
    """

    url: str
    environment: dict[str, str] = field(repr=False)
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    @property
    def credential(self) -> str:
        """A credential that it takes, as the provider reads it."""
        return json.dumps({"AccessKeyId": self.environment["AWS_ACCESS_KEY_ID"], "SecretAccessKey": self.environment["AWS_SECRET_ACCESS_KEY"]})

    def client(self, service: str, region: str = REGION) -> Any:
        """A boto3 client of one of its services."""
        import boto3

        if (service, region) not in self._clients:
            keys = (self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"])
            self._clients[service, region] = boto3.Session(*keys, region_name=region).client(service, endpoint_url=self.url)
        return self._clients[service, region]

    def create_bucket(self, name: str, region: str = REGION) -> None:
        """A bucket for results."""
        self.client("s3", region).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})

    def settings(self, bucket: str, device_arn: str = MACHINE, **more: Any) -> dict[str, Any]:
        """A block's settings for one of its devices, with waits that suit a test."""
        brief = {"grace_seconds": 2.0, "call_seconds": 2.0, "patience_seconds": 3.0, "poll_seconds": 0.05}
        return {"device_arn": device_arn, "region": REGION, "bucket": bucket, "endpoint": self.url, **brief, **more}

    def fault(self, operation: str, kind: str, **more: Any) -> None:
        """Makes the next calls of an operation go wrong; ``emulators/braket/faults.py`` lists the kinds."""
        self._post("fault", {"operation": operation, "kind": kind, **more})

    def conduct(self, **more: Any) -> None:
        """Changes how the service behaves; ``emulators/braket/tasks.py`` lists what can be set."""
        self._post("conduct", more)

    def device(self, arn: str = MACHINE, **more: Any) -> None:
        """Changes a device: ``status``, ``queue``, fields of its ``capabilities``."""
        self._post("device", {"arn": arn, **more})

    def release(self) -> None:
        """Lets the calls go on that are held."""
        self._post("release", {})

    def forget_tokens(self) -> None:
        """As a service whose client tokens have expired."""
        self._post("forget-tokens", {})

    def reset(self) -> None:
        """No tasks, no faults, devices as they were; the buckets stay."""
        self._post("reset", {})

    def state(self) -> dict[str, Any]:
        """Tasks, calls by operation, and how many calls are held."""
        return self._ask(urllib.request.Request(f"{self.url}/_emulator/state"))  # noqa: S310 - our own server on loopback

    def tasks(self) -> list[dict[str, Any]]:
        """Every task that was made."""
        found: list[dict[str, Any]] = self.state()["tasks"]
        return found

    def wait(self, until: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        """Waits until the state is as wanted.

        Raises:
            TimeoutError: It was not in time.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.state()
            if until(state):
                return state
            time.sleep(0.02)
        raise TimeoutError("the emulator did not get there in time")

    def _post(self, what: str, body: dict[str, Any]) -> None:
        self._ask(urllib.request.Request(f"{self.url}/_emulator/{what}", data=json.dumps(body).encode(), method="POST"))  # noqa: S310 - as above

    @staticmethod
    def _ask(request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from None


@contextmanager
def braket_emulator(maximum_executables: int = 100, *, noise: bool = True) -> Iterator[BraketEmulator]:
    """Starts an emulator and stops it at the end.

    Args:
        maximum_executables: Of its machine's program sets.
        noise: Whether its machine errs as its calibration says.

    Raises:
        Unavailable: It does not start.
    """
    command = [sys.executable, "-W", "ignore", "-m", "prefect_gatehouse.emulators.braket", "--maximum-executables", str(maximum_executables)]
    process = subprocess.Popen([*command, *([] if noise else ["--no-noise"])], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()  # it prints its environment once it listens, or dies and prints nothing
        if not line:
            advice = 'install "prefect-gatehouse[emulators]"'
            raise Unavailable("the emulator of Amazon Braket does not start", where="braket emulator", advice=advice)
        environment = json.loads(line)
        yield BraketEmulator(environment["AWS_ENDPOINT_URL_BRAKET"], environment)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
