"""Keys of people: the public lines that ssh-keygen writes, and none that is weak or of another kind."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identity.ssh_signatures import (
    KINDS,
    MESSAGE,
    keygen,
    plain_blob,
    rsa_blob,
    string,
)

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.keys import generate_key, parse_public, public_line
from prefect_gatehouse.identity.sshsig import fingerprint_of, sign


@pytest.mark.parametrize("kind", KINDS)
def test_public_lines_of_ssh_keygen(keys: Path, kind: str) -> None:
    """A .pub file is read whatever its comment, and comes back as type and blob."""
    line = (keys / f"{kind}.pub").read_text()
    name, blob, _ = parse_public(line)
    assert line.startswith(f"{name} {blob} ")


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=120), st.tuples(st.sampled_from(["ssh-ed25519", "ssh-rsa"]), st.binary(max_size=90)).map(
    lambda pair: f"{pair[0]} {base64.b64encode(pair[1]).decode()}")))  # fmt: skip
def test_foreign_public_lines_are_input_errors(line: str) -> None:
    """Whatever is no public key of an accepted type is an InputError."""
    with pytest.raises(InputError):
        parse_public(line)


def test_weak_and_other_keys_are_no_keys() -> None:
    """RSA below 3072 bits, DSA, a stated type that is another, two lines and a private key are refused."""
    good = f"ssh-ed25519 {base64.b64encode(plain_blob()).decode()}"
    assert parse_public(good)[2] == fingerprint_of(plain_blob())
    for line in (
        f"ssh-rsa {base64.b64encode(rsa_blob(2048)[1]).decode()}",
        good.replace("ssh-ed25519 ", "ssh-rsa "),
        f"ssh-dss {base64.b64encode(string(b'ssh-dss')).decode()}",
        good + "\n" + good,
        good.split()[1],
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        f"{good} {'x' * 9000}",
    ):
        with pytest.raises(InputError):
            parse_public(line)


def test_keys_that_can_not_sign(tmp_path: Path, keys: Path) -> None:
    """A missing file, a folder, a foreign file, an RSA key and a key with a passphrase are one clear InputError with advice."""
    keygen("-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(tmp_path / "locked"))
    (tmp_path / "foreign").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "foreign", tmp_path / "locked", keys / "rsa", keys / "ed25519.pub"):
        with pytest.raises(InputError, match="no usable signing key") as caught:
            sign(path, MESSAGE)
        assert "ssh-keygen -Y sign" in caught.value.advice


def test_a_made_key_is_its_owners_and_never_overwritten(tmp_path: Path) -> None:
    """Mode 0600, the public line beside it, and a second call leaves both as they are."""
    line = generate_key(tmp_path / "deep" / "id", "a\ncomment")
    path = tmp_path / "deep" / "id"
    assert path.stat().st_mode & 0o777 == 0o600
    assert line.endswith(" a comment")
    assert public_line(path) == line
    before = path.read_bytes()
    with pytest.raises(InputError, match="already"):
        generate_key(path, "again")
    path.unlink()
    with pytest.raises(InputError, match="already"):
        generate_key(path, "the private half may live elsewhere")
    assert before
    assert not path.exists()
    with pytest.raises(InputError, match="no signing key"):
        public_line(tmp_path / "none")
