"""Attestations as a FIDO authenticator and ssh-keygen make them, by a vendor of our own."""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from tests.identity.ssh_signatures import sk_blob, string

AAGUID = bytes(range(16))
NOW = datetime.now(UTC)
CHALLENGE = b"a challenge that nobody guesses"


def name(common: str, unit: str = "Authenticator Attestation") -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit), x509.NameAttribute(NameOID.COMMON_NAME, common)])


class Vendor:
    """A vendor with a root; ``device`` makes certificates of its authenticators."""

    def __init__(self, common: str = "Vendor Root") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(common, "CA")
        self.root = self._issued(self.name, self.key.public_key(), ca=True, after=NOW - timedelta(days=9), before=NOW + timedelta(days=9))

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    def device(
        self,
        *,
        unit: str = "Authenticator Attestation",
        ca: bool = False,
        aaguid: bytes = AAGUID,
        after: datetime = NOW - timedelta(days=2),
        before: datetime = NOW + timedelta(days=2),
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """A device's attestation key and certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        return key, self._issued(name("Device 7", unit), key.public_key(), ca=ca, after=after, before=before, aaguid=aaguid)

    def _issued(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool, after: datetime, before: datetime, aaguid: bytes = b""
    ) -> x509.Certificate:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key).serial_number(x509.random_serial_number())
        made = made.not_valid_before(after).not_valid_after(before).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if aaguid:
            oid = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
            made = made.add_extension(x509.UnrecognizedExtension(oid, b"\x04\x10" + aaguid), critical=False)
        return made.sign(self.key, hashes.SHA256())


def public_line(key: Ed25519PrivateKey, application: bytes = b"ssh:") -> str:
    return f"sk-ssh-ed25519@openssh.com {base64.b64encode(sk_blob(key, application)).decode()}"


def authenticator_data(
    key: Ed25519PrivateKey, *, application: bytes = b"ssh:", flags: int = 0x41, aaguid: bytes = AAGUID, more: bytes = b""
) -> bytes:
    """WebAuthn, section 6.1: whose it is, flags, counter, and the credential that was made."""
    cose = bytes.fromhex("a4010103272006215820") + key.public_key().public_bytes_raw()
    credential = aaguid + struct.pack(">H", 32) + bytes(32) + cose
    return hashlib.sha256(application).digest() + bytes([flags]) + struct.pack(">I", 5) + credential + more


def attestation(
    device: tuple[ec.EllipticCurvePrivateKey, x509.Certificate], signed: bytes, challenge: bytes = CHALLENGE, *, magic: bytes = b"ssh-sk-attest-v01"
) -> bytes:
    """What ssh-keygen -O write-attestation writes."""
    key, certificate = device
    signature = key.sign(signed + hashlib.sha256(challenge).digest(), ec.ECDSA(hashes.SHA256()))
    wrapped = (b"\x58" + struct.pack(">B", len(signed)) if len(signed) < 256 else b"\x59" + struct.pack(">H", len(signed))) + signed
    der = certificate.public_bytes(serialization.Encoding.DER)
    return string(magic) + string(der) + string(signature) + string(wrapped) + bytes(4) + string(b"")
