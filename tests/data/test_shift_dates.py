"""Dates shifted by a secret number of days for each subject."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from prefect_gatehouse.data.rules import Rule, rule_for
from prefect_gatehouse.data.shift_dates import days_for
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.manifest.columns import Column
from prefect_gatehouse.tokens.columns import text_bytes
from prefect_gatehouse.tokens.keys import RootKey

ROOT = RootKey(bytes(range(1, 33)))
ADAPTER: TypeAdapter[Column] = TypeAdapter(Column)
SHIFT = {"rule": "shift_dates", "subject": "who", "days": 30}
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))), min_size=1, max_size=20)


def rule(root: RootKey | None = ROOT, tenant: str = "t", subject: dict[str, object] | None = None, **more: object) -> Rule:
    columns = {"who": ADAPTER.validate_python(subject)} if subject else None
    return rule_for("when", ADAPTER.validate_python({**SHIFT, **more}), typed=True, root_key=root, tenant=tenant, columns=columns)


def shifted(made: Rule, dates: pa.Array, subjects: pa.Array) -> pa.Array:
    treated, bad = made.apply(dates, subjects)
    assert bad is None
    made.check()
    return treated


@settings(deadline=None)
@given(ROWS)
def test_intervals_within_a_subject_stay_and_no_date_does(rows: list[tuple[str, dt.date]]) -> None:
    """All dates of a subject move by one number of days between 1 and the limit, in every type of date alike."""
    subjects, days = pa.array([who for who, _ in rows]), [day for _, day in rows]
    moved = shifted(rule(), pa.array(days, pa.date32()), subjects).to_pylist()
    by_subject: dict[str, set[int]] = {}
    for (who, day), other in zip(rows, moved, strict=True):
        by_subject.setdefault(who, set()).add((other - day).days)
    assert all(len(each) == 1 and 1 <= abs(next(iter(each))) <= 30 for each in by_subject.values())
    text = pa.array([f"{day.isoformat()}T10:30:00+02:00" for day in days])
    assert shifted(rule(), text, subjects).to_pylist() == [f"{day.isoformat()}T10:30:00+02:00" for day in moved]
    stamps = pa.array([dt.datetime(day.year, day.month, day.day, 1, 2, 3) for day in days], pa.timestamp("ns", "Europe/Berlin"))
    ahead = pa.array(shifted(rule(), stamps, subjects)).cast(pa.timestamp("ns")).to_numpy() - stamps.cast(pa.timestamp("ns")).to_numpy()
    assert (ahead // np.timedelta64(1, "D")).tolist() == [(other - day).days for other, day in zip(moved, days, strict=True)]


def test_types_stay() -> None:
    """A column of dates of either width, of timestamps with or without a zone, or of text has its type afterwards."""
    for kind in (pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ms", "UTC"), pa.timestamp("us"), pa.timestamp("ns", "Asia/Tokyo")):
        array = pa.array([dt.datetime(2026, 1, 1), None]).cast(kind)
        moved = shifted(rule(), array, pa.array(["x", "x"]))
        assert moved.type == kind
        assert moved[1].as_py() is None and moved[0] != array[0]


def test_the_subject_decides_in_its_canonical_form() -> None:
    """The number 7 and the text 7 are one subject, and so are a composed and a decomposed letter; other keys give other shifts."""
    dates = pa.array([dt.date(2026, 1, 1)] * 2)
    assert shifted(rule(), dates, pa.array([7, 8])).equals(shifted(rule(), dates, pa.array(["7", "8"])))
    letters = shifted(rule(), dates, pa.array(["\u00e9", "e\u0301"])).to_pylist()
    assert letters[0] == letters[1]
    many, who = pa.array([dt.date(2026, 1, 1)] * 50), pa.array([str(number) for number in range(50)])
    results = [
        shifted(made, many, who).to_pylist()
        for made in (
            rule(),
            rule(tenant="other"),
            rule(RootKey(bytes(range(2, 34)))),
            rule(subject={"rule": "tokenise", "join_domain": "person"}),
        )
    ]
    assert all(one != other for place, one in enumerate(results) for other in results[:place])
    # The join domain is the subject's, not the column's: two date columns of one subject move alike.
    other = rule_for("then", ADAPTER.validate_python(SHIFT), typed=True, root_key=ROOT, tenant="t")
    assert shifted(other, many, who).equals(shifted(rule(), many, who))


def test_every_shift_is_as_likely_as_any_other() -> None:
    """Over 40,000 subjects the 14 possible shifts of a week are drawn alike, and 0 never."""
    subjects = pa.array([f"subject {number}" for number in range(40_000)])
    drawn = Counter(days_for(b"k" * 32, *text_bytes(subjects), 7).tolist())
    assert set(drawn) == {day for day in range(-7, 8) if day != 0}
    expected = 40_000 / 14
    assert sum((count - expected) ** 2 / expected for count in drawn.values()) < 40  # chi-square, 13 degrees: 0.0001 lie above 41


def test_bad_values_are_counted_and_never_shown() -> None:
    """A date without a subject, a text that is no date and a date pushed out of the calendar are bad; a missing date is missing."""
    made = rule()
    dates = pa.array(["2026-01-01", "CANARY", "9999-12-31", "0001-01-01", None, "2026-01-01"])
    treated, bad = made.apply(dates, pa.array([None, "a", "a", "a", None, "a"]))
    assert bad.to_pylist()[:2] == [True, True] and bad.to_pylist()[4:] == [False, False]
    assert bad.to_pylist()[2] != bad.to_pylist()[3], "one shift pushes one of the two ends out"
    assert [value is None for value in treated.to_pylist()] == [*bad.to_pylist()[:4], True, False]
    with pytest.raises(DataRefused, match=r"1 value has no subject|1 value is") as caught:
        made.check()
    assert "CANARY" not in str(caught.value)


def test_what_can_not_be_shifted_is_refused() -> None:
    """Other types of date or subject, and no root key."""
    with pytest.raises(DataRefused, match="not dates"):
        rule().apply(pa.array([1]), pa.array(["a"]))
    with pytest.raises(DataRefused, match="subject can't be read"):
        rule().apply(pa.array([dt.date(2026, 1, 1)]), pa.array([1.5]))
    with pytest.raises(InputError, match="dates are shifted without a root key"):
        rule(root=None)
    assert rule().reads == ("when", "who")
    assert rule().detail == "by up to 30 days, the same for one who"
