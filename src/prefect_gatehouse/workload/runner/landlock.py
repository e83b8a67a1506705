"""The cell where there are no namespaces: Landlock (landlock(7)) takes the files, and a seccomp filter the rest.

The process confines itself before any of the workload's code is there, and neither of the two can be taken back: it reads the interpreter and
the packages, writes nothing at all, and has no other process, no network and no signal for anybody.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.runner import places, seccomp, system

if TYPE_CHECKING:
    # The process confines itself while it has one thread; what a round is made of would bring more.
    from prefect_gatehouse.workload.runner.interface import Limits

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # on every architecture
_VERSION, _PATH_BENEATH = 1, 1
_OLDEST = 3  # before it a file could be truncated (Linux 6.2)
# linux/landlock.h: how many rights over files each version of the interface knows, in the order of their bits.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_BIND_TCP, _CONNECT_TCP, _ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1, 1 << 0, 1 << 1
_LINKER = Path("/etc/ld.so.cache")
_DEVICES = {"/dev/null": _READ_FILE | _WRITE_FILE | _TRUNCATE, "/dev/zero": _READ_FILE, "/dev/urandom": _READ_FILE, "/dev/random": _READ_FILE}


class Landlock:
    """A process that gives everything up by itself."""

    name: CellName = "landlock"
    denies = "network, other processes, signals, every file but the interpreter's, the packages' and its own (Landlock, seccomp)"
    home: Path | None = None

    def usable(self) -> bool:
        """Whether the kernel has both."""
        return seccomp.supported() and version() >= _OLDEST

    def command(self, inside: Sequence[str], readable: Sequence[Path], limits: Limits, room: int) -> list[str]:
        """What runs inside, as it is."""
        return list(inside)


def version() -> int:
    """The version of the kernel's interface, 0 where it has none."""
    try:
        return system.call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except (OSError, AttributeError):
        return 0


def confine(readable: Iterable[Path], files: Mapping[Path, bytes]) -> None:
    """Leaves this process these folders and files to read, and nothing else; it must have one thread.

    Args:
        readable: Folders and files.
        files: Files with what they have to hold: one that was exchanged meanwhile, for a link to a secret, stays closed.

    Raises:
        OSError: The kernel does not do it.
    """
    known = version()
    rights = (1 << _RIGHTS[min(known, max(_RIGHTS))]) - 1
    attributes = struct.pack("=Q", rights)
    if known >= 4:
        attributes += struct.pack("=Q", _BIND_TCP | _CONNECT_TCP)
    if known >= 6:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS | _SIGNALS)
    ruleset = system.call(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    try:
        for path in filter(Path.exists, (*places.SYSTEM, _LINKER, *readable)):
            _allow(ruleset, path, _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE)
        for path, data in files.items():
            _allow_file(ruleset, path, data)
        for name, allowed in _DEVICES.items():
            _allow(ruleset, Path(name), allowed)
        system.call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, allowed: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _add(ruleset, place, allowed)
    finally:
        os.close(place)


def _allow_file(ruleset: int, path: Path, data: bytes) -> None:
    """What is compared is what is let in: whatever has the name later is another file, and denied."""
    try:
        with open(path, "rb", opener=lambda named, flags: os.open(named, flags | os.O_NONBLOCK)) as file:
            if file.read(len(data) + 1) == data:
                _add(ruleset, file.fileno(), _READ_FILE)
    except OSError:
        return  # whoever drives the workload compares once more, and tells it


def _add(ruleset: int, place: int, allowed: int) -> None:
    system.call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), struct.pack("=Qi", allowed, place), ctypes.c_uint32(0))
