"""Temporary files of a run."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_gatehouse.data.spill import Frame, SpillFolder
from prefect_gatehouse.errors import InputError, StorageError, Tampered
from prefect_gatehouse.store.run_keys import RunKey

KEY = RunKey(b"k" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> SpillFolder:
    return SpillFolder(tmp_path, "run-1", KEY, "one")


def written(folder: SpillFolder, *frames: bytes) -> tuple[str, list[Frame]]:
    with folder.create() as writer:
        return writer.name, [writer.append(frame) for frame in frames]


def test_frames_come_back_in_any_order_and_show_nothing(folder: SpillFolder, tmp_path: Path) -> None:
    """What was written is read, the file is its owner's only, and holds no plain byte of it."""
    name, frames = written(folder, b"CANARY one", b"", b"CANARY two" * 1000)
    with folder.open(name) as reader:
        assert [reader.read(frame) for frame in frames[::-1]] == [b"CANARY two" * 1000, b"", b"CANARY one"]
    path = tmp_path / "run-1" / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"CANARY" not in path.read_bytes()


def test_equal_frames_look_unequal(folder: SpillFolder, tmp_path: Path) -> None:
    """Neither within a file nor between files does equal content show."""
    name, frames = written(folder, b"same" * 8, b"same" * 8)
    other, _ = written(folder, b"same" * 8)
    data = (tmp_path / "run-1" / name).read_bytes()
    assert data[: frames[0].length] != data[frames[0].length :]
    assert data[: frames[0].length] != (tmp_path / "run-1" / other).read_bytes()


@pytest.mark.parametrize("case", ["flipped", "moved", "other-file", "cut", "other-key", "other-number"])
def test_anything_else_than_what_was_written_does_not_open(folder: SpillFolder, tmp_path: Path, case: str) -> None:
    """A changed byte, a frame in another's place, in another file, cut short, under another key or number: Tampered."""
    name, (first, second) = written(folder, b"a" * 50, b"b" * 50)
    path, frame, reading = tmp_path / "run-1" / name, first, folder
    data = bytearray(path.read_bytes())
    if case == "flipped":
        data[7] ^= 1
    elif case == "moved":
        data = data[first.length :] + data[: first.length]
    elif case == "cut":
        data = data[:20]
    elif case == "other-number":
        frame = replace(second, number=0)
    elif case == "other-key":
        reading = SpillFolder(tmp_path, "run-1", RunKey(b"o" * 32), "one")
    path.write_bytes(data)
    if case == "other-file":
        other, _ = written(folder, b"c" * 50)
        path.write_bytes((tmp_path / "run-1" / other).read_bytes())
    with reading.open(name) as reader, pytest.raises(Tampered, match="was changed"):
        reader.read(frame)


def test_gone_and_foreign_names(folder: SpillFolder) -> None:
    """A file that is gone is a resumable error; a name that leads elsewhere is refused."""
    with pytest.raises(StorageError, match="is gone"):
        folder.open(".spill.one.abc")
    for name in (".spill.one.../x", "../run-2/x", ".spill./etc", ".spill."):
        with pytest.raises(InputError):
            folder.open(name)


def test_clearing_spares_the_next_attempt(folder: SpillFolder, tmp_path: Path) -> None:
    """A superseded piece of work removes its own files only; the one that starts removes everybody's, and an empty folder with them."""
    mine, _ = written(folder, b"x")
    after = SpillFolder(tmp_path, "run-1", KEY, "two")
    theirs, _ = written(after, b"y")
    folder.clear()
    assert [path.name for path in (tmp_path / "run-1").iterdir()] == [theirs]
    written(folder, b"z")
    after.clear(others=True)
    assert not (tmp_path / "run-1").exists()
    folder.clear()
    assert mine != theirs
