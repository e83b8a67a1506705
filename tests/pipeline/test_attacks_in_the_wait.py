"""Attacks on what a run of the integration tier rests on while it waits, on a real server: it was admitted, it is approved, and ends denied.

The answer is an approver's and good each time, so that nothing but the attack can be why nothing is submitted.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.acts import append_signed
from tests.support.pipeline import APPROVER, OTHER, ROWS, Pipeline
from tests.support.promoted import OWNER, Integration
from tests.support.sieges import Siege, verified

from prefect_gatehouse.ledger.acts import ExceptionGranted
from prefect_gatehouse.ledger.events import PolicyDenied
from prefect_gatehouse.operate import classification, promotion

pytestmark = pytest.mark.timeout(400)
EXCEPTED = timedelta(seconds=60)
"""Enough for a run to come to its form under an exception; the other tests take longer, so that nobody waits for its end."""


class House(Integration):
    """With a run that nobody promoted, under an exception.

    Attributes:
        expires: When that ends.
        excepted: The run.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self.promoted: int | None = None
        self.expires = (datetime.now(UTC) + EXCEPTED).replace(microsecond=0)
        statement = {
            "action": "grant-exception",
            "exception": secrets.token_hex(8),
            "rule": "not-promoted",
            "tenant": "test-tenant",
            "pipeline": "",
            "owner": OWNER,
            "ticket": "CHG-9",
            "residual_risk": "slower",
            "compensating_control": "watched",
            "expires": f"{self.expires:%Y-%m-%dT%H:%M:%SZ}",
            "reason": "Pilot",
            "environment": "local",
        }
        append_signed(pipeline.ledger, ExceptionGranted, statement, APPROVER, pipeline.keys[APPROVER])
        self.excepted = Siege(pipeline)
        self.promoted = self.promote()

    def approved(self) -> Siege:
        """A run that waits, whose approval is given and not judged yet."""
        if self.promoted is None:
            self.promoted = self.promote()
        siege = Siege(self.pipeline)
        siege.answer(siege.signed(OTHER))
        return siege

    def withdraw(self) -> None:
        """The promotion, if it stands."""
        if self.promoted is not None:
            promotion.withdraw(self.as_(APPROVER), self.pipeline.ledger, str(self.promoted), "it does not behave")
        self.promoted = None

    @contextmanager
    def put_back(self, *files: Path) -> Iterator[None]:
        """Files are as they were behind the block."""
        kept = {file: file.read_bytes() for file in files}
        try:
            yield
        finally:
            for file, content in kept.items():
                file.write_bytes(content)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, zygote: Any, by_hand: str) -> Iterator[House]:
    """One pipeline, whose runs are attacked one after the other."""
    with Pipeline(tmp_path_factory.mktemp("attacks") / "p", zygote, by_hand, rounds=1) as pipeline:
        yield House(pipeline)


def denied_by(house: House, siege: Siege, rule: str) -> None:
    """At its submission, by a rule of the policy; the denied decision is in the ledger."""
    assert siege.denied().startswith("submit: ")
    (decision,) = house.pipeline.ledger.facts(PolicyDenied, siege.run_id)
    assert (decision.fact.action, decision.fact.reasons) == ("submit", (rule,))


EDITED = {
    "policies": ("policies/gatehouse.cedar", "policies"),
    "tiers": ("tiers.yaml", "tiers"),
    "classes": ("classes.yaml", "classes"),
    "people": ("home/people/people.json", "registry of people"),
    "bundle": ("home/bundle.yaml", "bundle.yaml"),
}


@pytest.mark.parametrize("name", EDITED)
def test_a_signed_file_edited(house: House, name: str) -> None:
    """By a line that changes nothing of what it says."""
    file, words = EDITED[name]
    siege, path = house.approved(), house.pipeline.folder / file
    with house.put_back(path):
        path.write_bytes(path.read_bytes() + b"\n")
        assert f"version {house.version} was changed after it was signed: {words}" in siege.denied()


def test_an_exception_that_expires(house: House) -> None:
    """What let the run in without a promotion has ended when its approval is judged."""
    house.withdraw()
    house.excepted.answer(house.excepted.signed(OTHER))
    time.sleep(max(0.0, (house.expires - datetime.now(UTC)).total_seconds()))
    denied_by(house, house.excepted, "not-promoted")


def test_a_promotion_withdrawn(house: House) -> None:
    """The workload is in the tier no more."""
    siege = house.approved()
    house.withdraw()
    denied_by(house, siege, "not-promoted")


def test_classes_withdrawn(house: House) -> None:
    """The data owner takes back the word that the columns' classes rest on."""
    siege = house.approved()
    classification.withdraw(house.as_(OWNER), house.pipeline.ledger, str(house.classified), "they were wrong")
    denied_by(house, siege, "class-not-signed")
    house.classified = house.classify()


def test_an_older_signed_bundle_put_back(house: House) -> None:
    """Every file of version 1 as it was signed, where version 2 stands, under which the run was admitted."""
    settings = house.pipeline.settings
    policies, manifest = settings.policies / "gatehouse.cedar", settings.bundle_file()
    old = {file: shutil.copy(file, house.pipeline.folder / f"old-{file.name}") for file in (policies, manifest)}
    policies.write_bytes(policies.read_bytes() + b"\n")
    house.sign(house.version + 1)
    siege = house.approved()
    with house.put_back(policies, manifest):
        for file, kept in old.items():
            shutil.copy(kept, file)
        assert f"this is version {house.version - 1}, and version {house.version} stands" in siege.denied()


def test_the_ledger_behind_all_of_them(house: House) -> None:
    """Put right, the next run completes, and the ledger verifies."""
    siege = house.approved()
    house.pipeline.process(siege.run_id)
    assert house.pipeline.ledger.run(siege.run_id).ending == "completed", house.pipeline.log.read_text()[-3000:]  # type: ignore[union-attr]
    assert len(house.pipeline.rows()) == ROWS
    verified(house.pipeline)
