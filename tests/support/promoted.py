"""A pipeline's way into the integration tier as it ships: who has to give their word for it, and what its manifest has to say."""

from __future__ import annotations

from pathlib import Path

from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.operate import bundle, classification, promotion
from prefect_gatehouse.settings import Settings
from tests.support.bundles import ROLES, own_files, write_bundle
from tests.support.pipeline import APPROVER, TICKETS, Pipeline

OWNER = "olga@example.org"
"""Of the data."""
ENTERED = ((OWNER, "data-owner"), *((each, "auditor") for each in ROLES.values()))
"""Whom the registry needs beside requester and approvers, each with a role."""


def make_keys(pipeline: Pipeline) -> None:
    """A key for each of them."""
    for name, _ in ENTERED:
        pipeline.keys[name] = pipeline.folder / "keys" / name
        generate_key(pipeline.keys[name], "")


def into_integration(pipeline: Pipeline) -> None:
    """The manifest names the tier and what that demands; a gatehouse worker drives it."""
    text = pipeline.manifest.read_text().replace("tier: prototype", "tier: integration")
    block = text.partition("write_back: ")[2].split()[0]
    pipeline.manifest.write_text(text.replace("credentials:\n", f"credentials:\n  preflight: {block}\n"))
    pipeline.worker = "gatehouse"


class Integration:
    """A pipeline with one run in the prototype tier behind it, in integration but for its promotion; every rule is in files of its own.

    Attributes:
        pipeline: The pipeline.
        version: Of the bundle that stands.
        classified: Number of the classes' event.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        pipeline.settings = own_files(pipeline.settings, pipeline.folder)
        for name in ("policies", "tiers", "classes"):
            pipeline.environment[f"GATEHOUSE_{name.upper()}"] = str(getattr(pipeline.settings, name))
        pipeline.complete()
        make_keys(pipeline)
        for name, role in ENTERED:
            line = Path(f"{pipeline.keys[name]}.pub").read_text().strip()
            pipeline.people.add(name, key=line, roles=frozenset({role}))  # type: ignore[arg-type]
        into_integration(pipeline)
        pipeline.settings.tickets_file().write_text(TICKETS)
        self.sign(1)
        bundle.accept(pipeline.settings, pipeline.ledger, "the first one")
        self.classified = self.classify()

    def as_(self, who: str) -> Settings:
        """The installation as one of its people has it."""
        return self.pipeline.settings.model_copy(update={"identity": self.pipeline.keys[who]})

    def sign(self, version: int) -> None:
        """The files as they are, signed by everybody who has to."""
        self.version = version
        write_bundle(self.pipeline.settings, version)
        for each in ROLES.values():
            bundle.sign(self.as_(each), self.pipeline.ledger, "as agreed")

    def classify(self) -> int:
        """The number of the data owner's word for the classes as the manifest has them."""
        return classification.sign(self.as_(OWNER), self.pipeline.ledger, self.pipeline.manifest, (), "as registered").seq

    def promote(self) -> int:
        """The number of an approver's word for the workload."""
        return promotion.promote(self.as_(APPROVER), self.pipeline.ledger, self.pipeline.manifest, "", "it behaves").seq
