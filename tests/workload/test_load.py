"""Loading a workload: the code that runs is the code that was digested, from inside the project, and its errors carry no data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_gatehouse.errors import InputError, WorkloadFailed
from prefect_gatehouse.workload.load import load_workload

SOLVE = "def solve(features, parameters):\n    yield ['{}']\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a workload."""
    made = tmp_path / "project"
    made.mkdir()
    (made / "workload.py").write_text(SOLVE.format("one"))
    return made


def first(folder: Path, entrypoint: str = "workload.py:solve") -> object:
    """What the workload yields first."""
    return next(load_workload(entrypoint, folder).generate(None, {}))


def test_a_file_is_loaded_again_when_it_changed(folder: Path) -> None:
    """One process loads both versions, each with its own digest, and two projects' files of one name never meet."""
    assert first(folder) == ["one"]
    before = load_workload("workload.py:solve", folder).digest
    assert load_workload("workload.py:solve", folder).digest == before
    (folder / "workload.py").write_text(SOLVE.format("two"))
    assert first(folder) == ["two"]
    assert load_workload("workload.py:solve", folder).digest != before
    other = folder.parent / "other"
    other.mkdir()
    (other / "workload.py").write_text(SOLVE.format("three"))
    assert (first(other), first(folder)) == (["three"], ["two"])
    # The same bytes elsewhere are the same code.
    (other / "workload.py").write_text(SOLVE.format("two"))
    assert load_workload("workload.py:solve", other).digest == load_workload("workload.py:solve", folder).digest


CHANGES: dict[str, Callable[[Path], object]] = {
    "helper": lambda folder: (folder / "helper.py").write_text("A = 1"),
    "helper-in-a-folder": lambda folder: (folder / "inner" / "helper.py").write_text("A = 1"),
    "byte": lambda folder: (folder / "workload.py").write_text(SOLVE.format("one") + " "),
    "renamed": lambda folder: (folder / "part.py").rename(folder / "trap.py"),
    "moved": lambda folder: (folder / "part.py").rename(folder / "inner" / "part.py"),
    "bytes-moved": lambda folder: ((folder / "part.py").write_text("A"), (folder / "inner" / "q.py").write_text(" = 1")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_source_file_is_in_the_digest(folder: Path, change: str) -> None:
    """A file more, a byte more, another name or place of a file is other code."""
    (folder / "inner").mkdir()
    (folder / "part.py").write_text("A = 1")
    (folder / "inner" / "q.py").write_text("")
    before = load_workload("workload.py:solve", folder).digest
    CHANGES[change](folder)
    assert load_workload("workload.py:solve", folder).digest != before


@pytest.mark.parametrize("name", ["tests/test_workload.py", ".venv/x.py", "__pycache__/x.py", "data.csv", "README.md"])
def test_what_is_no_source_is_not_in_the_digest(folder: Path, name: str) -> None:
    """Tests, hidden folders, caches and data can change without a new approval; the data has a digest of its own."""
    before = load_workload("workload.py:solve", folder).digest
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("anything")
    assert load_workload("workload.py:solve", folder).digest == before


def test_a_helper_beside_it_is_found_while_it_loads(folder: Path) -> None:
    """A workload imports its neighbour; afterwards the import path is as it was."""
    path = list(sys.path)
    (folder / "neighbour_of_workload.py").write_text("NAME = 'neighbour'\n")
    (folder / "workload.py").write_text("import neighbour_of_workload as n\n\n\ndef solve(features, parameters):\n    yield [n.NAME]\n")
    assert first(folder) == ["neighbour"]
    assert sys.path == path


def test_a_module_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package's module is loaded by name, its digest over the files beside it."""
    package = tmp_path / "a_package_of_workloads"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "kernel.py").write_text(SOLVE.format("packaged"))
    monkeypatch.syspath_prepend(str(tmp_path))
    entrypoint = "a_package_of_workloads.kernel:solve"
    assert first(tmp_path, entrypoint) == ["packaged"]
    before = load_workload(entrypoint, tmp_path).digest
    (package / "more.py").write_text("A = 1")
    assert load_workload(entrypoint, tmp_path).digest != before


@pytest.mark.parametrize(
    "entrypoint",
    [
        "missing.py:solve",
        "workload.py:missing",
        "workload.py:CONSTANT",
        "workload.py:plain",
        "workload.py:Class",
        "no_such_package_anywhere.module:solve",
        "json:dumps",
        "sys:exit",
        "..:solve",
        ":solve",
        "folder.py:solve",
    ],
)
def test_no_generator_there(folder: Path, entrypoint: str) -> None:
    """A missing file, module or name, and what is no generator function: an input error that names the field."""
    if entrypoint.startswith("folder"):
        (folder / "folder.py").mkdir()
    (folder / "workload.py").write_text(SOLVE.format("one") + "CONSTANT = 1\nclass Class: pass\ndef plain(features, parameters): return []\n")
    with pytest.raises(InputError) as caught:
        load_workload(entrypoint, folder)
    assert caught.value.where.startswith("workload.entrypoint") and caught.value.advice


@pytest.mark.parametrize("attack", ["../outside.py", "/absolute", "inner/../../outside.py", "link.py", "linked/outside.py", "\0.py"])
def test_code_outside_of_the_project(folder: Path, attack: str) -> None:
    """Neither a path nor a link leads to code that the project does not hold; it is not even run."""
    outside = folder.parent / "outside.py"
    outside.write_text(f"open({str(folder / 'RAN')!r}, 'w')\n" + SOLVE.format("outside"))
    (folder / "inner").mkdir()
    (folder / "link.py").symlink_to(outside)
    (folder / "linked").symlink_to(folder.parent)
    place = str(outside) if attack == "/absolute" else attack
    with pytest.raises(InputError, match=r"leads out|can't be followed"):
        load_workload(f"{place}:solve", folder)
    assert not (folder / "RAN").exists()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("raise ValueError('CANARY')", "ValueError"),
        ("raise SystemExit('CANARY')", "SystemExit"),
        ("import no_such_package_CANARY", "ModuleNotFoundError"),
        ("CANARY", "NameError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_file_that_raises_while_it_loads(folder: Path, body: str, kind: str) -> None:
    """The error tells type and line, not the text; and what was half loaded is loaded anew the next time."""
    (folder / "workload.py").write_text(f"# a comment\n{body}\n{SOLVE.format('x')}")
    for _ in range(2):
        with pytest.raises(WorkloadFailed, match=kind) as caught:
            load_workload("workload.py:solve", folder)
        assert caught.value.where == "workload.py:2"
        assert "CANARY" not in str(caught.value)
    assert str(folder) not in sys.path


def test_a_file_that_is_no_python(folder: Path) -> None:
    """A syntax error is the workload's, its line is not repeated."""
    (folder / "workload.py").write_text("def solve(:  # CANARY\n")
    with pytest.raises(WorkloadFailed, match="SyntaxError") as caught:
        load_workload("workload.py:solve", folder)
    assert "CANARY" not in str(caught.value)


def write(folder: Path, **files: str) -> Path:
    """A project of these files; double underscores part folder and name."""
    for name, text in files.items():
        place = folder.joinpath(*name.split("__")).with_suffix(".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


LATE = "def solve(features, parameters):\n    import helper\n    from parts.inner import NAME\n    yield [helper.NAME + NAME]\n"


def test_projects_of_one_process_never_share_a_helper(tmp_path: Path) -> None:
    """Two projects with a helper of one name, and a helper that changes: each workload runs with its own, also when it imports late."""
    early = "import helper\n\n\ndef solve(features, parameters):\n    yield [helper.NAME]\n"
    first_ = write(tmp_path / "a", workload=early, helper="NAME = 'a'\n")
    second = write(tmp_path / "b", workload=early, helper="NAME = 'b'\n")
    third = write(tmp_path / "c", workload=LATE, helper="NAME = 'c'\n", parts__inner="NAME = '-inner'\n")
    assert (first(first_), first(second), first(third), first(first_)) == (["a"], ["b"], ["c-inner"], ["a"])
    write(first_, helper="NAME = 'A'\n")  # the same length, within the same second: a cache would not notice
    assert first(first_) == ["A"]


def test_what_runs_is_what_was_digested(tmp_path: Path) -> None:
    """A file that changes between the digest and a late import: the bytes that were digested run."""
    folder = write(tmp_path / "p", workload=LATE, helper="NAME = 'approved'\n", parts__inner="NAME = ''\n")
    loaded = load_workload("workload.py:solve", folder)
    write(folder, helper="NAME = 'changed!'\n")
    assert next(loaded.generate(None, {})) == ["approved"]
    assert not list(folder.rglob("__pycache__"))


def test_a_folder_that_is_called_like_a_source(folder: Path) -> None:
    """It is no file of the workload and does not stop it."""
    (folder / "data.py").mkdir()
    assert first(folder) == ["one"]
