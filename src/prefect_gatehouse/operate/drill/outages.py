"""The outages that are drilled: how each begins once a run is approved, how it ends, and whether the run can give a result all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.operate.drill.service import BRIEF, Service

_LONG = 600.0  # seconds in a queue: no process waits for so long
_MANY = 30  # calls: more than any client tries again


def _nothing(_: Service) -> None:
    return


@dataclass(frozen=True)
class Outage:
    """An outage.

    Attributes:
        name: On the command line.
        about: What happens, in words.
        begins: Makes it happen, once the run is approved.
        ends: Makes it end, once the run's process has left.
        fallback: Whether the manifest names a simulator behind the device.
        result: Whether the run can give its result; otherwise it must have cost nothing.
        killed: Whether the run's first process is killed while the service holds a call of its.
        queue_wait: How long the run's process waits for its job.
        providers: That it can happen to.
    """

    name: str
    about: str
    begins: Callable[[Service], None]
    ends: Callable[[Service], None] = _nothing
    fallback: bool = False
    result: bool = True
    killed: bool = False
    queue_wait: str = "60s"
    providers: tuple[str, ...] = ("braket", "ibm")


def _lost_after(service: Service) -> None:
    service.at_create("drop-after")


def _forgotten(service: Service) -> None:
    service.door.conduct(forget_tokens=True)
    _lost_after(service)


def _hidden(service: Service) -> None:
    service.door.conduct(search_lag_seconds=BRIEF["grace_seconds"] / 2)
    _lost_after(service)


def _forgotten_and_hidden(service: Service) -> None:
    service.door.conduct(forget_tokens=True)
    _hidden(service)


def _signed_out(service: Service) -> None:
    service.door.forget_tokens()


def _queue(service: Service) -> None:
    service.door.conduct(queue_seconds=_LONG)


def _no_queue(service: Service) -> None:
    service.door.conduct(queue_seconds=0)


def _offline(service: Service) -> None:
    service.device("offline")


def _online(service: Service) -> None:
    service.device("online")


def _held_while_queued(service: Service) -> None:
    _queue(service)
    service.at_status("hold-before")


def _status_away(service: Service) -> None:
    _queue(service)  # so that the job's state has to be asked for
    service.at_status("error", status=503, code="ServiceUnavailable", times=3)


OUTAGES: tuple[Outage, ...] = (
    Outage("offline", "the device is offline, and comes back", _offline, _online),
    Outage("offline-fallback", "the device is offline; a simulator is named behind it", _offline, _online, fallback=True),
    Outage("throttled", "the service is busy for two calls", lambda service: service.at_create("throttle", times=2)),
    Outage("throttled-long", "the service is busy for longer than a process tries", lambda service: service.at_create("throttle", times=3)),
    Outage("dropped-before", "the connection breaks before the job is made", lambda service: service.at_create("drop-before")),
    Outage("dropped-after", "the connection breaks after the job was made", _lost_after),
    Outage("error-before", "500, and no job was made", lambda service: service.at_create("error", status=500)),
    Outage("error-after", "500, and the job was made all the same", lambda service: service.at_create("error-after", status=500)),
    Outage(
        "slow-answer",
        "the job is made, and its answer comes too late",
        lambda service: service.at_create("slow-after", seconds=BRIEF["call_seconds"] * 2),
    ),
    Outage("forgotten-token", "the answer is lost, and the service forgets client tokens", _forgotten, providers=("braket",)),
    Outage("signed-out", "the service forgets who has signed in", _signed_out, providers=("ibm",)),
    Outage("lagging-search", "the answer is lost, and searches show new jobs late", _hidden),
    Outage("forgotten-and-lagging", "both at once", _forgotten_and_hidden, providers=("braket",)),
    Outage(
        "spending-limit", "what may be spent there is spent; a simulator is named behind it", lambda service: service.reach_limit(), fallback=True
    ),
    Outage("refused", "the device goes offline as the job is sent", lambda service: service.refuse_as_offline(), result=False),
    Outage("status-away", "nobody tells of the job while it runs", _status_away, _no_queue),
    Outage("long-queue", "the queue is longer than a process waits", _queue, _no_queue, queue_wait="1s"),
    Outage("job-failed", "the job fails at the provider", lambda service: service.fail_next(), result=False),
    Outage(
        "retired",
        "the device is retired while the job is in its queue",
        _queue,
        lambda service: service.device("retired"),
        result=False,
        queue_wait="1s",
    ),
    Outage("killed-before", "the run's process is killed, and its job never comes to be", lambda service: service.at_create("lose"), killed=True),
    Outage("killed-after", "the run's process is killed when its job was just made", lambda service: service.at_create("hold-after"), killed=True),
    Outage("killed-waiting", "the run's process is killed while its job is in the queue", _held_while_queued, _no_queue, killed=True),
)
"""In the order in which they are drilled."""


def outages_of(provider: str) -> tuple[Outage, ...]:
    """Those that can happen to a provider."""
    return tuple(outage for outage in OUTAGES if provider in outage.providers)


def chosen(provider: str, names: Sequence[str]) -> tuple[Outage, ...]:
    """The outages of a provider that somebody named; all of them where nobody named any.

    Raises:
        InputError: A name is none of an outage of the provider's.
    """
    known = {outage.name: outage for outage in outages_of(provider)}
    for name in names:
        if name not in known:
            raise InputError(f"{provider} has no outage {name}", where="--outage", advice=f"there are {', '.join(known)}")
    return tuple(outage for name, outage in known.items() if not names or name in names)
