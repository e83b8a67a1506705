"""The command line as a whole: light to start, the same switches everywhere, and one clear message for every error."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from tests.services import free_port, unavailable
from tests.support.installed import know_packages

from prefect_gatehouse import __version__
from prefect_gatehouse.cli.main import COMMANDS, main
from prefect_gatehouse.cli.output import UNEXPECTED, gatehouse_command
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.runner.choose import strongest

HEAVY = (
    "prefect",
    "prefect_aws",
    "pandas",
    "pyarrow",
    "numpy",
    "numba",
    "braket",
    "qiskit",
    "qiskit_aer",
    "great_expectations",
    "hvac",
    "boto3",
    "sqlalchemy",
)


def leaves(command: click.Command | None = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that does something, as it is typed, below however many groups."""
    command = command or main
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), (*words, name))
    else:
        yield words


LEAVES = list(leaves())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_home: Path) -> Iterator[Path]:
    """A ``GATEHOUSE_HOME`` that is not there yet, and a Prefect server that does not answer."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        yield tmp_path / "home"


def run(*words: str | Path, **more: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="gatehouse", **more)


def clean() -> dict[str, str]:
    """The environment without anybody's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GATEHOUSE_", "PREFECT_"))}


def process(*words: str | Path, environment: dict[str, str], code: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    start = ["-m", "prefect_gatehouse.cli.main"] if code is None else ["-c", code]
    command = [sys.executable, *start, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**clean(), **environment}, check=False, timeout=120, stdin=subprocess.DEVNULL)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    """`gatehouse --help`, and the help of every single command, load none of the large packages."""
    code = (
        "import json, sys\n"
        "from prefect_gatehouse.cli.main import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        main([*words, '--help'], prog_name='gatehouse')\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0, words\n"
        "    found = [name for name in json.loads(sys.argv[2]) if name in sys.modules]\n"
        "    assert not found, (words, found)\n"
    )
    done = process(json.dumps([[], *LEAVES]), json.dumps(HEAVY), environment={"GATEHOUSE_HOME": str(tmp_path)}, code=code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: gatehouse") == len(LEAVES) + 1


def test_help_writes_nothing(tmp_path: Path) -> None:
    """Asking for help leaves no home, no key and no ledger behind."""
    done = process("--help", environment={"GATEHOUSE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)})
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_has_help_and_json(words: tuple[str, ...]) -> None:
    """Each command says what it does and takes --json."""
    shown = run(*words, "--help")
    assert shown.exit_code == 0
    assert f"Usage: gatehouse {' '.join(words)}" in shown.output
    assert "--json" in shown.output
    assert len(shown.output.splitlines()[2].strip()) > 10


def test_the_list_of_commands_is_what_the_commands_say() -> None:
    """The table that spares importing every command repeats each one's short help."""
    for name, (_, text) in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert (command.name, bool(command.get_short_help_str())) == (name, True)
        assert text.split()[0] == command.get_short_help_str(200).split()[0]


def test_version() -> None:
    """--version names the installed version."""
    assert run("--version").output == f"gatehouse {__version__}\n"


def test_as_a_module(tmp_path: Path) -> None:
    """`python -m prefect_gatehouse.cli.main` is the same command: what a pipeline's own tests call."""
    done = process("--version", environment={"GATEHOUSE_HOME": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, f"gatehouse {__version__}\n")


@pytest.mark.parametrize(
    "words", [["nonsense"], ["check", "--nonsense"], ["approve"], ["people", "nonsense"], ["people", "add", "a", "--role", "king"]]
)
def test_wrong_words(words: list[str]) -> None:
    """A command, a switch or an argument that is none ends with usage and 2."""
    told = run(*words)
    assert told.exit_code == 2
    assert "Usage:" in told.output


# Words, and what must be said: exit code, error's code, a piece of where, a piece of the advice.
ERRORS: dict[str, tuple[list[str], int, str, str, str]] = {
    "show": (["show", "beef"], 2, "input", "RUN", "gatehouse runs"),
    "reproduce": (["reproduce", "beef"], 2, "input", "RUN", "gatehouse runs"),
    "who": (["who", "beef"], 2, "input", "", "gatehouse"),
    "approve": (["approve", "beef", "--yes"], 2, "input", "RUN", "gatehouse runs"),
    "reject": (["reject", "beef", "--yes"], 2, "input", "RUN", "gatehouse runs"),
    "resume": (["resume", "beef"], 2, "input", "RUN", "gatehouse runs"),
    "abandon": (["abandon", "beef"], 2, "input", "RUN", "gatehouse runs"),
    "verify": (["verify"], 2, "input", "ledger.vkey", "--key"),
    "verify-key": (["verify", "--key", "/nowhere/key"], 2, "input", "/nowhere/key", "--key"),
    "plan": (["plan", "/nowhere/gatehouse.yaml"], 2, "input", "/nowhere/gatehouse.yaml", "path"),
    "run": (["run", "/nowhere/gatehouse.yaml"], 2, "input", "/nowhere/gatehouse.yaml", "path"),
    "run-unsigned": (["run", "--unsigned", "/dev/null"], 2, "input", "/dev/null", "file"),
    "profile": (["profile", "/nowhere/data.csv"], 2, "input", "/nowhere/data.csv", "path"),
    "profile-folder": (["profile", "/"], 2, "input", "/", "name a file"),
    "synthesise": (["synthesise", "/nowhere/data.csv", "--out", "x.csv"], 2, "input", "/nowhere/data.csv", "path"),
    "clean-up": (["clean-up"], 4, "unavailable", "PREFECT_API_URL", "prefect server start"),
    "worker": (["worker"], 2, "input", "GATEHOUSE_WORKER_FOLDERS", "--folder"),
    "worker-config": (["worker", "--config", "/nowhere/worker.toml"], 2, "input", "/nowhere/worker.toml", "GATEHOUSE_WORKER_CONFIG"),
    "people-add": (["people", "add", "a b", "--role", "requester"], 2, "input", "person", "example.org"),
    "people-key": (["people", "add", "a", "--role", "requester", "--key", "/nowhere.pub"], 2, "input", "/nowhere.pub", ".pub"),
    "people-revoke": (["people", "revoke", "nobody"], 2, "input", "person", "gatehouse people list"),
    "init-name": (["init", "x", "--name", "../x"], 2, "input", "--name", "a-z"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_one_message(case: str, home: Path) -> None:
    """What is wrong, where, and what to do next, on standard error; a code that scripts can tell apart; never a traceback."""
    words, code, _, where, advice = ERRORS[case]
    told = run(*words)
    assert told.exit_code == code
    assert told.stdout == ""
    assert told.stderr.startswith("error: ")
    assert (where in told.stderr, advice in told.stderr) == (True, True), told.stderr
    assert "Traceback" not in told.output
    assert len(told.stderr.splitlines()) <= 3


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_as_json(case: str, home: Path) -> None:
    """With --json the same comes as one object on standard output, and nothing else does."""
    words, code, error, where, advice = ERRORS[case]
    told = run(*words, "--json")
    assert told.exit_code == code
    data = json.loads(told.stdout)
    assert set(data) == {"error", "message", "where", "advice", "retry", "job_id"}
    assert (data["error"], data["retry"]) == (error, False)
    assert (bool(data["message"]), where in data["where"], advice in data["advice"]) == (True, True, True), data


def test_a_server_that_is_down(home: Path, tmp_path: Path) -> None:
    """With an address that nobody listens at, the command says so within seconds, in a process of its own."""
    environment = {"GATEHOUSE_HOME": str(home), "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    done = process("clean-up", "--json", environment=environment)
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["message"] == "the Prefect server does not answer"
    assert "Traceback" not in done.stderr


def test_no_server_is_set(home: Path, tmp_path: Path) -> None:
    """Without an address no server of Prefect's own is started in silence: the command says what to set."""
    environment = {"GATEHOUSE_HOME": str(home), "PREFECT_HOME": str(tmp_path / "prefect"), "HOME": str(tmp_path)}
    for words in (("clean-up",), ("keys", "list", "secret/any")):
        done = process(*words, environment=environment)
        assert done.returncode == 4, done.stderr
        assert "no Prefect server is set" in done.stderr and "PREFECT_API_URL" in done.stderr
        assert not (tmp_path / "prefect" / "prefect.db").exists()


def test_a_server_that_is_none_of_prefects(home: Path, tmp_path: Path) -> None:
    """An address that lacks its /api, or another program's, is told from a server that is down; a password in it is not repeated."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "GATEHOUSE_HOME": str(home),
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_API_URL": f"http://me:canary@127.0.0.1:{server.server_port}/nothing",
            "PREFECT_CLIENT_MAX_RETRIES": "0",
        }
        done = process("clean-up", environment=environment)
        server.shutdown()
    assert done.returncode == 4, done.stderr
    assert "no Prefect server" in done.stderr and "/api" in done.stderr
    assert "canary" not in done.stderr


def test_a_home_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home below a file is a storage error with the folder's name and what to set."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "file" / "home"))
    told = run("runs", "--json")
    assert told.exit_code == 4
    assert (json.loads(told.stdout)["error"], json.loads(told.stdout)["advice"]) == ("storage", "set GATEHOUSE_HOME to a writable folder")


def test_an_unexpected_error_is_told_without_its_text() -> None:
    """The last net: a foreign exception's text may quote a value, so only its type and place are told, in both forms."""

    def failing(as_json: bool) -> None:
        raise ValueError("canary-value")

    command = gatehouse_command("failing", "Fails.")(failing)
    plain, as_json = CliRunner().invoke(command, []), CliRunner().invoke(command, ["--json"])
    assert (plain.exit_code, as_json.exit_code) == (UNEXPECTED, UNEXPECTED)
    assert "unexpected ValueError at test_commands.py" in plain.stderr
    assert set(json.loads(as_json.stdout)) >= {"error", "message"}
    assert "canary" not in plain.output + as_json.output


def test_nothing_to_list(home: Path) -> None:
    """An empty home lists no runs and no people, and that is no error."""
    for words in (["runs"], ["people", "list"]):
        assert run(*words).exit_code == 0
        assert json.loads(run(*words, "--json").stdout) == []


def test_a_closed_pipe_is_no_error(home: Path) -> None:
    """`gatehouse check --schema | head -1` ends quietly."""
    command = f"{sys.executable} -m prefect_gatehouse.cli.main check --schema | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{", "")


@pytest.mark.parametrize("command", ["plan", "run"])
def test_everything_that_check_knows_is_told_at_once(command: str, home: Path, tmp_path: Path) -> None:
    """Before anything is started `plan` and `run` tell every problem that `check` does, files and suites included; as JSON too."""
    assert run("init", tmp_path / "p").exit_code == 0
    manifest = tmp_path / "p" / "gatehouse.yaml"
    text = manifest.read_text().replace("tier: prototype", "tier: castle").replace("shots: 1000", "shots: 1e3")
    manifest.write_text(text.replace("sqlite:///results.sqlite", "postgres://writer:Hunter2CANARY@db/x"))
    (tmp_path / "p" / "data" / "sample.csv").unlink()
    told, as_json, checked = run(command, manifest), run(command, manifest, "--json"), run("check", manifest)
    assert (told.exit_code, as_json.exit_code, told.stdout) == (2, 2, "")
    lines = checked.output.splitlines()[:-1]
    assert len(lines) == 4
    assert all(line in " ".join(told.stderr.split()) for line in lines), told.stderr
    assert all(line in json.loads(as_json.stdout)["advice"] for line in lines)
    assert "CANARY" not in told.output + as_json.output + checked.output
    with open_ledger(Settings(home=home)) as ledger:  # it has who was entered, and nothing of a run
        assert [event.kind for event in ledger.events()] == ["people-changed"] and ledger.runs() == []


# By the setting of the cell.
UNJUST = {
    "ends-well": ("none", "import os; os._exit(0)", 2, "ended the process before there was a plan"),
    "ends-badly": ("none", "import os; os._exit(3)", 2, "ended the process before there was a plan"),
    "becomes-another": ("none", "import os; os.execv('/bin/true', ['true'])", 2, "ended the process before there was a plan"),
    "killed": ("none", "import os; os.kill(os.getpid(), 9)", 128 + 9, "killed before there was a plan (signal 9)"),
    "raises": ("none", "raise KeyError", 2, "the workload raised KeyError"),
    "unusable": ("none", "yield 5", 2, "the workload yielded no list of circuits"),
    "ends-well-in-a-cell": ("auto", "import os; os._exit(0)", 2, "the workload ended its process"),
    "killed-in-a-cell": ("auto", "import os; os.kill(os.getpid(), 9)", 2, "the workload's process was killed (signal 9)"),
    "becomes-another-in-a-cell": ("auto", "import os; os.execv('/bin/true', ['true'])", 2, "the workload raised PermissionError"),
}


@pytest.mark.parametrize("case", UNJUST)
def test_a_plan_never_ends_well_without_one(case: str, tmp_path: Path, warm_commands: Any) -> None:
    """Whatever a workload does to the process: one message, never success; and there is no run that could be resumed, so it is no 4."""
    cell, line, code, message = UNJUST[case]
    if cell == "auto" and strongest() == "none":
        unavailable("no cell works here")
    places = {"GATEHOUSE_HOME": "home", "PREFECT_HOME": "prefect", "GATEHOUSE_TIERS": "tiers.yaml"}
    environment = {**clean(), "GATEHOUSE_CELL": cell, **{name: str(tmp_path / place) for name, place in places.items()}}
    know_packages(tmp_path / "home")
    tiers = Path(__file__).resolve().parents[2] / "deployments" / "tiers.yaml"
    (tmp_path / "tiers.yaml").write_text(tiers.read_text().replace("preflight: optional", "preflight: never"))
    assert warm_commands.run("init", tmp_path / "p", environment=environment).returncode == 0
    workload = tmp_path / "p" / "workload.py"
    text = workload.read_text()
    workload.write_text(text.replace("    rows = features", f"    {line}\n    rows = features"))
    for words in ((), ("--json",)):
        done = warm_commands.run("plan", tmp_path / "p" / "gatehouse.yaml", *words, environment=environment)
        assert done.returncode == code, done.stderr
        told = json.loads(done.stdout)["message"] if words else done.stderr
        assert message in told and "Traceback" not in done.stderr
        assert words or done.stdout == ""


@pytest.mark.parametrize("words", [("init", ""), ("check", ""), ("profile", ""), ("plan", ""), ("synthesise", "x.csv", "--out", "")])
def test_an_empty_path_names_nothing(words: tuple[str, ...], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the current folder; nothing is written there."""
    monkeypatch.chdir(tmp_path)
    told = run(*words)
    assert (told.exit_code, [*tmp_path.glob("*.yaml")]) == (2, [])
    assert "the path is empty" in told.stderr
