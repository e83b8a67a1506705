"""Repositories as git makes them, and as somebody makes them who wants whoever looks to hang, to run out of memory, or to believe another name."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from tests.support.git import commit_all, git

from prefect_gatehouse.workload import git_objects
from prefect_gatehouse.workload.commit import Files, read_commit, refuse_other_files
from prefect_gatehouse.workload.git_objects import NotCommitted, Objects, work_tree_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A work tree with two files."""
    (tmp_path / "top" / "below").mkdir(parents=True)
    (tmp_path / "top" / "a.py").write_text("a = 1\n")
    (tmp_path / "top" / "below" / "b.py").write_text("b = 2\n")
    return tmp_path / "top"


@pytest.mark.parametrize("hashes", ["sha1", "sha256"])
def test_both_of_git_s_hashes(folder: Path, hashes: str) -> None:
    """The commit that is checked out, its files, and what it has not; also from a folder below, from packs and packed references."""
    name = commit_all(folder, None, "", f"--object-format={hashes}")
    git(folder, "gc", "-q")
    git(folder, "pack-refs", "--all")
    tree = work_tree_of(folder / "below")
    assert (tree.top, tree.head(), len(name)) == (folder, name, {"sha1": 40, "sha256": 64}[hashes])
    with Objects(tree.objects, name) as objects:
        commit = read_commit(objects, name)
        files = Files(objects, commit)
        assert files.content(PurePosixPath("below/b.py")) == b"b = 2\n"
        assert sorted(map(str, files.below(PurePosixPath(), lambda *_: True))) == ["a.py", "below/b.py"]
        for path in ("c.py", "below", "a.py/b", "../a.py"):
            with pytest.raises(NotCommitted):
                files.content(PurePosixPath(path))
        with pytest.raises(NotCommitted, match="is no tree"):
            objects.read(name, "tree", 1 << 20)
        with pytest.raises(NotCommitted, match="larger than 3 bytes"):
            files.content(PurePosixPath("a.py"), 3)
    assert commit.signature == ""


def test_what_would_hold_up_whoever_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes where git keeps its files, and in the store: nobody waits for longer than the limit."""
    name = commit_all(folder, None)
    tree = work_tree_of(folder)
    own = folder / ".git"
    os.mkfifo(own / "commondir")
    assert work_tree_of(folder).head() == name
    (own / "HEAD").unlink()
    os.mkfifo(own / "HEAD")
    with pytest.raises(NotCommitted, match="what is checked out is no commit"):
        work_tree_of(folder).head()
    loose = own / "objects" / name[:2] / name[2:]
    loose.unlink()
    os.mkfifo(loose)
    monkeypatch.setattr(git_objects, "SECONDS", 0.5)
    began = time.monotonic()
    with Objects(tree.objects, name) as objects, pytest.raises(NotCommitted, match="does not have the commit"):
        read_commit(objects, name)
    assert time.monotonic() - began < 20


def refuses(error: Exception) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        raise error

    return call


FAILING: dict[str, tuple[str, Exception, type[Exception]]] = {
    "no process": ("subprocess.Popen", OSError("no memory"), NotCommitted),
    "no limit": ("resource.prlimit", PermissionError("not permitted"), NotCommitted),
    "a limit above the hard one": ("resource.prlimit", ValueError("not allowed to raise maximum limit"), ValueError),
    "no thread": ("Timer.start", RuntimeError("can't start new thread"), RuntimeError),
    "no folder": ("tempfile.mkdtemp", OSError("no space left"), NotCommitted),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_fails_on_the_way_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Neither git's folder nor its process, whatever it is that fails."""
    what, error, kind = FAILING[name]
    commit = commit_all(folder, None)
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*given: Any, **named: Any) -> Any:
        started.append(start(*given, **named))
        return started[-1]

    with monkeypatch.context() as patched:
        patched.setattr(git_objects.subprocess, "Popen", noted)
        patched.setattr(f"prefect_gatehouse.workload.git_objects.{what}", refuses(error))
        with pytest.raises(kind), Objects(work_tree_of(folder).objects, commit):
            pytest.fail("it was entered")
    assert list(place.iterdir()) == [] and all(process.returncode is not None for process in started)


def test_a_folder_that_is_its_own_neighbour(folder: Path) -> None:
    """Ten folders in each of ten folders, and so on: a commit of some kilobytes with more files than anybody could count."""
    blob = git(folder.parent, "init", "-q", str(folder)) or git(folder, "hash-object", "-w", "a.py")
    inner = git(folder, "mktree", stdin=f"100644 blob {blob}\tx.py\n".encode())
    for _ in range(8):
        inner = git(folder, "mktree", stdin="".join(f"040000 tree {inner}\t{digit}\n" for digit in range(10)).encode())
    name = git(folder, "commit-tree", inner, "-m", "x")
    with Objects(work_tree_of(folder).objects, name) as objects:
        files = Files(objects, read_commit(objects, name))
        with pytest.raises(NotCommitted, match="more than 20000 files"):
            refuse_other_files(files, {}, PurePosixPath(), lambda *_: True)


def test_no_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git nobody can look, which is no yes."""
    name = commit_all(folder, None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotCommitted, match="git is not installed"), Objects(work_tree_of(folder).objects, name):
        pass
