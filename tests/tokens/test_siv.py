"""Tokens that the key's holder can turn back."""

from __future__ import annotations

import base64
import unicodedata

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.tokens import cmac, siv
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))


def there(values: list[str | None]) -> pa.Array:
    return siv.tokenise(pa.array(values, pa.string()), ROOT, tenant="t", join_domain="d")


def back(array: pa.Array, root: RootKey = ROOT, tenant: str = "t", domain: str = "d") -> list[str | None]:
    return siv.detokenise(array, root, tenant=tenant, join_domain=domain).to_pylist()  # type: ignore[no-any-return]


def test_rfc_5297_vector() -> None:
    """The primitive underneath gives what RFC 5297, appendix A.1 publishes."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    data = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    sealed = AESSIV(key).encrypt(bytes.fromhex("112233445566778899aabbccddee"), [data])
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"


@given(st.lists(st.none() | st.text(max_size=40), max_size=12))
def test_round_trip_gives_the_nfc_text(values: list[str | None]) -> None:
    """Every text comes back in NFC, nulls as nulls, the empty text as the empty text."""
    assert back(there(values)) == [None if value is None else unicodedata.normalize("NFC", value) for value in values]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_token_is_the_siv_of_the_padded_text(values: list[str]) -> None:
    """Each token is s1_ and AES-SIV, with the join domain as associated data, of the NFC text padded to whole blocks."""
    cipher = AESSIV(ROOT.derive("t", "d", "siv"))
    expected = []
    for value in values:
        text = unicodedata.normalize("NFC", value).encode() + b"\x80"
        sealed = cipher.encrypt(text.ljust(-(-len(text) // 16) * 16, b"\0"), [b"d"])
        expected.append("s1_" + base64.b32hexencode(sealed).decode().lower().rstrip("="))
    assert there(list(values)).to_pylist() == expected


def test_length_of_a_short_name_does_not_show() -> None:
    """Values of 0 to 15 bytes have tokens of one length."""
    assert {len(token) for token in there(["x" * size for size in range(16)]).to_pylist()} == {3 + 52}


def test_numbers_come_back_as_text() -> None:
    """A column of whole numbers is tokenised by its text, which is what comes back."""
    array = siv.tokenise(pa.array([42, None]), ROOT, tenant="t", join_domain="d")
    assert back(pa.chunked_array([array])) == ["42", None]


FORGERIES = {
    "plain-text": "CANARY-4711",
    "empty": "",
    "prefix-only": "s1_",
    "too-short": "s1_00",
    "upper-case": None,
    "flipped": None,
    "truncated": None,
    "extended": None,
    "other-version": None,
    "cmac-token": cmac.tokenise(pa.array(["a"]), ROOT, tenant="t", join_domain="d")[0].as_py(),
    "random": "s1_" + base64.b32hexencode(bytes(32)).decode().lower().rstrip("="),
    "not-ascii": "s1_é" + "0" * 50,
}


def forged(attack: str) -> str:
    token: str = there(["CANARY-4711"])[0].as_py()
    made = {
        "upper-case": token.upper().replace("S1_", "s1_"),
        "flipped": token[:20] + ("0" if token[20] != "0" else "1") + token[21:],
        "truncated": token[:-8],
        "extended": token + "00000000",
        "other-version": "s2_" + token[3:],
    }
    return FORGERIES[attack] or made.get(attack, "")


@pytest.mark.parametrize("attack", FORGERIES)
def test_forged_tokens_are_tampered_and_never_repeated(attack: str) -> None:
    """Whatever was not made with the key is counted, and the message holds neither the token nor a value."""
    token = forged(attack)
    with pytest.raises(Tampered) as caught:
        back(pa.array([there(["ok"])[0].as_py(), token, None]))
    assert "1 of 2 distinct tokens" in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize(
    ("root", "tenant", "domain"),
    [(RootKey(b"z" * 32), "t", "d"), (ROOT, "u", "d"), (ROOT, "t", "e")],
    ids=["key", "tenant", "domain"],
)
def test_foreign_tokens_are_tampered(root: RootKey, tenant: str, domain: str) -> None:
    """A token of another key, tenant or join domain does not open."""
    with pytest.raises(Tampered):
        back(there(["a"]), root, tenant, domain)


def test_a_column_that_is_not_text_holds_no_tokens() -> None:
    """Numbers are refused; a column of nulls comes back as nulls."""
    with pytest.raises(Tampered):
        back(pa.array([1]))
    assert back(pa.nulls(2)) == [None, None]
