"""Objects of a git repository, read by git, and by nothing that the repository says.

Git runs in an empty repository of our own that borrows the project's store of objects (git(1), ``GIT_OBJECT_DIRECTORY``), so that no configuration,
hook, alias, filter, replacement or graft of the project's is ever read, nor the user's. A store can hold an object under another one's name, which
git does not notice when it reads: each is hashed again here.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import stat
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from threading import Timer
from types import TracebackType
from typing import IO, Self

SECONDS = 60.0
"""How long a repository may take to answer, all in all."""
_MEMORY = 4 << 30
"""Address space of git's process: a pack may promise an object of any size."""
_SMALL = 64 * 1024
_PACKED = 32 << 20
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs/[A-Za-z0-9._/+@-]{1,500}")
# Packs are mapped a piece at a time, and a large blob is handed through, so that the limit above holds for large repositories.
_CORE = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\tpackedGitWindowSize = 32m\n\tpackedGitLimit = 512m\n\tbigFileThreshold = 64m\n"
_CONFIG = {"sha1": _CORE, "sha256": f"{_CORE}[extensions]\n\tobjectformat = sha256\n"}


class NotCommitted(Exception):
    """Something is not in the repository as it has to be; the text is a sentence for people that names no content."""


def shown(path: PurePath) -> str:
    """A path that people read: of a repository that anybody may have made."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def is_id(name: str) -> bool:
    """Whether a text is the whole name of an object."""
    return _ID.fullmatch(name) is not None


@dataclass(frozen=True)
class WorkTree:
    """A folder that git looks after.

    Attributes:
        top: Its topmost folder, links followed.
        own: What git keeps of it alone: its HEAD.
        common: What git keeps of all work trees of the repository: objects and branches.
    """

    top: Path
    own: Path
    common: Path

    @property
    def objects(self) -> Path:
        """The store."""
        return self.common / "objects"

    def head(self) -> str:
        """The commit that is checked out.

        Raises:
            NotCommitted: There is none, or its name is kept in a way that is not read here.
        """
        text = _small(self.own / "HEAD") or ""
        for _ in range(5):  # git's own limit of references to references
            if is_id(text):
                return text
            name = text.removeprefix("ref: ")
            if _REF.fullmatch(name) is None or ".." in name:
                break
            text = _small(self.own / name) or _small(self.common / name) or self._packed(name)
        raise NotCommitted("what is checked out is no commit that could be found; name one with --commit")

    def _packed(self, name: str) -> str:
        lines = (_small(self.common / "packed-refs", _PACKED) or "").splitlines()
        return next((words[0] for line in lines if len(words := line.split()) == 2 and words[1] == name), "")


def work_tree_of(folder: Path) -> WorkTree:
    """The work tree that a folder lies in.

    Raises:
        NotCommitted: It lies in none.
    """
    folder = folder.resolve()
    for top in (folder, *folder.parents):
        own = top / ".git"
        if own.is_file():  # of a linked work tree or a submodule (gitrepository-layout(5))
            own = top / (_small(own) or "").removeprefix("gitdir: ")
        elif not own.is_dir():
            continue
        shared = _small(own / "commondir")
        found = WorkTree(top, own, own / shared if shared else own)
        if found.objects.is_dir():
            return found
        break
    raise NotCommitted(f"{shown(folder)} does not lie in the work tree of a git repository")


def _small(path: Path, most: int = _SMALL) -> str | None:
    """What git keeps in a small file of its own; None where there is none. A pipe in its place holds nobody up."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return file.read(most).decode("utf-8", "replace").strip()
    except (OSError, ValueError):  # ValueError: a NUL in a path that another file names
        return None


class Objects:
    """The objects of a repository, for a while.

    Args:
        store: Its store.
        commit: The name of one, by which names are told: SHA-1 or SHA-256.
    """

    def __init__(self, store: Path, commit: str) -> None:
        self._store = store.resolve()
        self._format = "sha1" if len(commit) == 40 else "sha256"
        self.id_bytes = len(commit) // 2

    def __enter__(self) -> Self:
        git = shutil.which("git")
        if git is None:
            raise NotCommitted("git is not installed where this process runs, so nobody can look")
        with ExitStack() as undone:  # whatever fails on the way, nothing of it is left
            try:
                folder = Path(tempfile.mkdtemp(prefix="gatehouse-git-"))
                undone.callback(shutil.rmtree, folder, ignore_errors=True)
                self._process = self._start(git, folder)
                undone.callback(self._stop)
                self._limit()
            except OSError:
                raise NotCommitted("git does not start where this process runs, so nobody can look") from None
            late = Timer(SECONDS, self._process.kill)
            undone.callback(late.cancel)
            late.daemon = True
            late.start()
            self._undo = undone.pop_all()
        return self

    def _start(self, git: str, folder: Path) -> subprocess.Popen[bytes]:
        for name in ("objects", "refs"):
            (folder / name).mkdir()
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        (folder / "config").write_text(_CONFIG[self._format])
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": str(folder),
            "GIT_DIR": str(folder),
            "GIT_OBJECT_DIRECTORY": str(self._store),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_GRAFT_FILE": os.devnull,
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "",  # a missing object is missing: nothing is fetched
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        command = [git, "--no-replace-objects", "-c", "core.hooksPath=" + os.devnull, "-c", "core.fsmonitor=false", "cat-file", "--batch"]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
        )

    def _limit(self) -> None:
        if hasattr(resource, "prlimit"):
            resource.prlimit(self._process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))

    def _stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._undo.close()

    def read(self, name: str, kind: str, most: int) -> bytes:
        """An object's bytes.

        Args:
            name: All of its name.
            kind: ``commit``, ``tree`` or ``blob``.
            most: How large it may be.

        Raises:
            NotCommitted: There is none of this name, it is of another kind, too large, or not what its name says.
        """
        asked, answered = _pipe(self._process.stdin), _pipe(self._process.stdout)
        try:
            asked.write(name.encode() + b"\n")
            asked.flush()
            header = answered.readline(512).split()
        except OSError:
            header = []
        if len(header) != 3 or header[0] != name.encode() or not header[2].isdigit():
            raise NotCommitted(f"the repository does not have the {kind} {name[:12]}, or git does not answer")
        size = int(header[2])
        if header[1] != kind.encode() or size > most:
            _skip(answered, size + 1)
            if header[1] != kind.encode():
                raise NotCommitted(f"{name[:12]} is no {kind}")
            raise NotCommitted(f"the {kind} {name[:12]} is larger than {most} bytes")
        data = answered.read(size + 1)
        if len(data) != size + 1 or self.id_of(kind, data[:size]) != name:
            raise NotCommitted(f"the repository has something else under the name of the {kind} {name[:12]}")
        return data[:size]

    def id_of(self, kind: str, data: bytes) -> str:
        """The name that content has."""
        return hashlib.new(self._format, b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False).hexdigest()


def _skip(stream: IO[bytes], size: int) -> None:
    """Leaves the rest of an answer aside, or the next one would begin with it."""
    while size > 0 and (read := len(stream.read(min(size, 1 << 20)))):
        size -= read


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # both were asked for
    return stream
