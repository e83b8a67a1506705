"""Attestations of FIDO keys: what proves that an authenticator holds a key, and attacks by whoever has it in a file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identity.attestations import AAGUID, CHALLENGE, NOW, Vendor, attestation, authenticator_data, public_line

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.attestation import check_attestation, fingerprint_of, read_roots

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
VENDOR = Vendor()
DEVICE = VENDOR.device()
GOOD = attestation(DEVICE, authenticator_data(KEY))


def check(given_: bytes = GOOD, challenge: bytes = CHALLENGE, key: Ed25519PrivateKey = KEY, **more: Any) -> Any:
    return check_attestation(more.pop("line", public_line(key)), given_, challenge, more.pop("roots", [VENDOR.root]), more.pop("at", NOW))


def test_a_key_that_an_authenticator_holds() -> None:
    """Root and model are told; extensions of the authenticator and another SSH application change nothing."""
    found = check()
    assert (found.root, found.aaguid) == (fingerprint_of(VENDOR.root), "00010203-0405-0607-0809-0a0b0c0d0e0f")
    extended = authenticator_data(KEY, flags=0xC1, more=bytes.fromhex("a16b6372656450726f7465637402"))
    assert check(attestation(DEVICE, extended)) == found
    named = authenticator_data(KEY, application=b"ssh:work")
    assert check(attestation(DEVICE, named), line=public_line(KEY, b"ssh:work")) == found
    assert read_roots(VENDOR.pem) == [VENDOR.root]


def self_signed() -> bytes:
    """Whoever has the key in a file makes a vendor of that name."""
    return attestation(Vendor().device(), authenticator_data(KEY))


ATTACKS: dict[str, tuple[Callable[[], Any], str]] = {
    "other-challenge": (lambda: check(challenge=b"another challenge of the keeper"), "not of this challenge"),
    "short-challenge": (lambda: check(attestation(DEVICE, authenticator_data(KEY), b"1"), b"1"), "shorter than 16"),
    "other-key": (lambda: check(key=OTHER), "of another key"),
    "software-key-with-an-own-vendor": (lambda: check(self_signed()), "leads to no root"),
    "foreign-root": (lambda: check(roots=[Vendor("Another").root]), "leads to no root"),
    "no-roots": (lambda: check(roots=[]), "leads to no root"),
    "expired": (lambda: check(attestation(VENDOR.device(before=NOW - timedelta(hours=1)), authenticator_data(KEY))), "not valid now"),
    "not-yet": (lambda: check(attestation(VENDOR.device(after=NOW + timedelta(hours=1)), authenticator_data(KEY))), "not valid now"),
    "root-expired": (
        lambda: check(attestation(VENDOR.device(before=NOW + timedelta(99)), authenticator_data(KEY)), at=NOW + timedelta(30)),
        "not valid",
    ),
    "signed-by-another-device": (lambda: check(attestation((VENDOR.device()[0], DEVICE[1]), authenticator_data(KEY))), "not its certificate's"),
    "vendor's-other-certificate": (lambda: check(attestation(VENDOR.device(unit="Web"), authenticator_data(KEY))), "not one of an authenticator"),
    "authority-as-device": (lambda: check(attestation(VENDOR.device(ca=True), authenticator_data(KEY))), "not one of an authenticator"),
    "root-as-device": (lambda: check(attestation((VENDOR.key, VENDOR.root), authenticator_data(KEY))), "not one of an authenticator"),
    "device-as-root": (lambda: check(roots=[DEVICE[1]]), "leads to no root"),
    "other-model": (lambda: check(attestation(DEVICE, authenticator_data(KEY, aaguid=bytes(16)))), "another model"),
    "website's-key": (lambda: check(attestation(DEVICE, authenticator_data(KEY, application=b"example.org"))), "another application"),
    "website's-key-in-both": (lambda: check(line=public_line(KEY, b"example.org")), "no FIDO key of SSH"),
    "untouched": (lambda: check(attestation(DEVICE, authenticator_data(KEY, flags=0x40))), "nobody touched"),
    "no-credential": (lambda: check(attestation(DEVICE, authenticator_data(KEY, flags=0x01))), "malformed"),
    "more-behind-it": (lambda: check(attestation(DEVICE, authenticator_data(KEY, more=b"x"))), "malformed"),
    "old-format": (lambda: check(attestation(DEVICE, authenticator_data(KEY), magic=b"ssh-sk-attest-v00")), "before 8.4"),
    "other-format": (lambda: check(attestation(DEVICE, authenticator_data(KEY), magic=b"ssh-sk-attest-v99")), "no attestation that ssh-keygen wrote"),
    "plain-key": (lambda: check(line=f"ssh-ed25519 {'AAAAC3NzaC1lZDI1NTE5AAAAIJ' + 'x' * 42}"), "FIDO key|OpenSSH public key"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_proves_nothing(name: str) -> None:
    """One sentence that says which part is not right."""
    attack, why = ATTACKS[name]
    with pytest.raises(InputError, match=why):
        attack()


def flipped(place: int, by: int) -> bytes:
    return GOOD[:place] + bytes([GOOD[place] ^ by]) + GOOD[place + 1 :]


@pytest.mark.parametrize("by", [1, 2, 0x0F, 0x80])
def test_every_byte_counts(by: int) -> None:
    """Also the certificate's version, the names in it, and the bits that its signature does not have."""
    for place in range(len(GOOD)):
        with pytest.raises(InputError):
            check(flipped(place, by))


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.tuples(st.integers(0, len(GOOD) - 1), st.integers(1, 255)).map(lambda at: flipped(*at))))
def test_whatever_is_in_the_file(data: bytes) -> None:
    """A byte changed anywhere, or anything else: our own error, never a yes."""
    with pytest.raises(InputError):
        check(data)


def test_what_is_no_root() -> None:
    """A certificate that may not issue, and what is none, are refused when they would be named."""
    from cryptography.hazmat.primitives import serialization

    for pem in (b"", b"x", DEVICE[1].public_bytes(serialization.Encoding.PEM), AAGUID):
        with pytest.raises(InputError, match="no certificates that issue others"):
            read_roots(pem)
