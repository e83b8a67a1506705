"""The outbox: how far each receiver outside has been told of the ledger.

The ledger itself is the outbox: an event is committed once, and is told afterwards, in order, at least once, by whoever comes next. A receiver
that is down holds up nothing but itself (docs/adr/0014).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.evidence.ship.interface import Shipper
from prefect_gatehouse.ledger.store import Ledger

_BATCH = 200  # events between two marks of how far the receiver is: what comes again after a death


@dataclass(frozen=True)
class Drained:
    """What became of it.

    Attributes:
        told: Events that were told now.
        left: Events that are still to be told.
        why: Class of the error that stopped it, empty where none did. Its text could hold anything.
    """

    told: int
    left: int
    why: str = ""


def drain(ledger: Ledger, shipper: Shipper, folder: Path) -> Drained:
    """Tells a receiver what it has not been told yet; an error of the receiver stops it and is no error of the caller's.

    Args:
        ledger: The open ledger.
        shipper: The receiver.
        folder: Holds the lock by which one process of this machine tells at a time.

    Raises:
        GatehouseError: The ledger can't be used.
    """
    with _alone(folder / f".{shipper.topic}.lock") as alone:
        if not alone:
            return Drained(0, ledger.size() - ledger.told(shipper.topic))
        done = before = ledger.told(shipper.topic)
        why = ""
        while not why and (events := ledger.after(done, _BATCH)):
            for event in events:
                try:
                    shipper.ship(event)
                except GatehouseError as error:
                    why = error.code
                    break
                except Exception as error:  # noqa: BLE001 - a client's errors have many types and may quote what they got
                    why = type(error).__name__
                    break
                done = event.seq
            ledger.tell(shipper.topic, done)
        return Drained(done - before, ledger.size() - done, why)


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
