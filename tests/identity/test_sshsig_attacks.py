"""SSH signatures: nothing malformed, weak or changed gets through, whatever its bytes are."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identity.ssh_signatures import (
    BEGIN,
    END,
    KEY,
    MESSAGE,
    armour,
    inner_of,
    plain,
    plain_blob,
    rsa_blob,
    signature,
    sk_blob,
    sk_signature,
    string,
    to_sign,
)

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity.keys import parse_public
from prefect_gatehouse.identity.sshsig import fingerprint_of, verify


def weak_rsa() -> str:
    key, blob = rsa_blob(2048)
    return signature(blob, string(b"rsa-sha2-512") + string(key.sign(to_sign(MESSAGE), padding.PKCS1v15(), hashes.SHA512())))


def rsa_with_sha1() -> str:
    key, blob = rsa_blob(3072)
    return signature(blob, string(b"ssh-rsa") + string(key.sign(to_sign(MESSAGE), padding.PKCS1v15(), hashes.SHA1())))


def small_order_key() -> str:
    """The identity as a public key: with R = identity and s = 0 any message has a valid signature."""
    identity = (1).to_bytes(32, "little")
    return signature(string(b"ssh-ed25519") + string(identity), string(b"ssh-ed25519") + string(identity + bytes(32)))


def unused_bits_set() -> str:
    """The same bytes spelt with another last letter."""
    body = base64.b64decode("".join(plain().split("\n")[1:-2]))
    body += b"" if len(body) % 3 else b"\0"
    text = base64.b64encode(body).decode()
    stem, pad = text.rstrip("="), text[len(text.rstrip("=")) :]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return f"{BEGIN}\n{stem[:-1]}{letters[letters.index(stem[-1]) + 1]}{pad}\n{END}\n"


ATTACKS: dict[str, Callable[[], str]] = {
    "another_message": lambda: plain(b"something else"),
    "another_key_claimed": lambda: signature(plain_blob(Ed25519PrivateKey.generate()), inner_of()),
    "raw_signature_of_the_message": lambda: signature(plain_blob(), string(b"ssh-ed25519") + string(KEY.sign(MESSAGE))),
    "sha1_digest": lambda: signature(plain_blob(), string(b"ssh-ed25519") + string(KEY.sign(to_sign(MESSAGE, algorithm=b"sha1"))), algorithm=b"sha1"),
    "hash_downgraded": lambda: signature(plain_blob(), inner_of(), algorithm=b"sha256"),
    "unknown_hash": lambda: signature(plain_blob(), inner_of(), algorithm=b"md5"),
    "version_two": lambda: signature(plain_blob(), inner_of(), version=2),
    "reserved_field_used": lambda: signature(plain_blob(), inner_of(), reserved=b"x"),
    "trailing_bytes": lambda: signature(plain_blob(), inner_of(), tail=b"\0"),
    "trailing_bytes_inside": lambda: signature(plain_blob(), inner_of() + b"\0"),
    "trailing_bytes_in_the_key": lambda: signature(plain_blob() + b"\0", inner_of()),
    "truncated": lambda: armour(base64.b64decode("".join(plain().split("\n")[1:-2]))[:-5]),
    "length_of_four_gibibytes": lambda: armour(b"SSHSIG\0\0\0\1\xff\xff\xff\xff"),
    "unused_bits_set": unused_bits_set,
    "two_signatures": lambda: plain() + plain(),
    "text_before_the_armour": lambda: "approved\n" + plain(),
    "pgp": lambda: plain().replace("SSH", "PGP"),
    "no_armour": lambda: "".join(plain().split("\n")[1:-2]),
    "empty_armour": lambda: f"{BEGIN}\n{END}",
    "empty": lambda: "",
    "huge": lambda: BEGIN + "A" * 1_000_000 + END,
    "weak_rsa": weak_rsa,
    "rsa_with_sha1": rsa_with_sha1,
    "small_order_key": small_order_key,
    "another_curve": lambda: signature(string(b"ecdsa-sha2-nistp384") + string(b"nistp384") + string(b"\4" + bytes(96)), inner_of()),
    "point_not_on_the_curve": lambda: signature(string(b"ecdsa-sha2-nistp256") + string(b"nistp256") + string(b"\4" + b"\1" * 64), inner_of()),
    "certificate_in_place_of_a_key": lambda: signature(string(b"ssh-ed25519-cert-v01@openssh.com") + string(b""), inner_of()),
    "key_type_no_ascii": lambda: signature(string(b"\xff\xfe"), inner_of()),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_on_the_format(attack: str) -> None:
    """Each is refused as Denied, without its bytes in the message."""
    with pytest.raises(Denied, match="not a valid signature") as caught:
        verify(ATTACKS[attack](), MESSAGE)
    assert caught.value.__suppress_context__


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def point_at(y: int) -> Point | None:
    """The point of edwards25519 with this y coordinate, from -x^2 + y^2 = 1 + d x^2 y^2."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    roots = (root, root * pow(2, (P - 1) // 4, P) % P)
    return next(((x, y) for x in roots if x * x % P == square), None)


def plus(one: Point, two: Point) -> Point:
    """The curve's addition law."""
    (a, b), (c, e) = one, two
    product = D * a * b * c * e % P
    return (a * e + b * c) * pow(1 + product, -1, P) % P, (b * e + a * c) * pow(1 - product, -1, P) % P


def times(number: int, point: Point) -> Point:
    """A multiple of a point."""
    result = (0, 1)
    while number:
        if number & 1:
            result = plus(result, point)
        point, number = plus(point, point), number >> 1
    return result


def small_points() -> set[Point]:
    """The torsion: multiples, by the prime order, of points until one of order 8 has turned up."""
    order = 2**252 + 27742317777372353535851937790883648493
    candidates = (times(order, point) for point in map(point_at, range(2, 60)) if point is not None)
    generator = next(point for point in candidates if times(4, point) != (0, 1))
    return {times(number, generator) for number in range(8)}


def test_every_point_of_small_order_is_refused() -> None:
    """The eight points of order 1, 2, 4, 8 (derived here from the curve) are no public keys, in any of their encodings."""
    small = small_points()
    assert len(small) == 8
    encodings = {value | sign << 255 for _, y in small for value in (y, y + P) for sign in (0, 1) if value < 2**255}
    assert len(encodings) == 14
    for value in encodings:
        blob = string(b"ssh-ed25519") + string(value.to_bytes(32, "little"))
        with pytest.raises(InputError):
            parse_public(f"ssh-ed25519 {base64.b64encode(blob).decode()}")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=200), st.binary(max_size=200).map(armour), st.text("A+/= \n", max_size=100).map(lambda body: f"{BEGIN}{body}{END}"))
)
def test_any_text_is_denied_and_nothing_else(text: str) -> None:
    """No text but a signature verifies, and none raises anything but Denied."""
    with pytest.raises(Denied):
        verify(text, MESSAGE)


SAMPLES = [base64.b64decode("".join(text.split("\n")[1:-2])) for text in (plain(), sk_signature(5))]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 260), st.integers(0, 12), st.binary(max_size=12))
def test_no_change_of_a_byte_survives(body: bytes, start: int, length: int, filling: bytes) -> None:
    """Any splice into a good signature either leaves it as it was or is Denied."""
    changed = body[:start] + filling + body[start + length :]
    if changed == body:
        assert verify(armour(changed), MESSAGE).key_type
    else:
        with pytest.raises(Denied):
            verify(armour(changed), MESSAGE)


_FIELD = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"sk-ssh-ed25519@openssh.com", b"nistp256", b"rsa-sha2-512", b"gatehouse"]),
    st.sampled_from([plain_blob(), sk_blob(), inner_of(), b"\0", b"\1\0\1", b"\xff" * 384, b"\0" * 384, b"\4" + b"\0" * 64]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_FIELD, min_size=1, max_size=5), st.lists(_FIELD, min_size=1, max_size=4), st.binary(max_size=6))
def test_well_formed_nonsense_is_denied(key: list[bytes], inner: list[bytes], tail: bytes) -> None:
    """Frames that are right around fields that are not: the libraries below are reached, and none of their exceptions gets out."""
    text = signature(b"".join(map(string, key)), b"".join(map(string, inner)) + tail)
    try:
        found = verify(text, MESSAGE)
    except Denied:
        return
    assert text == plain() and found.fingerprint == fingerprint_of(plain_blob())


# Keys.
