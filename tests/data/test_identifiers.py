"""Identifiers in columns: found where they are, as whole values and within text, and not in ordinary columns."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import random
import re
import uuid
from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.data.test_check_digits import SPECIMENS

from prefect_gatehouse.data.identifiers import count, found, scan, scan_text, told
from prefect_gatehouse.data.national_numbers import NUMBERS
from prefect_gatehouse.data.rules import rule_for
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.manifest.columns import Column
from prefect_gatehouse.tokens import cmac, permute_blocks, siv
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))
ADAPTER: TypeAdapter[Column] = TypeAdapter(Column)
ROWS = 3000


def numbers_of(name: str, length: int, rows: int, seed: int = 1) -> list[str]:
    """Random numbers of a kind with valid check digits, none of them taken from a person: drawn until they pass."""
    kind = next(each for each in NUMBERS if each.name == name)
    rng = np.random.default_rng(seed)
    result: list[str] = []
    while len(result) < rows:
        drawn = rng.integers(0, 10, (20_000, length))
        if name == "Swiss insurance number":
            drawn[:, :3] = (7, 5, 6)
        if name == "Swedish personal number" and length == 12:
            drawn[:, :2] = (1, 9)
        drawn = drawn[kind.form(drawn)]
        result += ["".join(map(str, row)) for row in drawn[kind.passes(drawn)]]
    return result[:rows]


@pytest.mark.parametrize(("name", "length"), [(kind.name, length) for kind in NUMBERS for length in kind.lengths[:4]])
def test_bare_numbers_are_found_as_text_and_as_whole_numbers(name: str, length: int) -> None:
    """A column of valid numbers is found by its kind, whether the source has it as text or as numbers."""
    values = numbers_of(name, length, 200)
    assert name in scan(pa.array(values))
    whole = [int(value) for value in values if value[0] != "0"]
    assert name in scan(pa.array(whole, pa.int64()))


WRITTEN_ONES = {
    "e-mail address": ["who.ever+x@mail.example.org", "ÄÖ@exämple.org", "WHO@EXAMPLE.ORG"],
    "telephone number": [
        "+49 30 1234567",
        "+49.301234567",
        "+1 (212) 555-0123",
        "+442079460958",
        "(212) 555-0123",
        "212-555-0123",
        "020 7946 0958",
        "07700 900123",
        "030/1234567",
        "01 23 45 67 89",
        "0049 30 1234567",
    ],
    "payment card number": ["4111 1111 1111 1111", "5555-5555-5555-4444", "3782 822463 10005"],
    "IBAN": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "de89370400440532013000"],
    "US social security number": ["123-45-6789", "123 45 6789"],
    "British insurance number": ["AB123456C", "AB 12 34 56 C"],
    "British NHS number": ["943 476 5919"],
    "Spanish DNI": ["12345678Z", "X1234567L"],
    "Italian codice fiscale": ["RSSMRA85T10A562S"],
    "Finnish identity code": ["131052-308T"],
    "Chinese resident number": ["11010519491231002X"],
    "French insurance number": ["2 69 05 49 588 157 80"],
    "French insurance number of Corsica": ["169052A58815780"],
    "Swedish personal number": ["811218-9876"],
    "Indian Aadhaar number": ["2341 2341 2346"],
    "Canadian SIN": ["046 454 286"],
    "Brazilian CPF": ["111.444.777-35"],
    "Belgian register number": ["85.07.30-033.28"],
    "Swiss insurance number": ["756.9217.0769.85"],
    "network address": ["192.168.17.4", "10.0.0.130", "fe80::1ff:fe23:4567:890a", "2001:0db8:0000:0000:0000:ff00:0042:8329"],
    "hardware address": ["00:1b:44:11:3a:b7", "00-1B-44-11-3A-B7"],
    "address with a password": ["postgresql://user:secret@db.example.org/x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRITTEN_ONES.items() for value in values])
@pytest.mark.parametrize("around", ["{}", "called {} yesterday", "({}), again", "first line\n{}\nlast line", "id={};"])
def test_one_is_enough_where_the_form_is_telling(name: str, value: str, around: str) -> None:
    """One occurrence, whole or within a text, in a column of a thousand ordinary values."""
    ordinary = [f"visit {number} on 2026-01-28" for number in range(1000)]
    kinds = scan(pa.array([*ordinary, around.format(value)]))
    assert kinds.get(name) == 1, kinds


def test_digits_and_signs_of_other_widths_are_read() -> None:
    """Full-width digits, a full-width @, no-break spaces, soft hyphens and long dashes hide nothing."""
    assert "payment card number" in scan(pa.array(["".join(chr(0xFF10 + int(digit)) if digit != " " else " " for digit in "4111 1111 1111 1111")]))
    assert "payment card number" in scan(pa.array(["4111\u00a01111\u20111111\u20131111"]))
    assert "e-mail address" in scan(pa.array(["who\uff20example.org"]))
    assert "e-mail address" in scan(pa.array(["wh\u00ado@exam\u200bple.org"]))


def words(rng: random.Random) -> str:
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randrange(1, 9))) for _ in range(rng.randrange(1, 6)))


ORDINARY: dict[str, Callable[[random.Random], object]] = {
    **{f"integers-{length}": (lambda rng, length=length: rng.randrange(10 ** (length - 1), min(10**length, 2**63))) for length in range(1, 20)},
    **{f"integers-{length}-text": (lambda rng, length=length: str(rng.randrange(10 ** (length - 1), 10**length))) for length in range(1, 20)},
    "floats": lambda rng: repr(rng.gauss(0, 1)),
    "large-floats": lambda rng: repr(rng.gauss(0, 1e15)),
    "decimal-commas": lambda rng: f"{rng.randrange(10**6)},{rng.randrange(100):02d}",
    "dates": lambda rng: str(dt.date(1940, 1, 1) + dt.timedelta(rng.randrange(30_000))),
    "german-dates": lambda rng: (dt.date(1940, 1, 1) + dt.timedelta(rng.randrange(30_000))).strftime("%d.%m.%Y"),
    "american-dates": lambda rng: (dt.date(1940, 1, 1) + dt.timedelta(rng.randrange(30_000))).strftime("%m/%d/%Y"),
    "timestamps": lambda rng: dt.datetime.fromtimestamp(rng.randrange(2**31), dt.UTC).isoformat(),
    "compact-times": lambda rng: dt.datetime.fromtimestamp(rng.randrange(2**31), dt.UTC).strftime("%Y%m%d%H%M%S"),
    "compact-minutes": lambda rng: dt.datetime.fromtimestamp(rng.randrange(2**31), dt.UTC).strftime("%Y%m%d%H%M"),
    "seconds": lambda rng: 1_700_000_000 + rng.randrange(10**8),
    "milliseconds": lambda rng: 1_700_000_000_000 + rng.randrange(10**11),
    "clock": lambda rng: f"{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}",
    "words": words,
    "uuids": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "hex-32": lambda rng: f"{rng.getrandbits(128):032x}",
    "hex-16": lambda rng: f"{rng.getrandbits(64):016x}",
    "hex-12": lambda rng: f"{rng.getrandbits(48):012x}",
    "sha256": lambda rng: f"{rng.getrandbits(256):064x}",
    "order-codes": lambda rng: f"ORD-{rng.randrange(10**8):08d}-{rng.randrange(1000):03d}",
    "part-numbers": lambda rng: f"{rng.randrange(1000):03d}-{rng.randrange(1000):03d}-{rng.randrange(1000):03d}",
    "letters-and-digits": lambda rng: "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=10)),
    "versions": lambda rng: ".".join(str(rng.randrange(30)) for _ in range(4)),
    "icd-10": lambda rng: f"{rng.choice('ABCDEFGHIJ')}{rng.randrange(100):02d}.{rng.randrange(10)}",
    "amounts": lambda rng: f"{rng.randrange(1, 999)},{rng.randrange(1000):03d}.{rng.randrange(100):02d} EUR",
    "notes": lambda rng: (
        f"seen on 2026-01-{rng.randrange(1, 28):02d}, {rng.randrange(90, 180)}/{rng.randrange(50, 100)}, {rng.uniform(40, 120):.1f} kg"
    ),
    "order-in-text": lambda rng: f"order {rng.randrange(10**8, 10**9)} of {words(rng)}",
}


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.parametrize("seed", [1, 2])
def test_ordinary_columns_are_not_taken_for_identifiers(name: str, seed: int) -> None:
    """Numbers of every length, dates, times, digests, codes and prose hold nothing, though one number in ten passes a check digit."""
    rng = random.Random(seed)
    make = ORDINARY[name]
    assert scan(pa.array([make(rng) for _ in range(ROWS)])) == {}


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**17), st.sampled_from([1, 2, 7, 10, 100]), st.booleans())
def test_running_numbers_are_not_taken_for_identifiers(first: int, step: int, as_text: bool) -> None:
    """Serial numbers, wherever they begin."""
    values = range(first, first + 500 * step, step)
    assert scan(pa.array([str(value) for value in values]) if as_text else pa.array(values, pa.int64())) == {}


def test_our_own_tokens_are_not_identifiers() -> None:
    """What tokenising gives may be kept."""
    names = pa.array([f"name {number}" for number in range(ROWS)])
    for module in (cmac, siv):
        assert scan(module.tokenise(names, ROOT, tenant="t", join_domain="d")) == {}
    assert scan(permute_blocks.tokenise(pa.array(range(ROWS)), ROOT, tenant="t", join_domain="d")) == {}


def test_one_number_over_and_over_proves_nothing() -> None:
    """Three sites with nine digits each, of which one passes the Dutch and one the Canadian check, a million rows or not."""
    sites = pa.array(["111222333", "046454286", "100000001"] * 20_000)
    counted: Counter[str] = Counter()
    for _ in range(20):
        counted.update(count(sites))
    assert found(counted) == {}


def test_one_card_in_a_column_of_words_is_found_and_its_share_of_orders_is_not() -> None:
    """A bare card number among notes is enough; in a column of 16-digit order numbers as many as chance gives are not."""
    rng = random.Random(5)
    assert "payment card number" in scan(pa.array([*(words(rng) for _ in range(500)), "paid with 4111111111111111 today"]))
    orders = [str(rng.randrange(4 * 10**15, 5 * 10**15)) for _ in range(ROWS)]
    assert scan(pa.array(orders)) == {}
    assert "payment card number" in scan(pa.array([*orders, *numbers_of("payment card number", 16, 2 * ROWS)]))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(0, 2**32))
def test_batches_and_processes_do_not_matter(pieces: int, seed: int) -> None:
    """Counts of the pieces, pickled and added up, give the verdict of the whole, and hold no value."""
    rng = random.Random(seed)
    values = [*numbers_of("Dutch BSN", 9, 40, seed), *(words(rng) for _ in range(60)), "who.canary@example.org", "who.canary@example.org"]
    rng.shuffle(values)
    cut = -(-len(values) // pieces)
    counted: Counter[str] = Counter()
    for first in range(0, len(values), cut):
        counted.update(pickle.loads(pickle.dumps(count(pa.array(values[first : first + cut])))))
    assert found(counted) == scan(pa.array(values))
    assert found(counted)["e-mail address"] == 2
    assert not any("canary" in key or re.search(r"\d{4}", key) for key in counted)


def test_types_and_missing_values() -> None:
    """Large strings, views, dictionaries, chunks, decimals and floats with gaps read alike; other types hold nothing."""
    cards = SPECIMENS["payment card number"]
    expected = scan(pa.array(cards))
    assert expected["payment card number"] == len(cards)
    for kind in (pa.large_string(), pa.string_view()):
        assert scan(pa.array([*cards, None], kind)) == expected
    assert scan(pa.array(cards).dictionary_encode()) == expected
    assert scan(pa.chunked_array([pa.array(cards[:3]), pa.array(cards[3:])])) == expected
    assert scan(pa.array([None, *(float(card) for card in cards)])) == expected
    assert scan(pa.array([int(card) for card in cards], pa.uint64())) == expected
    for other in ([True], [dt.date(2026, 1, 1)], [b"who@example.org"], [None], [1.5], [float("nan")]):
        assert scan(pa.array(other)) == {}
    assert scan(pa.array([], pa.string())) == {}


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "a." * 150_000,
        "@" * 100_000,
        "1" * 300_000,
        "1 " * 150_000,
        "+1" * 100_000,
        "0:" * 100_000,
        "DE12" * 50_000,
        "a@" + "b." * 100_000,
        "\n" * 100_000,
    ],
    ids=["letters", "words", "ats", "digits", "spaced", "plus", "colons", "iban", "domain", "lines"],
)
def test_no_text_makes_the_search_slow(text: str) -> None:
    """Long runs of what patterns begin with end within the time that a test has; what they hold does not matter."""
    assert isinstance(scan_text(text), list)


def test_a_payload_of_angles_holds_nothing_and_one_with_an_identifier_does() -> None:
    """A hundred thousand random angles with up to 17 digits are numbers; a card, an address or a mail among them is found."""
    rng = np.random.default_rng(3)
    angles = [*rng.normal(size=50_000).tolist(), *(rng.normal(size=50_000) * 10.0 ** rng.integers(-12, 3, 50_000)).tolist()]
    payload = json.dumps([[["rz", [place % 20], [angle]] for place, angle in enumerate(angles)]])
    assert scan_text(payload) == []
    for value, kind in (("4111111111111111", "payment card number"), ('"who@example.org"', "e-mail address"), ('"DE89370400440532013000"', "IBAN")):
        assert scan_text(payload.replace("[0]", f"[0, {value}]", 1)) == [kind]


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ({"rule": "keep"}, ["first CANARY", "second CANARY", "canary.who@example.org"]),
        ({"rule": "keep"}, SPECIMENS["payment card number"]),
        ({"rule": "generalise", "prefix": 32}, ["canary.who@example.org and a long text behind the address"]),
    ],
    ids=["mail", "cards", "prefix"],
)
@pytest.mark.parametrize("typed", [False, True])
def test_a_kept_column_with_identifiers_is_refused(rule: dict[str, object], values: list[str], typed: bool) -> None:
    """The refusal names the column, the kind and the number, and no value; a prefix that leaves the identifier is refused as well."""
    made = rule_for("col", ADAPTER.validate_python(rule), typed=typed, root_key=None, tenant="t")
    made.apply(pa.array(values))
    with pytest.raises(DataRefused, match=r"carries identifiers: (e-mail address|payment card number) \(\d+\)") as caught:
        made.check()
    assert caught.value.where == "column 'col'"
    assert not any(value in str(caught.value) for value in values)


def test_whole_numbers_and_shortened_text() -> None:
    """Typed whole numbers are looked at too; a prefix that cuts the identifier, and a scaled column, pass."""
    cards = pa.array([int(card) for card in numbers_of("payment card number", 16, 50)])
    made = rule_for("col", ADAPTER.validate_python({"rule": "keep"}), typed=True, root_key=None, tenant="t")
    made.apply(cards)
    with pytest.raises(DataRefused, match="payment card number"):
        made.check()
    for rule, array in (({"rule": "keep", "scale": [0, 1e16]}, cards), ({"rule": "generalise", "prefix": 4}, cards.cast(pa.string()))):
        other = rule_for("col", ADAPTER.validate_python(rule), typed=True, root_key=None, tenant="t")
        other.apply(array)
        other.check()


def test_kinds_and_counts_in_words() -> None:
    """What a message shows."""
    assert told({"IBAN": 2, "e-mail address": 1}) == "IBAN (2), e-mail address (1)"
