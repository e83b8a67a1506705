"""``gatehouse synthesise`` on the tumour example's source, and a dry run of the example on what it wrote."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner, Result
from tests.examples.test_tumour_kernel import FOLDER, module

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.data.sources import FilesPlace, open_source
from prefect_gatehouse.manifest.csv_form import CsvForm
from prefect_gatehouse.operate.dry_run import dry_run_plan
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["synthesise", *map(str, arguments)])


def test_the_tumour_source_and_a_dry_run_on_the_result(home: Path, tmp_path: Path) -> None:
    """Written, measured, recorded; the example's own manifest, suites and workload run on it up to the plan, which says what it is."""
    project = tmp_path / "project"
    shutil.copytree(FOLDER, project, ignore=shutil.ignore_patterns("source.csv", "__pycache__"))
    real, made, report = tmp_path / "source.csv", project / "source.csv", tmp_path / "report.json"
    rows = module("source").write_source(real)
    result = call(real, "--out", made, "--rows", 1500, "--report", report, "--seed", 3, "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.output)
    assert data["report"] == json.loads(report.read_text())
    assert (data["report"]["source_rows"], data["report"]["rows"], data["report"]["rows_copied"]) == (rows, 1500, 0)
    source, table = (pd.read_csv(path, dtype=str) for path in (real, made))
    assert list(table.columns) == list(source.columns)
    for column in ("medical_record_number", "email", "birth_date", "postcode", "worst_perimeter", "mean_concavity"):
        assert not set(source[column]) & (set(table[column]) - {"0.0"}), column
    assert not [value for value in source["email"] if value in result.output + report.read_text()]
    tiers = yaml.safe_load(Settings().tiers.read_text())
    tiers["prototype"]["unverified_class"] = "restricted"  # nobody signs here, and the example's classes are those of real patients
    (tmp_path / "tiers.yaml").write_text(yaml.safe_dump(tiers))
    settings = Settings(home=home, identity=tmp_path / "nobody", tiers=tmp_path / "tiers.yaml")
    # No server here, so no look at the target either: the example names a block for it.
    manifest = project / "gatehouse.yaml"
    manifest.write_text(re.sub(r"(?m)^ +preflight: .*\n", "", manifest.read_text()))
    plan = dry_run_plan(settings, project / "gatehouse.yaml", lambda what: lambda done, total: None, signed=False)
    assert plan.validated.minimised.synthetic
    assert "synthetic data, recorded" in "; ".join(section.summary for section in sections(plan))
    assert plan.validated.report.success


def test_a_source_of_another_form_and_a_result_in_the_same(home: Path, tmp_path: Path) -> None:
    """No header, semicolons, decimal commas, question marks, an old encoding: the new file reads with the settings of the old one."""
    draw = np.random.default_rng(1)
    amounts = draw.lognormal(3, 1, 600)
    rows = [f"P-{number:05d}; {amount:.3f}; {'é?b'[number % 3]}".replace(".", ",") for number, amount in enumerate(amounts)]
    (tmp_path / "in.data").write_bytes("\r\n".join(["remark", *rows, ""]).encode("cp1252"))
    settings = ["--delimiter", ";", "--header", "none", "--trim", "--missing", "?", "--encoding", "cp1252", "--skip-rows", "1"]
    result = call(tmp_path / "in.data", "--out", tmp_path / "out.data", *settings, "--decimal-comma", "column_2", "--seed", 1)
    assert result.exit_code == 0, result.output
    form = CsvForm(delimiter=";", header="none", trim=True, missing=("?",), encoding="cp1252", skip_rows=1, decimal_comma=("column_2",))
    with open_source(FilesPlace(tmp_path, ("out.data",), form)) as source:
        table = pa.Table.from_batches(list(source.batches(source.names)))
    assert (table.num_rows, table.column_names) == (600, ["column_1", "column_2", "column_3"])
    assert set(table["column_3"].to_pylist()) == {"é", "b", None}
    assert all(float(value) > 0 for value in table["column_2"].to_pylist())
    assert not {value[:7] for value in table["column_1"].to_pylist()} & {row[:7] for row in rows}
    wrong = call(tmp_path / "in.data", "--out", tmp_path / "out.parquet", *settings, "--seed", 1)
    assert (wrong.exit_code, "source's format" in wrong.output) == (2, True)


def test_what_people_see(home: Path, tmp_path: Path) -> None:
    """Tables with limits, the digest, where the randomness is from; no value of the source."""
    amounts = np.random.default_rng(1).lognormal(8, 1, 400)
    rows = ["id,amount,group", *(f"P-{number:05d},{amount:.2f},{'ab'[number % 2]}" for number, amount in enumerate(amounts))]
    (tmp_path / "in.csv").write_text("\n".join(rows) + "\n")
    result = call(tmp_path / "in.csv", "--out", tmp_path / "out.csv", "--seed-from-os")
    assert result.exit_code == 0, result.output
    for words in ("Distance (limit)", "Rows copied", "from the operating system", "recorded as synthetic"):
        assert words in result.output
    assert "P-00" not in result.output
    assert (tmp_path / "out.csv").stat().st_mode & 0o077 == 0


def test_refusals_have_their_exit_codes(home: Path, tmp_path: Path) -> None:
    """Usage, input, data: nothing is written by any."""
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    assert call(source, "--out", out, "--seed", 1, "--seed-from-os").exit_code == 2
    assert call(source, "--out", tmp_path / "out.parquet").exit_code == 2
    assert call(source, "--out", out, "--min-count", 4).exit_code == 2
    assert call(source, "--out", out, "--rows", 0).exit_code == 2
    assert call(tmp_path / "none.csv", "--out", out).exit_code == 2
    result = call(source, "--out", out, "--json")
    assert (result.exit_code, json.loads(result.output)["error"]) == (3, "data-refused")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "in.csv"]


def test_a_line_for_excel_comes_back(home: Path, tmp_path: Path) -> None:
    """The new file begins with ``sep=;`` as its source does, so that both are read by one manifest; with lines skipped as well."""
    rows = "".join(f"{place % 9};{'xyz'[place % 3]}\r\n" for place in range(600))
    for name, above, options in (("plain", "sep=;\r\n", ()), ("skipped", "sep=;\r\ntitle\r\n", ("--skip-rows", "2"))):
        source, made = tmp_path / f"{name}.csv", tmp_path / f"{name}-made.csv"
        source.write_bytes((above + "a;b\r\n" + rows).encode())
        result = call(source, "--out", made, "--seed", 3, *options)
        assert result.exit_code == 0, result.output
        assert made.read_text().startswith("sep=;\n")
        with open_source(FilesPlace(tmp_path, (made.name,), CsvForm(skip_rows=int(options[1]) if options else 0))) as written:
            assert written.names == ("a", "b")
