"""How a CSV that nobody has described is written: what is proposed, what is left alone, what is asked, and that nothing of it is shown."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
import sklearn.datasets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_gatehouse.data.minimise import minimise
from prefect_gatehouse.data.sources import FilesPlace
from prefect_gatehouse.data.sources.recognise import recognised
from prefect_gatehouse.errors import DataRefused, GatehouseError, InputError
from prefect_gatehouse.manifest.columns import Keep
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.profile.profile import profile
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.tokens.keys import RootKey

SHIPPED = Path(sklearn.datasets.__file__).parent / "data"


def proposed(tmp_path: Path, data: bytes | str, name: str = "p.csv", **given: object) -> dict[str, object]:
    (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    found = recognised(FilesPlace(tmp_path, (name,)), given)
    assert "CANARY" not in " ".join(found.told)
    return found.form.model_dump(exclude_defaults=True)


ADULT = "".join(f"{30 + row % 9}, {('State-gov', '?')[row % 2]}, {7000 + row * 17}, {('HS', 'CANARY')[row % 3 % 2]}, <=50K\n" for row in range(50))

FOUND: dict[str, tuple[str | bytes, dict[str, object]]] = {
    "standard": ("name,age\nCANARY,3\nb,4\n", {}),
    "one-column": ("name\nCANARY\nb\n", {}),
    "adult": (ADULT, {"header": "none", "trim": True, "missing": ("?",)}),
    "semicolons": ("name;age\nx, CANARY;3\ny;4\n", {"delimiter": ";"}),
    "decimal-commas": ("name;cm;n\nx;1,5;1\ny;2;2\nz;;3\n", {"delimiter": ";", "decimal_comma": ("cm",)}),
    "tabs": ("name\tage\nx\t3\n", {"delimiter": "tab"}),
    "bars": ("name|age\nx|3\n", {"delimiter": "|"}),
    "blanks": ("chins situps\n5 162\n2 110\n12 101\n", {"delimiter": "space"}),
    "blanks-and-codes": ("A11 6 A34 1169 A65 1\nA12 48 A32 5951 A61 2\nA14 12 A34 2096 A61 1\n", {"delimiter": "space", "header": "none"}),
    "codes-of-two-parts": ("plate\nB12 34\nC7 1200\nM3 9\n", {}),
    "sentences": ("what was said\nCANARY went home\nwho was there\n", {}),
    "utf-16": ("name\tage\nx\t3\n".encode("utf-16"), {"delimiter": "tab", "encoding": "utf-16"}),
    "gzip": (gzip.compress(b"name;age\nx;3\n"), {"delimiter": ";"}),
    "all-numbers": ("1,2\n3,4\n5,6\n7,8\n", {"header": "none"}),
    "addresses": ("CANARY@example.org,x\nb@example.org,y\nc@example.org,z\n", {"header": "none"}),
    "telephones": ("CANARY,+49 30 1234567\nb,+49 30 7654321\n", {"header": "none"}),
    "words": ("CANARY,f,yes\nb,m,yes\nc,f,no\nd,m,no\n", {"header": "none"}),
    "years": ("country,1990,1991,1992\nx,1,2,3\ny,4,5,6\n", {}),
    "numbered": ("0,1,2\na,5,6\nb,7,8\n", {}),
    "title": ("CANARY of 2026\nname,age\nx,3\ny,4\nz,5\n", {"skip_rows": 1}),
    "missing-numbers": ("a,b\nNA,NA\n1,x\n2,CANARY\n", {"missing": ("NA",)}),
    "namibia": ("a,country\n1,NA\n2,DE\n", {}),
    "decimal-commas-everywhere": ('"a, CANARY";b\n1,5;2,5\n3,5;4,5\n', {"delimiter": ";", "decimal_comma": ("a, CANARY", "b")}),
    "separator": ("\ufeffSEP=;\r\nname;cm\r\nx;1,5\r\ny;2,5\r\n", {"delimiter": ";", "decimal_comma": ("cm",)}),
    "separator-and-title": ("sep=\t\nCANARY of 2026\na\tb\n1\t2\n3\t4\n5\t6\n", {"delimiter": "tab", "skip_rows": 2}),
    "malformed": ("a,b\n1,2\n3,4,5\n6,7\n8,9\n", {}),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_is_proposed(tmp_path: Path, case: str) -> None:
    """The settings that read the file rightly, and none for a standard one; a value is never told."""
    data, expected = FOUND[case]
    assert proposed(tmp_path, data) == expected


def test_what_is_given_is_not_looked_for(tmp_path: Path) -> None:
    """A person knows better; a wrong setting is told."""
    assert proposed(tmp_path, "2019,2021\n3,4\n5,6\n", header="row") == {}
    assert proposed(tmp_path, "a;b\n1;2\n", delimiter=",") == {"delimiter": ","}
    assert proposed(tmp_path, "remark\r\nx\r\n1,2\r\n3,4\r\n", skip_rows=2) == {"skip_rows": 2, "header": "none"}
    with pytest.raises(InputError, match=r"data\.csv\.delimiter"):
        proposed(tmp_path, "a,b\n1,2\n", delimiter="zz")
    with pytest.raises(InputError, match="parted by commas or semicolons") as caught:
        proposed(tmp_path, "1,5;2,5\n3,5;4,5\n")
    assert "--delimiter" in caught.value.advice and 'data.csv.delimiter: "," or ";"' in caught.value.advice


@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.glob("*.csv*")))
def test_real_data_sets_are_profiled_and_minimised_as_proposed(tmp_path: Path, name: str) -> None:
    """Every one that scikit-learn ships, with counts for a header, none at all, blanks, compressed: each row leaves, and no name is a value."""
    found = profile(SHIPPED / name)
    rows = {"iris.csv": 151, "wine_data.csv": 178, "breast_cancer.csv": 569, "digits.csv.gz": 1797, "diabetes_data_raw.csv.gz": 442}
    assert found.rows == rows.get(name, found.rows)
    assert found.unnamed == 0
    first = (gzip.decompress if name.endswith(".gz") else bytes)((SHIPPED / name).read_bytes()).decode().split("\n")[0]
    if any(map(str.isdigit, first)):
        assert all(each.observed.name.startswith("column_") for each in found.proposals)
    data = Data.model_validate(found.data().model_dump(by_alias=True))
    run, store = RunKeys(tmp_path / "keys").obtain("run-1"), ArtifactStore(tmp_path / "artifacts")
    place = FilesPlace(SHIPPED, (name,), data.csv)
    result = minimise(
        data.model_copy(update={"k": None, "l": None}), place, RootKey(bytes(range(32))), tenant="t", run_id="run-1", store=store, key=run
    )
    assert (result.source_rows, result.artifact.rows) == (found.rows, found.rows)
    table = store.read(result.artifact, run)
    for column, rule in data.columns.items():
        if isinstance(rule, Keep) and next(each for each in found.proposals if each.observed.name == column).observed.kind != "text":
            assert pa.types.is_integer(table[column].type) or pa.types.is_floating(table[column].type)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text("ab1,;\t|\"' .\n\r?", max_size=120).map(str.encode)))
def test_any_file_is_profiled_or_refused(tmp_path: Path, data: bytes) -> None:
    """Hostile or broken: one error of ours, or a profile of what can be read."""
    path = tmp_path / "p.csv"
    path.write_bytes(data)
    try:
        found = profile(path)
    except (InputError, DataRefused):
        return
    except GatehouseError as error:
        raise AssertionError from error
    assert found.rows > 0
