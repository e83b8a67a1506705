"""Gate 2: the key of the tokens is fetched where a column needs one, and what is left of the data is owned and encrypted."""

from __future__ import annotations

import pytest
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.tasks.minimise import minimise


def test_what_is_left_is_owned(desk: Desk) -> None:
    """Rows are tokenised and counted, the artifact is in the ledger with its owner, and the lease of the key has ended."""
    fetch = Fetching()
    made = minimise(desk.attempt, desk.admitted(), fetch)
    assert (fetch.purposes, made.source_rows, made.artifact.rows, made.token_key_version) == ([Purpose.TOKENISE], 3, 3, 1)
    table = desk.attempt.store.read(made.artifact, desk.attempt.key)
    assert set(table.column("subject").to_pylist()).isdisjoint({"ann", "bob", "cid"})
    (stored,) = desk.ledger.events(RUN, "artifact-stored")
    assert (stored.data["uri"], stored.data["owner"]) == (made.artifact.uri, "test-owner")
    assert all(lease.revoked for lease in desk.attempt.leases)


def test_no_key_is_fetched_for_columns_that_need_none(desk: Desk) -> None:
    """A file whose columns are kept is minimised without any secret."""
    desk.change("rule: tokenise, scheme: siv", "rule: keep")
    fetch = Fetching()
    made = minimise(desk.attempt, desk.admitted(), fetch)
    assert (fetch.purposes, made.token_key_version) == ([], None)


def test_a_column_that_is_not_there(desk: Desk) -> None:
    """The run ends with the column's name; nothing was stored, and the key's lease has ended all the same."""
    (desk.folder / "source.csv").write_text("subject,y\nann,0.1\n")
    with pytest.raises(InputError, match="not in the source: 'x'"):
        minimise(desk.attempt, desk.admitted(), Fetching())
    assert desk.ledger.events(RUN, "artifact-stored") == [] and desk.gates() == ["admit", "fetch_credential"]
    assert all(lease.revoked for lease in desk.attempt.leases)
