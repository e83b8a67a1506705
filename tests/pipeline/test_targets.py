"""What keeps a run's rows from being written is told before anybody is asked and before a job is made; what was approved is one database."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from tests.services.postgres_server import PostgresServer
from tests.support.pipeline import REQUESTER, ROWS

from prefect_gatehouse.tokens import siv
from prefect_gatehouse.tokens.keys import RootKey


def store(address: str, block: str = "") -> str:
    """A block with an address; its reference."""
    from prefect.blocks.system import Secret

    name = block.removeprefix("secret/") or f"address-{secrets.token_hex(4)}"
    Secret(value=address).save(name, overwrite=True)  # type: ignore[call-arg]
    return f"secret/{name}"


def look_with(pipeline: Any, block: str) -> None:
    """Lets the manifest name the block for the pre-flight."""
    pipeline.manifest.write_text(pipeline.manifest.read_text().replace("credentials:\n", f"credentials:\n  preflight: {block}\n"))


def written_by(pipeline: Any) -> str:
    """The block of the write-back."""
    text: str = pipeline.manifest.read_text()
    return text.partition("write_back: ")[2].split()[0]


def denied(pipeline: Any, run_id: str) -> str:
    """Why a run was denied, as Prefect shows it."""
    assert pipeline.ledger.run(run_id).ending == "denied", pipeline.log.read_text()
    return str(pipeline.state(run_id).message)


def test_a_run_that_was_looked_at(make_pipeline: Callable[..., Any]) -> None:
    """The look has a credential of its own, is in the plan and in what approvers read, and the run writes where it looked."""
    pipeline = make_pipeline(rounds=1, tier="integration")
    look_with(pipeline, written_by(pipeline))
    run_id = pipeline.start()
    pipeline.process(run_id)
    plan = pipeline.standing_plan(run_id)
    assert plan.body.preflight.looked and not plan.body.preflight.table_exists
    assert plan.body.endpoint("target") == f"sqlite:///{pipeline.target}"
    assert not pipeline.target.exists()
    pipeline.answer(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()
    assert len(pipeline.rows()) == ROWS


def test_a_tier_that_demands_the_look(make_pipeline: Callable[..., Any]) -> None:
    """A manifest that names no credential for it is denied at once, with the field."""
    pipeline = make_pipeline(rounds=1, tier="integration")
    run_id = pipeline.start()
    pipeline.process(run_id)
    assert "credentials.preflight" in denied(pipeline, run_id)
    assert not pipeline.ledger.events(run_id, "job-submitted")


def test_a_table_that_will_not_take_the_rows(make_pipeline: Callable[..., Any], postgres: PostgresServer) -> None:
    """On PostgreSQL, looked at by somebody who may only look: denied before the form, no job, nothing written, all of it told at once."""
    pipeline = make_pipeline(rounds=1)
    name = postgres.new_database()
    role, password = f"looker_{secrets.token_hex(4)}", secrets.token_hex(8)
    with postgres.connect(name) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        connection.execute("CREATE TABLE results (subject integer, score double precision, doctor text NOT NULL)")
    endpoint = f"postgresql://127.0.0.1:{postgres.port}/{name}"
    text = pipeline.manifest.read_text().replace("sqlite:///target.sqlite", endpoint)
    pipeline.manifest.write_text(text.replace("highest_class: restricted}", "highest_class: restricted, role: gatehouse_owner}"))
    look_with(pipeline, store(postgres.url(name, user=role, password=password)))
    run_id = pipeline.start()
    pipeline.process(run_id)
    message = denied(pipeline, run_id)
    for told in ("has no columns _gatehouse_run", "column subject is INTEGER and takes no text", "columns doctor must not be null"):
        assert told in message
    assert not pipeline.ledger.events(run_id, "job-submitted")
    with postgres.connect(name) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchall() == [(1,)]
    # The owner may do all that is needed once the table is as it should be.
    with postgres.connect(name) as connection:
        connection.execute("DROP TABLE results")
    run_id = pipeline.start()
    pipeline.process(run_id)
    assert "the writing role has the rights" in pipeline.standing_plan(run_id).body.preflight.checks


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda address: address + "\n", "holds a line end"),
        (lambda address: address.replace("sqlite:", "sqlite+pysqlcipher:"), "driver is not installed"),
    ],
    ids=["line-end", "driver"],
)
def test_an_address_that_can_be_mended(make_pipeline: Callable[..., Any], spoil: Callable[[str], str], told: str) -> None:
    """The run waits for its block to be put right, with no job made, and goes on from there."""
    pipeline = make_pipeline(rounds=1)
    address = f"sqlite:///{pipeline.target}"
    block = store(spoil(address))
    look_with(pipeline, block)
    run_id = pipeline.start()
    pipeline.process(run_id)
    row = pipeline.ledger.run(run_id)
    assert (row.status, row.ending) == ("failed", None) and told in row.message and str(pipeline.target) not in row.message
    assert not pipeline.ledger.events(run_id, "job-submitted")
    store(address, block)
    pipeline.restart(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).status == "waiting"


def test_the_dry_run_looks_too(make_pipeline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """``gatehouse plan`` shows what was looked at, writes nothing, and says no with the code of a refusal where the rows could not go."""
    from prefect_gatehouse.cli.main import main

    pipeline = make_pipeline(rounds=1)
    look_with(pipeline, written_by(pipeline))
    monkeypatch.setenv("GATEHOUSE_HOME", str(pipeline.home))
    monkeypatch.setenv("GATEHOUSE_IDENTITY", str(pipeline.keys[REQUESTER]))
    monkeypatch.setenv("COLUMNS", "400")
    shown = CliRunner().invoke(main, ["plan", str(pipeline.manifest)])
    assert shown.exit_code == 0, shown.output
    assert f"sqlite:///{pipeline.target}" in shown.output
    assert "the file is made when the rows are written, and table results in it" in shown.output
    assert not pipeline.target.exists()
    with contextlib.closing(sqlite3.connect(pipeline.target)) as connection:
        connection.execute("CREATE TABLE results (subject TEXT, score BLOB)")
    refused = CliRunner().invoke(main, ["plan", str(pipeline.manifest)])
    assert refused.exit_code == 3, refused.output
    assert "column score is BLOB, which Gatehouse does not fill" in refused.output


def test_the_same_file_name_in_another_folder(make_pipeline: Callable[..., Any], tmp_path: Path) -> None:
    """Neither the look nor the write-back takes another folder's file for the one that was approved."""
    elsewhere = tmp_path / "elsewhere" / "target.sqlite"
    elsewhere.parent.mkdir()
    elsewhere.touch()
    other = store(f"sqlite:///{elsewhere}")
    looked, written = make_pipeline("looked", rounds=1), make_pipeline("written", rounds=1, blocks=(None, other))
    look_with(looked, other)
    run_id = looked.start()
    looked.process(run_id)
    assert "not the declared system" in denied(looked, run_id)
    run_id = written.complete()
    assert "system-not-declared" in denied(written, run_id)
    assert elsewhere.stat().st_size == 0


def test_tokens_of_another_run_are_not_turned_back(make_pipeline: Callable[..., Any]) -> None:
    """A workload that kept an authentic token of the tenant from elsewhere learns nobody's identifier: refused, counted, nothing written."""
    pipeline = make_pipeline(rounds=1, rehearsal="skip")
    kept = siv.tokenise(pa.array(["SUBJ-of-another-run"]), RootKey.parse(pipeline.token_key), tenant="test-tenant", join_domain="subject")[0].as_py()
    workload = pipeline.zone / "workload.py"
    text = workload.read_text()
    workload.write_text(text.replace('"subject": features["subject"],', f'"subject": ["{kept}", *features["subject"][1:]],'))
    run_id = pipeline.complete()
    message = denied(pipeline, run_id)
    assert "1 key of the workload's frame is none that it was given" in message and kept not in message
    assert pipeline.rows() == []
    assert not pipeline.ledger.events(run_id, "re-identified")
