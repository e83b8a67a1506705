"""Keys, signatures and records of scans of an image, as cosign and its scanners make them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from prefect_gatehouse.identity.dsse import pae

IMAGE, OTHER = f"sha256:{'5' * 64}", f"sha256:{'6' * 64}"
VULN = "https://cosign.sigstore.dev/attestation/vuln/v1"
IN_TOTO = "application/vnd.in-toto+json"


class Keys:
    """A pair of keys, as ``cosign generate-key-pair`` makes one."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        public = self._private.public_key()
        self.public = self.written(public)
        self.pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    @staticmethod
    def written(key: ec.EllipticCurvePublicKey) -> str:
        return base64.b64encode(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()

    def sign(self, message: bytes) -> str:
        return base64.b64encode(self._private.sign(message, ec.ECDSA(hashes.SHA256()))).decode()


def simple(image: str, kind: str = "cosign container image signature") -> str:
    """A payload of simple signing."""
    named = {"docker-reference": "registry.example.com/worker"}
    return json.dumps({"critical": {"identity": named, "image": {"docker-manifest-digest": image}, "type": kind}, "optional": None})


def signature(keys: Keys, image: str = IMAGE, *, shown: str = "", payload: str = "", **kind: str) -> bytes:
    """A line of ``cosign download signature``; ``shown`` is the image of the payload that goes with it."""
    payload = payload or simple(image, **kind)
    written = base64.b64encode((simple(shown) if shown else payload).encode()).decode()
    return json.dumps({"Base64Signature": keys.sign(payload.encode()), "Payload": written, "Cert": None, "Chain": None, "Bundle": None}).encode()


def statement(at: datetime, image: str = IMAGE, kind: str = VULN) -> dict[str, Any]:
    """A record of a scan that ended at a time."""
    times = {"scanStartedOn": at.isoformat(), "scanFinishedOn": at.isoformat().replace("+00:00", "Z")}
    scanner = {"uri": "pkg:github/aquasecurity/trivy@0.50.0", "version": "0.50.0", "db": {"uri": "", "version": ""}, "result": {"Results": []}}
    return {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": kind,
        "subject": [{"name": "registry.example.com/worker", "digest": {"sha256": image.removeprefix("sha256:")}}],
        "predicate": {"invocation": {"parameters": None}, "scanner": scanner, "metadata": times},
    }


def envelope(keys: Keys, said: Mapping[str, Any], *, signed_as: str = IN_TOTO, shown: Mapping[str, Any] | None = None) -> bytes:
    """A line of ``cosign download attestation``; ``shown`` is the statement that goes with the signature."""
    body = json.dumps(said).encode()
    sig = keys.sign(pae(signed_as, body))
    payload = base64.b64encode(json.dumps(shown).encode() if shown is not None else body).decode()
    return json.dumps({"payloadType": IN_TOTO, "payload": payload, "signatures": [{"keyid": "", "sig": sig}]}).encode()


def attestation(keys: Keys, at: datetime, image: str = IMAGE, **kind: str) -> bytes:
    """The same of a scan that ended at a time."""
    return envelope(keys, statement(at, image, **kind))
