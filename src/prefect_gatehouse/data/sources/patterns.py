"""Patterns of file names and keys: ``*`` and ``?`` within one step of a path, ``**`` for any number of steps.

As in a shell, a wildcard does not match a dot at the beginning of a step, so that a checksum or a half-written file beside the data is
left alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.files import inside

MOST = 10_000
"""Files or objects that one source may have."""

_WILD = re.compile(r"[*?]")
_TOKEN = re.compile(r"\*\*/|\*+|\?|[^*?]+")


def is_pattern(name: str) -> bool:
    """Whether a name holds a wildcard."""
    return _WILD.search(name) is not None


def fixed_folder(pattern: str) -> str:
    """The steps before the first wildcard, with a slash at the end where there are any."""
    wild = _WILD.search(pattern)
    return pattern[: pattern.rfind("/", 0, wild.start()) + 1] if wild else pattern


def matcher(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression over a whole path with slashes."""
    parts = []
    start = True  # whether the next character begins a step
    for token in _TOKEN.findall(pattern):
        hidden = r"(?!\.)" if start and token[0] in "*?" else ""
        if token == "**/":  # noqa: S105 a wildcard, no password
            parts.append(r"(?:(?!\.)[^/]+/)*")
            continue
        if token[0] == "*":
            # At least one character, or a dot behind an empty match would pass for a name.
            parts.append(hidden + ("[^/]+" if start else "[^/]*"))
        elif token == "?":  # noqa: S105
            parts.append(hidden + "[^/]")
        else:
            parts.append(re.escape(token))
        start = token.endswith("/")
    return re.compile("".join(parts), re.DOTALL)


def chosen(names: Iterator[str], pattern: str) -> tuple[str, ...]:
    """The names that match, ordered by their bytes.

    Raises:
        InputError: None does, or too many do.
    """
    wanted = matcher(pattern)
    found = sorted((name for name in names if wanted.fullmatch(name)), key=os.fsencode)
    if not found:
        raise InputError("nothing matches the pattern", where="data.source", advice="correct the pattern; * stays within one folder, ** does not")
    if len(found) > MOST:
        raise InputError(f"more than {MOST} files match the pattern", where="data.source", advice="narrow the pattern, or join small files")
    return tuple(found)


def files_below(folder: Path, pattern: str) -> tuple[str, ...]:
    """The files below a folder that match, relative to it, ordered by name.

    Raises:
        InputError: None matches, the pattern leads out of the folder, or a linked folder lies where the pattern looks.
    """
    base = folder.resolve()
    first = inside(folder, fixed_folder(pattern) or ".", "data.source")
    if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise InputError("the path leads out of the manifest's folder", where="data.source", advice="keep the files beside the manifest")
    deep = "**" in pattern
    levels = pattern[len(fixed_folder(pattern)) :].count("/")
    return chosen(_walk(base, first, fixed_folder(pattern), None if deep else levels), pattern)


def _walk(base: Path, first: Path, prefix: str, levels: int | None) -> Iterator[str]:
    """Names of files down to a number of folders, as the pattern spells them."""
    waiting = [(first, prefix, 0)]
    while waiting:
        folder, spelt, level = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            where = str(folder.relative_to(base))
            raise InputError(f"the folder can't be read: {error.strerror}", where=where, advice="correct data.source") from None
        for entry in entries:
            if not entry.is_dir():
                yield spelt + entry.name
            elif levels is None or level < levels:
                if entry.is_symlink():
                    # Followed it may lead anywhere or round in a circle; passed over it would leave rows out in silence.
                    raise InputError("a linked folder lies where the pattern looks", where=spelt + entry.name, advice="name it in data.source")
                if not entry.name.startswith("."):
                    waiting.append((Path(entry.path), f"{spelt}{entry.name}/", level + 1))
