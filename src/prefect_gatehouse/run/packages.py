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
    """

    digest: str
    versions: tuple[str, ...]
    at: float


_seen: dict[tuple[int, tuple[Path, ...]], Installed] = {}


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
    _seen.clear()


def _look(folders: tuple[Path, ...], cache: Path) -> Installed:
    kept, now = _kept(cache), time.time_ns()
    parts: dict[str, Json] = {}
    settled: dict[str, list[str]] = {}
    versions: list[str] = []
    for name, files in _parts(folders, versions):
        state, newest = _state(files)
        before = kept.get(name)
        parts[name] = before[1] if before is not None and before[0] == state else _content(files)
        if newest < now - _SETTLED_NS:
            settled[name] = [state, str(parts[name])]
    if settled != kept:
        with contextlib.suppress(OSError):  # without a disk the next process reads the files again
            replace_file(cache, json.dumps(settled).encode())
    ordered = sorted(versions, key=str.casefold)
    return Installed(digest({"versions": list(ordered), "parts": parts}), tuple(ordered), time.monotonic())


def _kept(cache: Path) -> dict[str, list[str]]:
    try:
        read = json.loads(cache.read_bytes())
        return {str(name): [str(state), str(content)] for name, (state, content) in read.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


_Files = list[tuple[str, str, os.stat_result]]


def _parts(folders: tuple[Path, ...], versions: list[str]) -> Iterator[tuple[str, _Files]]:
    """Each part's name and its files: their paths in it, absolute paths and states."""
    for place, folder in enumerate(folders):
        loose: _Files = []
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            if entry.name.endswith(".dist-info") and entry.is_dir():
                name, _, version = entry.name.removesuffix(".dist-info").partition("-")
                versions.append(f"{name}=={version}")
            elif entry.is_dir():
                if entry.name != "__pycache__":
                    yield f"{place}/{entry.name}", list(_modules(entry.path, ""))
            elif entry.name.endswith(_MODULES):
                loose.append((entry.name, entry.path, entry.stat()))
        yield f"{place}/", loose
    if not any(_OWN.is_relative_to(folder) for folder in folders):
        own = list(_modules(str(_OWN), ""))
        for name in _LINKED:
            own += _modules(str(_OWN / name), f"{name}/")
        yield "prefect_gatehouse", own


def _modules(folder: str, prefix: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """The files below a folder that Python could import, in order; linked folders are not followed."""
    inner: list[tuple[str, str]] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            name = entry.name
            if name.endswith(_MODULES) or ".so." in name:
                yield prefix + name, entry.path, entry.stat()
            elif name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                inner.append((entry.path, f"{prefix}{name}/"))
    for path, below in inner:
        yield from _modules(path, below)


def _state(files: _Files) -> tuple[str, int]:
    """A digest of the files' states, and when the newest was changed: nobody but root sets the time of that (``ctime``)."""
    seen, newest = hashlib.sha256(), 0
    for name, _, is_ in files:
        state = (is_.st_dev, is_.st_ino, is_.st_size, is_.st_mtime_ns, is_.st_ctime_ns)
        seen.update(b"%b\0%d %d %d %d %d\n" % (name.encode(errors="surrogateescape"), *state))
        newest = max(newest, is_.st_ctime_ns)
    return seen.hexdigest(), newest


def _content(files: _Files) -> str:
    """SHA-256 over the files' names and contents."""
    content = hashlib.sha256()
    for name, path, _ in files:
        with Path(path).open("rb") as stream:
            one = hashlib.file_digest(stream, "sha256")
        content.update(canonical([name.encode(errors="replace").decode(), one.hexdigest()]))
    return content.hexdigest()
