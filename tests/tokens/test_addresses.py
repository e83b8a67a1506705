"""One spelling of an e-mail address: Unicode's case folding before the @, the resolver's mapping behind it, ASCII as ever."""

from __future__ import annotations

import re
import unicodedata
from types import ModuleType

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import example, given

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens import cmac, siv
from prefect_gatehouse.tokens.addresses import one_spelling
from prefect_gatehouse.tokens.columns import canonical_text
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))


@pytest.mark.parametrize(
    "same",
    [
        ("ΝΙΚΟΣ@example.gr", "νικος@example.gr", "Νικοσ@EXAMPLE.GR"),
        ("STRASSE@x.de", "straße@x.de", "Straẞe@X.de"),
        ("JOSÉ@x.es", "jose\u0301@x.es"),
        ("ﬁona@x.org", "FIONA@x.org"),
        ("ada@BÜCHER.example", "ada@bücher.example", "Ada@xn--bcher-kva.example", "ada@bu\u0308cher.example", "ada@bücher。example"),
        ("ada@Straße.de", "ada@xn--strae-oqa.de", "ada@STRAẞE.de"),
        ("ᾼ@x.gr", "ᾳ@x.gr", "\u03b1\u03b9@x.gr"),
        ("ЖЕНЯ@почта.рф", "женя@ПОЧТА.РФ", "женя@xn--80a1acny.xn--p1ai"),
        ("no address Σ", "NO ADDRESS ς"),
        ("ada@x.de.", "Ada@X.de", "ada@x.de"),  # the dot of the root
        ("ada@bücher.example.", "ada@xn--bcher-kva.example", "ada@bücher.example。"),
        ('"a@b Σ"@x.org', '"A@B ς"@X.ORG'),
    ],
)
def test_one_mailbox_is_one_value(same: tuple[str, ...]) -> None:
    """What differs in case, composition or the form of its domain is one value; so are its tokens."""
    assert len(set(map(one_spelling, same))) == 1
    array = pa.array([*same, None])
    for module in (cmac, siv):
        made = module.tokenise(array, ROOT, tenant="t", join_domain="d", canonical="email").to_pylist()
        assert len(set(made[:-1])) == 1
        assert made[-1] is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@straße.example", "ada@strasse.example"),  # two owners, by IDNA 2008
        ("\u0131brahim@x.tr", "ibrahim@x.tr"),  # dotless and dotted, outside Turkish two letters
        ("İbrahim@x.tr", "ibrahim@x.tr"),
        ("\uff41da@x.org", "ada@x.org"),  # full width: RFC 6532 warns of NFKC
        ("é@x.org", "e@x.org"),
        (" ada@x.org", "ada@x.org"),  # nothing else is stripped
        ("ada@x.org..", "ada@x.org"),
        ("ada.", "ada"),  # no domain
        ("ada@.", "ada@"),
    ],
)
def test_two_mailboxes_stay_two(one: str, other: str) -> None:
    """What the standards tell apart is told apart."""
    assert one_spelling(one) != one_spelling(other)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_changes_in_its_capitals_only(text: str) -> None:
    """Tokens of ASCII addresses are what they always were, but for the dot of the root behind a domain."""
    same = text.lower() if re.search(r"@[^@]*[^@.]\.\Z", text) is None else text.lower()[:-1]
    assert one_spelling(text) == same
    assert canonical_text(pa.array([text]), "email").to_pylist() == [same]


_LETTERS = st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from("@.@Σςσßẞİıſ\u0345\u0301\u0307ᾳ\uff20\u3002ﬁ\uff21\u00ad\u200d-x"))
_ADDRESSES = st.text(_LETTERS, max_size=12)


@given(st.builds("{}@{}".format, _ADDRESSES, _ADDRESSES) | _ADDRESSES)
@example("ß@ß\uff20ä")
@example("ß@ä\uff20.")
@example("a@x\u3002")
@example("a@x\u3002.")
@example("\u0345\u0301@\u0345\u0301")
def test_the_spelling_of_a_spelling_is_itself(text: str) -> None:
    """Idempotent, the same for every canonically equivalent writing, and the column function says the same as the function of one value."""
    spelt = one_spelling(text)
    assert one_spelling(spelt) == spelt
    assert {one_spelling(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")} == {spelt}
    batch = pa.array(["Ada@X.org", None, text, text])
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        assert canonical_text(batch.cast(kind).slice(1), "email").to_pylist() == [None, spelt, spelt]


@pytest.mark.parametrize("module", [cmac, siv])
def test_both_tiers_give_the_same_tokens(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spelling comes before the tier: byte by byte the tokens of the spelt addresses, in either."""
    values = pa.array([f"ΝΙΚΟΣ{row}@Example{row}.gr" if row % 2 else f"Ada{row}@Bücher.example" for row in range(2000)])
    spelt = pa.array([one_spelling(value) for value in values.to_pylist()])
    made = []
    for wanted in ("numpy", "fused"):
        monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", wanted)
        made += [module.tokenise(values, ROOT, tenant="t", join_domain="d", canonical="email")]
        made += [module.tokenise(spelt, ROOT, tenant="t", join_domain="d")]
    assert made == [made[0]] * 4
    assert len(made[0].unique()) == 2000


def test_a_token_of_an_ascii_address_is_the_one_of_earlier_releases() -> None:
    """Pinned: what was tokenised before this release still joins."""
    made = cmac.tokenise(pa.array(["Ada.Lovelace@Example.ORG"]), ROOT, tenant="t", join_domain="d", canonical="email")
    assert made.to_pylist() == ["c1_02048ppbght6udfa82d13gf7"]


def test_bytes_that_are_no_text_are_refused_without_being_quoted() -> None:
    """Invalid UTF-8 in a column of addresses is told as such."""
    array = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\x00\x00\x00\x00\x03\x00\x00\x00"), pa.py_buffer(b"a\xff@")])
    with pytest.raises(DataRefused, match="not UTF-8"):
        canonical_text(array, "email")
