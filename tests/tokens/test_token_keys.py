"""The root key and its derivations."""

from __future__ import annotations

import base64
import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.tokens.keys import RootKey, derive_key

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
