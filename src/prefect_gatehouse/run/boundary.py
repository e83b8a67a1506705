"""The boundary guard: the bytes that go to a provider are numbers and gates, and nothing else.

Every payload passes ``guard_payload`` twice: before it is intended, and, as the journal kept it, right before it is sent. The lines of its plain form
(``workload/plain_form.py``) in which words could stand are searched for tokens and identifiers; then all of it is read strictly: shots,
templates over known gates and whole numbers in range, and tables of finite angles, in the one way in which they are written; and no angle may be
larger than a sane one. A payload that can't be read is refused.

What this stops: names of circuits, registers, parameters, gates and labels, metadata, global phases, bytes behind the payload, a token
or an identifier as a number. What nothing of this kind can stop: an angle is a double, and a count of gates is a number too, so a workload that
means to can write bits into circuits that look like circuits. They are bounded and counted (``workload/capacity.py``), and people approve the bound.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from prefect_gatehouse.errors import DataRefused, GatehouseError
from prefect_gatehouse.workload.angles import LARGEST_ANGLE, is_on_grid
from prefect_gatehouse.workload.gates import gate_shapes
from prefect_gatehouse.workload.plain_form import VERSION, Malformed, read, words_of

if TYPE_CHECKING:
    import pyarrow as pa

    from prefect_gatehouse.providers.interface import Backend

_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?::[0-9]{1,7}){3}")
# Our own texts: scheme, version, base32hex of at least 8 bytes. In any case, since a provider may fold it.
_TOKEN = re.compile(r"(?<![0-9a-z])[csp][0-9]{1,4}_[0-9a-v]{13,}", re.IGNORECASE)
# A number with a fraction or an exponent: its digits behind the point are noise, in which any 16 digits can turn up.
_REAL = re.compile(r"(?<![0-9A-Za-z_.+-])(-?[0-9]+)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)(?![0-9A-Za-z_.])")
# What every payload begins with: shots, and the form's name.
_HEAD = re.compile(r"\A[0-9]{1,8}\n" + re.escape(VERSION) + r"\n")
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.@+-]*")
# FF1's least domain of 10^6 values has no shorter text: 6 digits, or 4 of 62 letters and digits. A shorter number is a qubit.
_SHORTEST_NUMBER, _SHORTEST_WORD = 6, 4


def guard_payload(payload: bytes, provider: Backend, *, where: str, tokens: Iterable[pa.Array] = (), step: float | None = None) -> None:
    """Lets a payload pass, or refuses it.

    Args:
        payload: The bytes that would be sent.
        provider: Says how they read in the plain form.
        where: The backend.
        tokens: Columns of this run whose tokens have no form of their own (ff1, permuted numbers); read only where needed.
        step: The grid that the plan puts angles on, in radians; None where it names none.

    Raises:
        DataRefused: Says what kind of thing is in the payload that has no place there, never the thing.
    """
    plain = _plain_form_of(payload, provider, where)
    found = kinds_in(words_of(plain), tokens)
    if found:
        raise _refused(f"it holds {' and '.join(found)}", where)
    problem = fault_in(plain, step)
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
    bare = _REAL.sub(r"\1", _HEAD.sub("", text))
    found = []
    words = _strange_words(bare)
    if _TOKEN.search(bare) or _among([word for word in words if len(word) >= _SHORTEST_NUMBER or not word.isdigit()], tokens):
        found.append("a token")
    if words:
        from prefect_gatehouse.data.identifiers import scan_text

        found += [f"an identifier ({kind})" for kind in sorted(set(scan_text(bare)))]
    return found


def fault_in(plain: bytes, step: float | None = None) -> str:
    """What is wrong with the plain form of a job, empty if nothing is."""
    try:
        batch, _ = read(plain)
    except Malformed as fault:
        return str(fault)
    if any(max(table.max(), -table.min()) > LARGEST_ANGLE for table in batch.angles if table.size):
        return f"an angle is beyond {LARGEST_ANGLE:.0f}; scale the feature, or reduce the angle modulo 4 pi in the workload"
    if step is not None and not all(is_on_grid(table, step) for table in batch.angles):
        return "an angle is not on the grid of execution.angle_step"
    return ""


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


def _plain_form_of(payload: bytes, provider: Backend, where: str) -> bytes:
    try:
        plain: object = provider.plain_form(payload)
    except GatehouseError:
        raise _refused("it can't be read", where) from None
    except Exception:  # noqa: BLE001 - also a provider that has no such method: what can't be read does not leave
        raise _refused("the provider can't say how it reads", where) from None
    if not isinstance(plain, bytes):
        raise _refused("the provider can't say how it reads", where)
    return plain


def _refused(what: str, where: str) -> DataRefused:
    return DataRefused(
        f"a payload may not leave: {what}",
        where=f"boundary: {where}",
        advice="only numbers and gates go to a provider; look at the workload, then start a new run",
    )
