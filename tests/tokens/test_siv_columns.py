"""Reversible tokens over whole columns: round trips, versions, padding, and every bad token counted."""

from __future__ import annotations

import pickle
import threading
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.tokens import cmac, open_siv, siv
from prefect_gatehouse.tokens.base32hex import encode
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.seal_siv import Sealer, associated_data

ROOT = RootKey(bytes(range(1, 33)))
SECOND = RootKey({1: bytes(range(1, 33)), 2: bytes(range(2, 34))})
MINE = {"tenant": "t", "join_domain": "d"}
KINDS = [pa.string(), pa.large_string(), pa.string_view()]


@pytest.fixture(params=["numpy", "fused"], autouse=True)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", request.param)
    return str(request.param)


def test_round_trip_of_every_length() -> None:
    """Texts of 0 to 200 characters of one to four bytes come back, padded and not, in one column with nulls."""
    values: list[str | None] = [character * size for size in range(201) for character in ("x", "\u00fc", "\u6f22", "\U0001f600")]
    values[5::50] = [None] * len(values[5::50])
    array = pa.array(values)
    made = [siv.tokenise(array, ROOT, **MINE, padding=padding) for padding in (True, False)]
    both = pa.concat_arrays(made)
    assert siv.detokenise(both, ROOT, **MINE).to_pylist() == values * 2
    assert siv.detokenise(pa.chunked_array([each.cast(pa.string_view()) for each in made]), ROOT, **MINE).to_pylist() == values * 2


@given(st.lists(st.none() | st.text(max_size=70), max_size=15), st.integers(0, 3), st.sampled_from(KINDS), st.booleans())
def test_round_trip_of_any_column(values: list[str | None], cut: int, kind: pa.DataType, padding: bool) -> None:
    """Slices, nulls and every text type come back as their NFC."""
    array = pa.array(["front"] * cut + values, pa.string()).cast(kind).slice(cut)
    made = siv.tokenise(array, ROOT, **MINE, padding=padding)
    assert siv.detokenise(made.cast(kind), ROOT, **MINE).to_pylist() == [v if v is None else unicodedata.normalize("NFC", v) for v in values]


def test_padding_hides_a_length_and_its_absence_does_not() -> None:
    """Unpadded tokens are as long as their values, and differ from padded ones of the same value in every block."""
    values = pa.array(["x" * size for size in range(40)])
    padded, bare = (siv.tokenise(values, ROOT, **MINE, padding=padding).to_pylist() for padding in (True, False))
    assert [len(token) for token in padded] == [3 + -(-(16 + size // 16 * 16 + 16) * 8 // 5) for size in range(40)]
    assert [len(token) for token in bare] == [3 + -(-(16 + size) * 8 // 5) for size in range(40)]
    assert not set(padded) & set(bare)


def test_a_padded_token_never_opens_as_an_unpadded_one() -> None:
    """The same bytes sealed as a padded and as a bare value have different vectors: the associated data tell them apart."""
    bare = siv.tokenise(pa.array(["a" * 15 + "\x80"]), ROOT, **MINE, padding=False)
    assert siv.detokenise(bare, ROOT, **MINE).to_pylist() == ["a" * 15 + "\x80"]
    assert siv.detokenise(siv.tokenise(pa.array(["a" * 15]), ROOT, **MINE), ROOT, **MINE).to_pylist() == ["a" * 15]


def test_versions_stand_in_one_column() -> None:
    """After a rotation new tokens carry the new version, old ones open by their prefix, and one without its key is tampered."""
    values = pa.array(["a", None, "b" * 30])
    old, new = siv.tokenise(values, ROOT, **MINE), siv.tokenise(values, SECOND, **MINE)
    assert [token[:3] for token in (old[0].as_py(), new[0].as_py())] == ["s1_", "s2_"]
    assert siv.detokenise(pa.concat_arrays([new, old, new]), SECOND, **MINE).to_pylist() == values.to_pylist() * 3
    with pytest.raises(Tampered, match="2 of 4 distinct tokens"):
        siv.detokenise(pa.concat_arrays([new, old]), ROOT, **MINE)
    assert cmac.tokenise(values, SECOND, **MINE)[0].as_py().startswith("c2_")


def test_a_version_of_many_digits() -> None:
    """Version 1234 has a longer prefix and reads like any other; version 12 of the same ring does not take its tokens for its own."""
    ring = RootKey({12: bytes(range(1, 33)), 1234: bytes(range(2, 34))})
    made = siv.tokenise(pa.array(["a", "b"]), ring, **MINE)
    assert made[0].as_py().startswith("s1234_")
    assert siv.detokenise(made, ring, **MINE).to_pylist() == ["a", "b"]
    assert cmac.tokenise(pa.array(["a"]), ring, **MINE)[0].as_py().startswith("c1234_")
    renamed = pa.array(["s12_" + made[0].as_py()[6:]])
    with pytest.raises(Tampered):
        siv.detokenise(renamed, ring, **MINE)


@pytest.mark.parametrize("wrong", ["tenant", "domain", "key", "version"])
def test_foreign_tokens_are_counted_and_none_accepted(wrong: str) -> None:
    """Among many good tokens the bad ones are counted as distinct, and the error holds neither token nor value."""
    values = [f"CANARY-{row:04d}" for row in range(1000)]
    foreign = {
        "tenant": siv.tokenise(pa.array(values[:7]), ROOT, tenant="u", join_domain="d"),
        "domain": siv.tokenise(pa.array(values[:7]), ROOT, tenant="t", join_domain="e"),
        "key": siv.tokenise(pa.array(values[:7]), RootKey(bytes(range(3, 35))), **MINE),
        "version": siv.tokenise(pa.array(values[:7]), SECOND, **MINE),
    }[wrong]
    column = pa.concat_arrays([siv.tokenise(pa.array(values), ROOT, **MINE), foreign, foreign, pa.array([None], pa.string())])
    with pytest.raises(Tampered) as caught:
        siv.detokenise(column, ROOT, **MINE)
    assert "7 of 1007 distinct tokens" in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert not any(token in str(caught.value) for token in foreign.to_pylist())


def test_every_changed_character_is_found() -> None:
    """No single character of a token can be another one, padded or not."""
    for padding in (True, False):
        token = siv.tokenise(pa.array(["ada@example.org"]), ROOT, **MINE, padding=padding)[0].as_py()
        changed = [token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :] for at in range(len(token))]
        with pytest.raises(Tampered, match=f"{len(token)} of {len(token)} distinct tokens"):
            siv.detokenise(pa.array(changed), ROOT, **MINE)


LETTERS = st.sampled_from("0123456789abcdefghijklmnopqrstuvwxyzABVW_=@ \x00\x7f\u00fc")


@st.composite
def nearly_tokens(draw: st.DrawFn) -> list[str]:
    """Tokens of several kinds and keys, some of them cut, lengthened, or with one character that was another."""
    values = draw(st.lists(st.text(max_size=40), min_size=1, max_size=8))
    made: list[str] = []
    for value in values:
        ring = draw(st.sampled_from([ROOT, SECOND, RootKey(bytes(range(3, 35)))]))
        token = siv.tokenise(pa.array([value]), ring, **MINE, padding=draw(st.booleans()))[0].as_py()
        at = draw(st.integers(0, len(token) - 1))
        harm = draw(st.sampled_from(["none", "none", "cut", "longer", "changed", "lost"]))
        made.append(
            {
                "none": token,
                "cut": token[:at],
                "longer": token + draw(st.text(LETTERS, min_size=1, max_size=9)),
                "changed": token[:at] + draw(LETTERS) + token[at + 1 :],
                "lost": token[:at] + token[at + 1 :],
            }[harm]
        )
    return made


@settings(max_examples=60)
@given(nearly_tokens(), st.integers(0, 2))
def test_tiers_open_the_same(values: list[str], cut: int) -> None:
    """Whatever is done to tokens, both tiers accept the same ones and find the same text in them."""
    array = pa.array(["s1_"] * cut + values, pa.string()).slice(cut)
    seen = []
    for wanted in ("numpy", "fused"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GATEHOUSE_TOKEN_TIER", wanted)
            texts, good = open_siv._Opener(SECOND, "t", "d")._some(array)
            seen.append([text if kept else None for text, kept in zip(texts.to_pylist(), good.tolist(), strict=True)])
    assert seen[0] == seen[1]


def test_a_last_character_has_one_spelling() -> None:
    """Bits of a token's last character that belong to no byte are zero: 31 other characters there are no token, for every kind of end."""
    alphabet = "0123456789abcdefghijklmnopqrstuv"
    for size in range(5):
        token = siv.tokenise(pa.array(["x" * size]), ROOT, **MINE, padding=False)[0].as_py()
        others = [token[:-1] + letter for letter in alphabet if letter != token[-1]]
        with pytest.raises(Tampered, match="31 of 31 distinct tokens"):
            siv.detokenise(pa.array(others), ROOT, **MINE)


def test_what_the_key_sealed_but_is_no_text() -> None:
    """The holder of a key may have sealed bytes that are no padded UTF-8: counted as bad, never handed on."""
    import numpy as np
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    one = AESSIV(ROOT.derive("t", "d", "siv"))

    def token(plain: bytes, padded: bool) -> str:
        sealed = one.encrypt(plain, associated_data("d", padded=padded))
        return "s1_" + encode(np.frombuffer(sealed, np.uint8).reshape(1, -1)).tobytes().decode()

    bad = [
        token(b"\xff" + b"\x80" + bytes(14), True),
        token(bytes(16), True),
        token(b"x" * 16, True),
        token(b"\xc3", False),
        token(b"\x80".ljust(32, b"\0"), True),
    ]
    assert siv.detokenise(pa.array([token(b"ok\x80".ljust(16, b"\0"), True), token(b"ok", False)]), ROOT, **MINE).to_pylist() == ["ok", "ok"]
    with pytest.raises(Tampered, match="5 of 6 distinct tokens"):
        siv.detokenise(pa.array([*bad, token(b"ok", False)]), ROOT, **MINE)


def test_more_tokens_than_are_worked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting a column changes nothing, and bad tokens are counted over all its parts."""
    monkeypatch.setattr(open_siv, "_ROWS", 100)
    values = [f"{row:0{row % 40}d}" for row in range(1000)]
    made = siv.tokenise(pa.array(values), ROOT, **MINE)
    assert siv.detokenise(made, ROOT, **MINE).to_pylist() == values
    with pytest.raises(Tampered, match="2 of"):
        siv.detokenise(pa.concat_arrays([pa.array(["bad"]), made, pa.array(["worse"])]), ROOT, **MINE)


@pytest.mark.parametrize("scheme", [cmac, siv])
def test_tokenisers_keep_their_keys_to_themselves(scheme: object) -> None:
    """Neither repr nor pickle gives one away; two threads share one and get the same as one thread."""
    tokeniser: cmac.Tokeniser | siv.Tokeniser = scheme.Tokeniser(ROOT, **MINE)  # type: ignore[attr-defined]
    assert repr(tokeniser) == "Tokeniser(**********)"
    with pytest.raises(TypeError):
        pickle.dumps(tokeniser)
    parts = [pa.array([f"{part}-{row}" for row in range(3000)]) for part in range(4)]
    alone = [tokeniser(part).to_pylist() for part in parts]
    together: dict[int, list[str]] = {}
    threads = [threading.Thread(target=lambda number=number: together.update({number: tokeniser(parts[number]).to_pylist()})) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(4)] == alone


def test_sealer_of_many_values_and_none() -> None:
    """An empty column has no token and one edge."""
    import numpy as np

    text, places = Sealer(bytes(range(64)), [b"d"], padded=True).seal(np.zeros(0, np.uint8), np.zeros(1, np.int64), b"s1_", None)
    assert (places.tolist(), len(text)) == ([0], 8)
