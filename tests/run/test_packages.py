"""What is installed: everything that can be imported counts with its content, and is read again only when it may have changed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_gatehouse.errors import StorageError
from prefect_gatehouse.run import packages
from prefect_gatehouse.run.packages import installed


class Site:
    """A site folder with two distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site"
        self.cache = folder / "packages.json"
        for name in ("alpha", "beta"):
            self.write(f"{name}/__init__.py", f"NAME = '{name}'\n")
            self.write(f"{name}/core.py", "VALUE = 1\n")
            self.write(f"{name}-1.0.dist-info/METADATA", f"Name: {name}\n")
        self.write("alpha/native.cpython-311.so", "\0machine code")
        self.write("single.py", "A = 1\n")
        self.age()

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def age(self) -> None:
        """Waits until what was written counts as settled."""
        time.sleep(0.02)

    def digest(self) -> str:
        return installed(self.cache).digest


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site folder that is looked at each time."""
    made = Site(tmp_path)
    monkeypatch.setattr(packages, "site_folders", lambda: (made.folder,))
    monkeypatch.setattr(packages, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(packages, "_SETTLED_NS", 1_000_000)
    return made


def exchanged(site: Site) -> None:
    """As many bytes, under the old time: only the file system's own time tells."""
    path = site.folder / "alpha" / "core.py"
    before = path.stat()
    path.write_text("VALUE = 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(site: Site) -> None:
    """Another file in its place, with its size and times."""
    path = site.folder / "alpha" / "core.py"
    before = path.stat()
    site.write("alpha/other", "VALUE = 2\n")
    (site.folder / "alpha" / "other").replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Site], object]] = {
    "exchanged": exchanged,
    "replaced": replaced,
    "machine-code": lambda site: site.write("alpha/native.cpython-311.so", "\0other"),
    "single": lambda site: site.write("single.py", "A = 2\n"),
    "shadowing": lambda site: site.write("alpha/core/__init__.py", "VALUE = 2\n"),
    "at-start": lambda site: site.write("sitecustomize.py", "VALUE = 2\n"),
    "path": lambda site: site.write("more.pth", "/somewhere\n"),
    "upgraded": lambda site: (site.folder / "beta-1.0.dist-info").rename(site.folder / "beta-1.1.dist-info"),
    "gone": lambda site: (site.folder / "beta" / "core.py").unlink(),
    "renamed": lambda site: (site.folder / "beta" / "core.py").rename(site.folder / "beta" / "base.py"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_could_be_imported_counts(site: Site, name: str) -> None:
    """A byte, a file that would come first, a line that Python runs when it starts: each gives another digest, also with digests kept."""
    before = site.digest()
    assert site.digest() == before
    CHANGES[name](site)
    assert site.digest() != before


def test_what_says_nothing_does_not_count(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled caches, a touched file and another place on another machine are the same installation."""
    before = site.digest()
    site.write("alpha/__pycache__/core.cpython-311.pyc", "anything")
    (site.folder / "alpha" / "core.py").touch()
    assert site.digest() == before
    other = Site(tmp_path / "elsewhere")
    monkeypatch.setattr(packages, "site_folders", lambda: (other.folder,))
    assert other.digest() == before
    assert installed(other.cache).versions == ("alpha==1.0", "beta==1.0")


def test_only_what_changed_is_read_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look reads nothing, and after a change one part."""
    read: list[str] = []
    content = packages._content
    monkeypatch.setattr(packages, "_content", lambda folder, files: read.append(folder) or content(folder, files))
    site.digest()
    first, read[:] = list(read), []
    site.digest()
    assert len(first) >= 4 and read == []
    site.write("beta/core.py", "VALUE = 3\n")
    site.digest()
    assert read == [str(site.folder / "beta")]


def test_what_was_written_a_moment_ago_is_not_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second write in the same tick of the file system's clock would not show in the state."""
    monkeypatch.setattr(packages, "_SETTLED_NS", 3_600_000_000_000)
    site.digest()
    kept = json.loads(site.cache.read_bytes()) if site.cache.exists() else {}
    assert not any(name.startswith("0/") for name in kept)


@pytest.mark.parametrize("text", ["", "[]", '{"0/alpha": 1}', "\0"])
def test_kept_digests_that_are_none(site: Site, text: str) -> None:
    """They are made anew."""
    before = site.digest()
    site.cache.write_text(text)
    assert site.digest() == before


def test_a_process_looks_once_a_minute(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has imported what it saw."""
    monkeypatch.setattr(packages, "FRESH_SECONDS", 60.0)
    before = installed(site.cache)
    site.write("single.py", "A = 2\n")
    assert installed(site.cache) is before
    packages.look_again()
    assert installed(site.cache).digest != before.digest


def test_one_look_in_a_thread_is_everybodys(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while a thread looks waits, and gets what it found; an error is told to whoever asks."""
    monkeypatch.setattr(packages, "FRESH_SECONDS", 60.0)
    looks, begun = [], threading.Event()
    look = packages._look

    def slowly(folders: tuple[Path, ...], cache: Path) -> packages.Installed:
        looks.append(threading.current_thread().name)
        begun.set()
        time.sleep(0.2)
        return look(folders, cache)

    monkeypatch.setattr(packages, "_look", slowly)
    packages.look_again()
    packages.look_aside(site.cache)
    assert begun.wait(10)
    assert site.digest() == site.digest()
    assert looks == ["gatehouse-packages"]
    packages.look_again()
    monkeypatch.setattr(packages, "_look", lambda folders, cache: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    packages.look_aside(site.cache)
    with pytest.raises(StorageError, match="can't be read: Permission denied"):
        site.digest()


def test_what_it_costs(tmp_path: Path) -> None:
    """This very installation, with digests kept: at most 0.1 s of CPU time, on a machine that may be busy 0.3 s."""
    cache = tmp_path / "packages.json"
    packages._look(packages.site_folders(), cache)
    least = 9.0
    for _ in range(3):
        start = time.process_time()
        packages._look(packages.site_folders(), cache)
        least = min(least, time.process_time() - start)
    assert least < 0.3


def test_when_it_was_changed_last(site: Site) -> None:
    """By the file system's own time, which nobody sets; what was changed a moment before counts as changed since."""
    site.age()
    first, now = installed(site.cache), time.time_ns()
    assert first.unchanged_since(now)
    site.write("alpha/core.py", "VALUE = 2\n")
    assert not installed(site.cache).unchanged_since(now)
    assert not installed(site.cache).unchanged_since(installed(site.cache).changed)
