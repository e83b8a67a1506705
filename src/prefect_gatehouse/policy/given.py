"""Signed acts that give something until another one ends them (exceptions, promotions, reviews, classifications): which of them count, and why not.

One counts where its event is the act's own, somebody whose it is to sign has signed it and is neither revoked since nor in quarantine, and no act has
ended it. An ending counts whatever is wrong with it. What does not count is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from prefect_gatehouse.ledger.acts import SignedAct
from prefect_gatehouse.ledger.store import Event
from prefect_gatehouse.policy.quarantine import Quarantines

A = TypeVar("A", bound=SignedAct)
T = TypeVar("T")


def endings(acts: Iterable[Event[SignedAct]], gives: type[SignedAct], ends: type[SignedAct]) -> dict[str, Event[SignedAct]]:
    """What has ended acts that give something, by their own names; the first where there are several."""
    found: dict[str, Event[SignedAct]] = {}
    for event in acts:
        # By its kind: an ending of a newer release, which this one can't read whole, is one all the same; what gives is none.
        if event.kind == ends.kind:
            found.setdefault(str(event.data.get(gives.named_by)), event)
    return found


def judged(
    acts: Iterable[Event[SignedAct]],
    gives: type[A],
    ends: type[SignedAct],
    ended: str,
    held: Quarantines,
    made: Callable[[Event[A], str], T],
    own: Callable[[Event[A]], str] = lambda _: "",
) -> list[T]:
    """Every act of a kind, oldest first, with why it does not count.

    Args:
        acts: All of the family.
        gives: The kind that gives.
        ends: The kind that ends one.
        ended: What that is called.
        held: The quarantines that hold, and who may sign.
        made: Is handed the act, and why it does not count; empty where it does.
        own: What else may be wrong with one of this kind.

    Raises:
        Tampered: The registry can't be read.
    """
    acts = list(acts)
    over = endings(acts, gives, ends)
    found = []
    for event in acts:
        if isinstance(event.fact, gives):
            void = ended if getattr(event.fact, gives.named_by) in over else own(event) or held.signatories.why_void(event)  # type: ignore[arg-type]
            if not void and held.of("principal", event.fact.person) is not None:
                void = "its person is in quarantine"
            found.append(made(event, void))  # type: ignore[arg-type]
    return found
