"""Finds identifiers in text and in whole numbers: e-mail, telephone, payment card, IBAN, national numbers, network addresses.

It looks into free text as well as at whole values. What it does not find: names of persons and places, dates of birth, numbers
without a check digit and without a form of their own (a US number written 123456789), and anything encoded. A value is never
shown, only kinds and counts.

A number passes a check digit by chance (one in ten for Luhn), so such numbers are judged together: a kind is found if at least
three times the share pass that chance explains, and more different numbers than five standard deviations above it; or if that share
passes in a column where numbers are rare, for kinds that are dangerous or hard to pass by chance. Counts add up over batches and
processes.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.check_digits import Digits
from prefect_gatehouse.data.matching import matches
from prefect_gatehouse.data.national_numbers import NUMBERS, NumberKind
from prefect_gatehouse.data.written_identifiers import BEFORE, BEHIND, ORDINARY, WRITTEN, formed, held
from prefect_gatehouse.tokens.columns import is_text

_MARK = "id "
_VALUES, _NUMBERS = f"{_MARK}values", f"{_MARK}numbers"
# Remainders that estimate how many different numbers were seen: repeated ones prove nothing. A prime, so that runs spread evenly.
_REMAINDERS = 61
_SIGMAS = 5
# Numbers are rare in a column if they are less than this share of its values, or fewer than this.
_RARE = 0.05
_FEW = 3
# Runs of hexadecimal that are no identifiers of persons, and would look like numbers in pieces.
_NEUTRAL = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")
# Whole columns at a time, by Arrow: Python's own way takes as long as everything else together.
_PLAIN = (("[\u00a0\u2009\u202f]", " "), ("[\u00ad\u200b\u200c\u200d\u2060\ufeff]", ""), ("[\u2010\u2012\u2013\u2212]", "-"))
_BARE = rf"{BEFORE}\d{{9,19}}{BEHIND}"
_ONLY_DIGITS = str.maketrans("", "", " .-+")
_IN_GROUPS = " in groups"
# Name, share that passes by chance, and whether one is enough where numbers are rare; a number in groups is seldom anything else.
_KINDS = (
    *((kind.name, kind.chance, True) for kind in WRITTEN),
    *((kind.name, kind.chance, kind.alone) for kind in NUMBERS),
    *((f"{kind.name}{_IN_GROUPS}", kind.chance, True) for kind in NUMBERS),
)


def count(values: pa.Array) -> Counter[str]:
    """What a batch of text or of whole numbers holds, as counts that may be added up; other types hold nothing."""
    kind = values.type
    if is_text(kind):
        return _in_texts(values.cast(pa.string()))
    if pa.types.is_floating(kind):
        plain = values.drop_null().to_numpy(zero_copy_only=False)
        values = pa.array(plain[plain == np.rint(plain)], pa.float64())
        values = values.filter(pc.less(pc.abs(values), 2.0**53)).cast(pa.int64())
        kind = values.type
    if pa.types.is_decimal(kind) or kind == pa.uint64():  # the upper half of uint64 is in no other type
        return _in_texts(values.cast(pa.string()))
    return _in_numbers(values) if pa.types.is_integer(kind) else Counter()


def found(counted: Mapping[str, int]) -> dict[str, int]:
    """The kinds that the counts of a column prove, with the number of values that hold one."""
    result: dict[str, int] = {}
    for name, chance, alone in dict.fromkeys(_KINDS):
        sure = counted.get(f"{_MARK}{name}: sure", 0)
        passed = counted.get(f"{_MARK}{name}: passed", 0)
        if passed and not _beyond_chance(counted, name, chance, alone):
            passed = 0
        if sure + passed:
            kind = name.removesuffix(_IN_GROUPS)
            result[kind] = result.get(kind, 0) + sure + passed
    return result


def scan(column: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    """The kinds of identifier that a column holds, with the number of values that hold one."""
    counted: Counter[str] = Counter()
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        counted.update(count(chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk))
    return found(counted)


def scan_text(text: str) -> list[str]:
    """The kinds of identifier in one text, such as a payload, judged as a column with one value."""
    return list(scan(pa.array([text], pa.large_string())))


def told(kinds: Mapping[str, int]) -> str:
    """Kinds and counts as a message names them."""
    return ", ".join(f"{kind} ({number})" for kind, number in kinds.items())


def _beyond_chance(counted: Mapping[str, int], name: str, chance: float, alone: bool) -> bool:
    passed, formed = counted[f"{_MARK}{name}: passed"], counted[f"{_MARK}{name}: formed"]
    if passed < 3 * chance * formed:
        return False
    if alone and counted[_NUMBERS] < max(_FEW, _RARE * counted[_VALUES]):
        return True
    different = {what: sum(f"{_MARK}{name}: {what} {rest}" in counted for rest in range(_REMAINDERS)) for what in ("passed", "formed")}
    expected = different["formed"] * chance
    return different["passed"] > expected + _SIGMAS * math.sqrt(expected * (1 - chance))


def _in_texts(text: pa.Array) -> Counter[str]:
    text = text.drop_null()
    counted: Counter[str] = Counter({_VALUES: len(text)})
    distinct = text.value_counts()
    values, times = distinct.field("values"), distinct.field("counts").to_numpy()
    if not pc.all(pc.string_is_ascii(values)).as_py():
        # Digits, letters, spaces and dashes of other widths become plain ones, and what is not seen goes.
        values = pc.utf8_normalize(values, form="NFKC")
        for characters, instead in _PLAIN:
            values = pc.replace_substring_regex(values, characters, instead)
    digits = matches(values, r"^\s*\d{9,19}\s*$")
    _add_bare(counted, pc.utf8_trim_whitespace(values.filter(digits)).to_pylist())
    rest = pc.invert(pc.or_(digits, matches(values, ORDINARY)))
    values, times = values.filter(rest), times[rest.to_numpy(zero_copy_only=False)]
    if not len(values):
        return counted
    for kind in WRITTEN:
        texts, owners = _occurrences(kind.whole, kind.quick, values)
        form = np.array(formed(kind, texts), bool)
        texts, owners = [text for text, good in zip(texts, form, strict=True) if good], owners[form]
        good = np.array(held(kind, texts), bool)
        if kind.chance:
            counted[_NUMBERS] += len(texts)
            _add_formed(counted, kind.name, np.array([_mark_of(each) for each in texts], np.int64), good)
        else:
            _add_sure(counted, kind.name, owners[good], times)
    _add_bare(counted, _occurrences(_BARE, r"\d{9}", values)[0])
    for number in NUMBERS:
        if number.written is not None:
            _add_grouped(counted, number, _occurrences(f"{BEFORE}(?:{number.written}){BEHIND}", number.written, values)[0])
    return counted


def _mark_of(text: str) -> int:
    """A small number that tells different texts apart often enough to estimate how many there are."""
    return sum((place + 1) * ord(character) for place, character in enumerate(text.upper()) if character.isalnum())


def _in_numbers(values: pa.Array) -> Counter[str]:
    values = values.drop_null()
    long = values.filter(pc.greater_equal(values, 10**8)) if values.type.bit_width > 16 else values.slice(0, 0)
    counted: Counter[str] = Counter({_VALUES: len(values)})
    _add_bare(counted, long.unique().cast(pa.string()).to_pylist())
    return counted


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(f"\n|{pattern}")


def _occurrences(pattern: str, quick: str, values: pa.Array) -> tuple[list[str], npt.NDArray[np.int64]]:
    """What a pattern finds in texts, and in which of them.

    RE2 picks the texts, all at once; then one call goes over those, joined by line ends, which tell where each text ends.
    """
    places = np.flatnonzero(matches(values, quick).to_numpy(zero_copy_only=False))
    if not len(places):
        return [], places
    joined = _NEUTRAL.sub(" ", "\n".join(each.replace("\n", " ") for each in values.take(pa.array(places)).to_pylist()))
    hits = _compiled(pattern).findall(joined)
    line_ends = np.fromiter((hit == "\n" for hit in hits), bool, len(hits))
    return [hit for hit in hits if hit != "\n"], places[np.cumsum(line_ends)[~line_ends]]


def _matrices(texts: Sequence[str]) -> Iterator[Digits]:
    """Digits of texts as matrices of one length each."""
    plain = [each.translate(_ONLY_DIGITS) for each in texts]
    lengths = np.array([len(each) for each in plain], np.int64)
    for length in np.unique(lengths):
        rows = [each for each in plain if len(each) == length]
        yield np.frombuffer("".join(rows).encode("ascii", "replace"), np.uint8).reshape(len(rows), length).astype(np.int64) - 48


def _add_sure(counted: Counter[str], name: str, owners: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> None:
    if len(owners):
        counted[f"{_MARK}{name}: sure"] += int(times[np.unique(owners)].sum())


def _add_bare(counted: Counter[str], texts: Sequence[str]) -> None:
    for digits in _matrices(list(dict.fromkeys(texts))):
        counted[_NUMBERS] += len(digits)
        for kind in NUMBERS:
            if digits.shape[1] in kind.lengths:
                _add_number(counted, kind.name, kind, digits)


def _add_grouped(counted: Counter[str], kind: NumberKind, texts: Sequence[str]) -> None:
    """Numbers written in the groups of a kind; they are counted apart from bare ones, of which a column may have many more."""
    for digits in _matrices(list(dict.fromkeys(texts))):
        if digits.shape[1] in kind.lengths:
            counted[_NUMBERS] += len(digits)
            _add_number(counted, f"{kind.name}{_IN_GROUPS}", kind, digits)


def _add_number(counted: Counter[str], name: str, kind: NumberKind, digits: Digits) -> None:
    digits = digits[kind.form(digits)]
    # Nineteen digits may not fit 64 bits; the last fifteen tell numbers apart as well.
    _add_formed(counted, name, digits[:, -15:] @ 10 ** np.arange(min(15, digits.shape[1])), kind.passes(digits))


def _add_formed(counted: Counter[str], name: str, marks: npt.NDArray[np.int64], passed: npt.NDArray[np.bool_]) -> None:
    for what, numbers in (("formed", marks), ("passed", marks[passed])):
        if len(numbers):
            counted[f"{_MARK}{name}: {what}"] += len(numbers)
            for rest in np.unique(numbers % _REMAINDERS):
                counted[f"{_MARK}{name}: {what} {rest}"] += 1
