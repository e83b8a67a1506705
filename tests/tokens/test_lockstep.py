"""CMAC and AES-SIV in lock-step: published vectors and equality with the scalar ones of cryptography, on both tiers."""

from __future__ import annotations

import base64
import itertools
import pickle
import random

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.tokens import cmac, lockstep, seal_siv
from prefect_gatehouse.tokens.aes import BlockCipher
from prefect_gatehouse.tokens.lockstep import Ends, LockStep, pieces
from prefect_gatehouse.tokens.seal_siv import Sealer, s2v

TIERS = ["numpy", "fused"]
# Around every border between blocks that a message of a few blocks has, and some long ones.
HOSTILE = [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 1023, 1024, 1025, 1039, 1040, 1041, 2**14 - 1, 2**16, 2**16 + 1]


@pytest.fixture(params=TIERS, autouse=True)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", request.param)
    return str(request.param)


def joined(messages: list[bytes], room: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Messages one behind the other, with other bytes in front and ``room`` bytes behind."""
    edges = np.cumsum([3, *map(len, messages)]).astype(np.int64)
    return np.frombuffer(b"\xff\xff\xff" + b"".join(messages) + b"\xff" * room, np.uint8), edges


def scalar(key: bytes, message: bytes) -> bytes:
    one = CMAC(AES(key))
    one.update(message)
    return one.finalize()


def random_messages(seed: int, lengths: list[int]) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(length) for length in lengths]


def check_macs(key: bytes, messages: list[bytes], room: int = 0) -> None:
    data, edges = joined(messages, room)
    assert [row.tobytes() for row in cmac.mac(key, data, edges)] == [scalar(key, message) for message in messages]


@pytest.mark.parametrize("room", [0, 1, 64])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_hostile_lengths(size: int, room: int) -> None:
    """Every length around a block's border, with every size of key, alone and all in one call, whatever lies behind the text."""
    messages = random_messages(size, HOSTILE)
    check_macs(bytes(range(size)), messages, room)
    for message in messages:
        check_macs(bytes(range(size)), [message], room)


def test_every_short_length_many_times() -> None:
    """Thousands of random messages of 0 to 200 bytes, in the order of chance."""
    source = random.Random(4493)
    check_macs(source.randbytes(32), random_messages(1, [source.randrange(201) for _ in range(5000)]))


@pytest.mark.parametrize("long", [1, 32, 33])
def test_few_long_messages_among_short_ones(long: int) -> None:
    """Messages that outlast the others by far are chained one by one: on each side of both limits the result is the same."""
    limit = 16 * lockstep._MANY_BLOCKS
    lengths = [5, limit - 1, *[limit + 16 * step + step % 17 for step in range(long)], 40, limit, limit + 1, 0]
    check_macs(bytes(range(32)), random_messages(long, lengths))


@given(st.lists(st.binary(max_size=70), max_size=12))
def test_any_messages(messages: list[bytes]) -> None:
    """Hypothesis finds no message whose MAC differs."""
    check_macs(bytes(range(32)), messages)


def test_more_messages_than_one_step_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of one run of messages serves the next one: nothing of the earlier MACs is lost, and nothing of them is left behind."""
    monkeypatch.setattr(lockstep, "ROWS", 7)
    check_macs(bytes(range(32)), random_messages(7, [*range(60), 0, 200, 0, 16, *range(33, 0, -1)]))


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_added_by_how_many_bytes_are_left(whole: bool) -> None:
    """The compiled tier's table, against the definition: the last block is masked and ended, the one before may be touched, no other is."""
    cipher = BlockCipher(bytes(range(32)))
    before = lockstep.words([bytes([64 + held]) * 16 for held in range(17)])
    last = Ends.of_siv(cipher, bytes(range(16)), padded=whole).last
    table = lockstep.by_rest(whole, last, before).reshape(34, 2, 2)
    for rest in range(34):
        blocks = int(lockstep.blocks_of(np.array([rest]), whole)[0])
        held = rest - 16 * (blocks - 1)
        mask, added = lockstep.MASKS[16], np.zeros(2, np.uint64)
        if blocks == 1:
            mask, added = lockstep.MASKS[held], last[held]
        elif blocks == 2:
            added = before[held]
        assert (table[rest] == [mask, added]).all()


def test_no_messages() -> None:
    """Nothing gives nothing."""
    assert cmac.mac(bytes(32), np.zeros(0, np.uint8), np.zeros(1, np.int64)).shape == (0, 16)


def sealed(key: bytes, associated: list[bytes], values: list[bytes], *, padded: bool, tier: str) -> list[bytes]:
    data, edges = joined(values)
    kernels = seal_siv.FUSED.for_rows(len(values), tier)  # type: ignore[arg-type]
    assert (kernels is not None) == (tier == "fused")
    text, places = Sealer(key, associated, padded=padded).seal(data, edges, b"s1_", kernels)
    tokens = [text[start:end].tobytes() for start, end in itertools.pairwise(places)]
    assert all(token.startswith(b"s1_") for token in tokens)
    return [base64.b32hexdecode(token[3:].upper() + b"=" * (-len(token[3:]) % 8)) for token in tokens]


RFC_5297 = {
    # Appendix A.1, deterministic authenticated encryption
    "A.1": (
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        ["101112131415161718191a1b1c1d1e1f2021222324252627"],
        "112233445566778899aabbccddee",
        "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
    ),
    # Appendix A.2, nonce-based: three strings before the plaintext
    "A.2": (
        "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
        [
            "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
            "102030405060708090a0",
            "09f911029d74e35bd84156c5635688c0",
        ],
        "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
    ),
}


@pytest.mark.parametrize("example", RFC_5297)
def test_rfc_5297_examples(example: str, tier: str) -> None:
    """Both appendix examples, made by the same code that makes tokens."""
    key, associated, plain, expected = RFC_5297[example]
    made = sealed(bytes.fromhex(key), [bytes.fromhex(part) for part in associated], [bytes.fromhex(plain)] * 3, padded=False, tier=tier)
    assert [each.hex() for each in made] == [expected] * 3


@pytest.mark.parametrize("associated", [[], [b"d"], [b"domain", b"unpadded"], [b"", b"x" * 40, b"y" * 16]])
def test_siv_equals_one_by_one(associated: list[bytes], tier: str) -> None:
    """Thousands of random values of every length from 0 to 200 and hostile ones: the same as AESSIV of cryptography, padded and not."""
    key = random.Random(5297).randbytes(64)
    values = random_messages(2, [*range(201), *[random.Random(row).randrange(60) for row in range(1500)], *HOSTILE])
    one = AESSIV(key)
    padded = [value + b"\x80" + bytes(-(len(value) + 1) % 16) for value in values]
    assert sealed(key, associated, values, padded=True, tier=tier) == [one.encrypt(value, associated or None) for value in padded]
    # cryptography refuses to encrypt nothing: the empty value is checked below.
    expected = [one.encrypt(value, associated or None) if value else None for value in values]
    made = sealed(key, associated, values, padded=False, tier=tier)
    assert [each if value else None for each, value in zip(made, values, strict=True)] == expected


def test_siv_of_nothing(tier: str) -> None:
    """The empty value unpadded: V = CMAC(dbl(D) xor 10..0), by the formula of RFC 5297, section 2.4."""
    key = bytes(range(64))
    number = int.from_bytes(s2v(key[:32], [b"d"]), "big") << 1
    doubled = (number ^ (0x87 if number >> 128 else 0)) & ((1 << 128) - 1)
    expected = scalar(key[:32], (doubled ^ (0x80 << 120)).to_bytes(16, "big"))
    assert sealed(key, [b"d"], [b""], padded=False, tier=tier) == [expected]


@given(st.binary(min_size=64, max_size=64), st.lists(st.binary(max_size=70), max_size=8), st.booleans())
def test_tiers_agree(key: bytes, values: list[bytes], padded: bool) -> None:
    """Byte for byte the same from numpy and from compiled code, for any key."""
    assert sealed(key, [b"d"], values, padded=padded, tier="numpy") == sealed(key, [b"d"], values, padded=padded, tier="fused")


def test_pieces_cover_every_message_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces follow each other without gap or overlap, within both limits unless one message alone is longer."""
    monkeypatch.setattr(lockstep, "ROWS", 5)
    monkeypatch.setattr(lockstep, "TEXT", 100)
    lengths = [0, 0, 0, 0, 0, 0, 99, 1, 1, 250, 50, 50, 50, 0, 100, 101]
    edges = np.cumsum([7, *lengths])
    cut = list(pieces(edges))
    assert [row for piece in cut for row in range(piece.start, piece.stop)] == list(range(len(lengths)))
    for piece in cut:
        size = piece.stop - piece.start
        assert size <= 5
        assert size == 1 or sum(lengths[piece]) <= 100


def test_ciphers_are_never_pickled() -> None:
    """Nothing that holds a key can go into a task graph."""
    cipher = BlockCipher(bytes(32))
    for secret in (cipher, LockStep(cipher, Ends.of_cmac(cipher)), Sealer(bytes(range(64)), [b"d"], padded=True)):
        with pytest.raises(TypeError):
            pickle.dumps(secret)
