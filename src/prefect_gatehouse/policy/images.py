"""What is signed about an image: that it is the one, and when somebody looked for known holes in it.

The formats are cosign's, as ``cosign download`` writes them, a statement a line: payloads of simple signing (SIGNATURE_SPEC.md), and DSSE
envelopes with in-toto statements whose predicate is a record of a scan (COSIGN_VULN_ATTESTATION_SPEC.md; in-toto's ``vulns``). Whose keys count,
the bundle of policies says that stands.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect_gatehouse.identity.dsse import pae, signed_by

SKEW = timedelta(minutes=5)
"""How far a scanner's clock may be ahead of ours."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SIGNS = "cosign container image signature"
_IN_TOTO = "application/vnd.in-toto+json"
_STATEMENTS = ("https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1")
_SCANS = (
    "https://cosign.sigstore.dev/attestation/vuln/v1",
    "cosign.sigstore.dev/attestation/vuln/v1",
    "https://in-toto.io/attestation/vulns",
    "https://in-toto.io/attestation/vulns/v0.1",
    "https://in-toto.io/attestation/vulns/v0.2",
)


@dataclass(frozen=True)
class Signed:
    """That an image is the one.

    Attributes:
        key: Name of the key that says so; empty where none does.
        missing: Why none does.
    """

    key: str
    missing: str


@dataclass(frozen=True)
class Scanned:
    """The newest scan of an image.

    Attributes:
        key: Name of the key that says so; empty where there is none.
        at: When it ended.
        missing: Why none counts; a scan may be there that is too old.
    """

    key: str
    at: datetime | None
    missing: str


def is_digest(text: str) -> bool:
    """Whether a text is the digest of an image."""
    return _DIGEST.fullmatch(text) is not None


def signature_of(digest: str, lines: bytes, keys: Sequence[str]) -> Signed:
    """Whether a key has signed that an image is the one.

    Args:
        digest: Of the image, ``sha256:`` and 64 digits.
        lines: What ``cosign download signature`` writes.
        keys: Public keys that may, as of ``dsse.one_line``.
    """
    if not keys:
        return Signed("", "the bundle of policies names no key under image_signers")
    whose = [(_about(payload), signed_by(keys, signature, payload)) for payload, signature in _payloads(lines)]
    key = next((key for about, key in whose if key and about == digest), "")
    if key:
        return Signed(key, "")
    if any(key for _, key in whose):
        return Signed("", "what is signed is another image")
    return Signed("", "no signature of it is by a key of the bundle's" if whose else "there is no signature of it")


def scan_of(digest: str, lines: bytes, keys: Sequence[str], longest: timedelta | None, now: datetime) -> Scanned:
    """The newest scan of an image that a key has signed.

    Args:
        digest: Of the image, ``sha256:`` and 64 digits.
        lines: What ``cosign download attestation`` writes.
        keys: Public keys that may, as of ``dsse.one_line``.
        longest: How long ago it may have ended; None where that does not matter.
        now: The time.
    """
    if not keys:
        return Scanned("", None, "the bundle of policies names no key under image_scanners")
    found = [(at, key) for statement, key in _statements(lines, keys) if (at := _scanned_at(statement, digest)) is not None]
    counting = [(at, key) for at, key in found if at <= now + SKEW]
    if not counting:
        return Scanned("", None, "its scan is from the future" if found else "no record of a scan of it is signed by a key of the bundle's")
    at, key = max(counting)
    if longest is not None and now - at > longest:
        return Scanned(key, at, f"its last scan ended on {at:%Y-%m-%d}, more than {longest.days} days ago")
    return Scanned(key, at, "")


def _payloads(lines: bytes) -> Iterator[tuple[bytes, bytes]]:
    for each in _values(lines):
        payload, signature = _decoded(each.get("Payload")), _decoded(each.get("Base64Signature"))
        if payload is not None and signature is not None:
            yield payload, signature


def _about(payload: bytes) -> str:
    """The image that a payload of simple signing is about; empty where it is none. Its name in a registry proves nothing and is left aside."""
    critical = _mapping(_mapping(_json(payload)).get("critical"))
    image = _mapping(critical.get("image"))
    return str(image.get("docker-manifest-digest", "")) if critical.get("type") == _SIGNS else ""


def _statements(lines: bytes, keys: Iterable[str]) -> Iterator[tuple[Mapping[str, Any], str]]:
    keys = tuple(keys)
    for each in _values(lines):
        envelope = _mapping(each.get("dsseEnvelope", each))  # in a sigstore bundle, or by itself
        body = _decoded(envelope.get("payload"))
        if body is None or envelope.get("payloadType") != _IN_TOTO:
            continue
        message = pae(_IN_TOTO, body)
        signatures = envelope.get("signatures")
        for one in signatures[:20] if isinstance(signatures, list) else []:
            signature = _decoded(_mapping(one).get("sig"))
            key = signed_by(keys, signature, message) if signature is not None else ""
            if key:
                yield _mapping(_json(body)), key
                break


def _scanned_at(statement: Mapping[str, Any], digest: str) -> datetime | None:
    """When the scan of an image ended; None where a statement is no record of one, or of another image."""
    if statement.get("_type") not in _STATEMENTS or statement.get("predicateType") not in _SCANS:
        return None
    subjects = statement.get("subject")
    digests = [_mapping(_mapping(each).get("digest")).get("sha256") for each in subjects] if isinstance(subjects, list) else []
    if digest.removeprefix("sha256:") not in digests:
        return None
    text = _mapping(_mapping(statement.get("predicate")).get("metadata")).get("scanFinishedOn")
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


def _values(lines: bytes) -> Iterator[Mapping[str, Any]]:
    for line in lines.splitlines():
        found = _mapping(_json(line))
        if found:
            yield found


def _json(text: bytes) -> object:
    """A value; None where it is none, or could be read in two ways."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name is given twice")
    return dict(pairs)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _decoded(text: object) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (ValueError, binascii.Error):
        return None
