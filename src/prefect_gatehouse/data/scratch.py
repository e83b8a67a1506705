"""Throw-away homes: folders for what a dry run writes, removed with it, or by the next one where a dry run was killed.

Whoever lives in one holds a lock on the folder, which ends with the process whatever ends it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect_gatehouse.errors import StorageError

_PREFIX = "gatehouse-plan-"


@contextmanager
def scratch_home() -> Iterator[Path]:
    """A new folder of mode 0700 below the system's temporary one; those of processes that died are removed first.

    Raises:
        StorageError: No folder can be made.
    """
    remove_dead()
    try:
        folder, lock = _new()
    except OSError as error:
        place = tempfile.gettempdir()
        raise StorageError(f"no temporary folder can be made: {error.strerror}", where=place, advice="make room, or set TMPDIR") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what can't be removed is ciphertext, and the next one tries again
        os.close(lock)


def remove_dead() -> int:
    """Removes the folders of processes that died; how many there were."""
    return sum(_remove(path) for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))


def _new() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            lock = _lock(folder)
            if folder.exists():
                return folder, lock
            os.close(lock)
        except (BlockingIOError, FileNotFoundError):
            continue  # somebody took it for a dead one's before it was locked, and removes it
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _remove(folder: Path) -> bool:
    lock = _locked(folder)
    if lock is None:
        return False
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
    return not folder.exists()


def _locked(folder: Path) -> int | None:
    """The lock on a folder of our own; None where somebody lives in it, it is another user's, a link, or gone."""
    try:
        return _lock(folder)
    except OSError:
        return None


def _lock(folder: Path) -> int:
    """The lock on a folder of our own.

    Raises:
        BlockingIOError: It is locked: somebody lives in it.
        OSError: It is gone, a link, another user's, or can't be locked.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
