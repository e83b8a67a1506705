"""The Merkle tree, against the vectors of RFC 6962 that Certificate Transparency's own implementations are tested with."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.ledger.merkle import Frontier, leaf_hash, node_hash

# The eight standard inputs, and the root over the first n of them.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word: split at the largest power of two below the number of leaves."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + by_definition(leaves[:split]) + by_definition(leaves[split:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_standard_inputs(size: int) -> None:
    """Every prefix of the standard inputs has the published root."""
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.add(leaf_hash(leaf))
    assert frontier.root().hex() == ROOTS[size]
    assert frontier.size == size


def test_leaf_and_node_hashes_are_of_different_domains() -> None:
    """A leaf that holds two hashes is not the node above them: no inner node can be passed off as an event."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(b"").hex() == ROOTS[1]
    assert node_hash(left, right) != leaf_hash(left + right) != leaf_hash(b"\x01" + left + right)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=8), max_size=70))
def test_grown_tree_is_the_defined_one(leaves: list[bytes]) -> None:
    """Growing leaf by leaf from a frontier that was stored and read back at any point gives the recursive definition's root."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = Frontier(frontier.size, [bytes.fromhex(item) for item in [part.hex() for part in frontier.hashes]])
        frontier.add(leaf_hash(leaf))
    assert frontier.root() == by_definition(leaves)


@pytest.mark.parametrize(("size", "hashes"), [(1, []), (2, [b"a", b"b"]), (0, [b"a"]), (3, [b"a"])])
def test_a_frontier_that_does_not_fit_its_size_is_refused(size: int, hashes: list[bytes]) -> None:
    """A stored frontier with a hash too many or too few is not grown from."""
    with pytest.raises(ValueError, match="set bit"):
        Frontier(size, hashes)
