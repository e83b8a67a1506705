"""The rounds of FF1 for values whose halves exceed 64 bits: numbers as limbs, still all values of a length at once.

A half is held in limbs of base radix^k, the highest power below 2^32, least significant first. Reducing modulo radix^m then is
dropping what lies above the top limb, and both ways between limbs and the words of the cipher are Horner's rule with carries
that fit 64 bits: limb x 2^32 + carry < 2^64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prefect_gatehouse.tokens.aes import BLOCK, BlockCipher
from prefect_gatehouse.tokens.base32hex import Bytes
from prefect_gatehouse.tokens.ff1_rounds import ROUNDS, Length, join, split

Limbs = npt.NDArray[np.uint64]

_WORD = np.uint64(32)
_MASK = np.uint64((1 << 32) - 1)


def turn(length: Length, numerals: Bytes, *, back: bool) -> Bytes:
    """All ten rounds.

    Args:
        length: The constants.
        numerals: Values (rows, length), most significant numeral first.
        back: Decrypt.

    Returns:
        The numerals that stand in place of them.
    """
    per_limb = _per_limb(length.radix)
    counts = length.left, length.right
    halves = [_limbs(part, length.radix, per_limb) for part in (numerals[:, : length.left], numerals[:, length.left :])]
    bases = [_bases(count, length.radix, per_limb) for count in counts]
    for number in reversed(range(ROUNDS)) if back else range(ROUNDS):
        target, other = number % 2, 1 - number % 2
        words = _words(halves[other], length.radix**per_limb, -(-length.number_bytes // 4))
        drawn = _drawn(length, number, words)
        _add(halves[target], _reduced(drawn, bases[target]), bases[target], back=back)
    result = np.empty_like(numerals)
    for half, part in zip(halves, (result[:, : length.left], result[:, length.left :]), strict=True):
        _numerals(half, length.radix, per_limb, part)
    return result


def _per_limb(radix: int) -> int:
    power = 1
    while radix ** (power + 1) < 1 << 32:
        power += 1
    return power


def _bases(count: int, radix: int, per_limb: int) -> list[np.uint64]:
    """The base of each limb of a number of ``count`` numerals; the top one holds what is left."""
    full, left = divmod(count, per_limb)
    return [np.uint64(radix**per_limb)] * full + ([np.uint64(radix**left)] if left else [])


def _limbs(numerals: Bytes, radix: int, per_limb: int) -> Limbs:
    count = numerals.shape[1]
    return np.stack([join(numerals[:, max(end - per_limb, 0) : end], radix) for end in range(count, 0, -per_limb)])


def _numerals(limbs: Limbs, radix: int, per_limb: int, out: Bytes) -> None:
    for limb, end in zip(limbs, range(out.shape[1], 0, -per_limb), strict=True):
        split(limb, radix, out[:, max(end - per_limb, 0) : end])


def _words(limbs: Limbs, base: int, count: int) -> Limbs:
    """A number in base 2^32, least significant word first."""
    words = np.zeros((count, limbs.shape[1]), np.uint64)
    for limb in limbs[::-1]:
        carry = limb
        for word in words:
            total = word * np.uint64(base) + carry
            word[:] = total & _MASK
            carry = total >> _WORD
    return words


def _reduced(words: Limbs, bases: list[np.uint64]) -> Limbs:
    """A number in base 2^32, most significant word first, as limbs, without what lies above the top one."""
    limbs = np.zeros((len(bases), words.shape[1]), np.uint64)
    for word in words:
        carry = word
        for limb, base in zip(limbs, bases, strict=True):
            total = (limb << _WORD) + carry
            carry = total // base
            limb[:] = total - carry * base
    return limbs


def _add(target: Limbs, limbs: Limbs, bases: list[np.uint64], *, back: bool) -> None:
    """Adds or subtracts modulo the product of the bases."""
    carry = np.zeros(target.shape[1], np.uint64)
    for mine, other, base in zip(target, limbs, bases, strict=True):
        total = mine + (base - other - carry) if back else mine + other + carry
        over = total >= base
        mine[:] = total - over * base
        carry = (~over if back else over).astype(np.uint64)


def _drawn(length: Length, number: int, words: Limbs) -> Limbs:
    """What round ``number`` draws for each value (S, and y in it), in words of 32 bits, most significant first."""
    state, end = length.start
    rows = words.shape[1]
    text = np.empty((rows, len(end)), np.uint8)
    text[:] = np.frombuffer(end, np.uint8)
    text[:, -length.number_bytes - 1] = number
    number_text = np.ascontiguousarray(words[::-1].T).astype(">u4").view(np.uint8)
    text[:, -length.number_bytes :] = number_text[:, number_text.shape[1] - length.number_bytes :]
    block = np.empty((rows, BLOCK), np.uint8)
    block[:] = np.frombuffer(state, np.uint8)
    for at in range(0, text.shape[1], BLOCK):
        block = _encrypt(length.cipher, block ^ text[:, at : at + BLOCK])
    parts = [block]
    for more in range(1, -(-length.drawn_bytes // BLOCK)):
        parts.append(_encrypt(length.cipher, block ^ np.frombuffer(more.to_bytes(BLOCK, "big"), np.uint8)))
    drawn = np.ascontiguousarray(np.concatenate(parts, axis=1)[:, : length.drawn_bytes])
    return np.ascontiguousarray(drawn.view(">u4").T).astype(np.uint64)


def _encrypt(cipher: BlockCipher, blocks: Bytes) -> Bytes:
    out = np.empty(blocks.size + BLOCK, np.uint8)
    cipher.encrypt(np.ascontiguousarray(blocks).reshape(-1), out)
    return out[: blocks.size].reshape(blocks.shape)
