"""`gatehouse init`: a pipeline that is in order as written, a key that is the caller's alone, and nothing overwritten."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from prefect_gatehouse.cli import init as init_module
from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import StorageError
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.policy.classes import output_class


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def init(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["init", *map(str, words)], prog_name="gatehouse")


def made(*words: str | Path) -> dict[str, Any]:
    done = init(*words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_in_order(tmp_path: Path) -> None:
    """The files that the answer names are there, no word of the template is left in them, and `gatehouse check` has nothing to say."""
    data = made(tmp_path / "Pump Readings", "--person", "ada@example.org")
    folder = tmp_path / "Pump Readings"
    assert data["name"] == "pump-readings"
    assert sorted(everything(folder)) == sorted(data["files"])
    assert {"gatehouse.yaml", "workload.py", ".gitignore", ".github/workflows/gatehouse.yml", "README.md"} <= set(data["files"])
    for name, content in everything(folder).items():
        assert not any(f"@{word}@" in content.decode() for word in ("NAME", "PERSON", "ENVIRONMENT", "VERSION")), name
        assert str(tmp_path) not in content.decode()
    checked = CliRunner().invoke(main, ["check", str(folder / "gatehouse.yaml")], prog_name="gatehouse")
    assert (checked.exit_code, checked.output) == (0, f"{folder / 'gatehouse.yaml'}: good\n")


def test_its_own_tests_pass_and_can_fail(tmp_path: Path) -> None:
    """Pytest in the new folder is green; with a spoilt manifest it is red, so its first test does look."""
    made(tmp_path / "p")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}

    def pytest_of_its_own() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        return subprocess.run(command, cwd=tmp_path / "p", env=clean, capture_output=True, text=True, check=False)

    good = pytest_of_its_own()
    assert good.returncode == 0, good.stdout
    assert "2 passed" in good.stdout
    manifest = tmp_path / "p" / "gatehouse.yaml"
    manifest.write_text(manifest.read_text().replace("tier: prototype", "tier: castle"))
    bad = pytest_of_its_own()
    assert bad.returncode == 1
    assert "1 failed, 1 passed" in bad.stdout


def test_the_key_is_the_callers_alone(tmp_path: Path, home: Path) -> None:
    """The private key has mode 0600 in a folder of 0700, and neither it nor its path's content is in the new folder."""
    data = made(tmp_path / "p")
    private = Path(data["key"])
    assert private == home / "identity" / "id_ed25519"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert b"OPENSSH PRIVATE KEY" in private.read_bytes()
    assert not any(b"PRIVATE" in content for content in everything(tmp_path / "p").values())


def test_the_key_is_private_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller with umask 000 gets a private key all the same."""
    before = os.umask(0)
    try:
        data = made(tmp_path / "p")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(data["key"]).stat().st_mode) == 0o600


def test_openssh_reads_the_key(tmp_path: Path) -> None:
    """ssh-keygen finds the same fingerprint in the private key."""
    data = made(tmp_path / "p")
    keygen = shutil.which("ssh-keygen")
    assert keygen is not None
    public = subprocess.run([keygen, "-y", "-f", data["key"]], capture_output=True, text=True, check=True).stdout
    told = subprocess.run([keygen, "-l", "-f", "-"], input=public, capture_output=True, text=True, check=True).stdout
    assert data["fingerprint"] in told


def test_the_caller_becomes_requester_and_never_approver(tmp_path: Path, home: Path) -> None:
    """The registry has one person with one role: whoever asks does not approve."""
    data = made(tmp_path / "p", "--person", "Ada@Example.org")
    (ada,) = People(home / "people").all()
    assert (ada.person, ada.roles, data["registered"]) == ("ada@example.org", {"requester"}, True)


def test_a_second_init_reuses_the_key(tmp_path: Path, home: Path) -> None:
    """Another pipeline, the same person and the same key; no second entry."""
    first = made(tmp_path / "one", "--person", "ada")
    before = everything(home)
    second = made(tmp_path / "two")
    assert [first[name] for name in ("person", "key", "fingerprint")] == [second[name] for name in ("person", "key", "fingerprint")]
    assert {name: content for name, content in everything(home).items() if not name.endswith(".lock")} == {
        name: content for name, content in before.items() if not name.endswith(".lock")
    }


def test_nobody_takes_another_name_with_their_key(tmp_path: Path) -> None:
    """A key that is one person's does not become a second person's."""
    made(tmp_path / "one", "--person", "ada")
    told = init(tmp_path / "two", "--person", "bob")
    assert told.exit_code == 2
    assert "your key is ada's" in told.stderr
    assert not (tmp_path / "two").exists()


def test_nobody_becomes_somebody_who_is_there(tmp_path: Path, home: Path) -> None:
    """A new key under an approver's name is not entered: only the registry's keeper gives people keys."""
    People(home / "people").add("boss@example.org", key=generate_key(tmp_path / "boss", "boss"), roles=frozenset({"approver"}))
    before = everything(home / "people")
    told = init(tmp_path / "p", "--person", "boss@example.org")
    assert told.exit_code == 2
    assert "with another key" in told.stderr
    assert everything(home / "people") == before
    assert not (tmp_path / "p").exists()


def test_a_registry_that_somebody_else_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the registry can't be written the pipeline is made all the same, and the answer says what its keeper has to run."""
    (tmp_path / "registry" / ".lock").mkdir(parents=True)  # root may write anywhere, but not a file in the place of a folder
    monkeypatch.setenv("GATEHOUSE_PEOPLE", str(tmp_path / "registry"))
    done = init(tmp_path / "p", "--person", "ada")
    assert done.exit_code == 0, done.output
    assert "gatehouse people add ada --role requester --key" in done.output
    assert made(tmp_path / "q", "--person", "ada")["registered"] is False


@pytest.mark.parametrize("taken", ["gatehouse.yaml", "workload.py", "suites/input.json", "tests/test_pipeline.py", ".gitignore"])
def test_nothing_is_overwritten(tmp_path: Path, home: Path, taken: str) -> None:
    """One file of the template that exists stops everything: it keeps its content, and no other file, key or person appears."""
    folder = tmp_path / "p"
    (folder / taken).parent.mkdir(parents=True)
    (folder / taken).write_text("mine")
    told = init(folder)
    assert told.exit_code == 2
    assert taken in told.stderr
    assert everything(folder) == {taken: b"mine"}
    assert not home.exists()


def test_other_files_stay(tmp_path: Path) -> None:
    """A folder with files of other names is taken, and those stay."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "notes.txt").write_text("mine")
    data = made(tmp_path / "p")
    assert set(everything(tmp_path / "p")) == {*data["files"], "notes.txt"}


@pytest.mark.parametrize("link", ["suites", "gatehouse.yaml", "tests"])
def test_a_link_leads_nowhere(tmp_path: Path, link: str) -> None:
    """A link in the place of a file or a folder, dangling or not, is not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / link).symlink_to(outside / "missing" if link == "gatehouse.yaml" else outside)
    told = init(tmp_path / "p")
    assert told.exit_code == 2
    assert list(outside.iterdir()) == []
    assert [item.name for item in (tmp_path / "p").iterdir()] == [link]


@pytest.mark.parametrize("fatal", [1, 4, 9])
def test_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fatal: int) -> None:
    """When the n-th file can't be written, those before it and the folders made for them are gone again; what was there stays."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "notes.txt").write_text("mine")
    real, count = Path.open, 0

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        if mode == "x":
            count += 1
            if count == fatal:
                raise OSError(28, "No space left on device")
        return real(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    words = {"NAME": "p", "PERSON": "ada", "ENVIRONMENT": "local", "VERSION": "0"}
    with pytest.raises(StorageError, match="No space left"):
        init_module.write_template(tmp_path / "p", words)
    assert count == fatal
    assert [item.name for item in (tmp_path / "p").iterdir()] == ["notes.txt"]
    count = fatal - 1
    with pytest.raises(StorageError):
        init_module.write_template(tmp_path / "new" / "deep", words)
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_one_message(tmp_path: Path) -> None:
    """A real one: a process that may write no more than 64 bytes a file leaves nothing behind."""
    code = (
        "import resource, sys\n"
        "from prefect_gatehouse.cli.init import write_template\n"
        "from prefect_gatehouse.errors import StorageError\n"
        "from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "try:\n"
        "    write_template(Path(sys.argv[1]), {})\n"
        "except StorageError as error:\n"
        "    print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "p")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the pipeline can't be written: File too large\n", "")
    assert not (tmp_path / "p").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path, home: Path) -> None:
    """Below a file there is no folder: one message, and nothing is left."""
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "p"):
        told = init(folder, "--json")
        assert told.exit_code in (2, 4)
        assert json.loads(told.output)["error"] in ("input", "storage")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "x" * 64, "../x", "a/b", "a\\b", "---", "\u03b4\u03b5", "a\nb", "\u202ea"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    """What is a path, hides characters, is too long or leaves nothing is refused before anything is made, with a name that would do."""
    told = init(tmp_path / "p", "--name", name)
    assert told.exit_code == 2
    assert not (tmp_path / "p").exists()
    example = told.stderr.split("--name ")[-1].split()[0]
    assert made(tmp_path / "p", "--name", example)["name"] == example


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Adult Income", "adult-income"),
        ("UPPER", "upper"),
        ("a b", "a-b"),
        (" Pump  Readings (2026)! ", "pump-readings-2026"),
        ("\u00dcberwachung", "uberwachung"),
        ("x-", "x"),
        ("credit_card.default", "credit-card-default"),
    ],
)
def test_words_that_people_use_make_a_name(tmp_path: Path, words: str, name: str) -> None:
    """Blanks, capitals and accents become a name that the answer and the manifest show, and that passes the check."""
    assert made(tmp_path / "p", "--name", words)["name"] == name
    assert f"name: {name}\n" in (tmp_path / "p" / "gatehouse.yaml").read_text()
    assert f"pipeline {name}" in init(tmp_path / "q", "--name", words).output
    checked = CliRunner().invoke(main, ["check", str(tmp_path / "p" / "gatehouse.yaml")], prog_name="gatehouse")
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("person", ["a b", '"\n  tier: business #', "@NAME@", "unverified", ""])
def test_a_person_cannot_write_into_the_manifest(tmp_path: Path, home: Path, person: str) -> None:
    """An identifier that is none does not get into the files, and no key stays behind for it."""
    told = init(tmp_path / "p", "--person", person)
    assert told.exit_code == 2
    assert not (tmp_path / "p").exists()
    assert not (home / "identity").exists()


def test_the_environment_cannot_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GATEHOUSE_ENVIRONMENT goes into the manifest only as a name."""
    monkeypatch.setenv("GATEHOUSE_ENVIRONMENT", "local\ntier: business")
    assert init(tmp_path / "p").exit_code == 2
    assert not (tmp_path / "p").exists()
    monkeypatch.setenv("GATEHOUSE_ENVIRONMENT", "plant-7")
    made(tmp_path / "p")
    assert "environment: plant-7\n" in (tmp_path / "p" / "gatehouse.yaml").read_text()


def test_whoever_starts_is_cleared_for_what_the_template_makes(tmp_path: Path, home: Path) -> None:
    """The new pipeline can be asked for at once; the clearance is its output's class and no more, and nobody who is there gets one."""
    made(tmp_path / "p")
    (person,) = People(home / "people").all()
    loaded = load_manifest(tmp_path / "p" / "gatehouse.yaml")
    assert person.clearance is output_class(loaded.manifest)[0] is DataClass.CONFIDENTIAL
    People(home / "people").add(person.person, roles=frozenset(), clearance=DataClass.PUBLIC)
    made(tmp_path / "q")
    assert People(home / "people").all()[0].clearance is DataClass.PUBLIC


def test_what_is_said_next(tmp_path: Path) -> None:
    """The plain answer names the person, the key and the next five steps."""
    told = init(tmp_path / "p", "--person", "ada").output
    assert "you are ada, requester, key SHA256:" in told
    assert [line.strip()[:2] for line in told.splitlines() if line.startswith("  ")] == ["1.", "2.", "3.", "4.", "5."]


def test_commands_to_copy_are_words_of_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a blank, a quote or a hyphen in front: the line that is printed leads there when a shell reads it."""
    monkeypatch.chdir(tmp_path)
    for name in ("Adult Income", "it's; $(touch x)", "-income"):
        done = init("--", name)
        assert done.exit_code == 0, done.output
        line = next(line for line in done.output.splitlines() if "  1. cd " in line)
        went = subprocess.run(["bash", "-c", f"{line.removeprefix('  1. ')} && pwd"], capture_output=True, text=True, check=True)
        assert went.stdout.strip() == str(tmp_path / name)
