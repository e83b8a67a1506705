"""The strongest cell: bubblewrap's namespaces, so that there is nothing to be denied, with the seccomp filter on top.

The process has a file system of its own, in which only what it may read has been mounted, read-only; process, network, IPC, host name and user
namespaces of its own; no capability, no controlling terminal. It dies with the process that started it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.runner import places, seccomp

if TYPE_CHECKING:
    from prefect_gatehouse.workload.runner.interface import Limits

_NOBODY = "65534"
_TRIAL_SECONDS, _TRIAL_BYTES = 20, 1 << 20


class Bubblewrap:
    """A process in namespaces of its own."""

    name: CellName = "bubblewrap"
    denies = "network, other processes, every file but the interpreter's, the packages' and its own (namespaces, seccomp)"
    home: Path | None = Path("/workload")

    def usable(self) -> bool:
        """Whether it starts the interpreter here: not every container and not every system lets a user make namespaces."""
        return seccomp.supported() and _works()

    def command(self, inside: Sequence[str], readable: Sequence[Path], limits: Limits, room: int) -> list[str]:
        """Bubblewrap with what is mounted; the order is that of the mounts."""
        assert self.home is not None
        home = ["--size", str(max(room, _TRIAL_BYTES)), "--tmpfs", str(self.home)] if room else []
        return _command(inside, readable, limits.file, home)


def _command(inside: Sequence[str], readable: Sequence[Path], room: int, home: Sequence[str] = ()) -> list[str]:
    words = [_program() or "bwrap", "--unshare-user", "--unshare-all", "--disable-userns", "--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "cell"]
    words += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--proc", "/proc", "--dev", "/dev", "--size", str(room), "--tmpfs", "/dev/shm", "--size", str(room), "--tmpfs", "/tmp"]  # noqa: S108 - its own
    for path in places.SYSTEM:
        if path.is_symlink():  # into /usr, on a merged system
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    words += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for place in readable:
        if not place.is_relative_to("/usr"):
            words += ["--ro-bind", str(place), str(place)]
    words += home
    words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]  # noqa: S108 - as above
    return [*words, *inside]


def _program() -> str | None:
    return shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")


@functools.cache
def _works() -> bool:
    if _program() is None:
        return False
    command = _command([sys.executable, "-I", "-S", "-c", ""], places.readable(), _TRIAL_BYTES)
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=_TRIAL_SECONDS, env={"PATH": os.defpath}, cwd="/")
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
