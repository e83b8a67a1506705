"""A tier that takes workers in a signed image that was scanned lately, at admission and before jobs are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.bundles import ROLES, as_, enter, write_bundle
from tests.support.gates import Desk, Fetching
from tests.support.images import IMAGE, OTHER, Keys, attestation, signature

from prefect_gatehouse.errors import Denied, InputError, PlanChanged
from prefect_gatehouse.identity.dsse import name_of
from prefect_gatehouse.ledger.jobs import JobSubmitted
from prefect_gatehouse.operate import bundle
from prefect_gatehouse.policy.bundle_manifest import load_bundle_manifest
from prefect_gatehouse.run import image
from prefect_gatehouse.run.plan_view import _image, sections
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.submit import submit

BUILD, SCANNER = Keys(), Keys()
KEYS = f"image_signers: [{BUILD.public}]\nimage_scanners: [{SCANNER.public}]\n"


class House:
    """An installation whose tier wants both, whose bundle names the keys, and that says to run in an image."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        tiers = yaml.safe_load(desk.settings.tiers.read_text())
        tiers["prototype"] |= {"signed_image": "required", "image_scan_days": 30}
        desk.settings.tiers.write_text(json.dumps(tiers))  # JSON is YAML
        enter(desk.settings, *ROLES.values())
        self.image(IMAGE)

    def stand(self, version: int, more: str) -> None:
        """A version of the bundle, which everybody signs."""
        write_bundle(self.desk.settings, version, more)
        for person in ROLES.values():
            bundle.sign(as_(self.desk.settings, person), self.desk.ledger, "as agreed")
        if version == 1:
            bundle.accept(self.desk.settings, self.desk.ledger, "the first one")

    def image(self, digest: str) -> None:
        self.desk.settings = self.desk.settings.model_copy(update={"image_digest": digest})
        self.desk.attempt = self.desk.next_attempt()

    def say(self, signatures: bytes = b"", attestations: bytes = b"") -> None:
        folder = self.desk.settings.image_folder()
        folder.mkdir(exist_ok=True)
        (folder / "signatures.json").write_bytes(signatures)
        (folder / "attestations.json").write_bytes(attestations)

    def refused(self) -> str:
        """The policy's no; empty where a run is admitted."""
        self.desk.attempt = self.desk.next_attempt()
        try:
            admit.body(self.desk.attempt, str(self.desk.manifest), None)
        except Denied as no:
            return no.message
        return ""


def scanned(days: float, image: str = IMAGE) -> bytes:
    return attestation(SCANNER, datetime.now(UTC) - timedelta(days=days), image)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Nothing is signed yet."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        yield House(desk)


def test_from_nothing_to_a_run(house: House) -> None:
    """Denied step by step with what is missing; admitted when nothing is; the plan says whose word it is; an older scan by then makes no job."""
    house.image("")
    assert house.refused().count("the worker's settings name no image") == 2
    house.image("sha256:latest")
    assert "is no sha256:... of an image" in house.refused()
    house.image(IMAGE)
    house.say(signature(BUILD), scanned(1))
    assert "names no key under image_signers" in house.refused()
    house.stand(1, KEYS)
    house.say(b"", scanned(1))
    assert "there is no signature of it [image-not-signed]" in house.refused()
    house.say(signature(BUILD), scanned(31))
    assert "more than 30 days ago [image-not-scanned]" in house.refused()
    house.say(signature(BUILD), scanned(-1))
    assert "from the future [image-not-scanned]" in house.refused()
    house.say(signature(SCANNER), attestation(BUILD, datetime.now(UTC)))  # each key says what it may and nothing else
    assert all(rule in house.refused() for rule in ("[image-not-signed]", "[image-not-scanned]"))
    house.say(signature(BUILD, OTHER), scanned(1, OTHER))
    assert all(rule in house.refused() for rule in ("another image [image-not-signed]", "[image-not-scanned]"))
    house.say(signature(BUILD), scanned(1))
    assert house.refused() == ""
    house.desk.attempt = house.desk.next_attempt()
    plan = house.desk.planned()
    rows = {row[0]: row[1] for section in sections(plan) for row in section.rows if len(row) == 2}
    assert rows["About the image"].startswith(f"signed with {name_of(BUILD.public)}; scanned ")
    approved = house.desk.approve(plan)
    circuits, summary = house.desk.first_round(plan)
    house.say(signature(BUILD), scanned(31))
    with pytest.raises(Denied, match="image-not-scanned"):
        submit.in_round(0, house.desk.attempt, approved, circuits, summary, 0, Fetching())
    house.say(signature(BUILD), scanned(1))
    house.image(OTHER)
    with pytest.raises(PlanChanged, match="image"):
        submit.in_round(0, house.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert house.desk.ledger.facts(JobSubmitted) == []
    house.image(IMAGE)
    submit.in_round(0, house.desk.attempt, approved, circuits, summary, 0, Fetching())


def test_what_the_tier_does_not_ask_for_is_not_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither file where it asks for neither, and of two that it might ask for the one; nor does the plan say anything of what nobody asked."""
    house.say(signature(BUILD), scanned(1))
    house.stand(1, KEYS)
    read: list[str] = []
    lines = image._lines
    monkeypatch.setattr(image, "_lines", lambda path: read.append(path.name) or lines(path))
    tier = house.desk.attempt.chain.read(AdmittedRun.gate, AdmittedRun) or house.desk.admitted()
    assert tier.tier.signed_image == "required" and read == ["signatures.json", "attestations.json"]
    for asks, files in (({}, []), ({"image_scan_days": 30}, ["attestations.json"]), ({"signed_image": "required"}, ["signatures.json"])):
        read.clear()
        rules = tier.tier.model_copy(update={"signed_image": "optional", "image_scan_days": None} | asks)
        found = image.planned_image(house.desk.settings, house.desk.ledger, rules)
        assert image.unsigned_image(house.desk.settings, house.desk.ledger, rules) == ("", "")
        assert read == files * 2
        assert (found is not None) == bool(asks)
        said = [text for _, text in _image(found, rules)]
        assert not any("nobody" in text or "no scan" in text for text in said) and len(said) == len(files)


def test_whose_keys_count(house: House) -> None:
    """Those of the bundle that stands: an edited file gives nobody a key, and a version without them takes them."""
    house.say(signature(BUILD), scanned(1))
    house.stand(1, "")
    write_bundle(house.desk.settings, 1, KEYS)
    assert "names no key" in house.refused()
    house.stand(2, KEYS)
    assert house.refused() == ""
    house.stand(3, f"image_scanners: [{SCANNER.public}]\n")
    assert "[image-not-signed]" in house.refused() and "[image-not-scanned]" not in house.refused()


def test_a_bundle_of_before_has_the_digest_of_before(house: House) -> None:
    """Without such keys a bundle says nothing of them, so what was signed by an earlier release is what it was."""
    house.stand(1, "")
    assert "image_signers" not in bundle.bundle_of(house.desk.settings).model_dump_json()
    house.stand(2, KEYS)
    made: dict[str, Any] = json.loads(bundle.bundle_of(house.desk.settings).model_dump_json())
    assert (made["image_signers"], made["image_scanners"]) == ([BUILD.public], [SCANNER.public])


def test_a_key_that_is_none(house: House) -> None:
    """Said when the bundle is read, with the field; cosign's own file is taken as it is."""
    file = house.desk.settings.bundle_file()
    write_bundle(house.desk.settings, 1, "image_signers: [no key]\n")
    with pytest.raises(InputError) as no:
        load_bundle_manifest(file)
    assert "image_signers" in no.value.where
    indented = "".join(f"    {line}\n" for line in BUILD.pem.splitlines())
    write_bundle(house.desk.settings, 1, f"image_signers:\n  - |\n{indented}")
    assert load_bundle_manifest(file).image_signers == (BUILD.public,)
