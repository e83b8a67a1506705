"""The files beside a workload: its code, and whatever else it could read when it runs.

They are read once, and what was read is what is digested, what runs and what a cell may see.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from prefect_gatehouse.errors import InputError

MOST_FILES = 1000
MOST_BYTES = 64 << 20
"""Of a workload's files together: they are read whole whenever it is loaded, and each is named in the plan."""

LOCKS = ("requirements.lock", "uv.lock", "pylock.toml", "poetry.lock", "requirements.txt")
"""Lock files, the best first; the plan has a digest of its own for the one that counts."""

_LEFT_OUT = ("tests", "__pycache__")
_ADVICE = "keep other data out of the workload's folder, or give the workload a folder of its own"


def read_beside(file: Path, apart: Collection[Path], where: str) -> dict[Path, bytes]:
    """Every file of a workload's folder with its bytes, in order of the paths.

    What begins with a dot, ``tests``, Python's caches and lock files are left out, and linked folders are not followed.

    Args:
        file: The workload's entry file.
        apart: Absolute paths of files and folders below it that are not the workload's.
        where: What names the workload, for messages.

    Raises:
        InputError: They are too many or too large, or one can't be read.
    """
    try:
        files = sorted(path for path in _below(file.parent, apart) if path not in apart and path.is_file())
        size = sum(path.stat().st_size for path in files)
        if len(files) > MOST_FILES:
            raise InputError(f"more than {MOST_FILES} files lie beside the workload, and each would be part of it", where=where, advice=_ADVICE)
        if size > MOST_BYTES:
            largest = max(files, key=lambda path: path.stat().st_size).relative_to(file.parent)
            raise InputError(
                f"the files beside the workload are larger than {MOST_BYTES >> 20} MiB together, and each would be part of it",
                where=f"{where}: {largest}",
                advice=_ADVICE,
            )
        return {path: path.read_bytes() for path in files}
    except OSError:
        raise InputError("a file of the workload can't be read", where=where, advice="fix its permissions") from None


def _below(folder: Path, apart: Collection[Path]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _LEFT_OUT and Path(place, name) not in apart]
        yield from (Path(place, name) for name in names if not name.startswith(".") and not name.endswith(".pyc") and name not in LOCKS)


def _raise(error: OSError) -> None:
    raise error
