"""The files of a workload: found and read, never run.

A workload is named as ``file.py:function`` relative to a folder, or as ``package.module:function``. A module is looked for without importing the
packages that it lies in: their code is the workload's, and it runs where the workload runs.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import ModuleSpec
from pathlib import Path
from traceback import walk_tb

from prefect_gatehouse.errors import InputError, WorkloadFailed
from prefect_gatehouse.files import inside
from prefect_gatehouse.foreign import builtin_name, traceback_of
from prefect_gatehouse.workload.beside import read_beside


@dataclass(frozen=True)
class Sources:
    """The digested files of a workload: its code, and what else lies beside it.

    Attributes:
        root: Their folder.
        files: Each file's bytes. Nothing else in the folder belongs to the workload, so a cell gives it nothing else.
    """

    root: Path
    files: Mapping[Path, bytes]

    @cached_property
    def digests(self) -> tuple[tuple[str, str], ...]:
        """Each file's path below the folder and SHA-256, in order of the paths."""
        return tuple(sorted((path.relative_to(self.root).as_posix(), hashlib.sha256(data).hexdigest()) for path, data in self.files.items()))

    @property
    def code(self) -> Mapping[Path, bytes]:
        """The files that Python runs."""
        return {path: data for path, data in self.files.items() if path.suffix == ".py"}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and bytes."""
        code = hashlib.sha256()
        for path, data in self.files.items():
            for part in (path.relative_to(self.root).as_posix().encode(), data):
                code.update(len(part).to_bytes(8, "big") + part)
        return code.hexdigest()

    def place(self, name: str, line: int | None) -> str | None:
        """A line as ``file:line``, None if no digested file has it: a workload can say of its code that it lies anywhere."""
        data = self.files.get(Path(name))
        if data is None or line is None or not 1 <= line <= data.count(b"\n") + 1:
            return None
        return f"{Path(name).relative_to(self.root).as_posix()}:{line}"

    def failure(self, error: BaseException, file: Path) -> WorkloadFailed:
        """What a workload raised, as the nearest type of Python's own and the innermost line of the sources, never its text or its name."""
        lines = [self.place(frame.f_code.co_filename, line) for frame, line in walk_tb(traceback_of(error))]
        return raised(builtin_name(error), next((place for place in reversed(lines) if place is not None), file.name))


def raised(kind: str, where: str) -> WorkloadFailed:
    """The error that tells what a workload raised."""
    return WorkloadFailed(
        f"the workload raised {kind}; its text is withheld, it could hold data",
        where=where,
        advice="mend the workload; if its code changes, the plan needs a new approval",
    )


@dataclass(frozen=True)
class FoundWorkload:
    """Where a workload is, and its files.

    Attributes:
        entrypoint: As the manifest names it.
        file: The file that holds the function.
        sources: The files that are digested: those beside it.
        package: The outermost folder or file of the module's package; None where a file is named.
    """

    entrypoint: str
    file: Path
    sources: Sources = field(repr=False)
    package: Path | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over names and bytes of the source files."""
        return self.sources.digest

    @property
    def function(self) -> str:
        """The name of the generator function."""
        return self.entrypoint.partition(":")[2]

    @property
    def place(self) -> str:
        """The file or module."""
        return self.entrypoint.partition(":")[0]

    def no_generator(self) -> InputError:
        """The error that says that there is no such function."""
        return InputError(
            "this is no generator function", where=f"workload.entrypoint {self.entrypoint}", advice="write a function that yields lists of circuits"
        )


def find_workload(entrypoint: str, folder: Path, apart: Collection[Path] = ()) -> FoundWorkload:
    """Finds a workload and reads its files; nothing of it is run.

    Args:
        entrypoint: ``file.py:function`` relative to the folder, or ``package.module:function``.
        folder: The manifest's.
        apart: Files that lie beside the workload and are not its own, such as the source and the suites.

    Raises:
        InputError: The file or the module is missing, what lies beside it is too much, or a file can't be read.
    """
    file, package = locate(entrypoint, folder)
    where = _where(entrypoint)
    if package is None:
        return FoundWorkload(entrypoint, file, Sources(file.parent, read_beside(file, apart, where)))
    files = sorted(path for path in file.parent.rglob("*.py") if path.is_file())
    try:
        return FoundWorkload(entrypoint, file, Sources(file.parent, {path: path.read_bytes() for path in files}), package)
    except OSError:
        raise InputError("a file of the workload can't be read", where=where, advice="fix its permissions") from None


def locate(entrypoint: str, folder: Path) -> tuple[Path, Path | None]:
    """The file that holds a workload, and the outermost folder or file of its package, None where a file is named; nothing is read.

    Raises:
        InputError: The file or the module is missing.
    """
    place = entrypoint.partition(":")[0]
    if place.endswith(".py"):
        file = inside(folder, place, "workload.entrypoint")
        if not file.is_file():
            raise InputError("there is no such file", where=_where(entrypoint), advice="correct the path")
        return file, None
    found = _find(place)
    if found is None:
        raise InputError("there is no such module", where=_where(entrypoint), advice="install it, or name a file")
    return found


def _where(entrypoint: str) -> str:
    return f"workload.entrypoint {entrypoint.partition(':')[0]}"


def _find(name: str) -> tuple[Path, Path] | None:
    """The file of a module, and the outermost folder or file that has to be there to import it."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    path: list[str] | None = None
    outermost: Path | None = None
    for end in range(1, len(parts) + 1):
        spec = _spec(".".join(parts[:end]), path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations) if spec.submodule_search_locations is not None else None
        if outermost is None:
            outermost = Path(path[0] if path else str(spec.origin))
        if end < len(parts) and path is None:
            return None
    assert outermost is not None  # a name has at least one part
    return (Path(spec.origin), outermost) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _spec(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if getattr(finder, "of_a_project", False):
            continue  # what lies beside another workload is not installed
        spec = finder.find_spec(name, path, None)
        if spec is not None:
            return spec
    return None
