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
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from prefect_gatehouse.errors import InputError, WorkloadFailed

Generate = Callable[[Any, dict[str, Any]], Generator[Any, Any, Any]]


@dataclass(frozen=True)
class LoadedWorkload:
    """A workload's function and the digest of its code.

    Attributes:
        generate: ``generate(features, parameters)`` yields lists of circuits and returns a frame.
        digest: SHA-256 over names and bytes of the source files.
        file: The file that holds the function, for messages.
    """

    generate: Generate
    digest: str
    file: Path


def inside(folder: Path, relative: str, field: str) -> Path:
    """A path below a folder.

    Raises:
        InputError: The path leads out of the folder, also by a link.
    """
    try:
        base = folder.resolve()
        path = (base / relative).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, a NUL
        raise InputError("the path can't be followed", where=field, advice="correct the path") from None
    if Path(relative).is_absolute() or not path.is_relative_to(base):
        raise InputError("the path leads out of the manifest's folder", where=field, advice="keep the file beside the manifest")
    return path


def load_workload(entrypoint: str, folder: Path) -> LoadedWorkload:
    """Loads ``file.py:function`` relative to a folder, or ``package.module:function``.

    Raises:
        InputError: The file or function is missing, or is no generator function.
        WorkloadFailed: The module raised while it was loaded.
    """
    place, _, name = entrypoint.partition(":")
    if place.endswith(".py"):
        file = inside(folder, place, "workload.entrypoint")
        if not file.is_file():
            raise InputError("there is no such file", where=f"workload.entrypoint {place}", advice="correct the path")
        root = file.parent
        files = sorted(path for path in root.rglob("*.py") if path.is_file() and not _ignored(path.relative_to(root)))
    else:
        found = _find(place)
        if found is None:
            raise InputError("there is no such module", where=f"workload.entrypoint {place}", advice="install it, or name a file")
        file, root, files = found, found.parent, sorted(path for path in found.parent.rglob("*.py") if path.is_file())
    try:
        sources = {path: path.read_bytes() for path in files}
    except OSError:
        raise InputError("a file of the workload can't be read", where=f"workload.entrypoint {place}", advice="fix its permissions") from None
    code = hashlib.sha256()
    for path, data in sources.items():
        for part in (path.relative_to(root).as_posix().encode(), data):
            code.update(len(part).to_bytes(8, "big") + part)
    module = _Project.of(root, sources, code.hexdigest()).load(file) if place.endswith(".py") else _import(place)
    function = getattr(module, name, None)
    if not inspect.isgeneratorfunction(function):
        raise InputError(
            "this is no generator function", where=f"workload.entrypoint {entrypoint}", advice="write a function that yields lists of circuits"
        )
    return LoadedWorkload(function, code.hexdigest(), file)


def _ignored(relative: Path) -> bool:
    return any(part.startswith(".") or part in ("tests", "__pycache__") for part in relative.parts)


def _find(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


class _Project(MetaPathFinder, InspectLoader):
    """The modules of one project folder, made from the bytes that were digested; one project a process at a time."""

    _active: ClassVar[_Project | None] = None

    def __init__(self, root: Path, sources: dict[Path, bytes], digest: str) -> None:
        self._root = root
        self._sources = sources
        self._digest = digest
        self._names: set[str] = set()

    @classmethod
    def of(cls, root: Path, sources: dict[Path, bytes], digest: str) -> _Project:
        """The project that can be imported from now on; another one's modules are forgotten."""
        if cls._active is not None and cls._active.identity == (root, digest):
            return cls._active
        if cls._active is not None:
            cls._active.withdraw()
        cls._active = cls(root, sources, digest)
        sys.meta_path.insert(0, cls._active)
        return cls._active

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
        try:
            self.exec_module(module)
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, KeyboardInterrupt):
                raise
            raise failure(error, file) from None
        return module

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """A neighbour of the entry file, or a module of a package beside it."""
        place = self._root.joinpath(*fullname.split("."))
        for file, folder in ((place / "__init__.py", [str(place)]), (place.with_name(place.name + ".py"), None)):
            if file in self._sources:
                self._names.add(fullname)
                return importlib.util.spec_from_file_location(fullname, file, loader=self, submodule_search_locations=folder)
        if any(place in file.parents for file in self._sources):  # a folder without __init__.py
            self._names.add(fullname)
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(place)]
            return spec
        return None

    def get_source(self, fullname: str) -> str:
        """The text of a module, for tracebacks and ``inspect``."""
        return importlib.util.decode_source(self._sources[Path(str(sys.modules[fullname].__file__))])

    def exec_module(self, module: ModuleType) -> None:
        """Runs the bytes that were digested."""
        file = Path(str(module.__file__))
        exec(compile(self._sources[file], str(file), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - loading code is what this does


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a foreign module may raise anything
        raise failure(error, Path(name)) from None


def failure(error: BaseException, file: Path) -> WorkloadFailed:
    """What a workload raised, as its type and its line, never its text."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == file.name]
    place = f"{file.name}:{lines[-1]}" if lines else file.name
    return WorkloadFailed(
        f"the workload raised {type(error).__name__}; its text is withheld, it could hold data",
        where=place,
        advice="mend the workload; if its code changes, the plan needs a new approval",
    )
