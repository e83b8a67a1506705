"""Loading a workload: one generator function in a file beside the manifest, or in an installed package."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

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
        files = sorted(path for path in file.parent.rglob("*.py") if not _ignored(path.relative_to(file.parent)))
        root = file.parent
    else:
        found = _find(place)
        if found is None:
            raise InputError("there is no such module", where=f"workload.entrypoint {place}", advice="install it, or name a file")
        file, root, files = found, found.parent, sorted(found.parent.rglob("*.py"))
    try:
        code = hashlib.sha256()
        for path in files:
            relative, data = path.relative_to(root).as_posix().encode(), path.read_bytes()
            for part in (relative, data):
                code.update(len(part).to_bytes(8, "big") + part)
    except OSError:
        raise InputError("a file of the workload can't be read", where=f"workload.entrypoint {place}") from None
    module = _load(file, code.hexdigest()) if place.endswith(".py") else _import(place)
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


def _load(file: Path, digest: str) -> ModuleType:
    """Runs a file as a module under a private name: two pipelines' ``workload.py`` never meet."""
    name = f"_gatehouse_workload_{digest[:16]}"
    if name in sys.modules and sys.modules[name].__file__ == str(file):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up while it loads
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise failure(error, file) from None
    finally:
        sys.path.remove(str(file.parent))
    return module


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
