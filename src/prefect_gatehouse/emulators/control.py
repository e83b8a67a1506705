"""The door of an emulator for whoever runs the drill: orders in JSON, below ``/_emulator/``, which nobody signs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

CONTROL = "/_emulator/"


def obey(method: str, what: str, body: bytes, orders: Mapping[str, Callable[[dict[str, Any]], None]], state: Callable[[], Any]) -> tuple[int, Any]:
    """Status and answer: 200 and the state, or 400 and what is wrong with the order.

    Args:
        method: HTTP's.
        what: The path below the door.
        body: JSON, or nothing.
        orders: What ``POST`` may ask for.
        state: Tells how the emulator is.
    """
    try:
        if method == "POST" and what in orders:
            orders[what](json.loads(body) if body else {})
        elif what != "state":
            raise ValueError(f"there are GET state and POST {', '.join(orders)}")
    except (ValueError, KeyError, TypeError) as error:
        return 400, {"error": str(error)}
    return 200, state()


def behave(conduct: Any, given: Mapping[str, Any], lock: AbstractContextManager[Any]) -> None:
    """Sets fields of a conduct.

    Raises:
        ValueError: It has no such field.
    """
    if not set(given) <= set(asdict(conduct)):
        raise ValueError(f"a conduct has {', '.join(asdict(conduct))}")
    with lock:
        for name, value in given.items():
            setattr(conduct, name, value)
