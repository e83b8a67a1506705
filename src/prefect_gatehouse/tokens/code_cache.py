"""Machine code kept on disk: one file for each module and machine, found by what it was made of.

It lies where Python keeps its own compiled files, ``__pycache__`` beside the source, or, where that can't be written, in the user's cache
folder; ``NUMBA_CACHE_DIR`` names another folder. Whoever can write there can run code as the caller, as with any ``.pyc`` file: files and
folders that belong to others than the user and root, or that others may write, are not read. A checksum finds damage, not intent.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Place:
    """Where the code of one module on one machine is kept.

    Attributes:
        module: The module's name.
        machine: Digest of what the code depends on beside its text; part of the file's name, so that machines that share a folder don't
            take turns in writing one file.
        text: Digest of the text that the code is made of.
    """

    module: str
    machine: bytes
    text: bytes

    def read(self) -> bytes | None:
        """The code; None if there is none, or none that is whole, current and the user's own."""
        for folder in self._folders():
            with suppress(OSError):
                held = _read(folder / self._name)
                key, checksum, code = held[: 2 * _DIGEST], held[2 * _DIGEST : 3 * _DIGEST], held[3 * _DIGEST :]
                if key == self.machine + self.text and checksum == hashlib.sha256(key + code).digest():
                    return code
        return None

    def write(self, code: bytes) -> None:
        """Keeps the code in the first folder that takes it; where none does, it is made anew in each process."""
        key = self.machine + self.text
        for folder in self._folders():
            with suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if _is_own(folder.stat()):
                    _write(folder / self._name, key + hashlib.sha256(key + code).digest() + code)
                    return

    @property
    def _name(self) -> str:
        return f"{self.module.rpartition('.')[2]}.{self.machine.hex()[:16]}.kernels"

    def _folders(self) -> Iterator[Path]:
        if chosen := os.environ.get("NUMBA_CACHE_DIR"):
            yield Path(chosen)
            return
        source = sys.modules[self.module].__file__
        if source:
            yield Path(cache_from_source(source)).parent
        home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")
        if home:
            yield Path(home) / ("" if "XDG_CACHE_HOME" in os.environ else ".cache") / "prefect-gatehouse"


def _read(path: Path) -> bytes:
    """A file's content.

    Raises:
        OSError: There is none, or somebody else may have written it.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        if not (_is_own(path.parent.stat()) and _is_own(os.fstat(file.fileno()))):
            raise PermissionError("somebody else may have written it")
        return file.read()


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: processes that do so at once leave the content of one of them."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)  # no secret: a user may read what root has compiled
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def _is_own(found: os.stat_result) -> bool:
    """Whether only the user and root can have written it."""
    return found.st_uid in (0, os.getuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
