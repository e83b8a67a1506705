"""What the digests of compiled code cover, and that an object file that needs more than C has is never used."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prefect_gatehouse.tokens import array_layout
from prefect_gatehouse.tokens.kernels import Kernel, Written, helper, inlined

pytest.importorskip("numba")

from prefect_gatehouse.tokens import code_cache, machine_code

Longs = npt.NDArray[np.int64]
ADDED = 1


@helper
def _more(number: int) -> int:
    return number + ADDED


def total(array: Longs) -> int:
    """The sum of the numbers and more."""
    return _more(array[0])


def changed(function: Callable[..., Any], **names: object) -> Any:
    """A function with other values behind some global names."""
    other = types.FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__)
    other.__annotations__ = function.__annotations__
    return other


def text(*functions: Callable[..., Any]) -> bytes:
    return machine_code._digest(*machine_code._text([Kernel(function) for function in functions]))  # type: ignore[arg-type]


def test_the_text_is_all_that_is_compiled() -> None:
    """Another constant, another helper, another helper's constant, another parameter or line: another text; the same again: the same."""
    total_too = changed(total)
    assert text(total) == text(total_too)

    def wider(array: Written[Longs]) -> int:
        return _more(array[0])

    def longer(array: Longs) -> int:
        return _more(array[0]) + 1

    wider.__name__ = longer.__name__ = "total"
    less, other = helper(changed(_more, ADDED=2)), helper(lambda number: number - ADDED)
    copied = inlined(changed(_more))
    made = [text(total), text(wider), text(longer), text(total, total), *(text(changed(total, _more=each)) for each in (less, other, copied))]
    assert len(set(made)) == len(made)


def test_what_can_not_be_told_apart_is_refused() -> None:
    """A value that has no words of its own, or a function inside a function, can't be part of a kernel."""
    with pytest.raises(TypeError, match="constants and functions only"):
        text(changed(_more, ADDED=[1]))

    def nested(array: Longs) -> int:
        return max(array, key=lambda number: -number)  # type: ignore[no-any-return]

    with pytest.raises(TypeError, match="no other function"):
        text(nested)


@pytest.mark.parametrize("what", ["numba", "llvmlite", "numpy", "python", "processor", "features", "system", "layout"])
def test_the_machine_is_all_that_code_depends_on(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version, processor or layout: another digest; the same again: the same."""
    before = machine_code._digest(*machine_code._machine())
    assert before == machine_code._digest(*machine_code._machine())
    target, value = {
        "numba": ("prefect_gatehouse.tokens.machine_code.version", lambda name: "0"),
        "llvmlite": ("llvmlite.__version__", "0"),
        "numpy": ("numpy.__version__", "0"),
        "python": ("sys.implementation.cache_tag", "0"),
        "processor": ("llvmlite.binding.get_host_cpu_name", lambda: "z80"),
        "features": ("llvmlite.binding.get_host_cpu_features", lambda: {"avx9": True}),
        "system": ("llvmlite.binding.get_process_triple", lambda: "m68k-amiga"),
        "layout": ("prefect_gatehouse.tokens.array_layout.DATA", array_layout.DATA + 8),
    }[what]
    monkeypatch.setattr(target, value)
    assert machine_code._digest(*machine_code._machine()) != before


def objects(source: str) -> bytes:
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
    code: bytes = machine.emit_object(llvm.parse_assembly(source))
    return code


def test_an_object_file_that_needs_something(capfd: pytest.CaptureFixture[str]) -> None:
    """A function of numba's, a kernel that is missing, and what is no object file at all are found when it is loaded; no process ends."""
    kernel = Kernel(total)
    known = "@gatehouse_known = global [6 x i64] zeroinitializer\n"
    good = objects(known + "define i64 @gatehouse_total(ptr %array) { ret i64 7 }")
    needs = known + "declare i64 @NRT_incref(ptr)\ndefine i64 @gatehouse_total(ptr %a) { %b = call i64 @NRT_incref(ptr %a)\n ret i64 %b }"
    other = known + "define i64 @gatehouse_other(ptr %array) { ret i64 7 }"
    for code in (objects(needs), objects(other), good[:200], b"", bytes(1000)):
        assert not machine_code._linked("m", [kernel], code)
    assert machine_code._linked("m", [kernel], good)
    assert kernel(np.zeros(1, np.int64)) == 7
    assert capfd.readouterr().err == ""


def keep_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Has code kept in a folder; not by the variable, at whose change numba reads all its settings again, which some of them don't allow."""
    monkeypatch.setattr(code_cache.Place, "_folders", lambda self: iter([folder]))


def test_code_that_does_not_load_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the compiler gives something that can't be loaded, the caller is told, and the next process does not find it."""
    from prefect_gatehouse.tokens import compiling

    keep_in(monkeypatch, tmp_path)
    monkeypatch.setattr(compiling, "object_code", lambda name, kernels: bytes(100))
    with pytest.raises(RuntimeError, match="not there"):
        machine_code.load(__name__, [Kernel(total)])
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_tried_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Code that is whole but can't be loaded is replaced."""
    keep_in(monkeypatch, tmp_path)
    kernel = Kernel(total)
    place = code_cache.Place(__name__, machine_code._digest(*machine_code._machine()), text(total))
    place.write(b"no object file")
    machine_code.load(__name__, [kernel])
    assert kernel(np.array([41])) == 42
    code = place.read()
    assert code is not None and len(code) > 500
    monkeypatch.setattr("prefect_gatehouse.tokens.compiling.object_code", None)
    machine_code.load(__name__, [kernel])
    assert kernel(np.array([41])) == 42
