"""A pipeline on the emulator's machine, with its blocks in a real Prefect server."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from prefect_aws import AwsCredentials
from pydantic import SecretStr

from prefect_gatehouse.blocks import BraketDevice
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.testing import BraketEmulator
from tests.support.pipeline import Pipeline


class OnBraket:
    """A pipeline whose only backend is the machine, the tier that lists it, and both of its blocks."""

    def __init__(self, make_pipeline: Any, braket: BraketEmulator, folder: Path) -> None:
        self.name = f"garnet-{uuid.uuid4().hex[:8]}"
        self.backend = f"braket/{self.name}"
        braket.create_bucket(self.name)
        self.device = BraketDevice(**braket.settings(self.name))
        self.device.save(self.name)
        key = json.loads(braket.credential)
        self.secret: str = key["SecretAccessKey"]
        AwsCredentials(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=SecretStr(self.secret)).save(self.name)
        tiers = folder / "tiers.yaml"
        tiers.write_text(Settings().tiers.read_text().replace("backends: [aer, braket-local]", f"backends: [aer, {self.backend}]", 1))
        self.pipeline: Pipeline = make_pipeline(backends=self.backend, rehearsal="skip", environment={"GATEHOUSE_TIERS": str(tiers)})
        self.pipeline.settings = self.pipeline.settings.model_copy(update={"tiers": tiers})
        self.change("credentials:\n", f"credentials:\n  submit: aws-credentials/{self.name}\n")
        self.change("cost: 0", "cost: 20")

    def change(self, old: str, new: str) -> None:
        text = self.pipeline.manifest.read_text()
        assert old in text
        self.pipeline.manifest.write_text(text.replace(old, new))

    def edit(self, **settings: object) -> None:
        """What whoever reaches Prefect's API can do."""
        self.device.model_copy(update=settings).save(self.name, overwrite=True)
