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
    """What a tier asks about it.

    Attributes:
        signed: Whether it is the one; None where the tier does not ask.
        scanned: Its newest scan; None where the tier does not ask.
    """

    signed: Signed | None
    scanned: Scanned | None


def image_of(settings: Settings, history: Ledger, tier: TierRules) -> Image:
    """What is known of the image now, by the keys of the bundle of policies that stands; nothing is read that the tier does not ask for.

    Raises:
        Denied: The history of the bundles is of a newer release.
    """
    asks_signed, days = tier.signed_image == "required", tier.image_scan_days
    if not asks_signed and days is None:
        return Image(None, None)
    digest = settings.image_digest
    if not is_digest(digest):
        why = "GATEHOUSE_IMAGE_DIGEST is no sha256:... of an image" if digest else "the worker's settings name no image (GATEHOUSE_IMAGE_DIGEST)"
        return Image(Signed("", why) if asks_signed else None, Scanned("", None, why) if days is not None else None)
    stands = bundles_of(settings, history).current
    signers, scanners = (stands.bundle.image_signers, stands.bundle.image_scanners) if stands is not None else ((), ())
    folder = settings.image_folder()
    signed = scanned = None
    if asks_signed:
        signed = signature_of(digest, _lines(folder / "signatures.json"), signers)
    if days is not None:
        scanned = scan_of(digest, _lines(folder / "attestations.json"), scanners, timedelta(days=days), datetime.now(UTC))
    return Image(signed, scanned)


def unsigned_image(settings: Settings, history: Ledger, tier: TierRules) -> tuple[str, str]:
    """Why the image is not signed, and why not scanned, as its tier wants it; empty where it is, or the tier does not."""
    found = image_of(settings, history, tier)
    return found.signed.missing if found.signed is not None else "", found.scanned.missing if found.scanned is not None else ""


def planned_image(settings: Settings, history: Ledger, tier: TierRules) -> PlannedImage | None:
    """What people are shown of what the tier asks about it; None where nobody has signed anything of that."""
    found = image_of(settings, history, tier)
    signed_by = found.signed.key if found.signed is not None else ""
    scanned_by, scanned_at = (found.scanned.key, found.scanned.at) if found.scanned is not None else ("", None)
    return PlannedImage(signed_by=signed_by, scanned_by=scanned_by, scanned_at=scanned_at) if signed_by or scanned_by else None


def _lines(path: Path) -> bytes:
    """What a file holds; nothing where it can't be read, or is larger than such files are."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError:
        return b""
    return data if len(data) <= _MOST else b""
