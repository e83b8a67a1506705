"""The root key and its derivations."""

from __future__ import annotations

import base64
import itertools
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.tokens.keys import KEY_BYTES, RootKey, derive_key

SECRET = bytes(range(1, 33))


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        base64.b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(SECRET).decode(),
        base64.b64encode(SECRET).decode().rstrip("="),
        f"  {SECRET.hex()}\n",
    ],
)
def test_parse_reads_every_usual_spelling_of_the_same_key(text: str) -> None:
    """A secret store may hold hex or base64, with a newline behind it: the derived key is the same."""
    assert RootKey.parse(text).derive("t", "d", "cmac") == RootKey(SECRET).derive("t", "d", "cmac")


@pytest.mark.parametrize(
    "text", ["", "CANARY-secret", "ab" * 31, "ab" * 33, base64.b64encode(b"x" * 31).decode(), "0" * 64, "é" * 43, "A" * 43 + "="]
)
def test_parse_refuses_what_is_not_a_key_and_does_not_repeat_it(text: str) -> None:
    """Wrong lengths, other text and the all-zero placeholder are refused; the message holds nothing of the secret."""
    with pytest.raises(InputError) as caught:
        RootKey.parse(text)
    assert not text or text not in str(caught.value)


def test_root_key_shows_itself_nowhere() -> None:
    """Neither repr nor pickle gives the key away."""
    key = RootKey(SECRET)
    assert SECRET.hex() not in repr(key)
    assert repr(key) == "RootKey(**********)"
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_context_is_unambiguous() -> None:
    """("ab", "c") and ("a", "bc") derive different keys, and so does the same text in another number of parts."""
    contexts = [("ab", "c"), ("a", "bc"), ("abc",), ("", "abc"), ("abc", ""), ("a", "b", "c")]
    assert len({derive_key(SECRET, 32, context) for context in contexts}) == len(contexts)


@given(st.lists(st.text(max_size=6), max_size=3), st.lists(st.text(max_size=6), max_size=3))
def test_context_is_injective(one: list[str], other: list[str]) -> None:
    """Two contexts give the same key only if they are the same."""
    assert (derive_key(SECRET, 32, one) == derive_key(SECRET, 32, other)) == (one == other)


def test_tenant_domain_scheme_and_version_separate_keys() -> None:
    """Any one of the four changes the key, and shifting text between tenant and domain does too."""
    root = RootKey(SECRET)
    keys = [
        root.derive("acme", "person", "cmac"),
        root.derive("acme2", "person", "cmac"),
        root.derive("acme", "persons", "cmac"),
        root.derive("acm", "eperson", "cmac"),
        root.derive("acme", "person", "siv"),
        RootKey({1: SECRET[::-1], 2: SECRET}).derive("acme", "person", "cmac", 2),
        RootKey(SECRET[::-1]).derive("acme", "person", "cmac"),
    ]
    assert [len(key) for key in keys] == [32, 32, 32, 32, 64, 32, 32]
    assert all(one[:32] != other[:32] for one, other in itertools.combinations(keys, 2))


@pytest.mark.parametrize(("tenant", "domain"), [("", "d"), ("t", "")])
def test_a_key_without_tenant_or_domain_is_refused(tenant: str, domain: str) -> None:
    """An empty part would make tokens that everybody shares."""
    with pytest.raises(InputError):
        RootKey(SECRET).derive(tenant, domain, "siv")


def test_an_unknown_scheme_is_refused() -> None:
    """A scheme that is not in the table derives nothing."""
    with pytest.raises(InputError):
        RootKey(SECRET).derive("t", "d", "rot13")  # type: ignore[arg-type]


OTHER = bytes(range(9, 41))


def ring(**changes: object) -> str:
    """The JSON of two versions, changed."""
    keys = {"1": base64.b64encode(SECRET).decode(), "2": base64.b64encode(OTHER).decode()}
    return json.dumps({"current": 2, "keys": keys, **changes})


def test_two_versions_are_read_and_written() -> None:
    """The JSON of the secret store gives both versions, the current one by default, and comes back the same."""
    root = RootKey.parse(ring())
    assert (root.current, root.versions) == (2, (1, 2))
    assert root.derive("t", "d", "cmac") == root.derive("t", "d", "cmac", 2) != root.derive("t", "d", "cmac", 1)
    assert root.derive("t", "d", "cmac", 1) == RootKey(SECRET).derive("t", "d", "cmac")
    assert RootKey.parse(root.stored()).stored() == root.stored() == ring()
    assert RootKey.parse(ring(current=1)).current == 1


KEY = base64.b64encode(SECRET).decode()
RINGS = {
    "unknown-field": ring(CANARY="x"),
    "no-current": json.dumps({"keys": {"1": KEY}}),
    "current-without-key": ring(current=3),
    "current-as-text": ring(current="2"),
    "current-true": ring(current=True),
    "no-keys": ring(keys={}),
    "keys-as-list": ring(keys=[KEY]),
    "version-zero": ring(keys={"0": KEY, "2": KEY}),
    "version-with-zero-in-front": ring(keys={"02": KEY, "2": KEY}),
    "version-too-long": ring(keys={"10000": KEY, "2": KEY}),
    "version-no-number": ring(keys={"CANARY": KEY, "2": KEY}),
    "key-no-text": ring(keys={"2": 7}),
    "key-too-short": ring(keys={"2": base64.b64encode(SECRET[:31]).decode()}),
    "key-zero": ring(keys={"2": "A" * 43 + "="}),
    "key-repeats": ring(keys={"2": base64.b64encode(b"CANARYx!" * 4).decode(), "1": base64.b64encode(b"ab" * 16).decode()}),
    "same-key-twice": ring(keys={"1": KEY, "2": KEY}),
    "same-version-twice": ring().replace('"1"', '"2"'),
    "cut-off": ring()[:-2],
    "empty": "{}",
    "deep": '{"keys":' * 50_000,
}


@pytest.mark.parametrize("attack", RINGS)
def test_rings_that_are_refused(attack: str) -> None:
    """Whatever is not exactly a ring of good keys is refused, and nothing of it is repeated."""
    with pytest.raises(InputError) as caught:
        RootKey.parse(RINGS[attack])
    told = str(caught.value) + repr(caught.value) + str(caught.value.__cause__)
    assert not any(part in told for part in ("CANARY", KEY, KEY[:10]))


def test_rotation_adds_a_random_version_and_keeps_the_others() -> None:
    """The new version is the next number, is current, and differs each time; old derivations stay."""
    root = RootKey(SECRET)
    one, other = root.rotated(), root.rotated()
    assert (one.current, one.versions, one.rotated().versions) == (2, (1, 2), (1, 2, 3))
    assert one.derive("t", "d", "siv") != other.derive("t", "d", "siv")
    assert one.derive("t", "d", "siv", 1) == root.derive("t", "d", "siv")
    assert RootKey.parse(RootKey.generate().stored()).versions == (1,)
    with pytest.raises(InputError):
        RootKey({9999: SECRET}).rotated()


def test_a_version_that_is_not_there() -> None:
    """No key is made up for a version that the ring does not hold."""
    with pytest.raises(InputError, match="no version 7"):
        RootKey(SECRET).derive("t", "d", "cmac", 7)


def test_every_scheme_has_a_key_of_its_own_and_of_its_size() -> None:
    """Six schemes, six unrelated keys."""
    keys = [RootKey(SECRET).derive("t", "d", scheme) for scheme in KEY_BYTES]
    assert [len(key) for key in keys] == [32, 64, 32, 32, 32, 32]
    assert len({key[:32] for key in keys}) == 6


def test_a_key_at_an_older_version() -> None:
    """It makes what the older version made, holds the newer one still, and refuses a version that it never had."""
    one = RootKey(bytes(range(1, 33)))
    two = one.rotated()
    back = two.at(1)
    assert (back.current, back.versions) == (1, (1, 2))
    assert back.derive("acme", "patient", "cmac") == one.derive("acme", "patient", "cmac") != two.derive("acme", "patient", "cmac")
    with pytest.raises(InputError, match="no version 3") as caught:
        two.at(3)
    assert "keep every version" in caught.value.advice
