"""The files beside a workload: its code, and whatever else it could read when it runs.

They are read once, and what was read is what is digested, what runs and what a cell may see.
"""

from __future__ import annotations

import errno
import os
import stat
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

    What begins with a dot, ``tests``, Python's caches and lock files are left out, and so is what is neither file nor folder; linked folders are
    not followed. A linked file has to lead to one of the others, for a link reaches whatever the worker may read: the source, or somebody's key.

    Args:
        file: The workload's entry file.
        apart: Absolute paths of files and folders below it that are not the workload's.
        where: What names the workload, for messages.

    Raises:
        InputError: They are too many or too large, one can't be read, leads elsewhere, or has a name that can't be shown.
    """
    found: dict[Path, bytes] = {}
    links: list[Path] = []
    number = size = 0
    try:
        for path, data in _below(file.parent, apart, MOST_BYTES):
            _refuse_name(path, file.parent, where)
            number += 1
            if number > MOST_FILES:
                raise InputError(f"more than {MOST_FILES} files lie beside the workload, and each would be part of it", where=where, advice=_ADVICE)
            if data is None:
                links.append(path)
                continue
            found[path] = data
            size += len(data)
            if size > MOST_BYTES:
                raise _too_large(file.parent, apart, where)
        found |= {link: found[_target(link, found, file.parent, where)] for link in links if not _is_apart(link.resolve(), apart)}
    except OSError:
        raise InputError("a file of the workload can't be read", where=where, advice="fix its permissions") from None
    return dict(sorted(found.items()))


def locks_from(folder: Path) -> Iterator[Path]:
    """Where a project's lock file may lie, the one that counts first: in the manifest's folder, or the nearest above it."""
    folder = folder.resolve()
    return (place / name for place in (folder, *folder.parents) for name in LOCKS)


def lock_beside(folder: Path) -> Path | None:
    """A project's lock file; None where it has none."""
    return next((each for each in locks_from(folder) if each.is_file()), None)


def left_out(name: str, *, folder: bool) -> bool:
    """Whether nothing of this name is ever a workload's."""
    return name.startswith(".") or (name in _LEFT_OUT if folder else name.endswith(".pyc") or name in LOCKS)


def _below(folder: Path, apart: Collection[Path], most: int) -> Iterator[tuple[Path, bytes | None]]:
    """Files and their bytes, of each some more than may be at most; links without."""
    for place, folders, names, opened in os.fwalk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not left_out(name, folder=True) and Path(place, name) not in apart]
        for name in names:
            path = Path(place, name)
            if left_out(name, folder=False) or path in apart:
                continue
            mode = os.stat(name, dir_fd=opened, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode) and path.is_file():
                yield path, None
            elif stat.S_ISREG(mode):
                yield path, _content(name, opened, most)


def _content(name: str, folder: int, most: int) -> bytes:
    """A file's bytes; whoever puts a link or a pipe in its place meanwhile has no answer, and nobody waits for one.

    Raises:
        OSError: It can't be read, or is no file.
    """
    with open(name, "rb", opener=lambda named, flags: os.open(named, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no file")
        return file.read(most + 1)


def _target(link: Path, found: Collection[Path], folder: Path, where: str) -> Path:
    target = link.resolve()
    if target not in found:
        raise InputError(
            "a link beside the workload leads to something else than a file of the workload",
            where=f"{where}: {link.relative_to(folder)}",
            advice="put a copy in its place, or keep it out of the workload's folder",
        )
    return target


def _is_apart(path: Path, apart: Collection[Path]) -> bool:
    return path in apart or any(parent in apart for parent in path.parents)


def _refuse_name(path: Path, folder: Path, where: str) -> None:
    """Plan and form have the names for people to read: a line end or a sequence of a terminal's would have them read something else."""
    name = str(path.relative_to(folder))
    if not name.isprintable():
        raise InputError(
            "a file beside the workload has a name that can't be shown", where=f"{where}: {name!a}", advice="rename it, or keep it elsewhere"
        )


def _too_large(folder: Path, apart: Collection[Path], where: str) -> InputError:
    sizes = {path: path.lstat().st_size for path, _ in _below(folder, apart, 0)}
    largest = max(sizes, key=lambda path: sizes[path]).relative_to(folder)
    return InputError(
        f"the files beside the workload are larger than {MOST_BYTES >> 20} MiB together, and each would be part of it",
        where=f"{where}: {largest}",
        advice=_ADVICE,
    )


def _raise(error: OSError) -> None:
    raise error
