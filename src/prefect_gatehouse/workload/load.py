"""Loading a workload: one generator function in a file beside the manifest, or in an installed package.

What runs is what was digested: the files beside the manifest are read once, and their modules are made from those bytes, whatever
becomes of the files, of Python's caches, or of other projects' modules of the same names.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any, ClassVar

from prefect_gatehouse.errors import InputError, WorkloadFailed
from prefect_gatehouse.files import inside
from prefect_gatehouse.foreign import builtin_name, traceback_of
from prefect_gatehouse.workload.beside import read_beside
from prefect_gatehouse.workload.imports import imported_names
from prefect_gatehouse.workload.silence import silenced
from prefect_gatehouse.workload.stops import handlers, let_stops_through

Generate = Callable[[Any, dict[str, Any]], Generator[Any, Any, Any]]


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
        return WorkloadFailed(
            f"the workload raised {builtin_name(error)}; its text is withheld, it could hold data",
            where=next((place for place in reversed(lines) if place is not None), file.name),
            advice="mend the workload; if its code changes, the plan needs a new approval",
        )


@dataclass(frozen=True)
class LoadedWorkload:
    """A workload's function and the digest of its code.

    Attributes:
        generate: ``generate(features, parameters)`` yields lists of circuits and returns a frame.
        digest: SHA-256 over names and bytes of the source files.
        file: The file that holds the function, for messages.
        sources: What was digested.
    """

    generate: Generate
    digest: str
    file: Path
    sources: Sources = field(repr=False)

    def failure(self, error: BaseException) -> WorkloadFailed:
        """What it raised, without its text."""
        return self.sources.failure(error, self.file)


def forget_workload() -> None:
    """The files beside a manifest are loaded anew the next time, so that a workload starts as it would in a process of its own."""
    _Project.end()


@dataclass(frozen=True)
class FoundWorkload:
    """A workload whose files were read, and none of whose code has run.

    Attributes:
        entrypoint: As the manifest names it.
        file: The file that holds the function.
        sources: What was read, and what will run.
    """

    entrypoint: str
    file: Path
    sources: Sources = field(repr=False)

    def load(self) -> LoadedWorkload:
        """Runs the module, for its function.

        Raises:
            InputError: The function is missing, or is no generator function.
            WorkloadFailed: The module raised.
        """
        place, _, name = self.entrypoint.partition(":")
        digest = self.sources.digest
        module = _Project.of(self.sources, digest).load(self.file) if place.endswith(".py") else _import(place, self.file, self.sources)
        function = getattr(module, name, None)
        if not inspect.isgeneratorfunction(function):
            raise InputError(
                "this is no generator function",
                where=f"workload.entrypoint {self.entrypoint}",
                advice="write a function that yields lists of circuits",
            )
        return LoadedWorkload(function, digest, self.file, self.sources)


def find_workload(entrypoint: str, folder: Path, apart: Collection[Path] = ()) -> FoundWorkload:
    """Reads the files of ``file.py:function`` relative to a folder, or of ``package.module:function``; nothing of them runs.

    Args:
        entrypoint: The entry point.
        folder: The manifest's folder.
        apart: Files that lie beside the workload and are not its own, such as the source and the suites.

    Raises:
        InputError: The file is missing, or what lies beside it is too much.
        WorkloadFailed: A package that an installed module lies in raised while it was looked for.
    """
    place = entrypoint.partition(":")[0]
    where = f"workload.entrypoint {place}"
    if place.endswith(".py"):
        file = inside(folder, place, "workload.entrypoint")
        if not file.is_file():
            raise InputError("there is no such file", where=where, advice="correct the path")
        return FoundWorkload(entrypoint, file, Sources(file.parent, read_beside(file, apart, where)))
    _Project.end()
    found = _find(place)
    if found is None:
        raise InputError("there is no such module", where=where, advice="install it, or name a file")
    files = sorted(path for path in found.parent.rglob("*.py") if path.is_file())
    try:
        return FoundWorkload(entrypoint, found, Sources(found.parent, {path: path.read_bytes() for path in files}))
    except OSError:
        raise InputError("a file of the workload can't be read", where=where, advice="fix its permissions") from None


def load_workload(entrypoint: str, folder: Path, apart: Collection[Path] = ()) -> LoadedWorkload:
    """Finds a workload and loads it; the arguments are those of ``find_workload``.

    Raises:
        InputError: The file or function is missing, or is no generator function.
        WorkloadFailed: The module raised while it was loaded.
    """
    return find_workload(entrypoint, folder, apart).load()


def _find(name: str) -> Path | None:
    stops = handlers()
    try:
        with silenced():
            spec = importlib.util.find_spec(name)  # imports the packages that it lies in
    except (ImportError, ValueError, AttributeError):
        return None
    except BaseException as error:  # noqa: BLE001 - a foreign module may raise anything
        let_stops_through(error, stops)
        raise Sources(Path(), {}).failure(error, Path(name)) from None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


class _Project(MetaPathFinder, InspectLoader):
    """The modules of one project folder, made from the bytes that were digested; one project a process at a time."""

    _active: ClassVar[_Project | None] = None

    def __init__(self, sources: Sources, digest: str) -> None:
        self._root = sources.root
        self._sources = sources
        self._digest = digest
        self._names: set[str] = set()
        self._neighbours = {file.relative_to(sources.root).parts[0].removesuffix(".py") for file in sources.code}
        self._unreadable: tuple[SyntaxError, WorkloadFailed] | None = None

    @classmethod
    def of(cls, sources: Sources, digest: str) -> _Project:
        """The project that can be imported from now on; another one's modules are forgotten."""
        if cls._active is not None and cls._active.identity == (sources.root, digest):
            return cls._active
        cls.end()
        cls._active = cls(sources, digest)
        sys.meta_path.insert(0, cls._active)
        return cls._active

    @classmethod
    def end(cls) -> None:
        """No project can be imported from now on."""
        if cls._active is not None:
            cls._active.withdraw()
            cls._active = None

    @property
    def identity(self) -> tuple[Path, str]:
        """Which project it is: folder and digest."""
        return self._root, self._digest

    def withdraw(self) -> None:
        """Ends the project's imports and forgets its modules."""
        sys.meta_path.remove(self)
        for name in self._names:
            sys.modules.pop(name, None)

    def load(self, file: Path) -> ModuleType:
        """The entry file as a module under a private name."""
        name = f"_gatehouse_workload_{self._digest[:16]}_{file.stem}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, file, loader=self)
        assert spec is not None  # a loader was given
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and pickles look their module up while it loads
        self._names.add(name)
        stops = handlers()
        try:
            with silenced():
                self.exec_module(module)
        except BaseException as error:  # noqa: BLE001 - a workload may raise anything
            del sys.modules[name]
            let_stops_through(error, stops)
            raise self._failure(error, file) from None
        return module

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """A neighbour of the entry file, or a module of a package beside it."""
        if fullname.partition(".")[0] not in self._neighbours:
            return None  # asked for every module that anybody imports from now on
        place = self._root.joinpath(*fullname.split("."))
        for file, folder in ((place / "__init__.py", [str(place)]), (place.with_name(place.name + ".py"), None)):
            if file in self._sources.files:
                self._names.add(fullname)
                return importlib.util.spec_from_file_location(fullname, file, loader=self, submodule_search_locations=folder)
        if any(place in file.parents for file in self._sources.code):  # a folder without __init__.py
            self._names.add(fullname)
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(place)]
            return spec
        return None

    def get_source(self, fullname: str) -> str:
        """The text of a module, for tracebacks and ``inspect``."""
        return importlib.util.decode_source(self._sources.files[Path(str(sys.modules[fullname].__file__))])

    def exec_module(self, module: ModuleType) -> None:
        """Runs the bytes that were digested."""
        file = Path(str(module.__file__))
        try:
            code = compile(self._sources.files[file], str(file), "exec", dont_inherit=True)
        except SyntaxError as error:
            self._unreadable = error, _unreadable(error, self._sources, file)  # as it says now: it passes the workload's own code
            raise
        exec(code, module.__dict__)  # noqa: S102 - loading code is what this does

    def _failure(self, error: BaseException, file: Path) -> WorkloadFailed:
        # Only the very error that our own compiling raised: one of the workload's making could hold a file's content.
        if self._unreadable is not None and error is self._unreadable[0]:
            return self._unreadable[1]
        return _missing(error, self._sources, file) or self._sources.failure(error, file)


def _import(name: str, file: Path, sources: Sources) -> ModuleType:
    try:
        compile(sources.files[file], str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _unreadable(error, sources, file) from None
    stops = handlers()
    try:
        with silenced():
            return importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - a foreign module may raise anything
        let_stops_through(error, stops)
        raise _missing(error, sources, file) or sources.failure(error, file) from None


def _unreadable(error: SyntaxError, sources: Sources, file: Path) -> WorkloadFailed:
    """What the compiler says of a source file, which was read before there was any data; the line itself is not repeated."""
    place = sources.place(str(error.filename), error.lineno) or file.name
    return WorkloadFailed(f"SyntaxError: {error.msg}", where=place, advice="correct the line")


def _missing(error: BaseException, sources: Sources, file: Path) -> WorkloadFailed | None:
    """A module that is not installed, by a name that the sources themselves import: any other name could be made of data."""
    if type(error) is not ModuleNotFoundError or error.name not in imported_names(sources.code.values()):
        return None
    place = sources.failure(error, file).where
    return WorkloadFailed(
        f"ModuleNotFoundError: no module is named {error.name!r}",
        where=place,
        advice="install it where the worker runs, or correct the name of the import",
    )
