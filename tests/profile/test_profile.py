"""Profiles of new sources: what is proposed, why, and that no value is told."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.manifest.columns import Drop, Tokenise
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.manifest.fields import ColumnName, DataClass
from prefect_gatehouse.profile.profile import Profile, data_section, profile
from prefect_gatehouse.profile.propose import hinted, propose
from prefect_gatehouse.profile.statistics import Observed

# What the manifest says of a column's name.
NAME: TypeAdapter[str] = TypeAdapter(ColumnName)


def nameable(name: str) -> bool:
    try:
        NAME.validate_python(name)
    except ValidationError:
        return False
    return True


def clinic(rows: int = 400) -> pa.Table:
    rng = random.Random(1)
    day = dt.date(2025, 1, 1)
    return pa.table(
        {
            "patient_id": [f"CANARY-{row:05d}" for row in range(rows)],
            "surname": [f"CANARYname{rng.randrange(90)}" for _ in range(rows)],
            "email": [f"canary{row}@example.org" for row in range(rows)],
            "birthDate": [str(dt.date(1940 + row % 3, 1 + row % 12, 1 + row % 28)) for row in range(rows)],
            "zip": [f"0{rng.randrange(2)}{rng.randrange(1000):03d}" for _ in range(rows)],
            "sex": [rng.choice("mf") for _ in range(rows)],
            "admitted": [str(day + dt.timedelta(rng.randrange(300))) for _ in range(rows)],
            "seen": [(day + dt.timedelta(rng.randrange(300))).strftime("%d.%m.%Y") for _ in range(rows)],
            "diagnosis": [rng.choice(["I10", "E11", "C50"]) for _ in range(rows)],
            "age": [str(20 + row % 4) for row in range(rows)],
            "weight": [f"{rng.gauss(75, 12):.1f}" for _ in range(rows)],
            "story": [f"CANARY {rng.random()} went home" for _ in range(rows)],
            "ward_phone": ["+49 30 1234567"] * rows,
            "code": [f"CANARY{rng.randrange(200)}" for _ in range(rows)],
            "empty": pa.nulls(rows, pa.string()),
        }
    )


def as_csv(table: pa.Table, path: Path) -> Path:
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    lines = [",".join(table.column_names), *(",".join("" if cell is None else str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(params=["csv", "parquet"])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Profile:
    if request.param == "csv":
        return profile(as_csv(clinic(), tmp_path / "clinic.csv"))
    pq.write_table(clinic(), tmp_path / "clinic.parquet")
    return profile(tmp_path / "clinic.parquet")


def test_each_column_gets_the_rule_that_it_needs(found: Profile) -> None:
    """The rule of every column, the quasi-identifiers with the k that they give, and what is sensitive."""
    rules = {each.observed.name: each.column.model_dump(exclude_defaults=True, exclude={"data_class"}) for each in found.proposals}
    assert rules == {
        "patient_id": {"rule": "tokenise", "scheme": "siv"},
        "surname": {"rule": "drop"},
        "email": {"rule": "tokenise", "canonical": "email"},
        "birthDate": {"rule": "generalise", "to": "year"},
        "zip": {"rule": "generalise", "prefix": 2},
        "sex": {"rule": "keep"},
        "admitted": {"rule": "shift_dates", "subject": "patient_id"},
        "seen": {"rule": "drop"},
        "diagnosis": {"rule": "keep"},
        "age": {"rule": "generalise", "round_to": 10.0},
        "weight": {"rule": "keep"},
        "story": {"rule": "drop"},
        "ward_phone": {"rule": "drop"},
        "code": {"rule": "drop"},
        "empty": {"rule": "drop"},
    }
    assert found.quasi_identifiers == ("birthDate", "zip", "sex", "age")
    assert found.sensitive == ("diagnosis",)
    assert (found.rows, found.whole, found.unnamed) == (400, True, 0)
    assert found.k is not None and found.groups is not None and found.k * found.groups <= 400
    classes = {each.observed.name: each.column.data_class for each in found.proposals}
    assert classes["patient_id"] is classes["surname"] is classes["code"] is DataClass.RESTRICTED
    assert classes["weight"] is DataClass.CONFIDENTIAL


def test_no_value_is_told(found: Profile) -> None:
    """Neither the profile nor the section holds a value of the source, or its smallest or largest."""
    shown = data_section(found) + repr(found)
    values = {str(value) for column in clinic().columns for value in column.to_pylist() if value is not None and len(str(value)) > 3}
    assert not [value for value in values if value in shown]
    assert "CANARY" not in shown.upper().replace("CANARY_", "")


def test_the_section_is_a_manifest_section(found: Profile) -> None:
    """The YAML reads back as the proposal itself, by the manifest's own model."""
    read = yaml.safe_load(data_section(found))
    assert list(read) == ["data"]
    assert Data.model_validate(read["data"]) == found.data()
    assert found.data().k == 5 and found.data().l == 2


def test_first_rows_only(tmp_path: Path) -> None:
    """A bound on the rows is kept exactly, and the profile says that it is not the whole."""
    path = as_csv(clinic(), tmp_path / "clinic.csv")
    part = profile(path, rows=100)
    assert (part.rows, part.whole) == (100, False)
    assert all(each.observed.rows == 100 for each in part.proposals)
    assert profile(path, rows=1000).whole
    assert part.k is not None and part.k <= 100


def test_progress_of_both_passes(tmp_path: Path) -> None:
    """The reporter is asked for twice, and each ends at the end."""
    path = as_csv(clinic(), tmp_path / "clinic.csv")
    steps: dict[str, list[tuple[int, int]]] = {}
    profile(path, progress=lambda what: lambda done, total: steps.setdefault(what, []).append((done, total)))
    size = path.stat().st_size
    assert {what: each[-1] for what, each in steps.items()} == {"looking at the columns": (size, size), "measuring the groups": (size, size)}


def test_hostile_names(tmp_path: Path) -> None:
    """Names that YAML would read as something else stay names; those that no manifest can hold are counted, not shown."""
    names = ["yes", "1", "null", "a: b", "x#y", "it's", 'q"q', "- z", "<b>", "a|b", "", "same", "same"]
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    path = tmp_path / "odd.csv"
    path.write_text(quoted + "\n" + ",".join("1" for _ in names) + "\n")
    found = profile(path)
    section = data_section(found)
    assert list(yaml.safe_load(section)["data"]["columns"]) == names[:8]
    assert found.unnamed == 5
    assert Data.model_validate(yaml.safe_load(section)["data"]) == found.data()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=12), min_size=1, max_size=6, unique=True))
def test_any_names_give_a_section_that_reads_back(tmp_path: Path, names: list[str]) -> None:
    """Whatever columns are called, the section is valid YAML for exactly the proposal, one line a column."""
    path = tmp_path / "any.parquet"
    pq.write_table(pa.table({name: ["a", "b"] for name in names}), path)
    if not any(map(nameable, names)):
        with pytest.raises(InputError, match="no column has a name"):
            profile(path)
        return
    found = profile(path)
    section = data_section(found)
    assert Data.model_validate(yaml.safe_load(section)["data"]) == found.data()
    assert len(section.splitlines()) == 4 + len(found.proposals) + (2 if found.k is not None else 0) + (2 if found.sensitive else 0)


def test_bound_that_falls_on_the_end(tmp_path: Path) -> None:
    """As many rows as there are, are the whole."""
    path = as_csv(clinic(100), tmp_path / "clinic.csv")
    assert [profile(path, rows=rows).whole for rows in (99, 100, 101)] == [False, True, True]


def observed(name: str, kind: str = "text", different: int = 5, share: float = 0.01, **more: object) -> Observed:
    return Observed(name=name, kind=kind, rows=1000, missing=0, different=different, share_different=share, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["last_name", "lastName", "LAST NAME", "Nachname", "e-mail of contact", "homeAddress", "comment", "IBAN"])
def test_direct_identifiers_by_name_are_dropped(name: str) -> None:
    """Whatever the values look like, a column whose name says that it identifies is not kept."""
    (proposal,) = propose([observed(name)])
    assert isinstance(proposal.column, Drop) and proposal.column.data_class is DataClass.RESTRICTED


@settings(deadline=None)
@given(
    st.builds(
        observed,
        st.text(max_size=12),
        st.sampled_from(["text", "whole numbers", "numbers", "dates", "nothing", "something else", "true or false"]),
        st.integers(0, 1000),
        st.floats(0, 1),
        identifiers=st.dictionaries(st.just("IBAN"), st.integers(1, 9), max_size=1),
        other_dates=st.booleans(),
        spaced=st.booleans(),
    )
)
def test_nothing_with_identifiers_is_kept_in_clear(column: Observed) -> None:
    """Whatever else is seen of a column: one with identifiers is dropped or tokenised and restricted, and every reason is a sentence."""
    (proposal,) = propose([column])
    assert proposal.reason
    if column.identifiers:
        assert isinstance(proposal.column, Drop | Tokenise)
        assert proposal.column.data_class is DataClass.RESTRICTED
    if column.kind in ("nothing", "something else"):
        assert isinstance(proposal.column, Drop)


def test_words_of_a_name() -> None:
    """A hint is a whole word of the name, in any of the usual spellings."""
    assert hinted("PatientAge", "ages") and hinted("age_years", "ages") and hinted("date-of-birth", "dates of birth")
    assert not hinted("dosage", "ages") and not hinted("village", "ages")


def test_sources_that_can_not_be_profiled(tmp_path: Path) -> None:
    """No rows, no names, no file: one error of ours each."""
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "double.csv").write_text("a,a\n1,2\n")
    for name, expected in (("header.csv", DataRefused), ("double.csv", DataRefused), ("none.csv", InputError)):
        with pytest.raises(expected):
            profile(tmp_path / name)
    pq.write_table(pa.table({"nested": [{"a": 1}], "bytes": [b"x"]}), tmp_path / "odd.parquet")
    found = profile(tmp_path / "odd.parquet")
    assert all(isinstance(each.column, Drop) for each in found.proposals)
    assert json.loads(json.dumps([each.observed.kind for each in found.proposals])) == ["something else"] * 2


def test_a_cell_costs_little(tmp_path: Path) -> None:
    """Ordinary columns, with accents and addresses, take no Python work for each cell but where something may be an identifier."""
    path = tmp_path / "five.csv"
    rows = (f"{row},Zoë Müller {row % 997},{row * 7 / 100:.2f},Zürich {row % 50},user{row}@example.org" for row in range(20_000))
    path.write_text("\n".join(["id,name,amount,city,mail", *rows]) + "\n")
    profile(path, 10)  # imports
    before = time.process_time()
    assert profile(path).rows == 20_000
    assert time.process_time() - before < 3.0
