"""SSH signatures of files and messages: OpenSSH's PROTOCOL.sshsig, version 1, as ``ssh-keygen -Y sign`` and ``-Y verify`` speak it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from prefect_gatehouse.errors import Denied, InputError

NAMESPACE = "gatehouse"
_MAGIC = b"SSHSIG"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_LIMIT = 16 * 1024
_RSA_BITS = 3072  # NIST SP 800-57: 128 bits of security
_TOUCHED, _VERIFIED = 0x01, 0x04  # flags of PROTOCOL.u2f


@dataclass(frozen=True)
class VerifiedKey:
    """The key that made a valid signature.

    Attributes:
        fingerprint: ``SHA256:`` and the unpadded base64 of the key's hash, as ssh-keygen prints it.
        key_type: OpenSSH's name of the type.
        user_present: A FIDO key was touched.
        user_verified: A FIDO key asked for its PIN or a fingerprint.
    """

    fingerprint: str
    key_type: str
    user_present: bool = False
    user_verified: bool = False

    @property
    def fido(self) -> bool:
        """Whether the private key lives in an authenticator."""
        return self.key_type.startswith("sk-")


class _Reader:
    """Reads RFC 4251 strings; whatever is short or left over is an error."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        if size > len(self._data):
            raise ValueError("truncated")
        head, self._data = self._data[:size], self._data[size:]
        return head

    def string(self) -> bytes:
        return self.take(struct.unpack(">I", self.take(4))[0])

    def end(self) -> None:
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


def sign(private_key_path: Path, message: bytes, *, namespace: str = NAMESPACE) -> str:
    """Signs a message with an unencrypted Ed25519 key in OpenSSH format.

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
            advice="give an unencrypted Ed25519 key, or sign with ssh-keygen -Y sign and paste the signature",
        )
    blob = _string(b"ssh-ed25519") + _string(key.public_key().public_bytes_raw())
    raw = key.sign(_signed_data(namespace, "sha512", message))
    signature = _string(b"ssh-ed25519") + _string(raw)
    body = _MAGIC + struct.pack(">I", 1) + _string(blob) + _string(namespace.encode()) + _string(b"") + _string(b"sha512") + _string(signature)
    text = base64.b64encode(body).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join([_BEGIN, *lines, _END, ""])


def verify(armoured: str, message: bytes, *, namespace: str = NAMESPACE) -> VerifiedKey:
    """Checks a signature and says whose key made it; whether that key may speak for anybody is the registry's to say.

    Args:
        armoured: The signature; white space may have been changed by a text field.
        message: The bytes that should have been signed.
        namespace: The namespace that should have been signed for.

    Raises:
        Denied: The signature is malformed, weak, of another namespace or not of this message.
    """
    try:
        reader = _Reader(_unarmoured(armoured))
        if reader.take(6) != _MAGIC or reader.take(4) != b"\0\0\0\1":
            raise ValueError("not an SSH signature")
        blob, stated, reserved, algorithm = reader.string(), reader.string(), reader.string(), reader.string()
        signature = reader.string()
        reader.end()
        if stated != namespace.encode() or reserved:
            raise ValueError("another namespace")
        if algorithm not in (b"sha512", b"sha256"):
            raise ValueError("unknown hash")
        return _check(blob, signature, _signed_data(namespace, algorithm.decode(), message))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, struct.error):
        raise Denied(
            "the SSH signature is not a valid signature of this statement",
            where="proof",
            advice="sign exactly the statement shown, with -n gatehouse",
        ) from None


def _unarmoured(armoured: str) -> bytes:
    if len(armoured) > _LIMIT:
        raise ValueError("too long")
    match = re.fullmatch(rf"\s*{_BEGIN}([A-Za-z0-9+/=\s]+){_END}\s*", armoured)
    if match is None:
        raise ValueError("no armour")
    try:
        return base64.b64decode(re.sub(r"\s+", "", match[1]), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def _check(blob: bytes, signature: bytes, data: bytes) -> VerifiedKey:
    key, outer = _Reader(blob), _Reader(signature)
    key_type, algorithm, raw = key.string().decode("ascii"), outer.string().decode("ascii"), outer.string()
    fingerprint = fingerprint_of(blob)
    flags = 0
    if key_type.startswith("sk-"):
        flags = outer.take(1)[0]
        counter = outer.take(4)
        point = key.string() if "ecdsa" not in key_type else None
        if point is None:
            key.string()  # the curve's name, which the key type implies
            point = key.string()
        application = key.string()
        data = hashlib.sha256(application).digest() + bytes([flags]) + counter + hashlib.sha256(data).digest()
        _check_sk(key_type, algorithm, point, raw, data)
    else:
        _check_plain(key_type, algorithm, key, raw, data)
    key.end()
    outer.end()
    return VerifiedKey(fingerprint, key_type, bool(flags & _TOUCHED), bool(flags & _VERIFIED))


def _check_sk(key_type: str, algorithm: str, point: bytes, raw: bytes, data: bytes) -> None:
    if algorithm != key_type:
        raise ValueError("algorithm and key differ")
    if key_type == "sk-ssh-ed25519@openssh.com":
        ed25519.Ed25519PublicKey.from_public_bytes(point).verify(raw, data)
    elif key_type == "sk-ecdsa-sha2-nistp256@openssh.com":
        _check_p256(point, raw, data)
    else:
        raise ValueError("unknown key type")


def _check_plain(key_type: str, algorithm: str, key: _Reader, raw: bytes, data: bytes) -> None:
    if key_type == "ssh-ed25519" and algorithm == key_type:
        ed25519.Ed25519PublicKey.from_public_bytes(key.string()).verify(raw, data)
    elif key_type == "ecdsa-sha2-nistp256" and algorithm == key_type:
        if key.string() != b"nistp256":
            raise ValueError("unknown curve")
        _check_p256(key.string(), raw, data)
    elif key_type == "ssh-rsa" and algorithm in ("rsa-sha2-512", "rsa-sha2-256"):
        exponent, modulus = (int.from_bytes(key.string(), "big") for _ in range(2))
        if modulus.bit_length() < _RSA_BITS:
            raise ValueError("weak key")
        scheme = hashes.SHA512() if algorithm == "rsa-sha2-512" else hashes.SHA256()
        rsa.RSAPublicNumbers(exponent, modulus).public_key().verify(raw, data, padding.PKCS1v15(), scheme)
    else:
        raise ValueError("unknown key type")


def _check_p256(point: bytes, raw: bytes, data: bytes) -> None:
    parts = _Reader(raw)
    r, s = (int.from_bytes(parts.string(), "big") for _ in range(2))
    parts.end()
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    public.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
