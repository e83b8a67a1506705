"""What a kernel's entry lets pass: no array of another type, layout or kind reaches machine code, and nothing is written that may not be."""

from __future__ import annotations

import ctypes
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prefect_gatehouse.tokens import array_layout
from prefect_gatehouse.tokens.kernels import Kernel, Parameter, Written, helper, inlined, load64, store64, swap64

pytest.importorskip("numba")

Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class Other(np.ndarray[Any, Any]):
    """A class of arrays that is not numpy's own."""


def built(function: Callable[..., Any]) -> Kernel:
    """A kernel that is compiled now."""
    from prefect_gatehouse.tokens import compiling, machine_code

    kernel = Kernel(function)  # type: ignore[arg-type]
    assert machine_code._linked("kernels of a test", [kernel], compiling.object_code("kernels of a test", [kernel]))
    return kernel


def twice(source: Longs, target: Written[Longs], add: int) -> int:
    """Writes twice each number, and gives back how many there are."""
    for at in range(len(source)):
        target[at] = 2 * source[at] + add
    return len(source)


@pytest.fixture(scope="module")
def doubled() -> Kernel:
    return built(twice)


def frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def unaligned() -> Any:
    return np.zeros(33, np.uint8)[1:].view(np.int64)


def test_a_kernel_computes(doubled: Kernel) -> None:
    """Reads what can't be written, and takes negative numbers."""
    target = np.zeros(3, np.int64)
    assert doubled(frozen(np.array([1, -2, 3])), target, -1) == 3
    assert target.tolist() == [1, -5, 5]


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [
        (np.zeros(4, np.int32), np.zeros(4, np.int64), TypeError),
        (np.zeros(4, np.uint64), np.zeros(4, np.int64), TypeError),
        (np.zeros(4, ">i8"), np.zeros(4, np.int64), TypeError),
        (np.zeros(4, np.int64), np.zeros(4, np.float64), TypeError),
        ([0, 0], np.zeros(4, np.int64), TypeError),
        (None, np.zeros(4, np.int64), TypeError),
        (7, np.zeros(4, np.int64), TypeError),
        (np.int64, np.zeros(4, np.int64), TypeError),
        (bytes(32), np.zeros(4, np.int64), TypeError),
        (np.zeros(4, np.int64), memoryview(bytearray(32)), TypeError),
        (np.zeros(8, np.int64)[::2], np.zeros(4, np.int64), ValueError),
        (np.zeros(4, np.int64)[::-1], np.zeros(4, np.int64), ValueError),
        (np.zeros((4, 4), np.int64)[:, :2], np.zeros(16, np.int64), ValueError),
        (np.zeros((4, 4), np.int64).T, np.zeros(16, np.int64), ValueError),
        (np.zeros(4, np.int64), np.zeros(8, np.int64)[::2], ValueError),
        (np.zeros(4, np.int64), frozen(np.zeros(4, np.int64)), ValueError),
        (np.zeros(4, np.int64), frozen(np.zeros(4, np.longlong)), ValueError),
        (unaligned(), np.zeros(4, np.int64), ValueError),
        (np.zeros(4, np.int64), unaligned(), ValueError),
    ],
    ids=[
        "other size",
        "unsigned",
        "other byte order",
        "floats",
        "a list",
        "none",
        "a number",
        "a class",
        "bytes",
        "a memoryview",
        "every second",
        "backwards",
        "some columns",
        "transposed",
        "writes every second",
        "writes frozen",
        "writes frozen long longs",
        "unaligned",
        "writes unaligned",
    ],
)
def test_an_array_that_does_not_fit(doubled: Kernel, source: Any, target: Any, error: type[Exception]) -> None:
    """It is refused before anything is written."""
    before = bytes(memoryview(target).tobytes())
    with pytest.raises(error):
        doubled(source, target, 1)
    assert memoryview(target).tobytes() == before


@pytest.mark.parametrize(
    "make",
    [
        lambda array: array.view(Other),
        lambda array: array.astype(np.longlong),
        lambda array: pickle.loads(pickle.dumps(array)),
        lambda array: array.reshape(2, 3),
        lambda array: frozen(array.view(Other)),
        lambda array: np.frombuffer(array.tobytes(), np.int64),
        lambda array: array.astype("<i8"),
    ],
    ids=["another class", "long long", "unpickled", "two dimensions", "another class, frozen", "bytes", "with byte order"],
)
def test_an_array_that_only_looks_otherwise(doubled: Kernel, make: Callable[[Any], Any]) -> None:
    """Memory that holds the right numbers, one behind the other, is taken whatever Python calls it; what is written arrives there."""
    source, target = make(np.arange(6)), make(np.zeros(6, np.int64))
    if target.flags.writeable:
        assert doubled(source, target, 0) == 6
        assert target.ravel().tolist() == [0, 2, 4, 6, 8, 10]
    else:
        target = np.zeros(6, np.int64)
        assert doubled(source, target, 0) == 6
        assert target.tolist() == [0, 2, 4, 6, 8, 10]


def test_empty_arrays(doubled: Kernel) -> None:
    """No element is no reason to refuse."""
    assert doubled(np.zeros(0, np.int64), np.zeros(0, np.int64), 0) == 0
    assert doubled(np.zeros((0, 2), np.int64), frozen(np.zeros(3, np.int64))[:0].copy(), 0) == 0


def test_arguments_that_are_none(doubled: Kernel) -> None:
    """Too few arguments, and numbers that are none, are refused."""
    array = np.zeros(2, np.int64)
    with pytest.raises(TypeError):
        doubled(array, array)
    for number in (1.5, "1", None, array):
        with pytest.raises(ctypes.ArgumentError):
            doubled(array, array, number)


def test_all_kinds_of_parameters() -> None:
    """Booleans, signed and unsigned numbers of 64 bits and every type of elements come in as they are."""

    def kernel(
        flags: npt.NDArray[np.bool_],
        data: Bytes,
        shorts: npt.NDArray[np.int32],
        numbers: npt.NDArray[np.uint64],
        sign: bool,
        huge: np.uint64,
        out: Written[npt.NDArray[np.uint64]],
    ) -> None:
        out[0] = huge + np.uint64(flags[0])
        out[1] = np.uint64(shorts[0] if sign else -shorts[0])
        out[2] = numbers[0] + np.uint64(data[0])

    out = np.zeros(3, np.uint64)
    arrays = np.array([True]), np.array([255], np.uint8), np.array([-3], np.int32), np.array([2**63], np.uint64)
    function = built(kernel)
    assert function(*arrays, False, 2**64 - 2, out) == 0
    assert out.tolist() == [2**64 - 1, 3, 2**63 + 255]
    function(*arrays, True, 2**64 - 2, out)
    assert out[1] == 2**64 - 3


@inlined
def _turned(data: Bytes, at: int) -> np.uint64:
    return swap64(load64(data, at))


@helper
def _copied(data: Bytes, out: Written[Bytes], at: int) -> None:
    store64(out, at, _turned(data, at))


def copied(data: Bytes, out: Written[Bytes]) -> None:
    """Turns each eight bytes round."""
    for at in range(0, len(data) - 7, 8):
        _copied(data, out, at)


def test_python_and_machine_code_are_the_same() -> None:
    """Helpers and the three words for memory mean in Python what they mean compiled."""
    data = np.arange(32, dtype=np.uint8)
    one, other = np.zeros(32, np.uint8), np.zeros(32, np.uint8)
    copied(data, one)
    built(copied)(data, other)
    assert one.tolist() == other.tolist() == [at // 8 * 8 + 7 - at % 8 for at in range(32)]


def test_what_no_kernel_may_do() -> None:
    """Writing to an array that is not marked, making one, giving back something else, other parameters: refused when compiled or before."""

    def writes(array: Longs) -> None:
        array[0] = 1

    def stores(array: Bytes) -> None:
        store64(array, 0, np.uint64(1))

    def makes(array: Longs) -> int:
        return len(np.zeros(len(array), np.int64))

    def half(array: Longs) -> float:
        return array[0] / 2

    def text(array: str) -> None:
        pass

    def doubles(array: npt.NDArray[np.float64]) -> None:
        pass

    def bare(array) -> None:  # type: ignore[no-untyped-def]
        pass

    for function in (writes, stores, makes, half, text, doubles, bare):
        with pytest.raises(Exception, match=r"(?i)readonly|read-only|not one that|NRT|No implementation|gives back|a kernel takes"):
            built(function)


def test_what_fails_in_machine_code() -> None:
    """Where Python would raise, the caller is told, without a word of what the arrays hold."""

    def refuses(array: Longs) -> int:
        if array[0] == 5:
            raise ValueError("five")
        return len(array)

    kernel = built(refuses)
    assert kernel(np.array([4])) == 1
    with pytest.raises(ArithmeticError, match="a compiled function failed"):
        kernel(np.array([5]))


def test_threads_call_at_once(doubled: Kernel) -> None:
    """Each gets what is its own; the call keeps its arrays alive."""
    good: list[bool] = []

    def work(number: int) -> None:
        for _ in range(200):
            target = np.zeros(1000, np.int64)
            doubled(np.full(1000, number), target, 0)
            good.append(bool((target == 2 * number).all()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert good == [True] * 800


def test_another_layout_of_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numpy keeps its fields elsewhere, or this is not CPython, nothing compiled is called."""
    array_layout.prove()
    for name in ("DATA", "LENGTHS", "ELEMENTS", "FLAGS", "DIMENSIONS", "CLASS"):
        with monkeypatch.context() as patch:
            patch.setattr(array_layout, name, array_layout.DATA if name != "DATA" else array_layout.CLASS)
            with pytest.raises(RuntimeError, match="look otherwise"):
                array_layout.prove()
    monkeypatch.setattr("sys.implementation.name", "pypy")
    with pytest.raises(RuntimeError, match="CPython only"):
        array_layout.prove()


def test_parameters() -> None:
    """Annotations say what a kernel takes."""
    kernel = Kernel(twice)  # type: ignore[arg-type]
    assert kernel.parameters == (Parameter(array=np.dtype("i8")), Parameter(array=np.dtype("i8"), written=True), Parameter(number=int))
