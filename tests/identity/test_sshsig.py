"""SSH signatures: the same as ssh-keygen's in both directions, with and without an authenticator."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from tests.identity.ssh_signatures import (
    BEGIN,
    END,
    KEY,
    KINDS,
    MESSAGE,
    armour,
    keygen,
    plain,
    plain_blob,
    signature,
    sk_blob,
    sk_signature,
    string,
    to_sign,
)

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.identity.sshsig import NAMESPACE, fingerprint_of, sign, verify


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hashed", ["sha512", "sha256"])
def test_signed_by_ssh_keygen(keys: Path, kind: str, hashed: str) -> None:
    """A signature of ssh-keygen verifies here, and the fingerprint is the one that ssh-keygen prints."""
    made = keygen("-Y", "sign", "-q", "-f", str(keys / kind), "-n", NAMESPACE, "-O", f"hashalg={hashed}", data=MESSAGE)
    found = verify(made.stdout.decode(), MESSAGE)
    printed = keygen("-l", "-f", str(keys / f"{kind}.pub")).stdout.decode().split()[1]
    assert found.fingerprint == printed == fingerprint((keys / f"{kind}.pub").read_text())
    assert not found.fido and not found.user_present and not found.user_verified
    with pytest.raises(Denied):
        verify(made.stdout.decode(), MESSAGE + b"\n")


def test_verified_by_ssh_keygen(tmp_path: Path) -> None:
    """Our key file and our signature satisfy ssh-keygen; a changed message and another namespace do not."""
    line = generate_key(tmp_path / "id", "who@example.org")
    (tmp_path / "signature").write_text(sign(tmp_path / "id", MESSAGE))
    (tmp_path / "allowed").write_text(f'who@example.org namespaces="gatehouse" {line}\n')
    words = ("-Y", "verify", "-f", str(tmp_path / "allowed"), "-I", "who@example.org", "-s", str(tmp_path / "signature"), "-n")
    assert keygen(*words, NAMESPACE, data=MESSAGE).returncode == 0
    assert keygen(*words, NAMESPACE, data=MESSAGE + b" ").returncode != 0
    assert keygen(*words, "file", data=MESSAGE).returncode != 0
    assert keygen("-y", "-f", str(tmp_path / "id")).stdout.decode().split()[:2] == line.split()[:2]


def test_ed25519_signatures_are_byte_for_byte_ssh_keygens(tmp_path: Path) -> None:
    """Ed25519 is deterministic: both write the same armour, line breaks included."""
    generate_key(tmp_path / "id", "")
    theirs = keygen("-Y", "sign", "-q", "-f", str(tmp_path / "id"), "-n", NAMESPACE, data=MESSAGE).stdout.decode()
    assert sign(tmp_path / "id", MESSAGE) == theirs


def test_namespaces_are_apart(keys: Path) -> None:
    """A signature for git or a file is none for Gatehouse, whoever made it, and the other way round."""
    for other in ("git", "file", "gatehouse2", "Gatehouse", "gatehouse\0", ""):
        with pytest.raises(Denied):
            verify(plain(namespace=other.encode()), MESSAGE)
        with pytest.raises(Denied):
            verify(plain(), MESSAGE, namespace=other or "x")
    git = keygen("-Y", "sign", "-q", "-f", str(keys / "ed25519"), "-n", "git", data=MESSAGE).stdout.decode()
    with pytest.raises(Denied):
        verify(git, MESSAGE)
    assert verify(git, MESSAGE, namespace="git").key_type == "ssh-ed25519"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", " "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\n\n  " + text.replace("\n", "\n   ") + "\t\n",
        lambda text: text.replace(BEGIN + "\n", BEGIN).replace("\n" + END, END),
        lambda text: armour(base64.b64decode("".join(text.split("\n")[1:-2])), 12),
    ],
)
def test_white_space_that_a_text_field_changes(change: Callable[[str], str]) -> None:
    """What a browser does to line ends does not matter."""
    assert verify(change(plain()), MESSAGE).fingerprint == fingerprint_of(plain_blob())


# FIDO: keys in an authenticator. Built by PROTOCOL.u2f, since no authenticator is at hand.


@pytest.mark.parametrize(
    ("flags", "present", "verified"), [(0, False, False), (1, True, False), (4, False, True), (5, True, True), (0x85, True, True)]
)
def test_flags_of_an_authenticator(flags: int, present: bool, verified: bool) -> None:
    """Touch and user verification are told apart, as the signed flags say."""
    found = verify(sk_signature(flags), MESSAGE)
    assert (found.fido, found.user_present, found.user_verified) == (True, present, verified)


def test_ssh_keygen_accepts_the_same_fido_signature(tmp_path: Path) -> None:
    """Our construction of FIDO signatures is the real one: ssh-keygen verifies it, and it accepts an untouched key, which is why we look."""
    blob = base64.b64encode(sk_blob()).decode()
    (tmp_path / "allowed").write_text(f"who sk-ssh-ed25519@openssh.com {blob}\n")
    words = ("-Y", "verify", "-f", str(tmp_path / "allowed"), "-I", "who", "-n", NAMESPACE, "-s")
    for flags in (0, 1, 5):
        (tmp_path / "signature").write_text(sk_signature(flags))
        assert keygen(*words, str(tmp_path / "signature"), data=MESSAGE).returncode == 0
    (tmp_path / "signature").write_text(sk_signature(1, stated=5))
    assert keygen(*words, str(tmp_path / "signature"), data=MESSAGE).returncode != 0


def test_flags_changed_after_signing() -> None:
    """Touch that was added to the signature is not believed."""
    for flags, stated in ((0, 1), (1, 5), (0, 5), (5, 4)):
        with pytest.raises(Denied):
            verify(sk_signature(flags, stated=stated), MESSAGE)


def test_signature_for_another_relying_party() -> None:
    """A signature that the authenticator made for a web page, over the same bytes, is none of the SSH key."""
    with pytest.raises(Denied):
        verify(sk_signature(5, application=b"https://example.org"), MESSAGE)


def test_plain_signature_passed_off_as_fido() -> None:
    """A software signature in a FIDO envelope, and a FIDO one in a plain envelope, are refused."""
    raw = KEY.sign(to_sign(MESSAGE))
    for blob, inner in (
        (sk_blob(), string(b"ssh-ed25519") + string(raw)),
        (sk_blob(), string(b"sk-ssh-ed25519@openssh.com") + string(raw) + struct.pack(">BI", 5, 7)),
        (plain_blob(), string(b"sk-ssh-ed25519@openssh.com") + string(raw) + struct.pack(">BI", 5, 7)),
        (plain_blob(), string(b"ssh-ed25519") + string(raw) + struct.pack(">BI", 5, 7)),
    ):
        with pytest.raises(Denied):
            verify(signature(blob, inner), MESSAGE)


def test_ecdsa_in_an_authenticator() -> None:
    """The other FIDO key type, with its two integers, verifies and shows its flags."""
    key = ec.derive_private_key(12345, ec.SECP256R1())
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    kind = b"sk-ecdsa-sha2-nistp256@openssh.com"
    blob = string(kind) + string(b"nistp256") + string(point) + string(b"ssh:")
    signed = hashlib.sha256(b"ssh:").digest() + struct.pack(">BI", 5, 1) + hashlib.sha256(to_sign(MESSAGE)).digest()
    numbers = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    raw = b"".join(string(number.to_bytes(33, "big")) for number in numbers)
    found = verify(signature(blob, string(kind) + string(raw) + struct.pack(">BI", 5, 1)), MESSAGE)
    assert (found.fido, found.user_present, found.user_verified) == (True, True, True)


# Attacks on the format.
