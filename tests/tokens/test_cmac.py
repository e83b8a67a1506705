"""Tokens that can't be turned back."""

from __future__ import annotations

import base64
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens import cmac, lockstep
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
VECTORS = {
    # RFC 4493, section 4
    "2b7e151628aed2a6abf7158809cf4f3c": {
        0: "bb1d6929e95937287fa37d129b756746",
        16: "070a16b46b4d4144f79bdd9dd04a287c",
        40: "dfa66747de9ae63030ca32611497c827",
        64: "51f0bebf7e3b9d92fc49741779363cfe",
    },
    # NIST SP 800-38B, appendix D.3
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4": {
        0: "028962f61b7bf89efc6b551f4667d983",
        16: "28a7023f452e8f82bd4bf28d8c37c35c",
        40: "aaf3d8f1de5640c232f5b169b9c911e6",
        64: "e1992190549f6ed5696a2c056c315410",
    },
}


def macs(key: bytes, messages: list[bytes]) -> list[bytes]:
    edges = np.cumsum([0, *map(len, messages)])
    return [row.tobytes() for row in cmac.mac(key, np.frombuffer(b"".join(messages), np.uint8), edges)]


def tokens(values: list[object], kind: pa.DataType | None = None, tenant: str = "t", domain: str = "d") -> list[str | None]:
    return cmac.tokenise(pa.array(values, kind), ROOT, tenant=tenant, join_domain=domain).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("key", VECTORS, ids=["rfc4493", "sp800-38b"])
def test_published_vectors(key: str) -> None:
    """All messages of the standard at once, each with its own number of blocks, give the published MACs."""
    expected = VECTORS[key]
    assert [each.hex() for each in macs(bytes.fromhex(key), [MESSAGE[:size] for size in expected])] == list(expected.values())


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary(max_size=70), max_size=12))
def test_lock_step_equals_one_by_one(key: bytes, messages: list[bytes]) -> None:
    """The vectorised MAC equals that of cryptography for every mixture of lengths."""
    expected = []
    for message in messages:
        one = CMAC(AES(key))
        one.update(message)
        expected.append(one.finalize())
    assert macs(key, messages) == expected


def test_more_rows_than_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting a column into steps changes nothing."""
    values = [f"{row:0{row % 50}d}" for row in range(300)]
    whole = tokens(list(values))
    monkeypatch.setattr(lockstep, "ROWS", 7)
    monkeypatch.setattr(lockstep, "TEXT", 48)
    assert tokens(list(values)) == whole


@given(st.lists(st.none() | st.text(max_size=40), max_size=12))
def test_token_is_the_mac_of_the_nfc_text(values: list[str | None]) -> None:
    """Each token is c1_ and the first 120 bits of the MAC over the NFC text; nulls stay null."""
    key = ROOT.derive("t", "d", "cmac")
    expected: list[str | None] = []
    for value in values:
        if value is None:
            expected.append(None)
            continue
        one = CMAC(AES(key))
        one.update(unicodedata.normalize("NFC", value).encode())
        expected.append("c1_" + base64.b32hexencode(one.finalize()[:15]).decode().lower())
    assert tokens(list(values), pa.string()) == expected


def test_same_value_same_token_whatever_the_column_looks_like() -> None:
    """Slices, dictionaries, chunks, other string types and whole floats of the same text give the same token."""
    plain = tokens(["7", "12"])
    array = pa.array(["x", "7", "12"])
    for same in (
        array.slice(1),
        array.slice(1).dictionary_encode(),
        pa.chunked_array([array.slice(1, 1), array.slice(2)]),
        array.slice(1).cast(pa.large_string()),
        pa.array([7, 12]),
        pa.array([7.0, 12.0]),
    ):
        assert cmac.tokenise(same, ROOT, tenant="t", join_domain="d").to_pylist() == plain


def test_composed_and_decomposed_text_join_but_nothing_else_is_stripped() -> None:
    """NFC makes the two spellings of é one value; case and spaces still tell values apart."""
    one, other, upper, spaced = tokens(["caf\u00e9", "cafe\u0301", "CAF\u00c9", "caf\u00e9 "])
    assert one == other
    assert len({one, upper, spaced}) == 3


def test_tenants_and_domains_do_not_join() -> None:
    """The same value has unrelated tokens elsewhere, and the same ones in the same join domain."""
    assert len({tokens(["a"])[0], tokens(["a"], tenant="u")[0], tokens(["a"], domain="e")[0]}) == 3
    assert tokens(["a"]) == tokens(["a"])


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5]),
        pa.array([float("nan")]),
        pa.array([2.0**60]),
        pa.array([0], pa.timestamp("us")),
        pa.array([["a"]]),
        pa.array([b"a"]),
    ],
)
def test_values_without_one_text_form_are_refused(array: pa.Array) -> None:
    """A fraction or a timestamp has several spellings: better no token than one that never joins."""
    with pytest.raises(DataRefused):
        cmac.tokenise(array, ROOT, tenant="t", join_domain="d")


@pytest.mark.parametrize("array", [pa.array([], pa.string()), pa.array([None, None], pa.string()), pa.nulls(2)])
def test_nothing_to_tokenise(array: pa.Array) -> None:
    """Empty and all-null columns come back as they are, as text."""
    result = cmac.tokenise(array, ROOT, tenant="t", join_domain="d")
    assert result.to_pylist() == array.to_pylist()
    assert result.type == pa.string()
