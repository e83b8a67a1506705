"""A publisher that is killed anywhere leaves all rows or none, and its successor ends with each row exactly once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.postgres_server import PostgresServer
from tests.write_back import killed_publisher
from tests.write_back.databases import OTHER_RUN, RUN, Database, frame, publish

_STATEMENTS = 40  # more than a publication takes on either dialect

AFTER = {
    "append": [("a", OTHER_RUN), ("b", OTHER_RUN), ("b", RUN), ("c", OTHER_RUN), ("c", RUN), ("d", RUN)],
    "replace": [("b", RUN), ("c", RUN), ("d", RUN)],
    "upsert": [("a", OTHER_RUN), ("b", RUN), ("c", RUN), ("d", RUN)],
}


@pytest.mark.parametrize(("dialect", "mode"), [("sqlite", "append"), ("sqlite", "replace"), ("sqlite", "upsert"), ("postgresql", "upsert")])
def test_killed_before_every_statement(dialect: str, mode: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Killed with -9 before each statement and each commit in turn: before the repeat the table is old or new, after it new, once, staging gone."""
    first = Database(f"sqlite:///{tmp_path / 'first.sqlite'}", "")
    if dialect == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        name = server.new_database()
        first = Database(server.url(name), server.password)
    publish(first.url, frame("abc"), mode=mode, run_id=OTHER_RUN)
    if dialect == "postgresql":
        urls = [server.url(server.new_database(like=name)) for _ in range(_STATEMENTS)]
    else:
        urls = [f"sqlite:///{shutil.copy(tmp_path / 'first.sqlite', tmp_path / f'{number}.sqlite')}" for number in range(_STATEMENTS)]
    old = [(key, OTHER_RUN) for key in "abc"]
    order = json.dumps({"urls": urls, "mode": mode})
    command = [sys.executable, "-m", killed_publisher.__name__]
    done = subprocess.run(command, input=order, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["killed"] for item in told] == [True] * (len(told) - 1) + [False]
    assert 12 < len(told) < _STATEMENTS
    published = 0
    for item in told:
        before, after = ([(row[0], row[4]) for row in item[when]] for when in ("before", "rows"))
        assert before in (old, AFTER[mode]), item
        assert item["repeated"] is (before == AFTER[mode]), item
        assert after == AFTER[mode], item
        assert (item["staging"], len(item["receipts"])) == ([], 2), item
        published += before == AFTER[mode]
    # The kills did strike on both sides of the commit that publishes, and some of them left staging behind.
    assert 1 < published < len(told)
    assert any(item["left"] for item in told)
    assert Database(urls[-1], "").receipts() == [(OTHER_RUN, "predictions", 3, "1" * 64, "primary")]
