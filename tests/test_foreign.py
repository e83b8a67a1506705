"""What is told of exceptions and values that are not ours: Python's own class and our own line, whatever they say of themselves."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

import prefect_gatehouse
from prefect_gatehouse.errors import Interrupted
from prefect_gatehouse.foreign import builtin_name, own_place
from prefect_gatehouse.tasks.gate import sanitised

META = type("CANARY", (type,), {"__name__": "CANARY", "__mro__": (ValueError,), "__instancecheck__": lambda *_: True})
CASES: dict[str, tuple[Any, str]] = {
    "python-s": (KeyError("CANARY"), "KeyError"),
    "library-s": (pytest.UsageError("CANARY"), "Exception"),
    "own": (type("CANARY", (Exception,), {})(), "Exception"),
    "own-below-python-s": (type("CANARY", (OSError,), {})(), "OSError"),
    "disguised": (type("CANARY", (LookupError,), {"__module__": "builtins", "__qualname__": "CANARY"})(), "LookupError"),
    "class-that-lies": (type("CANARY", (Exception,), {"__class__": KeyError})(), "Exception"),
    "metaclass-that-lies": (META("CANARY", (RuntimeError,), {})(), "RuntimeError"),
    "value": (type("CANARY", (), {})(), "object"),
    "none": (None, "object"),
    "class": (META, "type"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_nearest_class_of_python_s_own(name: str) -> None:
    """Its identity decides, not its name, its module, or what it answers."""
    value, told = CASES[name]
    assert builtin_name(value) == told


def test_what_is_added_to_python_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that somebody puts among them later is none of them."""
    added = type("CANARY", (ValueError,), {})
    monkeypatch.setattr(builtins, "CANARY", added, raising=False)
    assert builtin_name(added()) == "ValueError"


def test_the_place_is_in_our_own_code() -> None:
    """The innermost line of ours is told, not the line of foreign code, which may lie in a file that is named after data."""

    def foreign(text: str) -> None:
        exec(compile("raise type('CANARY', (ValueError,), {})('CANARY')", text, "exec"))

    for name in ("CANARY.py", str(Path(prefect_gatehouse.__file__).parent / "CANARY.py")):
        with pytest.raises(ValueError, match="CANARY") as caught:
            foreign(name)
        assert own_place(caught.value) == "unknown place"
        told = sanitised(caught.value, "gate")
        assert isinstance(told, Interrupted)
        assert str(told).startswith("gate: unexpected ValueError at unknown place; its text is withheld")
        assert "CANARY" not in str(told)
    with pytest.raises(TypeError) as caught_here:
        builtin_name(None, None)  # type: ignore[call-arg]
    assert own_place(caught_here.value) == "unknown place"
    with pytest.raises(TypeError) as caught_here:
        own_place(None)  # type: ignore[arg-type]
    assert own_place(caught_here.value).startswith("foreign.py:")
