"""Draws the next items of an iterator in a thread of its own while the caller works on this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], most: int) -> Iterator[T]:
    """The items in their order; what the iterator raises is raised in the place of the item.

    Arrow, numpy and the hash leave Python's lock while they work, so that both sides run at once.

    Args:
        items: Drawn in one thread only; left where it stands if the caller goes no further.
        most: How many items may wait.
    """
    with ThreadPoolExecutor(1) as thread:

        def draw() -> Future[tuple[T] | None]:
            # In a tuple, so that None is the end and may be an item too.
            return thread.submit(lambda: next(((item,) for item in items), None))

        waiting = deque(draw() for _ in range(most))
        while (drawn := waiting.popleft().result()) is not None:
            waiting.append(draw())
            yield drawn[0]
