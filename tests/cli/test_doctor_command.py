"""`gatehouse doctor` where something that it looks at is not there: everything else is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.operate import doctor
from prefect_gatehouse.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A new installation on a machine with a cell."""
    made = Settings(home=tmp_path / "home")
    made.folder("")
    monkeypatch.setenv("GATEHOUSE_HOME", str(made.home))
    monkeypatch.setattr(doctor, "strongest", lambda: "landlock")
    return made


def told(*words: str, url: str | None = None) -> Result:
    with temporary_settings({PREFECT_API_URL: url}):
        return CliRunner().invoke(main, ["doctor", *words], prog_name="gatehouse")


@pytest.mark.parametrize(("url", "why"), [(None, "no Prefect server is set"), ("http://127.0.0.1:9/api", "the Prefect server does not answer")])
def test_without_a_server_the_cell_is_told(settings: Settings, url: str | None, why: str) -> None:
    """First what needs no server, then that it is not reachable and what to do; that is a problem, so the exit code is 1."""
    done = told("--json", url=url)
    assert done.exit_code == 1, done.output
    cell, server = json.loads(done.output)
    assert cell["where"] == "this machine" and "in the cell landlock" in cell["message"]
    assert (server["level"], server["message"]) == ("problem", why) and "PREFECT_API_URL" in server["where"] and server["advice"]
    shown = told(url=url).output
    assert shown.index("landlock") < shown.index("PREFECT_API_URL") and "Traceback" not in shown


def test_what_is_malformed_keeps_nothing_else_from_being_told(settings: Settings) -> None:
    """A registry that can't be understood is a problem with its file's name, beside the cell and the server."""
    settings.people_folder().mkdir()
    (settings.people_folder() / "people.json").write_text("{")
    found = json.loads(told("--json").output)
    assert "landlock" in found[0]["message"] and found[-1]["message"] == "no Prefect server is set"
    assert any("people.json" in each["where"] and each["level"] == "problem" for each in found[1:-1]), found
