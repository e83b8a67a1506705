"""The key of a run."""

from __future__ import annotations

import os
import pickle
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prefect_gatehouse.errors import InputError, StorageError, Tampered
from prefect_gatehouse.store.run_keys import RunKeys

ESCAPES = ["", "..", "../x", "a/b", "/etc/x", "a\0b", "a.b", "a b", "-x", "x" * 129, "..\\x", "a\n"]


def test_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    """The same run gets the same key, another run another one; the file has mode 0600 and no temporary stays."""
    keys = RunKeys(tmp_path / "keys")
    one = keys.obtain("run-1")
    assert keys.obtain("run-1").parquet_key() == one.parquet_key() == keys.load("run-1").parquet_key()
    assert keys.obtain("run-2").parquet_key() != one.parquet_key()
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["run-1.key", "run-2.key"]
    assert stat.S_IMODE((tmp_path / "keys" / "run-1.key").stat().st_mode) == 0o600


def test_two_at_once_get_one_key(tmp_path: Path) -> None:
    """Sixteen callers race for the first key of a run; all end with the same one."""
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: RunKeys(tmp_path).obtain("run").parquet_key(), range(16)))
    assert len(set(made)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.key"]


def test_shred_ends_every_copy_of_the_key(tmp_path: Path) -> None:
    """After shred the bytes are gone from the inode (seen through a hard link, as a crash may leave) and load says so."""
    keys = RunKeys(tmp_path)
    keys.obtain("run")
    path = tmp_path / "run.key"
    secret = path.read_bytes()
    os.link(path, tmp_path / ".run.key.0123")
    os.link(path, tmp_path / "backup")
    assert keys.shred("run") is True
    assert (tmp_path / "backup").read_bytes() != secret
    assert [item.name for item in tmp_path.iterdir()] == ["backup"]
    assert keys.shred("run") is False
    with pytest.raises(StorageError, match="gone"):
        keys.load("run")


def test_shred_of_a_run_without_a_key_or_a_folder(tmp_path: Path) -> None:
    """Cleaning up what never began is no error."""
    assert RunKeys(tmp_path / "none").shred("run") is False


@pytest.mark.parametrize("run_id", ESCAPES)
def test_a_run_id_never_leads_out_of_the_folder(tmp_path: Path, run_id: str) -> None:
    """Anything but one plain path component is refused before the disk is touched."""
    keys = RunKeys(tmp_path / "keys")
    for act in (keys.obtain, keys.load, keys.shred):
        with pytest.raises(InputError):
            act(run_id)
    assert not (tmp_path / "keys").exists()


def test_damaged_open_and_linked_keys_are_refused(tmp_path: Path) -> None:
    """A short key, one that others can read, and a link in its place do not count as keys."""
    keys = RunKeys(tmp_path)
    keys.obtain("run")
    path = tmp_path / "run.key"
    path.chmod(0o640)
    with pytest.raises(StorageError, match="open to other users"):
        keys.load("run")
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(StorageError, match="damaged"):
        keys.load("run")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError):
        keys.load("run")
    with pytest.raises(StorageError):
        keys.shred("run")
    assert (tmp_path / "elsewhere").exists()


def test_no_disk_is_a_storage_error(tmp_path: Path) -> None:
    """A folder that can't be made is one clear error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be used"):
        RunKeys(tmp_path / "file").obtain("run")


def test_sealer_opens_only_its_own(tmp_path: Path) -> None:
    """What one run seals does not show its content, opens again, and opens neither changed nor under another run's key."""
    keys = RunKeys(tmp_path)
    sealer = keys.obtain("one").sealer()
    sealed = sealer.seal(b"CANARY")
    assert b"CANARY" not in sealed
    assert keys.load("one").sealer().open(sealed) == b"CANARY"
    for foreign, data in (
        (keys.obtain("two").sealer(), sealed),
        (sealer, sealed[:-4] + b"AAA="),
        (sealer, b""),
        (sealer, b"\xff"),
    ):
        with pytest.raises(Tampered):
            foreign.open(data)


def test_key_shows_itself_nowhere(tmp_path: Path) -> None:
    """Neither repr nor pickle gives it away, and the derived keys differ from it."""
    key = RunKeys(tmp_path).obtain("run")
    secret = (tmp_path / "run.key").read_bytes()
    assert repr(key) == "RunKey(**********)"
    assert key.parquet_key() != secret
    assert len(key.parquet_key()) == 32
    with pytest.raises(TypeError):
        pickle.dumps(key)
