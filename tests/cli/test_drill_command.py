"""``gatehouse drill outage``, as a user starts it: no account, no server, no installation, and a table of what came of each outage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from prefect_gatehouse.cli.main import main


def test_a_drill_from_the_command_line(tmp_path: Path) -> None:
    """A lost answer, a fallback and a process that is killed: one job each at most, paid once; the caller's own ledger is left alone."""
    mine = tmp_path / "mine.sqlite"
    (tmp_path / "prices.yaml").write_text("{}\n")  # nor are the caller's prices the emulator's
    own = {"LEDGER_URL": f"sqlite:///{mine}", "HOME": str(tmp_path / "home"), "PRICES": str(tmp_path / "prices.yaml")}
    environment = os.environ | {f"GATEHOUSE_{name}": value for name, value in own.items()}
    words = ["--outage", "dropped-after", "--outage", "offline-fallback", "--outage", "killed-after", "--keep", str(tmp_path / "kept"), "--json"]
    command = [sys.executable, "-m", "prefect_gatehouse.cli.main", "drill", "outage", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["ok"], told["ledger"]) == (True, [])
    rows = {each["outage"]: each for each in told["outages"]}
    assert {name: (row["jobs"], row["label"], row["billed_usd"], row["settled_usd"]) for name, row in rows.items()} == {
        "offline-fallback": (0, "simulator", "0.0000", "0.0000"),
        "dropped-after": (1, "primary", "0.3290", "0.3290"),
        "killed-after": (1, "primary", "0.3290", "0.3290"),
    }
    assert [step["did"] for step in rows["killed-after"]["steps"]] == ["run", "resume --dead"]
    assert not mine.exists() and not (tmp_path / "home").exists() and (tmp_path / "kept" / "home" / "ledger.sqlite").exists()


@pytest.mark.parametrize("provider", ["braket", "ibm"])
def test_the_list_of_outages(provider: str) -> None:
    """Each has a name of its own, words, and whether a result is to come of it."""
    told = json.loads(CliRunner().invoke(main, ["drill", "outage", "--provider", provider, "--list", "--json"], catch_exceptions=False).output)
    names = [each["outage"] for each in told]
    assert len(set(names)) == len(names) >= 20 and all(each["about"] and each["gives"] for each in told)
    assert ("forgotten-token" in names) == (provider == "braket") and ("signed-out" in names) == (provider == "ibm")


@pytest.mark.parametrize(("words", "advice"), [(["--outage", "earthquake"], "there are offline,"), (["--keep", "{here}"], "name a new folder")])
def test_what_there_is_not(tmp_path: Path, words: list[str], advice: str) -> None:
    """One clear error before anything is started."""
    asked = [word.format(here=tmp_path) for word in words]
    done = CliRunner().invoke(main, ["drill", "outage", *asked, "--json"])
    assert done.exit_code == 2 and advice in json.loads(done.output)["advice"]
