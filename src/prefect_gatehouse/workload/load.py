"""Loading a workload: one generator function in a file beside the manifest, or in an installed package.

What runs is what was digested: the files beside the manifest are read once, and their modules are made from those bytes, whatever
becomes of the files, of Python's caches, or of other projects' modules of the same names.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from prefect_gatehouse.errors import WorkloadFailed
from prefect_gatehouse.workload.imports import imported_names
from prefect_gatehouse.workload.silence import silenced
from prefect_gatehouse.workload.sources import FoundWorkload, Sources, find_workload
from prefect_gatehouse.workload.stops import handlers, let_stops_through

Generate = Callable[[Any, dict[str, Any]], Generator[Any, Any, Any]]
Quiet = Callable[[], AbstractContextManager[None]]
"""Makes a block in which nothing that foreign code says gets out."""


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


def load_workload(entrypoint: str, folder: Path, apart: Collection[Path] = ()) -> LoadedWorkload:
    """Finds a workload and loads it; the arguments are those of ``find_workload``.

    Raises:
        InputError: The file or function is missing, or is no generator function.
        WorkloadFailed: The module raised while it was loaded.
    """
    return load(find_workload(entrypoint, folder, apart))


def load(found: FoundWorkload, quiet: Quiet = silenced) -> LoadedWorkload:
    """Loads a workload that was found: this is where its code runs.

    Args:
        found: Its files.
        quiet: What keeps in what is said meanwhile.

    Raises:
        InputError: There is no generator function of this name.
        WorkloadFailed: The module raised while it was loaded.
    """
    if found.package is None:
        module = _Project.of(found.sources, found.digest).load(found.file, quiet)
    else:
        _Project.end()
        module = _import(found.place, found.file, found.sources, quiet)
    function = getattr(module, found.function, None)
    if not inspect.isgeneratorfunction(function):
        raise found.no_generator()
    return LoadedWorkload(function, found.digest, found.file, found.sources)


class _Project(MetaPathFinder, InspectLoader):
    """The modules of one project folder, made from the bytes that were digested; one project a process at a time."""

    of_a_project = True
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

    def load(self, file: Path, quiet: Quiet) -> ModuleType:
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
            with quiet():
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


def _import(name: str, file: Path, sources: Sources, quiet: Quiet) -> ModuleType:
    try:
        compile(sources.files[file], str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _unreadable(error, sources, file) from None
    stops = handlers()
    try:
        with quiet():
            return importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - a foreign module may raise anything
        let_stops_through(error, stops)
        raise _missing(error, sources, file) or sources.failure(error, file) from None


def _unreadable(error: SyntaxError, sources: Sources, file: Path) -> WorkloadFailed:
    return syntax_error(error.msg, sources.place(str(error.filename), error.lineno) or file.name)


def syntax_error(says: str, where: str) -> WorkloadFailed:
    """What the compiler says of a source file, which was read before there was any data; the line itself is not repeated."""
    return WorkloadFailed(f"SyntaxError: {says}", where=where, advice="correct the line")


def missing_module(name: str, where: str) -> WorkloadFailed:
    """The error that says that a module is not installed."""
    return WorkloadFailed(
        f"ModuleNotFoundError: no module is named {name!r}", where=where, advice="install it where the worker runs, or correct the name of the import"
    )


def _missing(error: BaseException, sources: Sources, file: Path) -> WorkloadFailed | None:
    """A module that is not installed, by a name that the sources themselves import: any other name could be made of data."""
    if type(error) is not ModuleNotFoundError or error.name not in imported_names(sources.code.values()):
        return None
    return missing_module(str(error.name), sources.failure(error, file).where)
