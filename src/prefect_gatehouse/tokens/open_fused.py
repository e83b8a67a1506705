"""The compiled tier of opening AES-SIV tokens (RFC 5297); imported only when ``tier.Fused`` has found that it pays.

A column of tokens is read in three passes, with OpenSSL between them: characters become vectors and ciphertexts, ciphertexts become
plaintexts, and what was checked becomes text. A token that is none has no bytes from the first pass on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.compiled import kernel
from prefect_gatehouse.tokens.fused import block_at, spelt
from prefect_gatehouse.tokens.kernels import Written, inlined, load64, store64, swap64
from prefect_gatehouse.tokens.lockstep import Edges, Numbers

Flags = npt.NDArray[np.bool_]

# An index or a number of this kind is never taken for a signed one.
_U = np.uint64


@inlined
def forty_of(letters: np.uint64) -> np.uint64:
    """40 bits of eight characters of base32hex; of other characters something whose ``spelt`` are not those."""
    # Bit 6 tells letters from digits: "0" has 16 in its lower five bits, "a" has 1 and stands for 10.
    fives = (letters & _U(0x1F1F1F1F1F1F1F1F)) + ((letters >> _U(6)) & _U(0x0101010101010101)) * _U(25) - _U(0x1010101010101010)
    tens = ((fives & _U(0x001F001F001F001F)) << _U(5)) | ((fives >> _U(8)) & _U(0x001F001F001F001F))
    twenties = ((tens & _U(0x000003FF000003FF)) << _U(10)) | ((tens >> _U(16)) & _U(0x000003FF000003FF))
    return ((twenties & _U(0xFFFFF)) << _U(20)) | ((twenties >> _U(32)) & _U(0xFFFFF))


@kernel
def unspell(
    data: Bytes,
    edges: Edges,
    prefix: Bytes,
    padded: bool,
    good: Written[Flags],
    sealed: Written[Bytes],
    vectors: Written[Numbers],
    places: Written[Edges],
) -> int:
    """What every token spells: a vector of 16 bytes and a ciphertext.

    Args:
        data: All tokens, one behind the other.
        edges: Where each token starts and the last one ends.
        prefix: What each token begins with.
        padded: Whether the ciphertexts are whole blocks, at least one.
        good: Out: which tokens have that prefix and are exactly what spelling gives.
        sealed: Out: vector and ciphertext of the good ones, vectors without ciphertext of the others, one behind the other, and 8 bytes of room.
        vectors: Out: the vectors, two numbers a token; zeros where there is none.
        places: Out: where each ciphertext starts and the last one ends, the vectors between them not counted.

    Returns:
        How many are good.
    """
    size, used, count = len(data), 0, 0
    places[0] = 0
    for row in range(len(edges) - 1):
        at, end, to = edges[row] + len(prefix), edges[row + 1], used + 16 * row
        width = (end - at) * 5 // 8
        right = width >= 32 and width % 16 == 0 if padded else width >= 16
        right = right and (width * 8 + 4) // 5 == end - at
        if right:
            for index in range(len(prefix)):
                right = right and data[edges[row] + index] == prefix[index]
        if right:
            wrong, whole = _U(0), (end - at) >> 3
            for group in range(whole):
                letters = load64(data, at + 8 * group)
                forty = forty_of(letters)
                wrong |= spelt(forty) ^ letters
                store64(sealed, to + 5 * group, swap64(forty << _U(24)))
            left = (end - at) & 7
            if left:
                # Zeros stand for the missing characters; bits of the last one that belong to no byte are zero as well.
                there = (_U(1) << _U(8 * left)) - _U(1)
                letters, _ = block_at(data, at + 8 * whole, size)
                letters = (letters & there) | (_U(0x3030303030303030) & ~there)
                forty = forty_of(letters)
                wrong |= (spelt(forty) ^ letters) | (forty & ((_U(1) << _U(40 - 8 * (left * 5 // 8))) - _U(1)))
                store64(sealed, to + 5 * whole, swap64(forty << _U(24)))
            right = wrong == _U(0)
        if right:
            used += width - 16
            count += 1
        else:
            store64(sealed, to, _U(0))
            store64(sealed, to + 8, _U(0))
        good[row] = right
        vectors[2 * row], vectors[2 * row + 1] = load64(sealed, to), load64(sealed, to + 8)
        places[row + 1] = used
    return count


@kernel
def unseal(sealed: Bytes, places: Edges, stream: Numbers, plain: Written[Bytes]) -> None:
    """The plaintext of every ciphertext: the sum with the key stream, whole blocks; what is too much is written over by the next one.

    Args:
        sealed: Vectors and ciphertexts, one behind the other, and 16 bytes of room.
        places: Where each plaintext starts and the last one ends.
        stream: The encrypted counter blocks, as many whole ones for each as it begins.
        plain: Out: the plaintexts, one behind the other, and 16 bytes of room.
    """
    used = _U(0)
    for row in range(len(places) - 1):
        for at in range(places[row], places[row + 1], 16):
            source = at + 16 * (row + 1)
            store64(plain, at, load64(sealed, source) ^ stream[used])
            store64(plain, at + 8, load64(sealed, source + 8) ^ stream[used + _U(1)])
            used += _U(2)


@kernel
def unpad(
    plain: Bytes,
    places: Edges,
    vectors: Numbers,
    macs: Numbers,
    padded: bool,
    good: Written[Flags],
    text: Written[Bytes],
    edges: Written[Edges],
) -> int:
    """What the plaintexts hold, where their vectors are right.

    Args:
        plain: The plaintexts, one behind the other, and 16 bytes of room.
        places: Where each starts and the last one ends.
        vectors: The vectors that the tokens have, two numbers each.
        macs: The vectors that their plaintexts have.
        padded: Whether 0x80 and zeros, at most a block of them, fill each plaintext.
        good: Which tokens still are; on return which ones hold something.
        text: Out: what they hold, one behind the other; as long as ``plain``.
        edges: Out: where each text starts and the last one ends.

    Returns:
        How many are good.
    """
    used, count = 0, 0
    edges[0] = 0
    for row in range(len(places) - 1):
        start, end = places[row], places[row + 1]
        right = good[row] and macs[2 * row] == vectors[2 * row] and macs[2 * row + 1] == vectors[2 * row + 1]
        if right and padded:
            least = end - 16
            end -= 1
            while end > least and plain[end] == 0:
                end -= 1
            right = plain[end] == 0x80
        good[row] = right
        if right:
            # Whole blocks: what is copied behind the end is written over by the next text.
            for at in range(0, end - start, 16):
                store64(text, used + at, load64(plain, start + at))
                store64(text, used + at + 8, load64(plain, start + at + 8))
            used += end - start
            count += 1
        edges[row + 1] = used
    return count
