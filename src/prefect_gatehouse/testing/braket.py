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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prefect_gatehouse.testing.door import Door, running

MACHINE = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
ANKAA = "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3"
CEPHEUS = "arn:aws:braket:us-west-1::device/qpu/rigetti/Cepheus-1-108Q"
FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1"
SIMULATOR = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
REGION = "eu-north-1"


@dataclass(frozen=True)
class BraketEmulator(Door):
    """A running emulator; its endpoint is that of every service of AWS that it has."""

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
        """A bucket for results; a reset leaves it. The emulator writes into it for devices of every region."""
        self.client("s3", region).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})

    def settings(self, bucket: str, device_arn: str = MACHINE, **more: Any) -> dict[str, Any]:
        """A block's settings for one of its devices, with waits that suit a test."""
        brief = {"grace_seconds": 2.0, "call_seconds": 2.0, "patience_seconds": 3.0, "poll_seconds": 0.05}
        region = device_arn.split(":")[3] or REGION
        return {"device_arn": device_arn, "region": region, "bucket": bucket, "endpoint": self.url, **brief, **more}

    def device(self, arn: str = MACHINE, **more: Any) -> None:
        """Changes a device: ``status``, ``queue``, fields of its ``capabilities``."""
        self._post("device", {"arn": arn, **more})

    def tasks(self) -> list[dict[str, Any]]:
        """Every task that was made."""
        found: list[dict[str, Any]] = self.state()["tasks"]
        return found


@contextmanager
def braket_emulator(maximum_executables: int = 100, *, noise: bool = True) -> Iterator[BraketEmulator]:
    """Starts an emulator and stops it at the end.

    Args:
        maximum_executables: Of its machine's program sets.
        noise: Whether its machine errs as its calibration says.

    Raises:
        Unavailable: It does not start.
    """
    words = ["--maximum-executables", str(maximum_executables), *([] if noise else ["--no-noise"])]
    with running("braket", words, "emulators") as environment:
        yield BraketEmulator(environment["AWS_ENDPOINT_URL_BRAKET"], environment)
