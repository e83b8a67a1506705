"""The boundary guard: the bytes that go to a provider are numbers and gates, and nothing else.

Every payload passes ``inspect`` twice: before it is intended, and, as the journal kept it, right before it is sent. Its text is searched
for tokens and identifiers, then its structure is checked: shots, and for each circuit its width and a list of
``[gate, qubits, clbits, parameters]`` over known gates, whole numbers in range, and finite angles of a sane size, written in the one way
in which ``workload/circuits.py`` writes them. A payload that can't be read is refused.

What this stops: names of circuits, registers, parameters, gates and labels, metadata, global phases, bytes behind the payload, a token
or an identifier as a number. What nothing of this kind can stop: an angle is a double of 53 bits, and a count of gates is a number too,
so a workload that means to can write any bits into circuits that look like circuits. That is why people approve the digest of its code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import DataRefused, GatehouseError
from prefect_gatehouse.workload.circuits import gate_shapes

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.providers.interface import Backend

LARGEST_ANGLE = 256 * math.pi
"""Radians. Every gate's angle has a period of at most 4 pi, so a larger one says nothing that its remainder does not. 64 such periods
leave room for feature maps and weighted costs, and none for a postcode, a year or an account number that nobody scaled."""

_SHOTS = 10_000_000
_WIDTH = 100_000  # qubits; three orders above any machine, and too few values to name a person by a register's width
_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?::[0-9]{1,7}){3}")
# Our own texts: scheme, version, base32hex of at least 8 bytes. In any case, since a provider may fold it.
_TOKEN = re.compile(r"(?<![0-9a-z])[csp][0-9]{1,4}_[0-9a-v]{13,}", re.IGNORECASE)
# A number with a fraction or an exponent: its digits behind the point are noise, in which any 16 digits can turn up.
_REAL = re.compile(r"(?<![0-9A-Za-z_.+-])(-?[0-9]+)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)(?![0-9A-Za-z_.])")
# The head of a circuit, or one operation with what follows it: another, the next circuit, or the end.
_PART = re.compile(
    r'\[([0-9]{1,6}),([0-9]{1,6}),\[|\["([a-z0-9_]{1,20})",\[([0-9,]{0,40})\],\[([0-9,]{0,20})\],\[([0-9.e+,-]{0,200})\]\](,|\]\],|\]\]\])'
)
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.@+-]*")
# FF1's least domain of 10^6 values has no shorter text: 6 digits, or 4 of 62 letters and digits. A shorter number is a qubit.
_SHORTEST_NUMBER, _SHORTEST_WORD = 6, 4


def guard_payload(payload: bytes, provider: Backend, *, where: str, tokens: Iterable[pa.Array] = ()) -> None:
    """Lets a payload pass, or refuses it.

    Args:
        payload: The bytes that would be sent.
        provider: Says how they read as text.
        where: The backend.
        tokens: Columns of this run whose tokens have no form of their own (ff1, permuted numbers); read only where needed.

    Raises:
        DataRefused: Says what kind of thing is in the payload that has no place there, never the thing.
    """
    text = _text_of(payload, provider, where)
    found = kinds_in(text, tokens)
    if found:
        raise _refused(f"it holds {' and '.join(found)}", where)
    problem = fault_in(text)
    if problem:
        raise _refused(problem, where)


def require_key(key: str, where: str) -> None:
    """Lets a job's key pass: it is the only name that goes along with a job, and has the form ``run:round:job:attempt``.

    Raises:
        DataRefused: It is another text.
    """
    if _KEY.fullmatch(key) is None:
        raise DataRefused("a job's key is not of our own form", where=f"boundary: {where}", advice="run: gatehouse verify")


def kinds_in(text: str, tokens: Iterable[pa.Array] = ()) -> list[str]:
    """The kinds of things in a text that must not leave, such as ``a token``; empty if there are none.

    Of a number with a fraction only the whole part counts. The columns of ``tokens`` are read only if a word could be one of theirs.
    """
    shots, line, listed = text.partition("\n")
    bare = _REAL.sub(r"\1", listed if line and _whole(shots, 1, _SHOTS) else text)
    found = []
    words = _strange_words(bare)
    if _TOKEN.search(bare) or _among([word for word in words if len(word) >= _SHORTEST_NUMBER or not word.isdigit()], tokens):
        found.append("a token")
    if words:
        from prefect_gatehouse.data.identifiers import scan_text

        found += [f"an identifier ({kind})" for kind in sorted(set(scan_text(bare)))]
    return found


def fault_in(text: str) -> str:
    """What is wrong with the plain form of a job, empty if nothing is.

    The form has one spelling (no spaces, no leading zeros, each angle as the shortest text of its double), so that there is no room for
    a message between two spellings of one thing.
    """
    shots, line, listed = text.partition("\n")
    if not line or not _whole(shots, 1, _SHOTS):
        return "it does not begin with a number of shots"
    if not listed.startswith("["):
        return "it is no list of circuits"
    at, shapes = 1, None
    for part in _PART.finditer(listed, at):
        width, bits, gate, qubits, clbits, angles, end = part.groups()
        if part.start() != at or (shapes is None) is (gate is not None):
            break
        at = part.end()
        if shapes is None:
            shapes = _Shapes(width, bits)
            if not shapes.fit:
                return "a circuit's width is none"
            continue
        problem = shapes.fault(gate, qubits, clbits) or _angles_fault(angles, shapes.angles)
        if problem:
            return problem
        if end != ",":
            shapes = None
        if end == "]]]":
            return "" if at == len(listed) else "there is something behind its circuits"
    return "it holds something else than gates, whole numbers and angles"


class _Shapes:
    """One circuit's width, and the gates on places that were found good: a circuit repeats them."""

    def __init__(self, width: str, bits: str) -> None:
        self.fit = _whole(width, 1, _WIDTH) and _whole(bits, 0, _WIDTH)
        self._ends = (int(width), int(bits))
        self._known: dict[tuple[str, str, str], int] = {}
        self.angles = 0

    def fault(self, gate: str, qubits: str, clbits: str) -> str:
        """What is wrong with a gate on its places; how many angles it takes is then in ``angles``."""
        key = (gate, qubits, clbits)
        if key not in self._known:
            shape = gate_shapes().get(gate)
            if shape is None:
                return "a gate has a name of its own"
            if not all(_places(text, end, count) for text, end, count in zip((qubits, clbits), self._ends, shape[:2], strict=True)):
                return "a gate acts on something else than its qubits"
            self._known[key] = shape[2]
        self.angles = self._known[key]
        return ""


def _places(text: str, end: int, count: int) -> bool:
    """Whether a text lists so many different places below an end."""
    places = text.split(",") if text else []
    return len(places) == count == len(set(places)) and all(_whole(place, 0, end - 1) for place in places)


def _angles_fault(text: str, count: int) -> str:
    angles = text.split(",") if text else []
    if len(angles) != count:
        return "a gate has another number of angles"
    for angle in angles:
        try:
            value = float(angle)
        except ValueError:
            return "an angle is no number"
        if repr(value) != angle:
            return "an angle is not written as its shortest text"
        if not abs(value) <= LARGEST_ANGLE:
            return f"an angle is beyond {LARGEST_ANGLE:.0f}; scale the feature, or reduce the angle modulo 4 pi in the workload"
    return ""


def _whole(text: str, low: int, high: int) -> bool:
    return len(text) <= 8 and text.isascii() and text.isdigit() and str(int(text)) == text and low <= int(text) <= high


def _strange_words(bare: str) -> set[str]:
    """Words that are neither gates nor short: none in an honest payload, unless it has a thousand qubits."""
    known = gate_shapes()
    return {word for word in set(_WORD.findall(bare)) if word not in known and len(word) >= _SHORTEST_WORD}


def _among(words: Collection[str], tokens: Iterable[pa.Array]) -> bool:
    if not words:
        return False
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(sorted(words), pa.string())
    found = {int(word) for word in words if re.fullmatch(r"[0-9]{1,19}", word)}  # a sign is no part of a word
    numbers = pa.array(sorted(number for each in found for number in {each, -each} if -(2**63) <= number < 2**63), pa.int64())
    for column in tokens:
        whole = pa.types.is_integer(column.type)
        if pc.any(pc.is_in(column.cast(pa.int64() if whole else pa.string()), value_set=numbers if whole else texts)).as_py():
            return True
    return False


def _text_of(payload: bytes, provider: Backend, where: str) -> str:
    try:
        text: object = provider.payload_text(payload)
    except GatehouseError:
        raise _refused("it can't be read", where) from None
    except Exception:  # noqa: BLE001 - also a provider that has no such method: what can't be read does not leave
        raise _refused("the provider can't say how it reads", where) from None
    if not isinstance(text, str):
        raise _refused("the provider can't say how it reads", where)
    return text


def _refused(what: str, where: str) -> DataRefused:
    return DataRefused(
        f"a payload may not leave: {what}",
        where=f"boundary: {where}",
        advice="only numbers and gates go to a provider; look at the workload, then start a new run",
    )
