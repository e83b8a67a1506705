"""Loading a workload: the code that runs is the code that was digested, from inside the project, and its errors carry no data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.errors import InputError, WorkloadFailed
from prefect_gatehouse.workload.load import load, load_workload
from prefect_gatehouse.workload.sources import find_workload

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


@pytest.mark.parametrize(
    "name", ["tests/test_workload.py", ".venv/x.py", "__pycache__/x.py", "requirements.lock", "source.csv", "state/ledger.sqlite"]
)
def test_what_is_not_the_workload_s_is_not_in_the_digest(folder: Path, name: str) -> None:
    """Tests, hidden folders, caches, and what the caller knows to be something else can change without a new approval."""
    apart = {folder / "source.csv", folder / "state"}
    before = load_workload("workload.py:solve", folder, apart).digest
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("anything")
    assert load_workload("workload.py:solve", folder, apart).digest == before


@pytest.mark.parametrize("name", ["weights.json", "inner/table.csv", "README.md", "no-ending"])
def test_what_the_workload_could_read_is_in_the_digest(folder: Path, name: str) -> None:
    """Data beside the code decides what comes out as much as code does; only its bytes count."""
    (folder / "inner").mkdir()
    (folder / name).write_text("one")
    before = load_workload("workload.py:solve", folder)
    assert [path for path, _ in before.sources.digests] == sorted([name, "workload.py"])
    (folder / name).touch()
    assert load_workload("workload.py:solve", folder).digest == before.digest
    (folder / name).write_text("two")
    assert load_workload("workload.py:solve", folder).digest != before.digest


def test_data_beside_it_is_no_module(folder: Path) -> None:
    """A folder of data of a module's name is not what an import of that module finds."""
    (folder / "json").mkdir()
    (folder / "json" / "data.txt").write_text("x")
    sys.modules.pop("json.tool", None)
    (folder / "workload.py").write_text("import json.tool\n\n\ndef solve(features, parameters):\n    yield [json.tool.__name__]\n")
    assert first(folder) == ["json.tool"]


def test_too_much_beside_it_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has data beside the workload is told which file is the largest, and what to do."""
    monkeypatch.setattr("prefect_gatehouse.workload.beside.MOST_BYTES", 2 << 20)
    (folder / "rows.bin").write_bytes(bytes(3 << 20))
    with pytest.raises(InputError, match="larger than 2 MiB together") as caught:
        load_workload("workload.py:solve", folder)
    assert caught.value.where.endswith("rows.bin") and "folder of its own" in caught.value.advice
    (folder / "rows.bin").unlink()
    monkeypatch.setattr("prefect_gatehouse.workload.beside.MOST_FILES", 1)
    (folder / "one.txt").write_text("")
    with pytest.raises(InputError, match="more than 1 files lie beside the workload"):
        load_workload("workload.py:solve", folder)


def test_a_link_to_one_of_its_files_is_a_file(folder: Path) -> None:
    """It has the bytes of what it leads to, also under the name of the link."""
    (folder / "weights.txt").write_text("0.5")
    (folder / "latest.txt").symlink_to("weights.txt")
    sources = find_workload("workload.py:solve", folder).sources
    assert sources.files[folder / "latest.txt"] == b"0.5" and list(sources.files) == sorted(sources.files)


@pytest.mark.parametrize("target", ["../outside.txt", ".env", "tests/data.txt", "/proc/self/environ"])
def test_a_link_that_leads_elsewhere_is_refused(folder: Path, target: str) -> None:
    """Whoever may write into the folder may not read what the worker may: a link to a key is not read, let alone run."""
    (folder / "tests").mkdir()
    for place in ("../outside.txt", ".env", "tests/data.txt"):
        (folder / place).write_text("CANARY")
    (folder / "harmless.py").symlink_to(target)
    with pytest.raises(InputError, match="a link beside the workload leads to something else") as caught:
        find_workload("workload.py:solve", folder)
    assert caught.value.where.endswith("harmless.py") and "CANARY" not in str(caught.value)


@pytest.mark.parametrize("name", [b"\xff.txt", b"a\nTier  business.txt", b"\x1b[31m.txt", "a\u202etxt.py".encode()])
def test_a_name_that_can_not_be_shown_is_refused(folder: Path, name: bytes) -> None:
    """The plan names each file, and people read it."""
    Path(os.fsdecode(bytes(folder) + b"/" + name)).write_text("")
    with pytest.raises(InputError, match="a name that can't be shown") as caught:
        find_workload("workload.py:solve", folder)
    assert str(caught.value).isprintable() or "\n  " in str(caught.value)
    assert caught.value.where.isprintable() and caught.value.where.isascii()


def test_what_is_no_file_is_left_out(folder: Path) -> None:
    """A pipe that nobody fills, a device without end, a link into nothing: nobody waits for them."""
    before = find_workload("workload.py:solve", folder).digest
    os.mkfifo(folder / "pipe")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "nothing").symlink_to("nowhere")
    (folder / "itself").symlink_to("itself")
    assert find_workload("workload.py:solve", folder).digest == before


@pytest.mark.parametrize("put", [lambda path: path.symlink_to("/etc/hostname"), os.mkfifo], ids=["link", "pipe"])
def test_a_file_that_becomes_something_else_while_it_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None]) -> None:
    """What is read is what was looked at: a file, without waiting."""
    path, look = folder / "weights.txt", os.stat
    path.write_text("0.5")

    def looked(named: Any, **options: Any) -> os.stat_result:
        found = look(named, **options)
        if named == "weights.txt":
            path.unlink()
            put(path)
        return found

    monkeypatch.setattr(os, "stat", looked)
    with pytest.raises(InputError, match="can't be read"):
        find_workload("workload.py:solve", folder)


def test_finding_runs_nothing(folder: Path) -> None:
    """What was found has a digest before any of it runs, and what runs later is what was found."""
    (folder / "workload.py").write_text("raise SystemExit\n")
    found = find_workload("workload.py:solve", folder)
    (folder / "workload.py").write_text(SOLVE.format("exchanged"))
    with pytest.raises(WorkloadFailed):
        load(found)


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
        ("raise ModuleNotFoundError('CANARY', name='CANARY')", "ModuleNotFoundError"),
        ("import importlib; importlib.import_module('no_such_package_CANARY')", "ModuleNotFoundError"),
        ("raise SyntaxError('CANARY', ('workload.py', 1, 1, 'CANARY'))", "SyntaxError"),
        ("compile('CANARY CANARY', 'CANARY', 'exec')", "SyntaxError"),
        ("raise type('E_CANARY', (ValueError,), {})('CANARY')", "ValueError"),
        ("raise type('E_CANARY', (BaseException,), {'__module__': 'builtins'})", "BaseException"),
        ("raise GeneratorExit('CANARY')", "GeneratorExit"),
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


NO_PYTHON = {
    "invalid": ("\ndef solve(:  # CANARY\n", "workload.py:2: SyntaxError: invalid syntax"),
    "unclosed": ("\n\nx = (1,  # CANARY\n", "workload.py:3: SyntaxError: '(' was never closed"),
    "indent": ("def f():\nreturn 'CANARY'\n", "workload.py:2: SyntaxError: expected an indented block after function definition on line 1"),
    "tabs": ("if 1:\n        x = 'CANARY'\n\ty = 2\n", "workload.py:3: SyntaxError: inconsistent use of tabs and spaces in indentation"),
    "nul": ("x = 1\0CANARY\n", "SyntaxError: source code string cannot contain null bytes"),
    "outside": ("yield 'CANARY'\n", "workload.py:1: SyntaxError: 'yield' outside function"),
}


@pytest.mark.parametrize("name", NO_PYTHON)
@pytest.mark.parametrize("package", [False, True], ids=["file", "package"])
def test_a_file_that_is_no_python(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: bool) -> None:
    """No data has been read yet: the compiler's words and the line are told; the line's text is not."""
    text, told = NO_PYTHON[name]
    (folder / "workload.py").write_text(text)
    if package:
        monkeypatch.syspath_prepend(str(folder))
    for _ in range(2):
        with pytest.raises(WorkloadFailed) as caught:
            load_workload("workload:solve" if package else "workload.py:solve", folder)
        assert told in str(caught.value)
        assert "CANARY" not in str(caught.value)


def test_a_neighbour_that_is_no_python(folder: Path) -> None:
    """The line is the neighbour's; a workload that changes what the compiler said, or raises it anew, is not listened to."""
    (folder / "inner").mkdir()
    (folder / "inner" / "helper.py").write_text("x = 1\n\n)\n")
    (folder / "workload.py").write_text("import inner.helper\n" + SOLVE.format("x"))
    with pytest.raises(WorkloadFailed, match=r"inner/helper.py:3: SyntaxError: unmatched '\)'"):
        load_workload("workload.py:solve", folder)
    raising = "try:\n    import inner.helper\nexcept SyntaxError as error:\n    error.msg = 'CANARY'\n    error.filename = 'CANARY'\n    raise\n"
    (folder / "workload.py").write_text(raising + SOLVE.format("x"))
    with pytest.raises(WorkloadFailed, match=r"inner/helper.py:3: SyntaxError: unmatched '\)'"):
        load_workload("workload.py:solve", folder)


@pytest.mark.parametrize("package", [False, True], ids=["file", "package"])
def test_a_module_that_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch, package: bool) -> None:
    """The name that an import statement of the sources asks for is told, with its line; also where a neighbour asks."""
    (folder / "workload.py").write_text("\nimport no_such_package.part as part\n" + SOLVE.format("x"))
    if package:
        monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(WorkloadFailed, match=r"workload.py:2: ModuleNotFoundError: no module is named 'no_such_package' \(install it"):
        load_workload("workload:solve" if package else "workload.py:solve", folder)
    if not package:
        (folder / "helper.py").write_text("\n\nfrom no_such_package.other import thing\n")
        (folder / "workload.py").write_text("import helper\n" + SOLVE.format("x"))
        with pytest.raises(WorkloadFailed, match=r"helper.py:3: ModuleNotFoundError: no module is named 'no_such_package'"):
            load_workload("workload.py:solve", folder)


def test_a_package_that_raises_while_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding a module imports the packages around it: what they raise is the workload's, without its text."""
    package = tmp_path / "a_package_that_raises"
    package.mkdir()
    (package / "__init__.py").write_text("print('CANARY')\nraise SystemExit('CANARY')\n")
    (package / "kernel.py").write_text(SOLVE.format("x"))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WorkloadFailed, match="the workload raised SystemExit") as caught:
        load_workload("a_package_that_raises.kernel:solve", tmp_path)
    assert "CANARY" not in str(caught.value)


def test_code_that_says_where_it_lies(folder: Path) -> None:
    """A place is told only if a digested file has that line: neither a file's name nor a line's number carries anything out."""
    for name, lines in (("CANARY.py", 1), ("workload.py", 4711), (str(folder / "workload.py"), 4711)):
        text = f"exec(compile({'chr(10)'} * {lines - 1} + 'raise ValueError', {name!r}, 'exec'))\n"
        (folder / "workload.py").write_text("\n\n" + text + SOLVE.format("x"))
        with pytest.raises(WorkloadFailed) as caught:
            load_workload("workload.py:solve", folder)
        assert caught.value.where == "workload.py:3"
        assert "CANARY" not in str(caught.value) and "4711" not in str(caught.value)


def test_a_file_that_talks_while_it_loads(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prints, warnings and logs of a module stay inside while it loads, as they do while it runs."""
    talk = "import logging, os, sys, warnings\nprint('CANARY')\nos.write(1, b'CANARY')\nwarnings.warn('CANARY')\nlogging.error('CANARY')\n"
    (folder / "workload.py").write_text(talk + SOLVE.format("x"))
    assert first(folder) == ["x"]
    assert capfd.readouterr() == ("", "")


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
