"""What is signed about an image: whose word it is, about which image, and how old it is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from tests.support.images import IMAGE, OTHER, Keys, attestation, envelope, signature, statement

from prefect_gatehouse.identity.dsse import name_of, one_line, pae, signed_by
from prefect_gatehouse.policy.images import is_digest, scan_of, signature_of

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
MONTH = timedelta(days=30)
BUILD, SCANNER, STRANGER = Keys(), Keys(), Keys()


def test_the_vector_of_the_specification() -> None:
    """DSSE's own example (protocol.md, Test Vectors): the encoding, the key, the signature; and nothing else is what was signed."""
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    raw = base64.b64decode("A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==")
    made = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = Keys.written(ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())
    message = pae("http://example.com/HelloWorld", b"hello world")
    assert message == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert signed_by([public], made, message) == name_of(public)
    assert signed_by([public], made, b"hello world") == ""
    assert signed_by([public], raw, message) == ""
    assert signed_by([BUILD.public], made, message) == ""


def test_a_key_is_one_key_however_it_is_written() -> None:
    """PEM, its body in one line, and lines with blanks around them; another curve, an RSA key and a text are none."""
    assert one_line(BUILD.pem) == one_line(BUILD.public) == one_line(BUILD.pem.replace("\n", "\n  ")) == BUILD.public
    other = Keys.written(ec.generate_private_key(ec.SECP384R1()).public_key())
    for text in (other, "", "MFkw", "no key", BUILD.public[:-4]):
        with pytest.raises(ValueError, match="no "):
            one_line(text)


SIGNATURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "none": (lambda: b"", "no signature of it"),
    "no JSON": (lambda: b"\xff\n{]\n[1]\n" + b"[" * 100_000, "no signature of it"),
    "another key's": (lambda: signature(STRANGER), "by a key of the bundle's"),
    "of another image": (lambda: signature(BUILD, OTHER), "another image"),
    "of another kind": (lambda: signature(BUILD, kind="atomic container signature"), "another image"),
    "its payload changed": (lambda: signature(BUILD, OTHER, shown=IMAGE), "by a key of the bundle's"),
    "an image named twice": (
        lambda: signature(BUILD, payload=json.dumps({"critical": 0})[:-1] + f', "critical": {{"image": {{"docker-manifest-digest": "{IMAGE}"}}}}}}'),
        "another image",
    ),
    "an attestation's": (lambda: attestation(BUILD, NOW), "no signature of it"),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_signs_no_image(name: str) -> None:
    """It counts for nothing, and does not keep the right one behind it from counting."""
    made, why = SIGNATURES[name]
    assert why in signature_of(IMAGE, made(), [BUILD.public]).missing
    found = signature_of(IMAGE, made() + b"\n" + signature(BUILD), [SCANNER.public, BUILD.public])
    assert (found.key, found.missing) == (name_of(BUILD.public), "")
    assert "image_signers" in signature_of(IMAGE, signature(BUILD), []).missing


def changed(**change: Any) -> bytes:
    return envelope(SCANNER, statement(NOW) | change)


SCANS: dict[str, tuple[Callable[[], bytes], str]] = {
    "none": (lambda: b"{}\nnothing\n", "no record of a scan"),
    "another key's": (lambda: attestation(STRANGER, NOW), "no record of a scan"),
    "of another image": (lambda: attestation(SCANNER, NOW, OTHER), "no record of a scan"),
    "of another kind": (lambda: changed(predicateType="https://slsa.dev/provenance/v1"), "no record of a scan"),
    "no statement": (lambda: changed(_type="x"), "no record of a scan"),
    "without a time": (lambda: changed(predicate={"metadata": {}}), "no record of a scan"),
    "a time without a zone": (lambda: changed(predicate={"metadata": {"scanFinishedOn": "2026-11-29T11:00:00"}}), "no record of a scan"),
    "no subject": (lambda: changed(subject="x"), "no record of a scan"),
    "another type signed": (lambda: envelope(SCANNER, statement(NOW), signed_as="text/plain"), "no record of a scan"),
    "a payload exchanged": (lambda: envelope(SCANNER, statement(NOW - 2 * MONTH), shown=statement(NOW)), "no record of a scan"),
    "from the future": (lambda: attestation(SCANNER, NOW + timedelta(minutes=6)), "from the future"),
    "too old": (lambda: attestation(SCANNER, NOW - MONTH - timedelta(seconds=1)), "more than 30 days ago"),
}


@pytest.mark.parametrize("name", SCANS)
def test_what_is_no_scan(name: str) -> None:
    """It counts for nothing, and does not keep the right one behind it from counting."""
    made, why = SCANS[name]
    assert why in scan_of(IMAGE, made(), [SCANNER.public], MONTH, NOW).missing
    found = scan_of(IMAGE, made() + b"\n" + attestation(SCANNER, NOW - MONTH), [SCANNER.public], MONTH, NOW)
    assert (found.key, found.at, found.missing) == (name_of(SCANNER.public), NOW - MONTH, "")
    assert "image_scanners" in scan_of(IMAGE, made(), [], MONTH, NOW).missing


def test_the_newest_scan_counts() -> None:
    """Also in a sigstore bundle, and by in-toto's own predicate; how old it is does not matter where nobody asks."""
    old, new = attestation(SCANNER, NOW - 3 * MONTH), attestation(SCANNER, NOW - timedelta(days=1), kind="https://in-toto.io/attestation/vulns/v0.1")
    bundled = json.dumps({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": json.loads(new)}).encode()
    for lines in (old + b"\n" + bundled, bundled + b"\n" + old):
        assert scan_of(IMAGE, lines, [SCANNER.public], MONTH, NOW).at == NOW - timedelta(days=1)
    assert scan_of(IMAGE, old, [SCANNER.public], None, NOW).missing == ""


def test_digests() -> None:
    """SHA-256 in full and nothing else: a tag is moved by whoever may push."""
    assert is_digest(IMAGE)
    for text in ("", "latest", IMAGE.upper(), IMAGE[:-1], f"{IMAGE}\n", IMAGE.removeprefix("sha256:"), f"registry.example.com/worker@{IMAGE}"):
        assert not is_digest(text)
