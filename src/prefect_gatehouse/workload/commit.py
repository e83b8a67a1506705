"""A commit: who says to have made it, what was signed, and which files it has (git's formats: gitformat-signature(5), git-cat-file(1))."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from prefect_gatehouse.workload.beside import MOST_BYTES, MOST_FILES
from prefect_gatehouse.workload.git_objects import NotCommitted, Objects, shown

NAMESPACE = "git"
"""Git signs in a namespace of its own, so that a signature of a commit is none of anything else."""

_COMMIT_BYTES = 256 * 1024
_TREE_BYTES = 4 << 20
_MOST_TREES = 2000
_MOST_ENTRIES = 20_000
_FOLDER, _LINK = "40000", "120000"
_FILES = ("100644", "100755", "100664")
_COMMITTER = re.compile(rb"committer [^\n]*> (\d{1,12}) [+-]\d{4}")


@dataclass(frozen=True)
class Commit:
    """A commit as it was read.

    Attributes:
        name: The hash that git calls it by.
        tree: That of its topmost folder.
        at: When it was made, by its own word.
        payload: What was signed.
        signature: Armoured; empty where there is none.
    """

    name: str
    tree: str
    at: datetime
    payload: bytes
    signature: str


def read_commit(objects: Objects, name: str) -> Commit:
    """Reads a commit.

    Raises:
        NotCommitted: There is none of this name, or it is malformed.
    """
    data = objects.read(name, "commit", _COMMIT_BYTES)
    head, end, message = data.partition(b"\n\n")
    lines = head.split(b"\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    inside = False
    for line in lines:
        inside = inside and line.startswith(b" ")
        if inside:
            signature.append(line[1:])
        elif line.startswith(b"gpgsig"):
            header, _, first = line.partition(b" ")
            # A second one could be judged where the first is shown.
            if signature or header != (b"gpgsig" if objects.id_bytes == 20 else b"gpgsig-sha256"):
                raise NotCommitted(f"the commit {name[:12]} has signatures of several kinds")
            signature.append(first)
            inside = True
        else:
            kept.append(line)
    made = [found for line in kept if (found := _COMMITTER.fullmatch(line))]
    tree = kept[0].removeprefix(b"tree ").decode("ascii", "replace")
    if not end or len(made) != 1 or len(tree) != 2 * objects.id_bytes:
        raise NotCommitted(f"the commit {name[:12]} is malformed")
    try:
        at = datetime.fromtimestamp(int(made[0][1]), UTC)
    except (ValueError, OverflowError, OSError):
        raise NotCommitted(f"the commit {name[:12]} is malformed") from None
    text = b"\n".join(signature).decode("ascii", "replace")
    return Commit(name, tree, at, b"\n".join(kept) + end + message, text)


@dataclass(frozen=True)
class Entry:
    """A line of a folder: its mode, and the name of what it is."""

    mode: str
    name: str


class Files:
    """The files of a commit.

    Args:
        objects: The repository's.
        commit: The commit.
    """

    def __init__(self, objects: Objects, commit: Commit) -> None:
        self._objects = objects
        self._root = commit.tree
        self._trees: dict[str, dict[str, Entry]] = {}
        self._left = MOST_BYTES

    def _entries(self, tree: str) -> dict[str, Entry]:
        """What lies in a folder.

        Raises:
            NotCommitted: It is malformed, or there are too many.
        """
        known = self._trees.get(tree)
        if known is not None:
            return known
        if len(self._trees) >= _MOST_TREES:
            raise NotCommitted(f"the commit has more than {_MOST_TREES} folders beside the workload")
        data, found = self._objects.read(tree, "tree", _TREE_BYTES), dict[str, Entry]()
        while data:
            head, mark, rest = data.partition(b"\0")
            mode, blank, name = head.partition(b" ")
            if not mark or not blank or len(rest) < self._objects.id_bytes:
                raise NotCommitted(f"the folder {tree[:12]} of the commit is malformed")
            found[name.decode("utf-8", "surrogateescape")] = Entry(mode.decode("ascii", "replace"), rest[: self._objects.id_bytes].hex())
            data = rest[self._objects.id_bytes :]
        self._trees[tree] = found
        return found

    def _at(self, path: PurePosixPath) -> Entry | None:
        here = Entry(_FOLDER, self._root)
        for part in path.parts:
            below = self._entries(here.name).get(part) if here.mode == _FOLDER else None
            if below is None:
                return None
            here = below
        return here

    def has(self, path: PurePosixPath) -> bool:
        """Whether something other than a folder is there.

        Raises:
            NotCommitted: A folder above it is malformed.
        """
        found = self._at(path)
        return found is not None and found.mode != _FOLDER

    def content(self, path: PurePosixPath, most: int = MOST_BYTES) -> bytes:
        """A file's bytes, of which there may be so many.

        Raises:
            NotCommitted: The commit has no such file, or a link, or they are too large together.
        """
        entry = self._at(path)
        if entry is None:
            raise NotCommitted(f"{shown(path)} is not in the commit")
        if entry.mode not in _FILES:
            raise NotCommitted(f"{shown(path)} is {'a link' if entry.mode == _LINK else 'no file'} in the commit")
        data = self._objects.read(entry.name, "blob", min(most, self._left))
        self._left -= len(data)
        return data

    def below(self, folder: PurePosixPath, belongs: Callable[[PurePosixPath, bool], bool]) -> Iterator[PurePosixPath]:
        """Every file below a folder that belongs to a workload, as does every folder above it; ``belongs`` is told whether it is a folder.

        Links and other repositories are left out, as they are beside a workload.

        Raises:
            NotCommitted: They are too many.
        """
        folders, seen = [folder], 0
        while folders:
            here = folders.pop()
            entry = self._at(here)
            if entry is None or entry.mode != _FOLDER:
                continue
            for name, each in self._entries(entry.name).items():
                path, is_folder = here / name, each.mode == _FOLDER
                seen += 1
                if seen > _MOST_ENTRIES:  # a folder can be its own neighbour many times over, at no cost to whoever made it
                    raise NotCommitted(f"the commit has more than {_MOST_ENTRIES} files beside the workload")
                if (is_folder or each.mode in _FILES) and belongs(path, is_folder):
                    if is_folder:
                        folders.append(path)
                    else:
                        yield path


def refuse_other_files(
    files: Files, expected: Mapping[PurePosixPath, str], folder: PurePosixPath, belongs: Callable[[PurePosixPath, bool], bool]
) -> None:
    """Stops where what would run is not exactly what a commit has.

    Args:
        files: The commit's.
        expected: SHA-256 of every file that would run, by its path below the top of the work tree.
        folder: The workload's.
        belongs: Whether something below it is the workload's.

    Raises:
        NotCommitted: Names the files that are modified, or not in it, or only there.
    """
    if len(expected) > MOST_FILES + 2:
        raise NotCommitted(f"more than {MOST_FILES} files would have to be compared")
    told = []
    for path, sha256 in expected.items():
        try:
            # Byte by byte, as far as two contents of one SHA-256 are the same: git's own names are mostly SHA-1.
            if hashlib.sha256(files.content(path)).hexdigest() != sha256:
                told.append(f"{shown(path)} is another one in the commit")
        except NotCommitted as why:
            told.append(str(why))
    told += [f"{shown(path)} is in the commit and not in the folder" for path in files.below(folder, belongs) if path not in expected]
    if told:
        raise NotCommitted(_first(told))


def _first(told: Iterable[str], most: int = 5) -> str:
    told = list(told)
    return ", ".join(told[:most]) + (f", and {len(told) - most} more" if len(told) > most else "")
