"""What a cell may read: the interpreter, the packages that are installed beside it, and nothing that is anybody's."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prefect_gatehouse.errors import InputError

_PARTS = ("bin", "lib", "lib64", "pyvenv.cfg")
SYSTEM = tuple(map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")))
"""What every cell reads beside: the system's libraries and programs."""
PACKAGES = Path(__file__).resolve().parents[3]
"""The folder from which this package is imported."""


def readable(package: Path | None = None) -> list[Path]:
    """Folders and files that a cell reads, each where Python names it and where it really is; those within another are left out.

    Args:
        package: The outermost folder or file of the workload's module, where it is one.
    """
    wanted = {*_installation(), PACKAGES}
    if package is not None:
        wanted.add(package)
    there = {path for place in wanted for path in (Path(os.path.abspath(place)), place.resolve()) if path.exists()}  # noqa: PTH100 - links stay
    return sorted(path for path in there if not any(other != path and path.is_relative_to(other) for other in there))


def _installation() -> Iterator[Path]:
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        yield from (Path(prefix, part) for part in _PARTS)
    libraries = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    yield from libraries
    on_path = {Path(entry) for entry in sys.path if entry}
    for library in dict.fromkeys(libraries):
        for file in library.glob("*.pth"):  # projects that are installed as links
            yield from (path for path in map(Path, _lines(file)) if path in on_path)


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("/")]
    except (OSError, UnicodeDecodeError):
        return []


def refuse_secrets(readable: Sequence[Path], secret: Iterable[Path]) -> None:
    """Stops a cell that could read what it must not: a home within a folder of the interpreter's or the system's, as ``/usr/src/app``.

    Raises:
        InputError: Names the folder or file.
    """
    for place in secret:
        for path in (Path(os.path.abspath(place)), place.resolve()):  # noqa: PTH100 - links stay
            if any(path.is_relative_to(each) for each in (*readable, *SYSTEM)):
                raise InputError(
                    "this lies where a workload may read: among the interpreter's, the packages' or the system's files",
                    where=str(place),
                    advice="keep it elsewhere (outside of /usr), or install Python elsewhere",
                )
