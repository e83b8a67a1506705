"""What happens to a piece of work: when its process is killed, and what its service does wrong. Every side meets the same."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

CREATE, GET = "CreateQuantumTask", "GetQuantumTask"
FAULTS: tuple[dict[str, Any], ...] = (
    {"operation": CREATE, "kind": "drop-before"},
    {"operation": CREATE, "kind": "drop-after"},
    {"operation": CREATE, "kind": "throttle", "times": 2},
    {"operation": CREATE, "kind": "error", "status": 500, "code": "InternalServiceException"},
    {"operation": CREATE, "kind": "error", "status": 503, "code": "ServiceUnavailable"},
    {"operation": CREATE, "kind": "slow-before", "seconds": 0.4},
    {"operation": CREATE, "kind": "slow-after", "seconds": 0.4},
    {"operation": GET, "kind": "error", "status": 500, "times": 2},
    {"operation": GET, "kind": "drop-before", "times": 2},
)
MEMORIES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"forget_tokens": True},
    {"search_lag_seconds": 0.4},
    {"forget_tokens": True, "search_lag_seconds": 0.4},
)
QUEUES = (0.0, 0.4, 0.8)  # seconds that a task waits before it runs


@dataclass(frozen=True)
class Fate:
    """Of one piece of work.

    Attributes:
        kills: When the first processes are killed, as parts of the time that one takes; the process after them is left alone.
        faults: Of the service's calls.
        conduct: Of the service.
    """

    kills: tuple[float, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    conduct: dict[str, Any] = field(default_factory=dict)


CALM = Fate()


def fates(runs: int, seed: int) -> list[Fate]:
    """One for each piece of work: at least one death, every fifth time two; two in three meet a fault of the service.

    Args:
        runs: How many.
        seed: Of the chance.
    """
    chance = random.Random(seed)
    found = []
    for _ in range(runs):
        kills = tuple(chance.uniform(0.0, 1.0) for _ in range(2 if chance.random() < 0.2 else 1))
        faults = (chance.choice(FAULTS),) if chance.random() < 2 / 3 else ()
        found.append(Fate(kills, faults, {**chance.choice(MEMORIES), "queue_seconds": chance.choice(QUEUES)}))
    return found
