"""Signed heads: the C2SP signed-note and tlog-checkpoint formats."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import InputError, StorageError, Tampered
from prefect_gatehouse.ledger.note import Head, VerifierKey, ledger_key, open_note, sign_head

# The key pair that golang.org/x/mod/sumdb/note is documented and tested with; Go's checksum database and key of 2019.
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SIGNER_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
SUMDB_VERIFIER = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = VerifierKey("gatehouse-ledger", KEY.public_key().public_bytes_raw())
HEAD = Head("gatehouse-ledger", 42, hashlib.sha256(b"root").digest())


def test_published_keys_of_other_implementations_are_read_and_written_back() -> None:
    """Name, key id and key of Go's verifier keys come out as published, and the seed belongs to its key."""
    for line in (GO_VERIFIER, SUMDB_VERIFIER):
        assert VerifierKey.parse(line + "\n").line() == line
    seed = base64.b64decode(GO_SIGNER_SEED)
    assert seed[:1] == b"\x01"
    assert VerifierKey("PeterNeumann", Ed25519PrivateKey.from_private_bytes(seed[1:]).public_key().public_bytes_raw()).line() == GO_VERIFIER


def test_a_note_is_what_the_specifications_say() -> None:
    """Read with nothing but the specification: three lines, an empty one, em dash, name, key id and signature over the text."""
    note = sign_head(HEAD, KEY)
    text, _, signatures = note.rpartition("\n\n")
    assert text + "\n" == f"gatehouse-ledger\n42\n{base64.b64encode(HEAD.root).decode()}\n"
    dash, name, blob = signatures.removesuffix("\n").split(" ")
    assert (dash, name) == ("\N{EM DASH}", "gatehouse-ledger")
    raw = base64.b64decode(blob, validate=True)
    assert raw[:4] == hashlib.sha256(b"gatehouse-ledger\n\x01" + TRUSTED.public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(TRUSTED.public).verify(raw[4:], (text + "\n").encode())
    assert open_note(note, TRUSTED) == HEAD


def test_a_note_of_the_go_key_opens() -> None:
    """A checkpoint that the published signer signs by the specification, made here without our signer, opens."""
    seed = base64.b64decode(GO_SIGNER_SEED)[1:]
    text = f"PeterNeumann\n7\n{base64.b64encode(b'r' * 32).decode()}\n"
    signature = bytes.fromhex("c74f20a3") + Ed25519PrivateKey.from_private_bytes(seed).sign(text.encode())
    note = f"{text}\n\N{EM DASH} PeterNeumann {base64.b64encode(signature).decode()}\n"
    assert open_note(note, VerifierKey.parse(GO_VERIFIER)) == Head("PeterNeumann", 7, b"r" * 32)


def test_a_witness_beside_our_signature_is_no_obstacle() -> None:
    """Signatures of unknown keys are ignored, as the specification demands; alone they are not enough."""
    note = sign_head(HEAD, KEY)
    witness = f"\N{EM DASH} witness.example {base64.b64encode(b'x' * 68).decode()}\n"
    assert open_note(note + witness, TRUSTED) == HEAD
    text = note.partition("\n\n")[0]
    assert open_note(f"{text}\n\n{witness}{note.partition(chr(10) * 2)[2]}", TRUSTED) == HEAD
    with pytest.raises(Tampered, match="not signed"):
        open_note(f"{text}\n\n{witness}", TRUSTED)


FORGERIES = {
    "forged_size": lambda note: note.replace("\n42\n", "\n41\n"),
    "forged_root": lambda note: note.replace(base64.b64encode(HEAD.root).decode(), base64.b64encode(b"z" * 32).decode()),
    "forged_origin": lambda note: note.replace("gatehouse-ledger", "another-ledger"),
    "signature_stripped": lambda note: note.partition("\n\n")[0] + "\n\n",
    "signature_of_nothing": lambda note: note.rpartition(" ")[0] + " \n",
    "signature_not_base64": lambda note: note.rpartition(" ")[0] + " !!!\n",
    "key_id_only": lambda note: note.rpartition(" ")[0] + " " + base64.b64encode(base64.b64decode(note.rpartition(" ")[2])[:4]).decode() + "\n",
    "line_added": lambda note: note.replace("\n\n", "\nextension\n\n", 1),
    "line_removed": lambda note: note.partition("\n")[2],
    "empty": lambda note: "",
    "size_in_other_digits": lambda note: note.replace("\n42\n", "\n\N{SUPERSCRIPT FOUR}\N{SUPERSCRIPT TWO}\n"),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_notes(attack: str) -> None:
    """No change of a signed head is accepted, and each is our own error."""
    with pytest.raises(Tampered):
        open_note(FORGERIES[attack](sign_head(HEAD, KEY)), TRUSTED)


def test_swapped_key() -> None:
    """A head that another key signed under the same name does not open."""
    other = Ed25519PrivateKey.generate()
    with pytest.raises(Tampered, match="not signed by the trusted key"):
        open_note(sign_head(HEAD, other), TRUSTED)
    with pytest.raises(Tampered):
        open_note(sign_head(HEAD, KEY), VerifierKey(TRUSTED.name, other.public_key().public_bytes_raw()))


@pytest.mark.parametrize("size", ["\N{SUPERSCRIPT TWO}", "-1", "042", "0x2a", "4 2", "", "\N{ARABIC-INDIC DIGIT FOUR}", "9" * 5000])
def test_a_signed_size_that_is_no_size(size: str) -> None:
    """Even the trusted key can't make a head of a size that the specification does not allow."""
    text = f"gatehouse-ledger\n{size}\n{base64.b64encode(HEAD.root).decode()}\n"
    ident = bytes.fromhex(TRUSTED.line().split("+")[1])
    note = f"{text}\n\N{EM DASH} gatehouse-ledger {base64.b64encode(ident + KEY.sign(text.encode())).decode()}\n"
    with pytest.raises(Tampered):
        open_note(note, TRUSTED)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=80), st.tuples(st.integers(0, 200), st.integers(0, 8)).map(str)), st.integers(0, 200), st.integers(0, 200))
def test_no_bytes_but_the_signed_ones_open(filling: str, start: int, length: int) -> None:
    """Any splice into a note either gives the very same head or is Tampered, never a foreign exception."""
    note = sign_head(HEAD, KEY)
    opened: Head | None = None
    with contextlib.suppress(Tampered):
        opened = open_note(note[:start] + filling + note[start + length :], TRUSTED)
    assert opened in (None, HEAD)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("+AQabcdef0123456789=/", max_size=80)))
def test_foreign_verifier_keys_are_input_errors(line: str) -> None:
    """Whatever is no verifier key is an InputError."""
    with pytest.raises(InputError, match="no verifier key"):
        VerifierKey.parse(line)


@pytest.mark.parametrize(
    "line",
    [
        GO_VERIFIER.replace("c74f20a3", "c74f20a4"),
        GO_VERIFIER.replace("PeterNeumann", "PeterNeuman"),
        GO_VERIFIER.replace("+AR", "+BR"),
        GO_VERIFIER[:-4],
        GO_VERIFIER.replace("PeterNeumann", ""),
    ],
)
def test_a_damaged_verifier_key_is_refused(line: str) -> None:
    """The key id binds name, algorithm and key together."""
    with pytest.raises(InputError):
        VerifierKey.parse(line)


def test_the_ledgers_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600, the same key at the second call, and the public line beside it is the key's."""
    _, verifier = ledger_key(tmp_path, "gatehouse-ledger")
    assert stat.S_IMODE((tmp_path / "ledger.key").stat().st_mode) == 0o600
    assert VerifierKey.parse((tmp_path / "ledger.vkey").read_text()) == verifier
    assert ledger_key(tmp_path, "gatehouse-ledger")[1] == verifier
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.key", "ledger.vkey"]


def test_sixteen_at_once_get_one_key(tmp_path: Path) -> None:
    """Nobody ever reads half a key: all callers that start on an empty home end with the same one."""
    for turn in range(8):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with ThreadPoolExecutor(16) as pool:
            lines = list(pool.map(lambda _, folder=folder: ledger_key(folder, "o")[1].line(), range(16)))
        assert len(set(lines)) == 1
        assert (folder / "ledger.vkey").read_text() == lines[0] + "\n"
        assert sorted(path.name for path in folder.iterdir()) == ["ledger.key", "ledger.vkey"]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe", b"A" * 44, base64.b64encode(b"k" * 31)])
def test_damaged_key_file(tmp_path: Path, content: bytes) -> None:
    """A key file that holds no key is one clear error, and it is not replaced by a new key."""
    (tmp_path / "ledger.key").write_bytes(content)
    with pytest.raises(StorageError, match="signing key"):
        ledger_key(tmp_path, "o")
    assert (tmp_path / "ledger.key").read_bytes() == content


def test_no_folder_for_the_key(tmp_path: Path) -> None:
    """A home that is a file, or is not there, is a StorageError."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "none"):
        with pytest.raises(StorageError):
            ledger_key(folder, "o")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
