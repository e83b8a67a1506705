"""The second wall: a provider's own spending limit is set by somebody who may, read into the plan, and compared with our figures."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.money.tills import treasurer
from tests.providers.circuits import flipped
from tests.support.braket_desk import BraketDesk

from prefect_gatehouse.errors import Denied, InputError, Unavailable
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.ledger.acts import ProviderLimitSet
from prefect_gatehouse.ledger.jobs import SpendingDiffered
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.operate.walls import Device, device_of, look, set_wall
from prefect_gatehouse.run.pricing import Pricing, provider_limits
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.testing import BraketEmulator

BACKEND = "braket/garnet-eu"


@pytest.fixture
def desk(tmp_path: Path, braket: BraketEmulator) -> BraketDesk:
    return BraketDesk(tmp_path, braket)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home")
    made.folder("")
    return made


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with open_ledger(settings) as opened:
        yield opened


@pytest.fixture
def device(desk: BraketDesk) -> Device:
    return Device(BACKEND, desk.backend(), desk.lease)


def amounts(ledger: Ledger, device: Device) -> list[tuple[Decimal, Decimal]]:
    return [(each.limit.amount, each.limit.left) for each in look(ledger, device)]


def test_set_again_and_changed(settings: Settings, ledger: Ledger, device: Device) -> None:
    """However often it is set, a month has one limit of ours; each act is signed and stays."""
    treasurer(settings)
    for amount in ("100", "100", "40.5", "100"):
        set_wall(settings, ledger, device, month_usd=amount, reason="Pilot, CHG-7")
        assert amounts(ledger, device) == [(Decimal(amount), Decimal(amount))]
    assert [str(event.fact.month_usd) for event in ledger.facts(ProviderLimitSet)] == ["100.0000", "100.0000", "40.5000", "100.0000"]
    assert list(problems(ledger)) == []


def test_nobody_who_may_not(settings: Settings, ledger: Ledger, device: Device) -> None:
    treasurer(settings, role="auditor")
    with pytest.raises(Denied, match="may approve"):
        set_wall(settings, ledger, device, month_usd="100", reason="Mine")
    assert (amounts(ledger, device), ledger.facts(ProviderLimitSet)) == ([], [])


@pytest.mark.parametrize(("amount", "reason"), [("-1", "x"), ("a lot", "x"), ("1", ""), ("1", "two\nlines")])
def test_what_is_no_amount_or_no_reason(settings: Settings, ledger: Ledger, device: Device, amount: str, reason: str) -> None:
    treasurer(settings)
    with pytest.raises(InputError):
        set_wall(settings, ledger, device, month_usd=amount, reason=reason)
    assert ledger.facts(ProviderLimitSet) == []


def test_a_simulator_has_none(settings: Settings) -> None:
    with pytest.raises(InputError, match="bills nothing"), device_of(settings, "aer", "secret/admin"):
        pass


def test_the_provider_fails_after_the_decision(settings: Settings, ledger: Ledger, device: Device, desk: BraketDesk) -> None:
    """The decision stands; given again, the command sets the limit."""
    treasurer(settings)
    desk.emulator.fault("CreateSpendingLimit", "error", times=3)
    with pytest.raises(Unavailable):
        set_wall(settings, ledger, device, month_usd="100", reason="Pilot")
    assert len(ledger.facts(ProviderLimitSet)) == 1
    set_wall(settings, ledger, device, month_usd="100", reason="Pilot")
    assert amounts(ledger, device) == [(100, 100)]


def test_a_difference_is_an_event_once(settings: Settings, ledger: Ledger, device: Device, desk: BraketDesk) -> None:
    """Somebody else used the device from the same account."""
    treasurer(settings)
    set_wall(settings, ledger, device, month_usd="100", reason="Pilot")
    assert ledger.facts(SpendingDiffered) == []
    desk.ready(desk.submit([flipped(1)]))
    (wall,) = look(ledger, device)
    assert (wall.differs, wall.ours, wall.theirs) == (True, 0, Decimal("0.3725"))
    look(ledger, device)
    (event,) = ledger.facts(SpendingDiffered)
    assert (event.fact.backend, event.fact.theirs_usd, event.fact.ours_usd) == (BACKEND, Decimal("0.3725"), 0)


def test_in_the_plan(settings: Settings, ledger: Ledger, device: Device, desk: BraketDesk) -> None:
    """Without a limit a tier that wants one denies; what is there is shown; what it has no room for is denied before anybody is asked."""
    treasurer(settings)
    backend = desk.backend()
    pricing = Pricing(BACKEND, backend, backend.facts(desk.lease), "business", settings.prices)
    strict: Any = SimpleNamespace(name="business", provider_limit="required")
    lax: Any = SimpleNamespace(name="prototype", provider_limit="optional")
    assert provider_limits(pricing, lax, Decimal(1), desk.lease) == ()
    with pytest.raises(Denied, match="wants one behind the budgets"):
        provider_limits(pricing, strict, Decimal(1), desk.lease)
    set_wall(settings, ledger, device, month_usd="2.5", reason="Pilot")
    (limit,) = provider_limits(pricing, strict, Decimal("2.5"), desk.lease)
    assert (limit.amount, limit.left) == (Decimal("2.5"), Decimal("2.5"))
    with pytest.raises(Denied, match=r"has 2.50 of 2.50 USD left"):
        provider_limits(pricing, lax, Decimal("2.5001"), desk.lease)


def test_a_provider_that_has_none_is_told_as_such(desk: BraketDesk, settings: Settings) -> None:
    """No limit can be set there, so nobody is sent to set one."""
    backend = desk.backend()
    without: Any = SimpleNamespace()
    pricing = Pricing("ibm/torino", without, backend.facts(desk.lease), "business", settings.prices)
    strict: Any = SimpleNamespace(name="business", provider_limit="required")
    lax: Any = SimpleNamespace(name="prototype", provider_limit="optional")
    assert provider_limits(pricing, lax, Decimal(1), desk.lease) == ()
    with pytest.raises(Denied, match="has no spending limits of its own") as caught:
        provider_limits(pricing, strict, Decimal(1), desk.lease)
    assert "budget wall" not in caught.value.advice
