"""Gate 2 with every rule and scheme at once: what leaves is right, and rows that a rule can't treat are set aside and count nowhere."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from tests.data.test_minimise import ROOT, data, run, written

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens import ff1, permute, siv

COLUMNS: dict[str, dict[str, object]] = {
    "mrn": {"rule": "tokenise", "scheme": "siv", "padding": False, "join_domain": "patient"},
    "mail": {"rule": "tokenise", "canonical": "email"},
    "account": {"rule": "tokenise", "scheme": "ff1", "join_domain": "account"},
    "number": {"rule": "tokenise", "scheme": "permute", "join_domain": "number"},
    "ward": {"rule": "tokenise", "scheme": "codes"},
    "born": {"rule": "generalise", "to": "quarter"},
    "admitted": {"rule": "shift_dates", "subject": "mrn", "days": 30},
    "left": {"rule": "shift_dates", "subject": "mrn", "days": 30},
    "illness": {"rule": "keep"},
    "dose": {"rule": "keep", "nulls": "refuse"},
    "site": {"rule": "constant", "value": "here"},
}
HEADER = "mrn,mail,account,number,ward,born,admitted,left,illness,dose,site"
ROWS = 60


def lines(**change: str) -> list[str]:
    result = []
    for row in range(ROWS):
        day = dt.date(2026, 1, 1) + dt.timedelta(row)
        cells = {
            "mrn": f"CANARY{row // 2}",
            "mail": f"{'CANARY' if row % 2 else 'canary'}{row // 2}@example.org",
            "account": f"12-{row:06d}",
            "number": str(row),
            "ward": f"CANARYward{row % 3}",
            "born": "1980-02-03",
            "admitted": day.isoformat(),
            "left": (day + dt.timedelta(row % 7)).isoformat(),
            "illness": "ABC"[row % 3],
            "dose": f"{row}.5",
            "site": "CANARYsite",
        }
        if row == 0:
            cells.update(change)
        result.append(",".join(cells.values()))
    return result


def test_every_rule_in_one_run(tmp_path: Path) -> None:
    """Each scheme comes back to its value, both dates of a patient keep their distance, k and l are measured, nothing is in clear."""
    declared = data(COLUMNS, quasi_identifiers=["born"], k=5, sensitive=["illness"], l=2)
    result, table = run(tmp_path, written(tmp_path, lines(), header=HEADER), declared)
    assert (result.k, result.l, result.source_rows) == (ROWS, 3, ROWS)
    scope = {"tenant": "acme"}
    rows = permute.detokenise(table["number"], ROOT, join_domain="number", **scope).to_pylist()
    assert sorted(rows) == list(range(ROWS))
    assert siv.detokenise(table["mrn"], ROOT, join_domain="patient", **scope).to_pylist() == [f"CANARY{row // 2}" for row in rows]
    accounts = ff1.Tokeniser(ROOT, join_domain="account", **scope).back(table["account"])
    assert accounts.to_pylist() == [f"12-{row:06d}" for row in rows]
    assert len(set(table["mail"].to_pylist())) == ROWS // 2
    codes = dict(zip([row % 3 for row in rows], table["ward"].to_pylist(), strict=True))
    assert sorted(codes.values()) == [0, 1, 2] and table["ward"].to_pylist() == [codes[row % 3] for row in rows]
    stays = [
        dt.date.fromisoformat(left) - dt.date.fromisoformat(came)
        for came, left in zip(*(table[name].to_pylist() for name in ("admitted", "left")), strict=True)
    ]
    assert [stay.days for stay in stays] == [row % 7 for row in rows]
    real = [(dt.date(2026, 1, 1) + dt.timedelta(row)).isoformat() for row in rows]
    assert not any(came == day for came, day in zip(table["admitted"].to_pylist(), real, strict=True))
    assert table.schema.field("dose").type == pa.float64() and set(table["site"].to_pylist()) == {"here"}
    assert set(table["born"].to_pylist()) == {"1980-Q1"}
    assert not any("canary" in str(row).lower() for row in table.to_pylist())


BAD = {"account": "12-CANARY", "number": "007", "born": "CANARY", "admitted": "CANARY", "dose": "", "mrn": ""}


@pytest.mark.parametrize("name", BAD)
def test_rows_that_a_rule_can_not_treat(tmp_path: Path, name: str) -> None:
    """Refused: one error with the count. Set aside: the others leave, and the bad row's other values count nowhere (an e-mail in a kept column)."""
    source = written(tmp_path, lines(**{name: BAD[name], "illness": "canary@example.org"}), header=HEADER)
    with pytest.raises(DataRefused) as caught:
        run(tmp_path, source, data(COLUMNS))
    assert "CANARY" not in str(caught.value)
    result, table = run(tmp_path, source, data(COLUMNS, malformed="quarantine"), "run-2")
    assert (result.quarantined_rows, table.num_rows) == (1, ROWS - 1)
    assert set(table["illness"].to_pylist()) == {"A", "B", "C"}


def test_a_kept_column_with_identifiers_stops_the_run(tmp_path: Path) -> None:
    """Also where bad rows may be set aside: an identifier is no malformed row but a wrong rule."""
    source = written(tmp_path, lines(illness="who.canary@example.org"), header=HEADER)
    with pytest.raises(DataRefused, match=r"column 'illness': the column carries identifiers: e-mail address \(1\)") as caught:
        run(tmp_path, source, data(COLUMNS, malformed="quarantine"))
    assert "canary" not in str(caught.value)
    assert not list((tmp_path / "artifacts").rglob("*.parquet"))
