"""Signed heads of the ledger: C2SP tlog-checkpoint text in a C2SP signed note, Ed25519."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from prefect_gatehouse.errors import InputError, StorageError, Tampered
from prefect_gatehouse.files import write_new

_ED25519 = b"\x01"  # algorithm byte of the signed-note specification
_DASH = "\u2014"
_SIZE = re.compile("0|[1-9][0-9]{0,18}")  # decimal, no leading zero; 64 bits hold 19 digits


@dataclass(frozen=True)
class Head:
    """The ledger at a size: origin, number of events, Merkle root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The checkpoint's text: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


@dataclass(frozen=True)
class VerifierKey:
    """The public key that somebody who verifies must trust, as one line ``name+id+key``."""

    name: str
    public: bytes

    def line(self) -> str:
        """The signed note's verifier key."""
        return f"{self.name}+{_key_id(self.name, self.public).hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, line: str) -> VerifierKey:
        """Reads the line back.

        Raises:
            InputError: The line is no Ed25519 verifier key.
        """
        name, _, rest = line.strip().partition("+")
        ident, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raw = b""
        key = cls(name, raw[1:])
        if len(raw) != 33 or raw[:1] != _ED25519 or not name or ident != _key_id(name, raw[1:]).hex():
            raise InputError("this is no verifier key of a ledger", advice="give the one line of the file ledger.vkey")
        return key


def sign_head(head: Head, key: Ed25519PrivateKey) -> str:
    """The signed note of a head."""
    public = key.public_key().public_bytes_raw()
    signature = base64.b64encode(_key_id(head.origin, public) + key.sign(head.text().encode())).decode()
    return f"{head.text()}\n{_DASH} {head.origin} {signature}\n"


def open_note(note: str, trusted: VerifierKey) -> Head:
    """The head that a note states.

    Raises:
        Tampered: The note is malformed or not signed by the trusted key.
    """
    text, separator, signatures = note.partition("\n\n")
    lines = text.split("\n")
    if not separator or len(lines) != 3 or lines[0] != trusted.name or not _SIZE.fullmatch(lines[1]):
        raise Tampered("a signed head is malformed", where="ledger heads")
    body = (text + "\n").encode()
    prefix = f"{_DASH} {trusted.name} "
    for line in signatures.splitlines():
        if not line.startswith(prefix):
            continue
        try:
            blob = base64.b64decode(line[len(prefix) :], validate=True)
            root = base64.b64decode(lines[2], validate=True)
            if blob[:4] != _key_id(trusted.name, trusted.public):
                continue
            Ed25519PublicKey.from_public_bytes(trusted.public).verify(blob[4:], body)
        except (ValueError, InvalidSignature):
            continue
        return Head(lines[0], int(lines[1]), root)
    raise Tampered("a head is not signed by the trusted key", where="ledger heads", advice="compare ledger.vkey with the copy you trust")


def ledger_key(folder: Path, origin: str) -> tuple[Ed25519PrivateKey, VerifierKey]:
    """The ledger's signing key, made with mode 0600 when it is missing, and its public line in ``ledger.vkey``.

    Raises:
        StorageError: The key can't be written or read.
    """
    path, public = folder / "ledger.key", folder / "ledger.vkey"
    try:
        if not path.exists():
            with suppress(FileExistsError):  # another process was first; its key counts
                write_new(path, base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()) + b"\n")
        key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes()))
        verifier = VerifierKey(origin, key.public_key().public_bytes_raw())
        if not public.exists():
            with suppress(FileExistsError):
                write_new(public, verifier.line().encode() + b"\n", 0o644)
    except (OSError, ValueError):
        raise StorageError("the ledger's signing key can't be used", where=str(path), advice="restore it from its backup") from None
    return key, verifier
