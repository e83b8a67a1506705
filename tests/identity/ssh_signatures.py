"""SSH signatures put together by hand, and by ssh-keygen: what the tests of them compare."""

from __future__ import annotations

import base64
import hashlib
import shutil
import struct
import subprocess

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.services import unavailable

MESSAGE = b'{"action":"approve","plan_digest":"00ff"}'
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


def string(data: bytes) -> bytes:
    """An RFC 4251 string."""
    return struct.pack(">I", len(data)) + data


def to_sign(message: bytes, namespace: bytes = b"gatehouse", algorithm: bytes = b"sha512") -> bytes:
    """What PROTOCOL.sshsig signs."""
    return b"SSHSIG" + string(namespace) + string(b"") + string(algorithm) + string(hashlib.new(algorithm.decode(), message).digest())


def armour(body: bytes, width: int = 70) -> str:
    """The text form."""
    text = base64.b64encode(body).decode()
    return "\n".join([BEGIN, *(text[start : start + width] for start in range(0, len(text), width)), END, ""])


def signature(
    blob: bytes,
    inner: bytes,
    *,
    namespace: bytes = b"gatehouse",
    algorithm: bytes = b"sha512",
    version: int = 1,
    reserved: bytes = b"",
    tail: bytes = b"",
) -> str:
    """A signature from its parts."""
    fields = string(blob) + string(namespace) + string(reserved) + string(algorithm) + string(inner)
    return armour(b"SSHSIG" + struct.pack(">I", version) + fields + tail)


def plain_blob(key: Ed25519PrivateKey = KEY) -> bytes:
    """Public blob of an Ed25519 key."""
    return string(b"ssh-ed25519") + string(key.public_key().public_bytes_raw())


def plain(message: bytes = MESSAGE, key: Ed25519PrivateKey = KEY, **parts: bytes) -> str:
    """An Ed25519 signature, made here."""
    raw = key.sign(to_sign(message, parts.get("namespace", b"gatehouse"), parts.get("algorithm", b"sha512")))
    return signature(plain_blob(key), string(b"ssh-ed25519") + string(raw), **parts)  # type: ignore[arg-type]


def keygen(*words: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs the real ssh-keygen."""
    if shutil.which("ssh-keygen") is None:
        unavailable("no ssh-keygen")
    return subprocess.run(["ssh-keygen", *words], input=data, capture_output=True, check=False)


KINDS = {"ed25519": ("ed25519", "0"), "ecdsa": ("ecdsa", "256"), "rsa": ("rsa", "3072")}


def sk_blob(key: Ed25519PrivateKey = KEY, application: bytes = b"ssh:") -> bytes:
    """Public blob of an sk-ssh-ed25519 key."""
    return string(b"sk-ssh-ed25519@openssh.com") + string(key.public_key().public_bytes_raw()) + string(application)


def sk_signature(
    flags: int,
    *,
    message: bytes = MESSAGE,
    key: Ed25519PrivateKey = KEY,
    application: bytes = b"ssh:",
    stated: int | None = None,
    namespace: bytes = b"gatehouse",
) -> str:
    """A signature as an authenticator makes it; ``stated`` are flags that are written instead of the signed ones."""
    signed = hashlib.sha256(application).digest() + struct.pack(">BI", flags, 7) + hashlib.sha256(to_sign(message, namespace)).digest()
    inner = string(b"sk-ssh-ed25519@openssh.com") + string(key.sign(signed)) + struct.pack(">BI", flags if stated is None else stated, 7)
    return signature(sk_blob(key), inner, namespace=namespace)


def inner_of(key: Ed25519PrivateKey = KEY) -> bytes:
    return string(b"ssh-ed25519") + string(key.sign(to_sign(MESSAGE)))


def rsa_blob(bits: int, exponent: int = 65537) -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    modulus = key.public_key().public_numbers().n
    return key, string(b"ssh-rsa") + string(exponent.to_bytes(3, "big")) + string(b"\0" + modulus.to_bytes(bits // 8, "big"))
