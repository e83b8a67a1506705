"""Signatures that machines make with a key of the curve P-256, as cosign does: over a payload, or over a DSSE envelope's (DSSE protocol 1.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def pae(payload_type: str, body: bytes) -> bytes:
    """What is signed of an envelope: its type and its body, each with its length, so that neither is read as a part of the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def one_line(key: str) -> str:
    """A public key as base64 of its SubjectPublicKeyInfo, from that or from PEM.

    Raises:
        ValueError: It is no public key of the curve P-256.
    """
    lines = [line.strip() for line in key.strip().splitlines()]
    body = "".join(line for line in lines if not line.startswith("-----"))
    try:
        blob = base64.b64decode(body, validate=True)
        public = serialization.load_der_public_key(blob)
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise ValueError("no public key") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise ValueError("no key of the curve P-256")
    # Written anew: a key that can be spelled in two ways would be two keys.
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(spki).decode()


def name_of(key: str) -> str:
    """How a key is called: ``sha256:`` and the hash of its SubjectPublicKeyInfo."""
    return f"sha256:{hashlib.sha256(base64.b64decode(key)).hexdigest()}"


def signed_by(keys: Iterable[str], signature: bytes, message: bytes) -> str:
    """The name of the key that has signed a message with ECDSA and SHA-256; empty where none of them has.

    Args:
        keys: As of ``one_line``.
        signature: ASN.1, as RFC 3279 section 2.2.3 has it.
        message: The bytes.
    """
    for key in keys:
        public = serialization.load_der_public_key(base64.b64decode(key))
        assert isinstance(public, ec.EllipticCurvePublicKey)  # one_line took it
        try:
            public.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            continue
        return name_of(key)
    return ""
