"""The price table: strict, dated, and never less than what is billed."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.money.prices import OLD_DAYS, Estimate, Price, Prices, whole_round
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.usd import UNIT, in_units, in_usd, is_amount, up

GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"


def test_the_shipped_table() -> None:
    """Every price has a source and a date, and costs something; the tumour example as one program set on Garnet is what a person reckons."""
    prices = Prices(Settings().prices)
    assert GARNET in list(prices)
    for device in prices:
        price = prices.of(device)
        assert price.source and price.dated <= date(2026, 11, 29)
        assert price.estimate(1, 1000).upper > 0
    found = prices.of(GARNET).estimate(1, 4544 * 1000)
    assert found.upper == Decimal("6589.1000")
    assert found.basis == "1 x 0.30 a task + 4,544,000 x 0.00145 a shot; aws.amazon.com/braket/pricing, at second hand, 2026-09-22"
    # One task a circuit: the fee of each comes on top.
    assert prices.of(GARNET).estimate(4544, 4544 * 1000).upper == Decimal("7952.0000")


def test_a_device_without_a_price(tmp_path: Path) -> None:
    """Says which, and which file to add it to."""
    path = tmp_path / "prices.yaml"
    path.write_text('a: {per_task: "1", source: s, dated: "2026-01-01"}\n')
    assert Prices(path).get("b") is None
    with pytest.raises(InputError) as caught:
        Prices(path).of("b")
    assert str(path) in caught.value.where and "b" in caught.value.message


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('a: {per_task: "-1", source: s, dated: "2026-01-01"}', "a.per_task"),
        ('a: {per_task: "1e9", source: s, dated: "2026-01-01"}', "a.per_task"),
        ('a: {per_task: "NaN", source: s, dated: "2026-01-01"}', "a.per_task"),
        ('a: {per_shot: "free", source: s, dated: "2026-01-01"}', "a.per_shot"),
        ('a: {per_task: "1", dated: "2026-01-01"}', "a.source"),
        ('a: {per_task: "1", source: s}', "a.dated"),
        ('a: {per_task: "1", source: s, dated: yesterday}', "a.dated"),
        ('a: {per_task: "1", source: s, dated: "2999-01-01"}', "a"),
        ('a: {per_minute: "1", source: s, dated: "2026-01-01"}', "a"),
        ('a: {per_minute: "1", longest_minutes: 0, source: s, dated: "2026-01-01"}', "a.longest_minutes"),
        ('a: {per_hour: "1", source: s, dated: "2026-01-01"}', "a.per_hour"),
        ('a: {source: s, dated: "2026-01-01"}\na: {source: s, dated: "2026-01-01"}', "a"),
        ("a: 3", "a"),
    ],
)
def test_a_malformed_table(tmp_path: Path, text: str, field: str) -> None:
    """One error that names the file and the field; nothing is guessed."""
    path = tmp_path / "prices.yaml"
    path.write_text(text + "\n")
    with pytest.raises(InputError) as caught:
        Prices(path)
    assert caught.value.where.startswith(str(path)) and caught.value.where.endswith(f": {field}"), caught.value.where


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    """Names the file and the setting."""
    with pytest.raises(InputError, match="GATEHOUSE_PRICES"):
        Prices(tmp_path / "none.yaml")


def test_minutes_have_an_upper_bound() -> None:
    """The provider's limit where nobody says less, and what the caller says where it has the job end then."""
    price = Price(per_minute=Decimal(96), longest_minutes=180, source="s", dated=date(2026, 5, 25))
    assert price.estimate(1, 10_000).upper == Decimal("17280.0000")
    assert price.estimate(2, 10_000, Decimal("0.5")).upper == Decimal("96.0000")
    assert "2 x up to 0.5 min x 96 a minute" in price.estimate(2, 1, Decimal("0.5")).basis


@given(st.integers(0, 10_000), st.decimals(0, 180, places=6))
def test_no_job_is_billed_more_than_its_estimate(shots: int, minutes: Decimal) -> None:
    """Whatever its shots and its time, the shortest time that is billed included."""
    rates = {"per_task": Decimal("0.3"), "per_shot": Decimal("0.000425"), "per_minute": Decimal("0.075")}
    price = Price(**rates, least_minutes=Decimal("0.05"), longest_minutes=180, source="s", dated=date(2026, 5, 25))
    billed = price.billed(shots, minutes)
    assert billed <= price.estimate(1, shots, minutes).upper <= price.estimate(1, shots).upper
    assert billed >= Decimal("0.3") + shots * Decimal("0.000425") + Decimal("0.075") * Decimal("0.05")


def test_an_old_price_is_told_above_the_prototype_tier() -> None:
    """From the day on that a quarter has passed; a figure that the provider gave just now is not old."""
    made = date(2026, 1, 1)
    estimate = Price(per_task=Decimal(1), source="s", dated=made).estimate(1, 1)
    fresh, old = made + timedelta(days=OLD_DAYS), made + timedelta(days=OLD_DAYS + 1)
    assert [estimate.warning("business", day) for day in (fresh, old)] == ["", f"the price is {OLD_DAYS + 1} days old"]
    assert estimate.warning("integration", old) and not estimate.warning("prototype", old)
    assert Estimate(Decimal(1), "the provider's own figure").warning("business", old) == ""


@given(st.integers(1, 50), st.integers(1, 10_000), st.decimals("0", "1", places=7))
def test_a_round_is_what_its_jobs_reserve(jobs: int, shots: int, per_shot: Decimal) -> None:
    """Rounded up job by job: never less than the bill, and less than a unit a job more."""
    price = Price(per_shot=per_shot, source="s", dated=date(2026, 1, 1))
    each = price.estimate(1, shots)
    whole = whole_round([each] * jobs)
    exact = per_shot * shots * jobs
    assert whole.upper == each.upper * jobs
    assert exact <= whole.upper < exact + UNIT * jobs


@given(st.decimals(0, 10_000_000, places=9))
def test_amounts_round_up_to_whole_units(value: Decimal) -> None:
    """In units and back it is what is reserved: never less, and not a unit more."""
    assert is_amount(value)
    assert value <= up(value) < value + UNIT
    assert in_usd(in_units(value)) == up(value)


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-0.01", "1e9"])
def test_what_is_no_amount(value: str) -> None:
    """Nothing that a column of the journal can't hold, or that would make room."""
    assert not is_amount(Decimal(value))
