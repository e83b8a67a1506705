"""Opening the ledger: one way for everybody, with one clear error for each reason why it can't be used."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import prefect_gatehouse
from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import StorageError
from prefect_gatehouse.ledger.opening import has_ledger, open_ledger
from prefect_gatehouse.settings import Settings

COMMANDS = (("runs",), ("show", "x"), ("who", "x"))
FOREIGN = "the ledger is of another release"


def made(tmp_path: Path) -> Settings:
    """An installation whose ledger has an event."""
    settings = Settings(home=tmp_path / "home")
    with open_ledger(settings) as ledger:
        ledger.begin_attempt("run")
    return settings


def edit(settings: Settings, *statements: str) -> None:
    with closing(sqlite3.connect(settings.home / "ledger.sqlite")) as thief:
        for statement in statements:
            thief.execute(statement)
        thief.commit()


def test_home_and_ledger_are_made(tmp_path: Path) -> None:
    """A missing home is made, private; whoever must not make one asks before."""
    settings = Settings(home=tmp_path / "none" / "home")
    assert not has_ledger(settings) and not settings.home.exists()
    with open_ledger(settings) as ledger:
        assert ledger.size() == 0
    assert has_ledger(settings) and settings.home.stat().st_mode & 0o077 == 0


def test_a_ledger_of_an_earlier_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of an earlier spelling, and tables with other columns, are refused when the ledger is opened, by every command alike."""
    settings = made(tmp_path)
    with closing(sqlite3.connect(settings.home / "ledger.sqlite")) as thief:
        (body,) = thief.execute("SELECT body FROM gatehouse_events").fetchone()
    entry = json.loads(body) | {"v": 1}
    edit(settings, "DROP TRIGGER gatehouse_events_no_update", f"UPDATE gatehouse_events SET body = '{json.dumps(entry)}'")
    with pytest.raises(StorageError, match=FOREIGN):
        open_ledger(settings)
    monkeypatch.setenv("GATEHOUSE_HOME", str(settings.home))
    for command in COMMANDS:
        told = CliRunner().invoke(main, list(command), prog_name="gatehouse")
        assert (told.exit_code != 0, FOREIGN in told.output, "unexpected" in told.output) == (True, True, False), told.output


def test_tables_of_another_release(tmp_path: Path) -> None:
    """A column of another name is told at once, not by the first query that misses it."""
    settings = made(tmp_path)
    edit(settings, "ALTER TABLE gatehouse_submissions RENAME COLUMN fallback TO attempt")
    with pytest.raises(StorageError, match=FOREIGN):
        open_ledger(settings)


@pytest.mark.parametrize("content", [b"this is no database, and longer than a header has to be" * 40, None])
def test_a_file_that_is_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    """Foreign bytes, or a folder in the file's place: one error for every command."""
    settings = Settings(home=tmp_path / "home")
    path = settings.folder("") / "ledger.sqlite"
    path.mkdir() if content is None else path.write_bytes(content)
    monkeypatch.setenv("GATEHOUSE_HOME", str(settings.home))
    for command in COMMANDS:
        told = CliRunner().invoke(main, list(command), prog_name="gatehouse")
        assert (told.exit_code != 0, "the ledger can't be used" in told.output, "unexpected" in told.output) == (True, True, False), told.output


def test_nobody_opens_it_in_another_way() -> None:
    """In the package the class is called in one place."""
    package = Path(prefect_gatehouse.__file__).parent
    files = [*package.rglob("*.py"), *(package.parents[1] / "flows").rglob("*.py"), *(package.parents[1] / "tasks").rglob("*.py")]
    found = {path.name for path in files if re.search(r"(?<![\w.])Ledger\(", path.read_text().replace("class Ledger:", ""))}
    assert found == {"opening.py"}
