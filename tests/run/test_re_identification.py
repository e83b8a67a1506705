"""Turning tokens back: with the version that made them, and only tokens that the run was given."""

from __future__ import annotations

import pyarrow as pa
import pytest

from prefect_gatehouse.errors import DataRefused, InputError, Tampered
from prefect_gatehouse.manifest.columns import Scheme, Tokenise
from prefect_gatehouse.run.re_identification import key_versions, refuse_strange, turn_back
from prefect_gatehouse.tokens import ff1, permute, permute_blocks, siv
from prefect_gatehouse.tokens.keys import RootKey

OLD = RootKey(bytes(range(32)))
ROTATED = OLD.rotated()
WHERE = {"tenant": "clinic", "join_domain": "subject"}


def rule(scheme: Scheme, **more: object) -> Tokenise:
    return Tokenise.model_validate({"rule": "tokenise", "scheme": scheme, **more})


def chunked(*arrays: pa.Array) -> pa.ChunkedArray:
    return pa.chunked_array(list(arrays))


def back(column: pa.ChunkedArray, declared: Tokenise, root: RootKey, version: int | None = None) -> list[object]:
    return list(turn_back(column, declared, root, tenant="clinic", name="subject", version=version).to_pylist())


def test_siv_tokens_of_two_versions() -> None:
    """The tokens say which versions made them, in one column as well; every one comes back."""
    column = chunked(siv.tokenise(pa.array(["ann", None]), OLD, **WHERE), siv.tokenise(pa.array(["bob"]), ROTATED, **WHERE))
    assert key_versions(column, rule("siv"), None) == (1, 2)
    assert back(column, rule("siv"), ROTATED) == ["ann", None, "bob"]
    with pytest.raises((InputError, Tampered)):
        back(column, rule("siv"), OLD)  # it has no second version


def test_permuted_numbers_as_text_of_two_versions() -> None:
    """As with siv, the tokens say which versions made them, and one that nobody with the key made does not open."""
    declared = rule("permute", form="text", join_domain="subject")
    column = chunked(permute_blocks.tokenise(pa.array([7, None]), OLD, **WHERE), permute_blocks.tokenise(pa.array([-(2**63)]), ROTATED, **WHERE))
    for tokens in (column, column.cast(pa.string_view()), column.dictionary_encode()):
        assert key_versions(tokens, declared, None) == (1, 2)
        assert back(tokens, declared, ROTATED) == [7, None, -(2**63)]
    with pytest.raises(Tampered, match="1 of 2 values"):
        back(column, declared, OLD)  # it has no second version
    for made_up in ("p1_" + "0" * 26, "7", str(2**40)):
        with pytest.raises(Tampered, match="1 of 3 values"):
            back(chunked(column.chunk(1), pa.array([made_up]), column.chunk(0)), declared, ROTATED)


@pytest.mark.parametrize("declared", [rule("siv"), rule("permute", form="text")])
def test_a_key_that_is_no_text_where_tokens_are(declared: Tokenise) -> None:
    """Numbers, and bytes that are no text, are a refusal of ours that shows none of them; a column of nothing names no version."""
    for column in (chunked(pa.array([7])), chunked(pa.array([b"\xffCANARY"]))):
        with pytest.raises(Tampered, match="is no text") as caught:
            key_versions(column, declared, 1)
        assert "CANARY" not in str(caught.value) and caught.value.__cause__ is None
    assert key_versions(chunked(pa.nulls(2)), declared, 1) == ()
    assert back(chunked(pa.nulls(2)), declared, OLD) == [None, None]


@pytest.mark.parametrize("scheme", ["ff1", "permute"])
def test_tokens_without_a_version_after_a_rotation(scheme: Scheme) -> None:
    """They come back with the version that made them; with the current one they would be other people's, so nobody guesses it."""
    values = pa.array(["4929123412", "0000001234"]) if scheme == "ff1" else pa.array([7, 2**62])
    tokens = chunked((ff1 if scheme == "ff1" else permute).tokenise(values, OLD, **WHERE))
    assert key_versions(tokens, rule(scheme), 1) == (1,)
    assert back(tokens, rule(scheme), ROTATED, version=1) == values.to_pylist()
    assert back(tokens, rule(scheme), ROTATED, version=2) != values.to_pylist()
    with pytest.raises(Tampered, match="nobody knows which version"):
        key_versions(tokens, rule(scheme), None)


def test_ff1_with_its_alphabet_and_join_domain() -> None:
    """The rule's own alphabet and join domain are used on the way back, too."""
    tokens = ff1.tokenise(pa.array(["KXWQPRTA"]), OLD, tenant="clinic", join_domain="patients", alphabet="upper")
    declared = rule("ff1", alphabet="upper", join_domain="patients")
    assert back(chunked(tokens), declared, OLD, version=1) == ["KXWQPRTA"]


@pytest.mark.parametrize("scheme", ["cmac", "codes"])
def test_schemes_that_can_not_be_reversed(scheme: Scheme) -> None:
    """Asked for all the same, they are an error of the manifest and not a column of nonsense."""
    with pytest.raises(InputError, match="can't be turned back"):
        back(chunked(pa.array(["c1_0"])), rule(scheme), OLD, version=1)


def test_tokens_that_the_workload_made_up() -> None:
    """A number that happens to open is somebody else's: only what the workload was given is turned back, and no token is in the error."""
    own = chunked(pa.array([11, 12]), pa.array([13, None]))
    refuse_strange(chunked(pa.array([13, 11, None])), own)
    refuse_strange(chunked(pa.array([13.0, 11.0])), own)
    with pytest.raises(DataRefused, match=r"^re-identification: 2 keys of the workload's frame are none that it was given") as caught:
        refuse_strange(chunked(pa.array([13, 987654321]), pa.array([987654322])), own)
    assert "98765432" not in str(caught.value)
    with pytest.raises(DataRefused, match="another type"):
        refuse_strange(chunked(pa.array(["x"])), chunked(pa.array([{"a": 1}])))


@pytest.mark.parametrize("scheme", ["siv", "permute"])
def test_tokens_of_another_run_of_the_tenant(scheme: Scheme) -> None:
    """They are authentic and would open, but nobody approved that this run shows whose they are; forms of text do not matter."""
    module = siv if scheme == "siv" else permute_blocks
    values = pa.array(["ann", "bob", "cleo"]) if scheme == "siv" else pa.array([7, 8, 9])
    ann, bob, cleo = (module.tokenise(values.slice(place, 1), OLD, **WHERE) for place in range(3))
    own = chunked(ann.cast(pa.string()), bob.cast(pa.string()))
    for form in (chunked(bob, ann), chunked(bob, ann).cast(pa.string_view()), chunked(bob, ann).cast(pa.string()).dictionary_encode()):
        refuse_strange(form, own)
    with pytest.raises(DataRefused, match=r"1 key of the workload's frame is none that it was given") as caught:
        refuse_strange(chunked(ann, cleo, bob), own)
    assert cleo[0].as_py() not in str(caught.value)
