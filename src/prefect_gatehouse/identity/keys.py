"""Signing keys of people and deployments: OpenSSH Ed25519 files."""

from __future__ import annotations

import base64
import binascii
import struct
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prefect_gatehouse.errors import InputError, StorageError
from prefect_gatehouse.files import write_new
from prefect_gatehouse.identity.sshsig import fingerprint_of, read_public

_LIMIT = 8 * 1024  # an RSA key of 16,384 bits, the longest that is accepted, takes 2,800 characters


def generate_key(path: Path, comment: str) -> str:
    """Makes an Ed25519 key with mode 0600 and its ``.pub`` beside it; an existing key is never overwritten.

    Returns:
        The public line.

    Raises:
        InputError: There is a key already.
        StorageError: The file can't be written.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    public = f"{line} {' '.join(comment.split())}".strip()
    beside = path.with_name(path.name + ".pub")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if beside.exists():
            raise FileExistsError  # the private half may live in an authenticator
        write_new(path, private)
        beside.write_text(public + "\n")
    except FileExistsError:
        raise InputError("there is a key already", where=str(path), advice="use it, or name another file") from None
    except OSError as error:
        raise StorageError(f"the key can't be written: {error.strerror}", where=str(path)) from None
    return public


def public_line(path: Path) -> str:
    """The public line of a private key file.

    Raises:
        InputError: There is no such key.
    """
    try:
        return path.with_name(path.name + ".pub").read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise InputError("there is no signing key", where=str(path), advice="run: gatehouse init") from None


def parse_public(line: str) -> tuple[str, str, str]:
    """Type, base64 blob and fingerprint of a public line.

    Raises:
        InputError: The line is no OpenSSH public key of an accepted type.
    """
    parts = line.split()
    try:
        if len(line) > _LIMIT or len(line.strip().splitlines()) != 1:
            raise ValueError("not one line")
        blob = base64.b64decode(parts[1], validate=True)
        if read_public(blob).key_type != parts[0]:
            raise ValueError("another type than stated")
    except (IndexError, ValueError, binascii.Error, struct.error, UnsupportedAlgorithm):
        raise InputError(
            "this is no OpenSSH public key that is accepted",
            where="key",
            advice="give the .pub file of an Ed25519, ECDSA P-256, RSA (3072 bits or more) or FIDO key",
        ) from None
    return parts[0], base64.b64encode(blob).decode(), fingerprint_of(blob)


def fingerprint(line: str) -> str:
    """OpenSSH's SHA-256 fingerprint of a public line."""
    return parse_public(line)[2]
