"""The file of data classes: what ships, one clear error for what is wrong, and retention that it caps."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.plans import admitted_run, write_project

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Retention
from prefect_gatehouse.policy.class_rules import load_class_rules, refuse_long_retention
from prefect_gatehouse.settings import Settings

SHIPPED = Settings().classes.read_text()
RULES = load_class_rules(Settings().classes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that ships, to be changed."""
    file = tmp_path / "classes.yaml"
    file.write_text(SHIPPED)
    return file


def test_the_classes_that_ship(path: Path) -> None:
    """Every class is there under its own name, and a higher one allows no more than a lower one."""
    rules = load_class_rules(path)
    assert list(rules) == list(DataClass)
    for lower, higher in zip(rules.values(), list(rules.values())[1:], strict=False):
        assert set(higher.readers) <= set(lower.readers)
        assert (higher.artifacts_seconds, higher.evidence_seconds) <= (lower.artifacts_seconds, lower.evidence_seconds)
    assert rules[DataClass.RESTRICTED].artifacts_seconds == 3 * 86_400


# A text of the file, what stands there instead, and the field that the error names.
WRONG = [
    ("readers: [requester, approver]", "readers: [everybody]", "confidential.readers.0"),
    ("readers: [requester, approver]", "readers: requester", "confidential.readers"),
    ("artifacts: 3d", "artifacts: 3", "restricted.artifacts"),
    ("artifacts: 3d", "artifacts: 0d", "restricted.artifacts"),
    ("artifacts: 3d\n", "\n", "restricted.artifacts"),
    ("write_back: true", "write_back: 1", "public.write_back"),
    ("write_back: true", 'write_back: "true"', "public.write_back"),
    ("write_back: true", "write_back: true\n  write: true", "public.write"),
    ("restricted:\n", "secret:\n", "secret"),
    # A slip that would make declaring a higher class the way to more.
    ("artifacts: 3d", "artifacts: 8d", "restricted.artifacts"),
    ("artifacts: 30d", "artifacts: 91d", "internal.artifacts"),
    ("evidence: 3650d", "evidence: 7301d", "confidential.evidence"),
    ("write_back: true", "write_back: false", "internal.write_back"),
    ("[requester, approver]\n  artifacts: 3d", "[requester, approver, auditor]\n  artifacts: 3d", "restricted.readers"),
]


@pytest.mark.parametrize(("text", "instead", "field"), WRONG)
def test_one_wrong_field(path: Path, text: str, instead: str, field: str) -> None:
    """The error is ours, names file and field and says what to do."""
    assert text in SHIPPED
    path.write_text(SHIPPED.replace(text, instead, 1))
    with pytest.raises(InputError) as caught:
        load_class_rules(path)
    assert caught.value.where.startswith(str(path))
    assert field in caught.value.where
    assert caught.value.message and caught.value.advice


FILES = {
    "empty": b"",
    "a_list": b"[]",
    "no_yaml": b"a: [",
    "no_text": b"\xff\xfe",
    "an_object": b"!!python/object/apply:os.system ['true']",
    "three_classes": SHIPPED.partition("restricted:\n")[0].encode(),
    "one_class_twice": SHIPPED.encode() + b"public:\n  readers: []\n  artifacts: 1d\n  evidence: 1d\n  write_back: true\n",
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_classes(path: Path, case: str) -> None:
    """Whatever else the file is, or if there is none, there is one InputError with its path."""
    path.write_bytes(FILES[case])
    with pytest.raises(InputError) as caught:
        load_class_rules(path)
    assert str(path) in caught.value.where
    path.unlink()
    with pytest.raises(InputError, match="can't be read"):
        load_class_rules(path)


@pytest.mark.parametrize("data_class", DataClass)
@pytest.mark.parametrize("field", ["artifacts", "evidence"])
def test_retention_is_capped_by_the_class(tmp_path: Path, data_class: DataClass, field: str) -> None:
    """Up to the class's longest it may stay, a second more is refused by the name of the field."""
    write_project(tmp_path / "p")
    manifest, rules = admitted_run(tmp_path / "p").manifest, RULES[data_class]
    longest = timedelta(seconds=getattr(rules, f"{field}_seconds"))
    short = Retention(artifacts=timedelta(days=1), evidence=timedelta(days=1))
    refuse_long_retention(manifest.model_copy(update={"retention": short.model_copy(update={field: longest})}), rules)
    longer = short.model_copy(update={field: longest + timedelta(seconds=1)})
    with pytest.raises(Denied, match=f"{field} of class {data_class} stay at most {longest.days} d") as caught:
        refuse_long_retention(manifest.model_copy(update={"retention": longer}), rules)
    assert caught.value.where == f"retention.{field}"
