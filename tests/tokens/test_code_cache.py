"""Machine code on disk: what is damaged, outdated or somebody else's is never loaded, and nothing about it is a reason to fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_gatehouse.tokens import code_cache
from prefect_gatehouse.tokens.code_cache import Place

pytest.importorskip("numba")

MODULE = '''
from __future__ import annotations
import numpy as np
import numpy.typing as npt
from prefect_gatehouse.tokens.compiled import kernel
from prefect_gatehouse.tokens.kernels import helper

ADDED = 5

@helper
def _more(number: int) -> int:
    return number + ADDED

@kernel
def total(array: npt.NDArray[np.int64]) -> int:
    """The sum of the numbers and more."""
    found = 0
    for at in range(len(array)):
        found += _more(array[at])
    return found
'''

USE = """
import sys
import numpy as np
import small
print(small.total(np.arange(4)), "numba" in sys.modules)
"""

Run = Callable[..., tuple[int, bool]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where ``small.py`` lies."""
    (tmp_path / "small.py").write_text(MODULE)
    return tmp_path


def started(folder: Path, **more: str) -> subprocess.Popen[str]:
    paths = {"PYTHONPATH": str(folder), "HOME": str(folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    given = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    return subprocess.Popen([sys.executable, "-c", USE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**given, **paths, **more})


def ended(process: subprocess.Popen[str]) -> tuple[int, bool]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    number, imported = output.split()
    return int(number), imported == "True"


def run(folder: Path, **more: str) -> tuple[int, bool]:
    """What a process of its own computes, and whether it needed numba."""
    return ended(started(folder, **more))


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kernels*"))


def test_compiled_once(folder: Path) -> None:
    """The second process takes the code of the first, from beside the source; an edit of the source, here of a constant, ends that."""
    assert run(folder) == (26, True)
    (file,) = kept(folder)
    assert file.parent == folder / "__pycache__"
    assert file.stat().st_mode & 0o777 == 0o644
    assert run(folder) == (26, False)
    (folder / "small.py").write_text(MODULE.replace("ADDED = 5", "ADDED = 6"))
    assert run(folder) == (30, True)
    assert kept(folder) == [file]
    assert run(folder) == (30, False)


@pytest.mark.parametrize("damage", ["a bit", "its end", "everything", "somebody else may write it", "a link"])
def test_a_file_that_is_not_whole_or_not_ours(folder: Path, damage: str) -> None:
    """It is not loaded, and it is written anew."""
    assert run(folder) == (26, True)
    (file,) = kept(folder)
    whole = file.read_bytes()
    if damage == "a bit":
        file.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    elif damage == "its end":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "everything":
        file.write_bytes(b"")
    elif damage == "a link":
        file.rename(folder / "elsewhere")
        file.symlink_to(folder / "elsewhere")
    else:
        file.chmod(0o666)
    assert run(folder) == (26, True)
    (again,) = kept(folder)
    assert again == file and not file.is_symlink() and file.stat().st_mode & 0o777 == 0o644
    assert run(folder) == (26, False)


def test_folders(folder: Path) -> None:
    """A folder named by hand is the only one; one that others may write is passed over for the user's own, which nobody else sees."""
    named = folder / "named" / "deep"
    assert run(folder, NUMBA_CACHE_DIR=str(named)) == (26, True)
    assert [file.parent for file in kept(folder)] == [named]
    assert run(folder, NUMBA_CACHE_DIR=str(named)) == (26, False)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__").chmod(0o777)
    assert run(folder) == (26, True)
    own = folder / "home" / ".cache" / "prefect-gatehouse"
    assert [file.parent for file in kept(folder)] == [own, named]
    assert own.stat().st_mode & 0o777 == 0o700
    assert run(folder) == (26, False)
    assert run(folder, XDG_CACHE_HOME=str(folder / "xdg")) == (26, True)
    assert (folder / "xdg" / "prefect-gatehouse") in [file.parent for file in kept(folder)]


def test_no_folder(folder: Path) -> None:
    """Where none can be written the code is made in memory, each time."""
    (folder / "file").touch()
    for _ in range(2):
        assert run(folder, NUMBA_CACHE_DIR=str(folder / "file" / "below")) == (26, True)
    assert kept(folder) == []


def test_code_for_another_processor_is_not_kept(folder: Path) -> None:
    """Numba can be told to compile for another processor than this one; who has not been told so must not find that."""
    assert run(folder, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="") == (26, True)
    assert kept(folder) == []


def test_processes_at_once(folder: Path) -> None:
    """Each compiles for itself; one whole file is left, and nothing beside it."""
    assert [ended(process) for process in [started(folder) for _ in range(3)]] == [(26, True)] * 3
    assert len(kept(folder)) == 1
    assert run(folder) == (26, False)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return Place("some.module", bytes(32), bytes(range(32)))


def test_what_a_place_gives_back(place: Place, tmp_path: Path) -> None:
    """Exactly what was written, for the same machine and the same text only; machines have files of their own, texts take turns."""
    assert place.read() is None
    place.write(b"code")
    assert place.read() == b"code"
    other = Place(place.module, place.machine, bytes(32))
    assert other.read() is None
    assert Place(place.module, bytes([1] * 32), place.text).read() is None
    assert Place("other.module2", place.machine, place.text).read() is None
    other.write(b"new")
    assert place.read() is None and other.read() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_every_byte_of_a_file_counts(place: Place, tmp_path: Path) -> None:
    """Whichever byte differs, and wherever it ends, a file is not taken."""
    place.write(b"some code")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for at in range(len(whole)):
        for broken in (whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :], whole[:at]):
            file.write_bytes(broken)
            assert place.read() is None, at
    file.write_bytes(whole + b"\0")
    assert place.read() is None
    file.write_bytes(whole)
    assert place.read() == b"some code"


def test_whose_it_is() -> None:
    """Files of the user and of root count, unless others may write them."""

    def own(uid: int, mode: int) -> bool:
        return code_cache._is_own(os.stat_result((mode, 0, 0, 1, uid, 0, 0, 0, 0, 0)))

    me = os.getuid()
    assert own(me, 0o100644) and own(0, 0o100644) and own(me, 0o40755)
    assert not own(me + 1, 0o100644) and not own(me, 0o100664) and not own(me, 0o100646) and not own(0, 0o41777)


def test_a_write_that_fails_leaves_nothing(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is no error, and no half of a file is left."""

    def full(handle: int, mode: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fchmod", full)
    place.write(b"code")
    assert list(tmp_path.iterdir()) == []
    assert place.read() is None
