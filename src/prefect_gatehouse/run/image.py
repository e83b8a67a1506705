"""The image that this process says to run in: whether somebody signed it, and when somebody looked for known holes in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.images import Scanned, Signed, is_digest, scan_of, signature_of
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.bundle import bundles_of
from prefect_gatehouse.run.planned import PlannedImage
from prefect_gatehouse.settings import Settings

_MOST = 64 << 20
"""Bytes of statements: a record of a scan holds all that was found."""


@dataclass(frozen=True)
class Image:
    """What is known of it.

    Attributes:
        digest: As the settings have it.
        signed: Whether it is the one.
        scanned: Its newest scan.
    """

    digest: str
    signed: Signed
    scanned: Scanned


def image_of(settings: Settings, history: Ledger, tier: TierRules) -> Image:
    """What is known of the image now, by the keys of the bundle of policies that stands.

    Raises:
        Denied: The history of the bundles is of a newer release.
    """
    digest = settings.image_digest
    if not is_digest(digest):
        why = "GATEHOUSE_IMAGE_DIGEST is no sha256:... of an image" if digest else "the worker's settings name no image (GATEHOUSE_IMAGE_DIGEST)"
        return Image(digest, Signed("", why), Scanned("", None, why))
    stands = bundles_of(settings, history).current
    signers, scanners = (stands.bundle.image_signers, stands.bundle.image_scanners) if stands is not None else ((), ())
    folder = settings.image_folder()
    longest = timedelta(days=tier.image_scan_days) if tier.image_scan_days is not None else None
    return Image(
        digest,
        signature_of(digest, _lines(folder / "signatures.json"), signers),
        scan_of(digest, _lines(folder / "attestations.json"), scanners, longest, datetime.now(UTC)),
    )


def unsigned_image(settings: Settings, history: Ledger, tier: TierRules) -> tuple[str, str]:
    """Why the image is not signed, and why not scanned, as its tier wants it; empty where it is, or the tier does not."""
    if tier.signed_image == "optional" and tier.image_scan_days is None:
        return "", ""
    found = image_of(settings, history, tier)
    return found.signed.missing if tier.signed_image == "required" else "", found.scanned.missing if tier.image_scan_days is not None else ""


def planned_image(settings: Settings, history: Ledger, tier: TierRules) -> PlannedImage | None:
    """What people are shown of it before they approve; None where nobody has signed anything about it."""
    if not settings.image_digest or not settings.image_folder().is_dir():
        return None
    found = image_of(settings, history, tier)
    if not found.signed.key and not found.scanned.key:
        return None
    return PlannedImage(signed_by=found.signed.key, scanned_by=found.scanned.key, scanned_at=found.scanned.at)


def _lines(path: Path) -> bytes:
    """What a file holds; nothing where it can't be read, or is larger than such files are."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError:
        return b""
    return data if len(data) <= _MOST else b""
