"""Which tier works on a column, and that a tier that does not work here is never a reason to fail, unless it was asked for by name."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.tokens import cmac, open_compiled, open_siv, siv, tier
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.tokens.tier import Fused

ROOT = RootKey(bytes(range(1, 33)))


def loaded(log: list[str]) -> Fused[str]:
    def load() -> str:
        log.append("loaded")
        return "kernels"

    return Fused(load, pays_after=100)


def test_auto_loads_once_when_it_pays() -> None:
    """Rows add up over calls; the compiled tier is loaded when they reach the number that pays, once, and stays."""
    log: list[str] = []
    fused = loaded(log)
    assert [fused.for_rows(rows, "auto") for rows in (99, 0, 1, 1)] == [None, None, "kernels", "kernels"]
    assert log == ["loaded"]


def test_numpy_never_loads_and_fused_loads_at_once() -> None:
    """Asked for by name, size does not matter; numpy by name holds even where the other is there."""
    log: list[str] = []
    fused = loaded(log)
    assert fused.for_rows(10**9, "numpy") is None
    assert log == []
    assert fused.for_rows(0, "fused") == "kernels"
    assert fused.for_rows(10**9, "numpy") is None


@pytest.mark.parametrize("why", ["no numba", "differs"])
def test_a_tier_that_does_not_work(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under auto numpy goes on, and the load is tried once; by name it is an error that says what to do."""
    log: list[str] = []

    def load() -> str:
        log.append("tried")
        raise AssertionError("CANARY")

    if why == "no numba":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fused = Fused(load, pays_after=1)
    assert [fused.for_rows(5, "auto") for _ in range(3)] == [None, None, None]
    assert len(log) == (why == "differs")
    with pytest.raises(InputError) as caught:
        fused.for_rows(5, "fused")
    assert "CANARY" not in str(caught.value)
    assert "prefect-gatehouse[fast]" in caught.value.advice


def test_threads_load_once() -> None:
    """Threads that reach the number together compile once."""
    log: list[str] = []
    fused = loaded(log)
    threads = [threading.Thread(target=fused.for_rows, args=(100, "auto")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log == ["loaded"]


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Auto unless set; another word is an error that names the variable and not its content."""
    monkeypatch.delenv("GATEHOUSE_TOKEN_TIER", raising=False)
    assert tier.wanted() == "auto"
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "fused")
    assert tier.wanted() == "fused"
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "CANARY")
    with pytest.raises(InputError, match="GATEHOUSE_TOKEN_TIER") as caught:
        tier.wanted()
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("scheme", [cmac, siv])
def test_a_tokeniser_uses_the_tier_that_is_set(scheme: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numpy by name makes tokens although the compiled functions are gone."""

    def broken(rows: int, wanted: tier.Tier) -> None:
        assert wanted == "numpy"

    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "numpy")
    monkeypatch.setattr(scheme.FUSED, "for_rows", broken)  # type: ignore[attr-defined]
    made = scheme.tokenise(pa.array(["a"]), ROOT, tenant="t", join_domain="d")  # type: ignore[attr-defined]
    assert made.null_count == 0


SCRIPT = """
import sys
import pyarrow as pa
from prefect_gatehouse.tokens import cmac, siv
from prefect_gatehouse.tokens.keys import RootKey
assert "numba" not in sys.modules, "imported with the package"
root = RootKey(bytes(range(1, 33)))
for scheme in (cmac, siv):
    print(scheme.tokenise(pa.array(["a", None, "b" * 20]), root, tenant="t", join_domain="d").to_pylist())
assert sys.argv[1] == "fused" or "llvmlite" not in sys.modules
print("numba" in sys.modules, file=sys.stderr)
"""


def run(wanted: str, **more: str) -> tuple[str, bool]:
    """The tokens that a process of its own makes, and whether it has imported numba."""
    environment = {**os.environ, "GATEHOUSE_TOKEN_TIER": wanted, **more}
    done = subprocess.run([sys.executable, "-c", SCRIPT, wanted], capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.endswith("True\n")


def test_numba_is_imported_only_to_compile(tmp_path: Path) -> None:
    """Importing the package and a small column load no compiler; the compiled tier does so once on a machine, with the same tokens."""
    tokens, imported = run("numpy")
    assert not imported
    assert run("auto") == (tokens, False)
    assert run("fused", NUMBA_CACHE_DIR=str(tmp_path)) == (tokens, True)
    assert run("fused", NUMBA_CACHE_DIR=str(tmp_path)) == (tokens, False)


@pytest.mark.parametrize("scheme", [cmac, siv])
def test_compiled_code_that_differs_is_never_used(scheme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A miscompiled function, played by one that spells another character, is found while loading; numpy makes the tokens."""
    from prefect_gatehouse.tokens import fused, seal_fused

    spell: Any = fused.spell_fixed
    seal: Any = seal_fused.seal

    def wrong_spell(macs: Any, prefix: Any, size: int, text: Any) -> None:
        spell(macs, prefix, size, text)
        text[-1] ^= 1

    def wrong_seal(*arguments: Any) -> None:
        seal(*arguments)
        arguments[-2][5] ^= 1

    column = pa.array(["a", "b" * 30])
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "numpy")
    expected = scheme.tokenise(column, ROOT, tenant="t", join_domain="d")
    monkeypatch.setattr(fused, "spell_fixed", wrong_spell)
    monkeypatch.setattr(seal_fused, "seal", wrong_seal)
    monkeypatch.setattr(scheme, "FUSED", Fused(scheme.FUSED._load, pays_after=1))
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "auto")
    assert scheme.tokenise(column, ROOT, tenant="t", join_domain="d").equals(expected)
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "fused")
    with pytest.raises(InputError):
        scheme.tokenise(column, ROOT, tenant="t", join_domain="d")


@pytest.mark.parametrize("function", ["unspell", "unseal", "unpad"])
def test_compiled_code_that_opens_otherwise_is_never_used(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A miscompiled function that lets a bit slip is found while loading; numpy opens the tokens."""
    from prefect_gatehouse.tokens import open_fused

    right = getattr(open_fused, function)
    # The array that the function fills, and a byte in it that belongs to a good token of the proof.
    array, byte = {"unspell": (5, 20), "unseal": (3, 40), "unpad": (6, 40)}[function]

    def wrong(*arguments: Any) -> Any:
        result = right(*arguments)
        arguments[array][byte] ^= 1
        return result

    column = pa.array(["a", "b" * 30])
    made = siv.tokenise(column, ROOT, tenant="t", join_domain="d")
    monkeypatch.setattr(open_fused, function, wrong)
    monkeypatch.setattr(open_siv, "FUSED", Fused(open_compiled.FUSED._load, pays_after=1))
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "auto")
    assert siv.detokenise(made, ROOT, tenant="t", join_domain="d").equals(column)
    monkeypatch.setenv("GATEHOUSE_TOKEN_TIER", "fused")
    with pytest.raises(InputError):
        siv.detokenise(made, ROOT, tenant="t", join_domain="d")
