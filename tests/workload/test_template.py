"""What a template says of itself costs as much as its gates, however wide it says it is."""

from __future__ import annotations

import tracemalloc

import pytest

from prefect_gatehouse.workload.batch import Template


@pytest.mark.parametrize(
    ("gates", "depth"),
    [
        ((), 0),
        ((("h", (0,), ()), ("cx", (0, 1), ()), ("h", (2,), ())), 2),
        ((("measure", (0,), (0,)), ("measure", (1,), (0,))), 2),  # one bit after the other
        ((("measure", (0,), (1,)), ("measure", (1,), (0,))), 1),  # a qubit and a bit of the same number are two
    ],
)
def test_depth(gates: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...], depth: int) -> None:
    assert Template(3, 2, gates).depth == depth


def test_a_wide_one_without_gates_to_speak_of() -> None:
    """A hostile workload names the greatest width a thousand times; nothing is made of its size."""
    wide = Template(100_000, 100_000, (("measure", (99_999,), (99_999,)),))
    tracemalloc.start()
    try:
        assert wide.depth == 1
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
