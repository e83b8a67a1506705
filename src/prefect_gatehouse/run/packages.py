"""What is installed: the content of every module that this process could import from its site folders, and of Gatehouse itself.

Looking at the state of some 20,000 files costs 0.1 s; only files whose state has changed since they were read are read again. docs/adr/0019 says
what is covered and what is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sysconfig
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prefect_gatehouse.canonical import Json, canonical, digest
from prefect_gatehouse.errors import StorageError
from prefect_gatehouse.files import replace_file

FRESH_SECONDS = 60.0
"""How long a process believes what it saw last: it has imported most of it by then, and does not import it again."""

_SETTLED_NS = 2_000_000_000
"""A file that was changed a moment ago can change again under the same time stamp; its digest is not kept (as git's index does)."""

_MODULES = (".py", ".so", ".pyd", ".pth")
_OWN = Path(__file__).resolve().parent.parent
_LINKED = ("flows", "tasks", "blocks")


@dataclass(frozen=True)
class Installed:
    """What is installed.

    Attributes:
        digest: SHA-256 over the versions and over each part's name and content: packages and modules of the site folders, and
            Gatehouse's own modules. The same on every machine that has the same installed.
        versions: Each distribution as ``name==version``, in order.
        at: When it was looked at, by ``time.monotonic``.
        changed: When the file was changed that was changed last, in nanoseconds since 1970.
    """

    digest: str
    versions: tuple[str, ...]
    at: float
    changed: int

    def unchanged_since(self, moment: int) -> bool:
        """Whether it is what was installed at a moment, in nanoseconds since 1970, and shortly before it."""
        return self.changed < moment - _SETTLED_NS


_seen: dict[tuple[int, tuple[Path, ...]], Installed] = {}
_one_looks = threading.Lock()


def _unlocked() -> None:
    global _one_looks  # a child does not inherit whoever held it
    _one_looks = threading.Lock()


os.register_at_fork(after_in_child=_unlocked)


def site_folders() -> tuple[Path, ...]:
    """The folders that distributions are installed into."""
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys(Path(paths[name]) for name in ("purelib", "platlib")))


def installed(cache: Path) -> Installed:
    """What is installed now.

    Args:
        cache: File that keeps digests by the state of the files they were made of; only who may write Gatehouse's home may write it.

    Raises:
        StorageError: An installed file can't be read.
    """
    folders = site_folders()
    with _one_looks:
        known = _seen.get((os.getpid(), folders))  # a child that was forked looks for itself
        if known is not None and time.monotonic() - known.at < FRESH_SECONDS:
            return known
        try:
            found = _look(folders, cache)
        except OSError as error:
            raise StorageError(f"an installed package can't be read: {error.strerror}", where="packages", advice="install again") from None
        _seen[os.getpid(), folders] = found
        return found


def look_again() -> None:
    """Forgets what was seen: whoever looks next reads again what changed."""
    with _one_looks:
        _seen.clear()


def look_aside(cache: Path) -> None:
    """Looks in a thread, while this one waits for others; whoever asks meanwhile waits for what it finds.

    Args:
        cache: As of ``installed``.
    """

    def look() -> None:
        with contextlib.suppress(StorageError):  # whoever asks is told
            installed(cache)

    threading.Thread(target=look, name="gatehouse-packages", daemon=True).start()


def _look(folders: tuple[Path, ...], cache: Path) -> Installed:
    kept, now = _kept(cache), time.time_ns()
    parts: dict[str, Json] = {}
    settled: dict[str, list[str]] = {}
    versions: list[str] = []
    changed = 0
    for name, folder, files in _parts(folders, versions):
        state, newest = _state(files)
        changed = max(changed, newest)
        before = kept.get(name)
        parts[name] = before[1] if before is not None and before[0] == state else _content(folder, files)
        if newest < now - _SETTLED_NS:
            settled[name] = [state, str(parts[name])]
    if settled != kept:
        with contextlib.suppress(OSError):  # without a disk the next process reads the files again
            replace_file(cache, json.dumps(settled).encode())
    ordered = sorted(versions, key=str.casefold)
    return Installed(digest({"versions": list(ordered), "parts": parts}), tuple(ordered), time.monotonic(), changed)


def _kept(cache: Path) -> dict[str, list[str]]:
    try:
        read = json.loads(cache.read_bytes())
        return {str(name): [str(state), str(content)] for name, (state, content) in read.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


_Files = list[tuple[str, os.stat_result]]


def _parts(folders: tuple[Path, ...], versions: list[str]) -> Iterator[tuple[str, str, _Files]]:
    """Each part's name, the folder it lies in, and its files: their paths there and their states, in order."""
    for place, folder in enumerate(folders):
        loose: _Files = []
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            if entry.name.endswith(".dist-info") and entry.is_dir():
                name, _, version = entry.name.removesuffix(".dist-info").partition("-")
                versions.append(f"{name}=={version}")
            elif entry.is_dir():
                if entry.name != "__pycache__":
                    yield f"{place}/{entry.name}", entry.path, _modules([entry.path])
            elif entry.name.endswith(_MODULES):
                loose.append((entry.name, entry.stat()))
        yield f"{place}/", str(folder), loose
    if not any(_OWN.is_relative_to(folder) for folder in folders):
        yield "prefect_gatehouse", str(_OWN), _modules([str(_OWN), *(f"{_OWN}/{name}" for name in _LINKED)])


def _modules(roots: list[str]) -> _Files:
    """The files below a folder that Python could import, in order; linked folders are not followed, but where they are roots themselves."""
    found: _Files = []
    begin, pending = len(roots[0]) + 1, list(roots)
    while pending:
        folder = pending.pop()
        within = f"{folder}/"[begin:]
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(_MODULES) or ".so." in name:
                    found.append((within + name, entry.stat()))
                elif name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    found.sort()
    return found


def _state(files: _Files) -> tuple[str, int]:
    """A digest of the files' states, and when the newest was changed: nobody but root sets the time of that (``ctime``)."""
    seen, newest = hashlib.sha256(), 0
    for name, is_ in files:
        changed = is_.st_ctime_ns  # also where only the time of the content was set
        seen.update(b"%b\0%d %d %d %d\n" % (name.encode(errors="surrogateescape"), is_.st_dev, is_.st_ino, is_.st_size, changed))
        newest = max(newest, changed)
    return seen.hexdigest(), newest


def _content(folder: str, files: _Files) -> str:
    """SHA-256 over the files' names and contents."""
    content = hashlib.sha256()
    for name, _ in files:
        with Path(folder, name).open("rb") as stream:
            one = hashlib.file_digest(stream, "sha256")
        content.update(canonical([name.encode(errors="replace").decode(), one.hexdigest()]))
    return content.hexdigest()
