"""SSH signatures: the same as ssh-keygen's in both directions, and nothing malformed gets through."""

from __future__ import annotations

import base64
import hashlib
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.services import unavailable

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity.keys import fingerprint, generate_key, parse_public, public_line
from prefect_gatehouse.identity.sshsig import NAMESPACE, fingerprint_of, sign, verify

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


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key of each kind, made by ssh-keygen."""
    folder = tmp_path_factory.mktemp("ssh-keys")
    for name, (kind, bits) in KINDS.items():
        made = keygen("-q", "-t", kind, *(() if bits == "0" else ("-b", bits)), "-N", "", "-C", f"{name} comment", "-f", str(folder / name))
        assert made.returncode == 0, made.stderr
    return folder


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


def sk_blob(key: Ed25519PrivateKey = KEY, application: bytes = b"ssh:") -> bytes:
    """Public blob of an sk-ssh-ed25519 key."""
    return string(b"sk-ssh-ed25519@openssh.com") + string(key.public_key().public_bytes_raw()) + string(application)


def sk_signature(
    flags: int, *, message: bytes = MESSAGE, key: Ed25519PrivateKey = KEY, application: bytes = b"ssh:", stated: int | None = None
) -> str:
    """A signature as an authenticator makes it; ``stated`` are flags that are written instead of the signed ones."""
    signed = hashlib.sha256(application).digest() + struct.pack(">BI", flags, 7) + hashlib.sha256(to_sign(message)).digest()
    inner = string(b"sk-ssh-ed25519@openssh.com") + string(key.sign(signed)) + struct.pack(">BI", flags if stated is None else stated, 7)
    return signature(sk_blob(key), inner)


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


def rsa_blob(bits: int, exponent: int = 65537) -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    modulus = key.public_key().public_numbers().n
    return key, string(b"ssh-rsa") + string(exponent.to_bytes(3, "big")) + string(b"\0" + modulus.to_bytes(bits // 8, "big"))


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


def inner_of(key: Ed25519PrivateKey = KEY) -> bytes:
    return string(b"ssh-ed25519") + string(key.sign(to_sign(MESSAGE)))


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
