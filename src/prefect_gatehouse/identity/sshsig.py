"""SSH signatures of files and messages: OpenSSH's PROTOCOL.sshsig, version 1, as ``ssh-keygen -Y sign`` and ``-Y verify`` speak it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from prefect_gatehouse.errors import Denied, InputError

NAMESPACE = "gatehouse"
_MAGIC = b"SSHSIG"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_ARMOUR = re.compile(rf"\s*{_BEGIN}([A-Za-z0-9+/=\s]+){_END}\s*".replace(" ", r"\s+"))
_LIMIT = 16 * 1024
_RSA_BITS = 3072  # NIST SP 800-57: 128 bits of security
_RSA_MOST = 16_384  # ssh-keygen makes none longer
# The y coordinates of the points of order 1, 2, 4 and 8 on edwards25519 (a test derives them): with such a public key anybody can
# sign anything, so that its owner could disown what was signed.
_P = 2**255 - 19
_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER = {0, 1, _P - 1, _ORDER_8, _P - _ORDER_8}
_TOUCHED, _VERIFIED = 0x01, 0x04  # flags of PROTOCOL.u2f
_CERTIFIED = "-cert-v01@openssh.com"
_KEY_STRINGS = {"ssh-ed25519": 1, "ecdsa-sha2-nistp256": 2, "ssh-rsa": 2}
"""How many strings a key of each type is within a certificate; one of an authenticator's key is not among them: `cryptography` reads none."""


@dataclass(frozen=True)
class VerifiedKey:
    """The key that made a valid signature.

    Attributes:
        fingerprint: ``SHA256:`` and the unpadded base64 of the key's hash, as ssh-keygen prints it.
        key_type: OpenSSH's name of the type.
        user_present: A FIDO key was touched.
        user_verified: A FIDO key asked for its PIN or a fingerprint.
        certificate: The certificate that came in place of the key, unread; empty where the key came itself.
    """

    fingerprint: str
    key_type: str
    user_present: bool = False
    user_verified: bool = False
    certificate: bytes = b""

    @property
    def fido(self) -> bool:
        """Whether the private key lives in an authenticator."""
        return self.key_type.startswith("sk-")

    @property
    def untouched(self) -> bool:
        """Whether an authenticator signed without anybody: any program of that machine could have asked it to, so it speaks for nobody."""
        return self.fido and not self.user_present


class Reader:
    """Reads RFC 4251 strings; whatever is short or left over is an error."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        """So many bytes."""
        if size > len(self._data):
            raise ValueError("truncated")
        head, self._data = self._data[:size], self._data[size:]
        return head

    def string(self) -> bytes:
        """A string with its length before it."""
        return self.take(struct.unpack(">I", self.take(4))[0])

    def end(self) -> None:
        """Nothing is left."""
        if self._data:
            raise ValueError("trailing bytes")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def fingerprint_of(blob: bytes) -> str:
    """OpenSSH's fingerprint of a public key blob."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _signed_data(namespace: str, algorithm: str, message: bytes) -> bytes:
    digest = hashlib.new(algorithm, message).digest()
    return _MAGIC + _string(namespace.encode()) + _string(b"") + _string(algorithm.encode()) + _string(digest)


def sign(private_key_path: Path, message: bytes, *, namespace: str = NAMESPACE, certificate: bytes = b"") -> str:
    """Signs a message with an unencrypted Ed25519 key in OpenSSH format.

    Args:
        private_key_path: The key.
        message: What is signed.
        namespace: What for.
        certificate: The key's certificate, which goes with the signature in place of the key.

    Returns:
        The armoured signature.

    Raises:
        InputError: The key is missing, encrypted or of another type.
    """
    try:
        key = serialization.load_ssh_private_key(private_key_path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError(
            "no usable signing key",
            where=str(private_key_path),
            advice="name an unencrypted Ed25519 key with GATEHOUSE_IDENTITY, make one with gatehouse init, or paste what ssh-keygen -Y sign makes",
        )
    blob = _string(b"ssh-ed25519") + _string(key.public_key().public_bytes_raw())
    raw = key.sign(_signed_data(namespace, "sha512", message))
    signature = _string(b"ssh-ed25519") + _string(raw)
    public = certificate or blob
    body = _MAGIC + struct.pack(">I", 1) + _string(public) + _string(namespace.encode()) + _string(b"") + _string(b"sha512") + _string(signature)
    text = base64.b64encode(body).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join([_BEGIN, *lines, _END, ""])


def verify(armoured: str, message: bytes, *, namespace: str = NAMESPACE, certified: bool = False) -> VerifiedKey:
    """Checks a signature and says whose key made it; whether that key may speak for anybody is the registry's to say.

    Args:
        armoured: The signature; white space may have been changed by a text field.
        message: The bytes that should have been signed.
        namespace: The namespace that should have been signed for.
        certified: Whether a certificate may stand in place of the key; whoever says so has to judge it: identity/methods/certificate.py.

    Raises:
        Denied: The signature is malformed, weak, of another namespace or not of this message.
    """
    try:
        reader = Reader(_unarmoured(armoured))
        if reader.take(6) != _MAGIC or reader.take(4) != b"\0\0\0\1":
            raise ValueError("not an SSH signature")
        blob, stated, reserved, algorithm = reader.string(), reader.string(), reader.string(), reader.string()
        signature = reader.string()
        reader.end()
        if stated != namespace.encode() or reserved:
            raise ValueError("another namespace")
        if algorithm not in (b"sha512", b"sha256"):
            raise ValueError("unknown hash")
        data = _signed_data(namespace, algorithm.decode(), message)
        if certified and is_certificate(blob):
            return replace(_check(certified_key(blob), signature, data), certificate=blob)
        return _check(blob, signature, data)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, struct.error):
        raise Denied(
            "the SSH signature is not a valid signature of this statement",
            where="proof",
            advice="sign exactly the statement shown, with -n gatehouse",
        ) from None


def is_certificate(blob: bytes) -> bool:
    """Whether a blob says that it is a certificate of an accepted type of key.

    Raises:
        ValueError: It is no blob.
    """
    kind = Reader(blob).string().decode("ascii")
    return kind.endswith(_CERTIFIED) and kind.removesuffix(_CERTIFIED) in _KEY_STRINGS


def certified_key(blob: bytes) -> bytes:
    """The blob of the key that a certificate is of (OpenSSH's PROTOCOL.certkeys: type, nonce, the key's own strings).

    Raises:
        ValueError: It is no certificate of an accepted type of key.
    """
    if not is_certificate(blob):
        raise ValueError("no certificate")
    reader = Reader(blob)
    kind = reader.string().decode("ascii").removesuffix(_CERTIFIED)
    reader.string()
    return _string(kind.encode()) + b"".join(_string(reader.string()) for _ in range(_KEY_STRINGS[kind]))


def _unarmoured(armoured: str) -> bytes:
    if len(armoured) > _LIMIT:
        raise ValueError("too long")
    match = _ARMOUR.fullmatch(armoured)
    if match is None:
        raise ValueError("no armour")
    text = re.sub(r"\s+", "", match[1])
    try:
        body = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if base64.b64encode(body).decode() != text:
        raise ValueError("unused bits are set")  # two texts of one signature would be two signatures in the ledger
    return body


@dataclass(frozen=True)
class PublicKey:
    """A public key of an accepted type and strength.

    Attributes:
        key_type: OpenSSH's name of the type.
        key: The key itself.
        application: A FIDO key's relying party, None for other keys.
    """

    key_type: str
    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    application: bytes | None = None


def read_public(blob: bytes) -> PublicKey:
    """Reads a public key blob (RFC 4253 section 6.6, RFC 5656, RFC 8709, OpenSSH's PROTOCOL.u2f).

    Raises:
        ValueError: The blob is malformed, of an unknown type, or the key is weak.
    """
    reader = Reader(blob)
    key_type = reader.string().decode("ascii")
    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    if key_type in ("ssh-ed25519", "sk-ssh-ed25519@openssh.com"):
        point = reader.string()
        if int.from_bytes(point, "little") % 2**255 % _P in _SMALL_ORDER:
            raise ValueError("weak key")
        key = ed25519.Ed25519PublicKey.from_public_bytes(point)
    elif key_type in ("ecdsa-sha2-nistp256", "sk-ecdsa-sha2-nistp256@openssh.com"):
        if reader.string() != b"nistp256":
            raise ValueError("unknown curve")
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), reader.string())
    elif key_type == "ssh-rsa":
        exponent, modulus = (int.from_bytes(reader.string(), "big") for _ in range(2))
        if not _RSA_BITS <= modulus.bit_length() <= _RSA_MOST or exponent.bit_length() > 64:
            raise ValueError("weak key")
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    else:
        raise ValueError("unknown key type")
    application = reader.string() if key_type.startswith("sk-") else None
    reader.end()
    return PublicKey(key_type, key, application)


def _check(blob: bytes, signature: bytes, data: bytes) -> VerifiedKey:
    public, outer = read_public(blob), Reader(signature)
    algorithm, raw = outer.string().decode("ascii"), outer.string()
    flags = 0
    if public.application is not None:
        flags, counter = outer.take(1)[0], outer.take(4)
        data = hashlib.sha256(public.application).digest() + bytes([flags]) + counter + hashlib.sha256(data).digest()
    outer.end()
    if isinstance(public.key, rsa.RSAPublicKey):
        scheme = {"rsa-sha2-512": hashes.SHA512(), "rsa-sha2-256": hashes.SHA256()}.get(algorithm)
        if scheme is None:
            raise ValueError("unknown algorithm")
        public.key.verify(raw, data, padding.PKCS1v15(), scheme)
    elif algorithm != public.key_type:
        raise ValueError("algorithm and key differ")
    elif isinstance(public.key, ed25519.Ed25519PublicKey):
        public.key.verify(raw, data)
    else:
        parts = Reader(raw)
        r, s = (int.from_bytes(parts.string(), "big") for _ in range(2))
        parts.end()
        public.key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
    return VerifiedKey(fingerprint_of(blob), public.key_type, bool(flags & _TOUCHED), bool(flags & _VERIFIED))
