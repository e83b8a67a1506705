"""The process of a cell: gives up what it must not have, then loads one workload and drives it, order by order.

Until the workload's files are loaded this process is ours; from then on it is the workload's, and nobody outside believes what it says.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, NoReturn

_LATE = 15  # niceness; a thread's own on Linux
_THREADS, _THREADS_AMONG_OTHERS = 512, 4096  # linear algebra has one, and who starts others wants no more than there are processors


def main(order: dict[str, Any]) -> None:
    """Runs a cell to its end.

    Args:
        order: ``pipe`` (the ends to read and to write), ``cell``, ``parent``, ``readable``, ``path``, ``limits``, ``placed`` (whether the
            workload's files are to be put into its home, or are read where they lie), ``spare`` (whether it imports before there is a
            workload).
    """
    reading, writing = order["pipe"]
    sys.path += [entry for entry in order["path"] if entry not in sys.path]
    from prefect_gatehouse.workload.runner import system, wire

    system.huge_pages(used=False)  # modules are many small things: 2 MB at a time, a tenth of the memory would stay empty
    if order["spare"]:
        _import_aside()
    load, files = _read(_after_drawing(reading, writing))
    if order["placed"]:
        _place(files)
    _confine(order, {} if order["placed"] else files)
    if not order["spare"]:
        _imported()
    system.huge_pages(used=True)  # which the workload's arrays are faster with
    wire.send(writing, wire.Kind.READY, b"")
    _serve(reading, writing, _Driven(load, files))
    _flush()
    os._exit(0)  # no handlers of the workload's


def _after_drawing(reading: int, writing: int) -> tuple[Any, bytes] | None:
    """The first frame that asks for no drawing. A process of its own draws: this one stays as any other that has imported.

    Qiskit numbers its circuits, and a workload that sorts its own by their names would have them in another order.
    """
    from prefect_gatehouse.workload.runner import wire

    while (received := wire.receive(reading)) is not None and received[0] == wire.Kind.DRAW:
        child = os.fork()
        if not child:
            _draw(writing, received[1])
        if os.waitpid(child, 0)[1]:
            os._exit(1)  # nobody knows how much of an answer it gave
    return received


def _draw(writing: int, order: bytes) -> NoReturn:
    """Draws and ends; what can't be drawn is drawn by whoever asked, who is told nothing."""
    from prefect_gatehouse.workload.runner import wire

    drawn = b""
    with contextlib.suppress(Exception):
        from prefect_gatehouse.workload.drawing import fulfil

        drawn = fulfil(order)
    try:
        wire.send(writing, wire.Kind.DRAWN, drawn)
    except BaseException:  # noqa: BLE001 - nothing of the parent's code behind this may run in it
        os._exit(1)
    os._exit(0)


def _read(received: tuple[Any, bytes] | None) -> tuple[dict[str, Any], dict[Path, bytes]]:
    """What to load, and the workload's files; ends the process if nobody wants it any more."""
    if received is None:
        os._exit(0)
    content = received[1]
    start = content.index(b"\n") + 1
    load: dict[str, Any] = json.loads(content[:start])
    files = {}
    for name, length in load.get("files", ()):
        files[Path(load["home"], name)] = content[start : start + length]
        start += length
    return load, files


def _place(files: dict[Path, bytes]) -> None:
    """Puts files where nobody changes them: modes are nothing that a confined process can change, nor has it any right beyond them."""
    folders = set()
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o444)
        folders |= {path.parent, *(each for each in path.parent.parents if len(each.parts) > 1)}
    for folder in folders:
        folder.chmod(0o555)


def _confine(order: dict[str, Any], files: dict[Path, bytes]) -> None:
    # The kernel kills this one before anybody else if memory runs out.
    with contextlib.suppress(OSError):  # there need be no such file
        Path("/proc/self/oom_score_adj").write_text("1000")
    limits = order["limits"]
    # A namespace counts its own; without one the kernel counts everything of the user's, also what other containers hide.
    tasks = _THREADS if order["placed"] else _tasks() + _THREADS_AMONG_OTHERS
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, limits["cpu_seconds"], limits["cpu_seconds"] + 1),
        (resource.RLIMIT_AS, limits["memory"], limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["file"], limits["file"]),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NOFILE, 256, 256),
        (resource.RLIMIT_NPROC, tasks, tasks),
    ):
        ceiling = resource.getrlimit(kind)[1]
        top = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
        resource.setrlimit(kind, (min(soft, top), top))
    from prefect_gatehouse.workload.runner import landlock, seccomp, system

    if order["cell"] == "landlock":
        system.die_with_parent(order["parent"])
        system.drop_capabilities()
        system.no_new_privileges()
        landlock.confine(map(Path, order["readable"]), {path: data for path, data in files.items() if path.suffix != ".py"})
    else:
        system.drop_capabilities()
        system.no_new_privileges()
    seccomp.confine()


def _tasks() -> int:
    """Threads of this process's user, as far as they can be seen."""
    found, user = 0, os.getuid()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if process.stat().st_uid == user:
                found += sum(1 for _ in (process / "task").iterdir())
    return found


def _import_aside() -> None:
    """Imports in a thread that everybody else goes before: the run waits for none of it yet, and has two cores perhaps, one of them its server's."""
    import threading

    failed: list[BaseException] = []

    def late() -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LATE)
        try:
            _imported()
        except BaseException as error:  # noqa: BLE001 - a cell that can't import does not come to stand
            failed.append(error)

    thread = threading.Thread(target=late)
    thread.start()
    thread.join()
    for error in failed:
        raise error


def _imported() -> None:
    """What every workload needs, while the run reads the features."""
    import gc
    import tempfile

    gc.disable()  # nothing of it is ever garbage

    tempfile.tempdir = "/tmp"  # noqa: S108 - some ask at their import where it is; under Landlock nothing can be written there, or anywhere
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
    import qiskit  # noqa: F401

    from prefect_gatehouse.workload import circuits, frame  # noqa: F401
    from prefect_gatehouse.workload.runner import faults, table_form  # noqa: F401

    gc.freeze()
    gc.enable()


def _serve(reading: int, writing: int, driven: _Driven) -> None:
    from prefect_gatehouse.errors import GatehouseError
    from prefect_gatehouse.workload import plain_form
    from prefect_gatehouse.workload.batch import CircuitBatch
    from prefect_gatehouse.workload.runner import faults, table_form, wire
    from prefect_gatehouse.workload.runner.wire import Kind

    driven.load()
    while True:
        received = wire.receive(reading)
        if received is None:
            return
        kind, content = received
        try:
            step = driven.take(kind, content)
        except GatehouseError as error:
            _flush()
            wire.send(writing, Kind.FAULT, faults.record_of(error))
            return
        except _Changed:
            wire.send(writing, Kind.FAULT, faults.changed())
            return
        if step is None:
            continue
        _flush()
        if isinstance(step, CircuitBatch):
            wire.send(writing, Kind.CIRCUITS, plain_form.write(step, 1))
        else:
            wire.send(writing, Kind.FRAME, table_form.pack(step.table))
            return


class _Changed(Exception):
    """The files are not those that were digested."""


class _Driven:
    """The workload as far as it has come."""

    def __init__(self, order: dict[str, Any], files: dict[Path, bytes]) -> None:
        from prefect_gatehouse.workload.runner.fixed import Entropy

        self._order, self._files = order, files
        self._parameters: dict[str, Any] = {}
        self._function: Any = None
        self._failed: Exception | None = None
        self._rounds: Any = None
        self._entropy = Entropy()
        self._number = 0

    def load(self) -> None:
        """Loads the workload, which imports what it needs, while nobody has asked for a step; what goes wrong is told when somebody does."""
        from prefect_gatehouse.errors import GatehouseError
        from prefect_gatehouse.workload.load import load
        from prefect_gatehouse.workload.runner.fixed import fix_clock

        try:
            found = _found(self._order, self._files)
            self._entropy.install()
            fix_clock()
            self._entropy.begin(0)
            self._function = load(found, _heard)
        except (GatehouseError, _Changed) as error:
            self._failed = error

    def take(self, kind: Any, content: bytes) -> Any:
        """Does what a frame says; the next step, if it asks for one."""
        from prefect_gatehouse.workload.runner.wire import Kind

        if kind == Kind.PARAMETERS:
            self._parameters = json.loads(content)
        elif kind == Kind.FEATURES:
            self._begin(content)
            return self._advance(None)
        else:
            return self._advance(json.loads(content))
        return None

    def _begin(self, features: bytes) -> None:
        import pyarrow as pa

        from prefect_gatehouse.workload.features import as_frame
        from prefect_gatehouse.workload.rounds import Rounds

        if self._failed is not None:
            raise self._failed
        given = as_frame(pa.ipc.open_stream(features).read_all())
        self._rounds = Rounds(self._function, given, self._parameters, self._order["declared"], _heard)

    def _advance(self, counts: Any) -> Any:
        self._number += 1
        self._entropy.begin(self._number)
        return self._rounds.advance(counts)


def _found(order: dict[str, Any], files: dict[Path, bytes]) -> Any:
    """The workload that an order is about: of the bytes that came with it, or of a package."""
    from prefect_gatehouse.workload.sources import FoundWorkload, Sources, find_workload

    home = Path(order["home"])
    if "package" not in order:
        # Modules are made of the bytes, and what else there is the workload opens by its name, wherever it lies.
        if any(_content(path) != data for path, data in files.items() if path.suffix != ".py"):
            raise _Changed
        return FoundWorkload(order["entrypoint"], home / order["entrypoint"].partition(":")[0], Sources(home, files))
    _let_import(Path(order["package"]))
    found = find_workload(order["entrypoint"], home)
    if found.digest != order["digest"]:
        raise _Changed
    return found


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _let_import(package: Path) -> None:
    """Lets a package or module be imported that lies in no folder that this process may list."""
    if package.parent in map(Path, sys.path):
        return
    name, init = package.name.removesuffix(".py"), package / "__init__.py" if package.is_dir() else package
    folders = [str(package)] if package.is_dir() else None

    class Only(importlib.abc.MetaPathFinder):
        def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
            if fullname != name:
                return None
            if init.exists():
                return importlib.util.spec_from_file_location(name, init, submodule_search_locations=folders)
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = folders
            return spec

    sys.meta_path.append(Only())


class _heard:  # noqa: N801 - a context, named like one
    """Lets a workload talk: what it says runs into a pipe, where only the lines are counted."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # the workload may have put anything there, and nobody hears it
            stream.flush()
