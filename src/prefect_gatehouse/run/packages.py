"""What is installed: the content of every module that this process could import from its site folders, and of Gatehouse itself.

Looking at the state of some 20,000 files costs 0.1 s; only files whose state has changed since they were read are read again. docs/adr/0019 says
what is covered and what is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from prefect_gatehouse.canonical import Json, canonical, digest
from prefect_gatehouse.errors import StorageError
from prefect_gatehouse.files import replace_file
from prefect_gatehouse.run import site_files

CACHE = "packages.json"
"""The file in Gatehouse's home that keeps digests."""
FRESH_SECONDS = 60.0
"""How long a process believes what it saw last: it has imported most of it by then, and does not import it again."""

_SETTLED_NS = 2_000_000_000
"""A file that was changed a moment ago can change again under the same time stamp; its digest is not kept (as git's index does)."""

_OWN = Path(__file__).resolve().parent.parent
_LONGEST = 30.0  # seconds that a process of its own may look


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
    kept, now, at = _kept(cache), time.time_ns(), time.monotonic()
    parts: dict[str, Json] = {}
    settled: dict[str, list[str]] = {}
    changed = 0
    walked = _walked(folders)
    for seen in walked.parts:
        before = kept.get(seen.name)
        part, content = (seen, before[1]) if before is not None and before[0] == seen.state else _read(seen)
        parts[part.name] = content
        changed = max(changed, part.changed)
        if part.changed < now - _SETTLED_NS:
            settled[part.name] = [part.state, content]
    if settled != kept:
        with contextlib.suppress(OSError):  # without a disk the next process reads the files again
            replace_file(cache, json.dumps(settled).encode())
    ordered = sorted(walked.versions, key=str.casefold)
    return Installed(digest({"versions": list(ordered), "parts": parts}), tuple(ordered), at, changed)


def _walked(folders: tuple[Path, ...]) -> site_files.Walked:
    """What lies there; a thread beside the main one has a process of its own look, which keeps nobody here waiting for the interpreter."""
    own = "" if any(_OWN.is_relative_to(folder) for folder in folders) else str(_OWN)
    names = [str(folder) for folder in folders]
    if threading.current_thread() is not threading.main_thread():
        command = [sys.executable, "-I", "-S", site_files.__file__, own, *names]
        with contextlib.suppress(OSError, ValueError, TypeError, subprocess.SubprocessError):  # then it is looked at here
            return site_files.unpacked(subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL, timeout=_LONGEST).stdout)
    return site_files.walk(names, own)


def _kept(cache: Path) -> dict[str, list[str]]:
    try:
        read = json.loads(cache.read_bytes())
        return {str(name): [str(state), str(content)] for name, (state, content) in read.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _read(seen: site_files.Part) -> tuple[site_files.Part, str]:
    """A part as it is now, and the digest of its content."""
    now, files = site_files.part(seen.name, seen.folder)
    return now, _content(seen.folder, files)


def _content(folder: str, files: site_files.Files) -> str:
    """SHA-256 over the files' names and contents."""
    content = hashlib.sha256()
    for name, _ in files:
        with Path(folder, name).open("rb") as stream:
            one = hashlib.file_digest(stream, "sha256")
        content.update(canonical([name.encode(errors="replace").decode(), one.hexdigest()]))
    return content.hexdigest()
