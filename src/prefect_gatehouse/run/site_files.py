"""What lies in the folders that distributions are installed into, and in which state: names and numbers, no content.

``packages`` uses it as a module, and as a program of its own where it has something else to do meanwhile: so it imports nothing but what every Python
has, and nothing of Gatehouse.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MODULES = (".py", ".so", ".pyd", ".pth")
OWN = "prefect_gatehouse"
"""The part that is Gatehouse itself, where it lies in no site folder."""
_LINKED = ("flows", "tasks", "blocks")

Files = list[tuple[str, os.stat_result]]
"""Files of a part, in order: their paths in its folder and their states."""


class Part(NamedTuple):
    """A package, or the modules that lie loose in a site folder.

    Attributes:
        name: The place of its site folder among them, and its own name; nothing behind the stroke for the loose ones.
        folder: Where it lies.
        state: A digest of its files' states.
        changed: When the file was changed that was changed last, in nanoseconds since 1970: nobody but root sets it (``ctime``).
    """

    name: str
    folder: str
    state: str
    changed: int


class Walked(NamedTuple):
    """What was seen.

    Attributes:
        versions: Each distribution as ``name==version``.
        parts: Whatever could be imported.
    """

    versions: list[str]
    parts: list[Part]


def walk(folders: Sequence[str], own: str) -> Walked:
    """Looks at everything: 0.1 s for 20,000 files.

    Args:
        folders: The site folders.
        own: Gatehouse's own folder, where it lies in none of them; empty where it does.

    Raises:
        OSError: Something can't be looked at.
    """
    walked = Walked([], [])
    for place, folder in enumerate(folders):
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            if entry.name.endswith(".dist-info") and entry.is_dir():
                name, _, version = entry.name.removesuffix(".dist-info").partition("-")
                walked.versions.append(f"{name}=={version}")
            elif entry.is_dir() and entry.name != "__pycache__":
                walked.parts.append(part(f"{place}/{entry.name}", entry.path)[0])
        walked.parts.append(part(f"{place}/", folder)[0])
    if own:
        walked.parts.append(part(OWN, own)[0])
    return walked


def part(name: str, folder: str) -> tuple[Part, Files]:
    """One part as it is now, and its files.

    Raises:
        OSError: Something can't be looked at.
    """
    files = list(_files(name, folder))
    seen, newest = hashlib.sha256(), 0
    for path, is_ in files:
        changed = is_.st_ctime_ns  # also where only the time of the content was set
        seen.update(b"%b\0%d %d %d %d\n" % (path.encode(errors="surrogateescape"), is_.st_dev, is_.st_ino, is_.st_size, changed))
        newest = max(newest, changed)
    return Part(name, folder, seen.hexdigest(), newest), files


def _files(name: str, folder: str) -> Iterator[tuple[str, os.stat_result]]:
    if name == OWN:
        return iter(_modules([folder, *(f"{folder}/{linked}" for linked in _LINKED)]))
    if not name.endswith("/"):
        return iter(_modules([folder]))
    loose = sorted(os.scandir(folder), key=lambda each: each.name)
    return ((entry.name, entry.stat()) for entry in loose if entry.name.endswith(MODULES) and not entry.is_dir())


def _modules(roots: list[str]) -> Files:
    """The files below a folder that Python could import, in order; linked folders are not followed, but where they are roots themselves."""
    found: Files = []
    begin, pending = len(roots[0]) + 1, list(roots)
    while pending:
        folder = pending.pop()
        within = f"{folder}/"[begin:]
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(MODULES) or ".so." in name:
                    found.append((within + name, entry.stat()))
                elif name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    found.sort()
    return found


def packed(walked: Walked) -> bytes:
    """As one line of JSON; a folder's name may be any bytes."""
    return json.dumps(walked).encode()


def unpacked(line: bytes) -> Walked:
    """What was packed.

    Raises:
        ValueError: It was not.
        TypeError: It was not.
    """
    versions, parts = json.loads(line)
    return Walked(versions, [Part(*each) for each in parts])


if __name__ == "__main__":
    sys.stdout.buffer.write(packed(walk(sys.argv[2:], sys.argv[1])))
