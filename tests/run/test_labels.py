"""What a provider's record of a job says of the run: identifiers and pseudonyms, the same each time, and nobody's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.run.labels import labels_of, pseudonym
from prefect_gatehouse.settings import Settings
from tests.run.desk import Desk


def test_a_pseudonym_stays_and_is_the_installation_s_own(tmp_path: Path) -> None:
    one, other = (Settings(home=tmp_path / name) for name in ("one", "other"))
    first = pseudonym(one, "requester", "somebody@example.org")
    assert first == pseudonym(one, "requester", "somebody@example.org")
    others = {
        pseudonym(one, "requester", "another@example.org"),
        pseudonym(one, "service", "somebody@example.org"),
        pseudonym(other, "requester", "somebody@example.org"),
    }
    assert len(others | {first}) == 4
    assert all(len(each) == 32 and "somebody" not in each for each in others | {first})
    assert pseudonym(one, "service", "") == ""
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "one" / "pseudonyms").iterdir()] == [0o600]


def test_a_run_that_was_never_admitted_has_none(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(Tampered):
        labels_of(desk.settings, desk.attempt.chain)
