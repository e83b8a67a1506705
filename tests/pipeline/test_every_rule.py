"""Every rule and every scheme in one run, rows set aside among them: nothing of the source is in any byte outside the trust zone."""

from __future__ import annotations

import csv
import secrets
from pathlib import Path
from typing import Any

import pytest
from tests.support.leaks import leaks, long_number

COLUMNS = """
    card: {class: restricted, rule: tokenise, scheme: ff1}
    number: {class: restricted, rule: tokenise, scheme: permute}
    mail: {class: restricted, rule: tokenise, canonical: email}
    ward: {class: restricted, rule: tokenise, scheme: codes}
    seen: {class: restricted, rule: shift_dates, subject: subject}
    country: {class: internal, rule: constant, value: elsewhere}
    weight: {class: confidential, rule: generalise, round_to: 100000000000000}
"""
BAD = 3
WORKLOAD = """
import pandas as pd


def solve(features, parameters):
    from qiskit import QuantumCircuit

    assert set(features.columns) > {"card", "number", "mail", "ward", "seen", "country", "weight"}
    # Whole numbers stay whole beside a gap: a float would have changed permuted ones.
    assert all(str(features[name].dtype) == "Int64" and features[name].isna().sum() == 1 for name in ("number", "weight"))
    circuit = QuantumCircuit(1, 1)
    circuit.ry(float(features["x"].iloc[0]), 0)
    circuit.measure(0, 0)
    counts = yield [circuit]
    return pd.DataFrame({"subject": features["subject"], "score": features["x"] + counts[0].get("0", 0)})
"""


def widen(pipeline: Any, engine: str) -> tuple[list[str], set[str]]:
    """Gives the source the columns that the other rules take, and some rows that can't be treated; the canaries and the good subjects."""
    source = pipeline.zone / "source.csv"
    with source.open() as stream:
        rows = list(csv.DictReader(stream))
    canaries = list(pipeline.canaries)
    for place, row in enumerate(rows):
        mark = secrets.token_hex(6)
        row["card"] = "".join(secrets.choice("0123456789") for _ in range(16))
        row["number"] = str(10**15 + secrets.randbelow(9 * 10**15))
        row["mail"] = f"Person-{mark}@Example.org"
        row["ward"] = f"ward-{place % 4}-of-the-clinic"
        row["seen"] = f"20{10 + place % 9}-0{1 + place % 9}-1{place % 9}"
        row["country"] = f"land-{mark}"
        row["weight"] = long_number()
        canaries += [row["card"], row["number"], mark, row["ward"], row["weight"]]
    rows[BAD]["number"] = rows[BAD]["weight"] = ""
    for row in rows[:BAD]:
        row["x"] = f"no-number-{secrets.token_hex(6)}"
        canaries.append(row["x"])
    with source.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = pipeline.manifest.read_text()
    text = text.replace("  quasi_identifiers:", f"{COLUMNS}  malformed: quarantine\n  quasi_identifiers:")
    text = text.replace("  shots: 64\n", f"  shots: 64\n  data_engine: {engine}\n")
    pipeline.manifest.write_text(text)
    return canaries, {row["subject"] for row in rows[BAD:]}


@pytest.mark.parametrize("engine", ["in-process", "processes"])
def test_every_rule_leaks_nothing(make_pipeline: Any, prefect_home: Path, engine: str) -> None:
    """The run completes; good rows come home, bad ones are counted; no canary is anywhere, before the approval or after the end."""
    pipeline = make_pipeline(rounds=1, workload=WORKLOAD)
    canaries, good = widen(pipeline, engine)
    run_id = pipeline.start()
    pipeline.process(run_id)
    minimised = pipeline.standing_plan(run_id).validated.minimised
    assert (minimised.artifact.rows, minimised.quarantined_rows) == (len(good), BAD)
    # The canaries of a few rows while the artifacts are there, all of them at the end.
    assert leaks([*pipeline.canaries[:16], *canaries[-BAD - 20 :]], prefect_home, pipeline.home, pipeline.log) == []
    pipeline.answer(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.state(run_id)
    assert {row[0] for row in pipeline.rows()} == good
    assert leaks(canaries, prefect_home, pipeline.home, pipeline.log) == []
    assert pipeline.left_behind() == []
