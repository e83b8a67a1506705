"""An emulator as an outage drill uses it: what is made to go wrong there, and what its own books say."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from prefect_gatehouse.money.prices import Prices
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.testing import BraketEmulator, IBMEmulator, braket_emulator, ibm_emulator
from prefect_gatehouse.testing.braket import MACHINE, REGION
from prefect_gatehouse.testing.door import Door

# Seconds. Short, so that a drill takes minutes; the grace is longer than a call and than any lag of the searches, as a block's has to be.
BRIEF: dict[str, Any] = {"call_seconds": 1.0, "grace_seconds": 2.0, "patience_seconds": 3.0, "poll_seconds": 0.05}
_IBM_PLAN = "pay-as-you-go"


@dataclass(frozen=True)
class Account:
    """What an operator would have of a machine: enough for a process that knows of no drill.

    Attributes:
        backend: The machine, as manifests name it.
        settings: What its block holds.
        credential: What signs in at the service.
    """

    backend: str
    settings: dict[str, Any]
    credential: str = field(repr=False)


@dataclass(frozen=True)
class Made:
    """A job, as the service has it.

    Attributes:
        handle: The service's name of it.
        key: That it was made for, by its tag.
        alive: Whether it waits or runs.
        billed: USD that the service asks for it.
    """

    handle: str
    key: str
    alive: bool
    billed: Decimal


class Service(ABC):
    """A provider's emulator.

    Attributes:
        door: Of the emulator.
        account: With its machine.
    """

    door: Door
    account: Account
    _create: ClassVar[str]
    _status: ClassVar[str]
    _offline: ClassVar[dict[str, Any]]
    """The answer to a job for a device that has just gone offline."""

    @abstractmethod
    def jobs(self) -> list[Made]:
        """Every job that is there."""

    @abstractmethod
    def device(self, status: str) -> None:
        """Has the machine be online, offline or retired."""

    @abstractmethod
    def reach_limit(self) -> None:
        """No job is taken any more: what may be spent is spent."""

    @abstractmethod
    def fail_next(self) -> None:
        """The next job fails."""

    def at_create(self, kind: str, **more: Any) -> None:
        """A fault of the calls that make a job."""
        self.door.fault(self._create, kind, **more)

    def at_status(self, kind: str, **more: Any) -> None:
        """A fault of the calls that ask for a job's state."""
        self.door.fault(self._status, kind, **more)

    def refuse_as_offline(self) -> None:
        """The machine goes offline between the look at it and the job."""
        self.at_create("error", **self._offline)


class Braket(Service):
    """Amazon Braket."""

    _create, _status = "CreateQuantumTask", "GetQuantumTask"
    _offline: ClassVar[dict[str, Any]] = {"code": "DeviceOfflineException", "status": 424}

    def __init__(self, emulator: BraketEmulator) -> None:
        self.door = self._emulator = emulator
        bucket = f"drill-{uuid.uuid4()}"
        emulator.create_bucket(bucket)
        self.account = Account("braket/drill", emulator.settings(bucket, **BRIEF), emulator.credential)

    def jobs(self) -> list[Made]:
        """Every job that is there."""
        ended = {"COMPLETED", "FAILED", "CANCELLED"}
        found = self._emulator.tasks()
        return [Made(each["arn"], each["tags"].get("gatehouse-key", ""), each["status"] not in ended, Decimal(each["billed"])) for each in found]

    def device(self, status: str) -> None:
        """Has the machine be online, offline or retired."""
        self._emulator.device(status=status.upper())

    def reach_limit(self) -> None:
        """No job is taken any more: what may be spent is spent."""
        now = datetime.now(UTC)
        period = {"startAt": now - timedelta(days=1), "endAt": now + timedelta(days=1)}
        client = self._emulator.client("braket", REGION)
        client.create_spending_limit(clientToken="0" * 64, deviceArn=MACHINE, spendingLimit="0.01", timePeriod=period)

    def fail_next(self) -> None:
        """The next job fails."""
        self.door.conduct(fail_tasks=1)


class IBM(Service):
    """IBM Quantum."""

    _create, _status = "create_job", "get_job"
    _offline: ClassVar[dict[str, Any]] = {"code": "1238", "status": 409}

    def __init__(self, emulator: IBMEmulator, settings: Settings) -> None:
        self.door = self._emulator = emulator
        self._price = Prices(settings.prices).of(f"ibm/{_IBM_PLAN}")
        self.account = Account("ibm/drill", emulator.settings(**BRIEF, plan=_IBM_PLAN, job_minutes=1), emulator.credential)

    def jobs(self) -> list[Made]:
        """Every job that is there."""
        ended, tag = {"Completed", "Failed", "Cancelled"}, "gatehouse-key:"
        found = []
        for each in self._emulator.jobs():
            key = next((name.removeprefix(tag) for name in each["tags"] if name.startswith(tag)), "")
            billed = self._price.billed(each["executions"], Decimal(each["seconds"]) / 60) if each["seconds"] else Decimal(0)
            found.append(Made(each["id"], key, each["status"] not in ended, billed))
        return found

    def device(self, status: str) -> None:
        """Has the machine be online, offline or retired."""
        self._emulator.device(status=status)

    def reach_limit(self) -> None:
        """No job is taken any more: what may be spent is spent."""
        # The emulator counts seconds that jobs have used, and here none has: the answer that the service gives then.
        self.at_create("error", code="1217", status=409, message="the instance has met its usage limit")

    def fail_next(self) -> None:
        """The next job fails."""
        self.door.conduct(fail_jobs=1)


@contextmanager
def _braket(_: Settings) -> Iterator[Service]:
    with braket_emulator(noise=False) as emulator:
        yield Braket(emulator)


@contextmanager
def _ibm(settings: Settings) -> Iterator[Service]:
    with ibm_emulator(noise=False) as emulator:
        yield IBM(emulator, settings)


SERVICES: dict[str, Callable[[Settings], AbstractContextManager[Service]]] = {"braket": _braket, "ibm": _ibm}
"""Starts a provider's emulator, whose machine does not err: a wrong result is then somebody's fault."""
