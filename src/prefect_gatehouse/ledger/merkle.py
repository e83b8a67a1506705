"""The Merkle tree over the ledger's events: RFC 6962 hashing, grown from a compact frontier.

A new head costs only what is new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable


def leaf_hash(body: bytes) -> bytes:
    """RFC 6962 section 2.1: SHA-256(0x00 || body)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 section 2.1: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the perfect subtrees on the tree's right edge, largest first: all that is needed to go on.

    Args:
        size: Number of leaves so far.
        hashes: One hash for each set bit of the size, highest bit first.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError("a frontier has one hash for each set bit of its size")

    def add(self, leaf: bytes) -> None:
        """Appends one leaf hash: as many joins as the old size has trailing one bits."""
        joins = self.size
        while joins & 1:
            leaf = node_hash(self.hashes.pop(), leaf)
            joins >>= 1
        self.hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The tree's root hash; that of no leaves is SHA-256 of nothing."""
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


def frontier_text(frontier: Frontier) -> str:
    """A frontier's hashes as the ledger keeps them beside a head."""
    return json.dumps([item.hex() for item in frontier.hashes])
