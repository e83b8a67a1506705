"""Drawing ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from prefect_gatehouse.data.engine.ahead import ahead


def test_every_item_in_its_order_from_one_other_thread() -> None:
    """Nothing is lost, doubled or reordered, None among them; the iterator runs in one thread, which is not the caller's."""
    threads: set[int] = set()

    def numbers() -> Iterator[int | None]:
        for number in range(100):
            threads.add(threading.get_ident())
            yield number if number % 7 else None

    assert list(ahead(numbers(), 3)) == [number if number % 7 else None for number in range(100)]
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    assert list(ahead(iter(()), 3)) == []


def test_no_more_than_so_many_wait() -> None:
    """Memory stays bounded: items that nobody has taken are not drawn beyond the bound."""
    drawn: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    items = ahead(numbers(), 2)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert len(drawn) <= 4


def test_what_the_iterator_raises_comes_in_its_place() -> None:
    """The items before it first, then the error itself."""

    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    items = ahead(numbers(), 3)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(items)
