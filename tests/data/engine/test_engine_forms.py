"""How a CSV is written changes nothing of what leaves: the same rows, digest and counts from every form and engine."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from tests.data.engine.bench import ROOT_FOLDER, Home, csv, declared, rows
from tests.data.engine.test_engines import Here, facts

from prefect_gatehouse.data.engine.processes import Processes

FORM = {
    "delimiter": ";",
    "encoding": "utf-16",
    "header": "none",
    "names": ["mrn", "email", "born", "size", "visits", "ward"],
    "trim": True,
    "missing": ["?"],
    "decimal_comma": ["size"],
}


def foreign(folder: Path, table: pa.Table, files: int, malformed: bool = False) -> Path:
    """The rows as another country's spreadsheet writes them, in several files, every second one compressed."""
    source = folder / f"foreign-{files}-{malformed}"
    source.mkdir()
    lines = []
    for row in table.to_pylist():
        cells = ["?" if value is None else str(value).replace(".", ",") if name == "size" else str(value) for name, value in row.items()]
        lines.append(" ; ".join(cells))
    for number in range(files):
        chosen = [*lines[number::files], *(["too;few"] if malformed else [])]
        data = ("\r\n".join(chosen) + "\r\n").encode("utf-16")
        (source / f"{number}.csv").write_bytes(gzip.compress(data) if number % 2 else data)
    return source


def test_every_form_and_engine_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard CSV in this process against the other form in this one, through a pool, and in processes."""
    monkeypatch.syspath_prepend(str(ROOT_FOLDER))  # a worker imports the tests' key reader
    table = rows(3000)
    expected, there = Home(tmp_path / "standard").minimise(csv(tmp_path, table))
    source, data = foreign(tmp_path, table, 3), declared(csv=FORM)
    here, found = Home(tmp_path / "here").minimise(source, data)
    away, too = Home(tmp_path / "away").minimise(source, data, pool=Here(2))
    with Processes(2) as pool:
        processes, three = Home(tmp_path / "processes").minimise(source, data, pool=pool)
    assert facts(here) == facts(away) == facts(processes) == facts(expected)
    assert found.equals(there) and too.equals(there) and three.equals(there)


def test_rows_set_aside_are_the_same_in_every_engine(tmp_path: Path) -> None:
    """One malformed row a file is counted and kept, wherever it was found."""
    table = rows(600)
    source, data = foreign(tmp_path, table, 3, malformed=True), declared(csv=FORM, malformed="quarantine")
    here, found = Home(tmp_path / "here").minimise(source, data)
    away, too = Home(tmp_path / "away").minimise(source, data, pool=Here(2))
    assert (here.quarantined_rows, away.quarantined_rows) == (3, 3)
    assert facts(here) == facts(away) and found.equals(too)
    assert here.quarantine is not None and away.quarantine is not None
