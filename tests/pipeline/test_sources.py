"""A run whose data comes from a real PostgreSQL, and one from Parquet objects of a real S3 server: leased, read, and no value anywhere."""

from __future__ import annotations

import csv
import io
import secrets
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from tests.services.moto_server import SECRET_KEY, MotoServer
from tests.services.postgres_server import PostgresServer
from tests.support.leaks import leaks
from tests.support.pipeline import REQUESTER, ROWS


def moved_out(pipeline: Any) -> pa.Table:
    """The rows of the pipeline's CSV, which is then gone; text stays text, x and y are numbers."""
    path = pipeline.zone / "source.csv"
    with path.open() as stream:
        rows = [{**row, "x": int(row["x"]), "y": int(row["y"])} for row in csv.DictReader(stream)]
    path.unlink()
    return pa.Table.from_pylist(rows)


def point_at(pipeline: Any, source: str, block: str, system: str = "") -> None:
    """Lets the manifest name another source."""
    text = (
        pipeline.manifest.read_text()
        .replace("source: source.csv", f"source: {source}")
        .replace("credentials:\n", f"credentials:\n  read_source: {block}\n")
    )
    pipeline.manifest.write_text(text.replace("systems:\n", f"systems:\n{system}"))


def in_postgres(pipeline: Any, postgres: PostgresServer, table: pa.Table) -> tuple[str, str]:
    """Fills a table, stores its address in a block, and points the manifest at a query; returns block and password."""
    from prefect.blocks.system import Secret

    database = postgres.new_database()
    with postgres.connect(database) as connection:
        connection.execute("CREATE TABLE patients (subject TEXT, account TEXT, city TEXT, born TEXT, name TEXT, x BIGINT, y BIGINT)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO patients VALUES (%s, %s, %s, %s, %s, %s, %s)", [tuple(row.values()) for row in table.to_pylist()])
    name = f"source-{secrets.token_hex(4)}"
    Secret(value=postgres.url(database)).save(name)  # type: ignore[call-arg]
    endpoint = f"postgresql://127.0.0.1:{postgres.port}/{database}"
    system = f'  - {{name: clinic, kind: database, endpoint: "{endpoint}"}}\n'
    point_at(pipeline, "{sql: SELECT * FROM patients WHERE x > 0, system: clinic}", f"secret/{name}", system)
    return f"secret/{name}", postgres.password


def in_s3(pipeline: Any, moto: MotoServer, table: pa.Table) -> tuple[str, str]:
    """Puts two Parquet objects into a bucket, saves its block, and points the manifest at a pattern; returns block and secret key."""
    from prefect_aws.s3 import S3Bucket

    name = f"source-{secrets.token_hex(4)}"
    client = moto.client("s3")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    half = table.num_rows // 2
    for key, rows in {"zone/2026/1.parquet": table.slice(0, half), "zone/2026/2.parquet": table.slice(half)}.items():
        sink = io.BytesIO()
        pq.write_table(rows, sink)
        client.put_object(Bucket=name, Key=key, Body=sink.getvalue())
    S3Bucket(bucket_name=name, bucket_folder="zone", credentials=moto.credentials()).save(name)
    point_at(pipeline, '{s3: "2026/*.parquet"}', f"s3-bucket/{name}")
    return f"s3-bucket/{name}", SECRET_KEY


@pytest.mark.parametrize("store", ["postgresql", "s3"])
def test_a_run_reads_its_source_under_a_lease_and_leaks_nothing(
    store: str, make_pipeline: Any, prefect_home: Path, request: pytest.FixtureRequest
) -> None:
    """All rows arrive; the ledger names the block of the lease and the question that was asked; no value and no sign-in is in any file."""
    pipeline = make_pipeline(rounds=1)
    subjects = pipeline.source_subjects()
    table = moved_out(pipeline)
    if store == "postgresql":
        block, sign_in = in_postgres(pipeline, request.getfixturevalue("postgres"), table)
    else:
        block, sign_in = in_s3(pipeline, request.getfixturevalue("moto"), table)
    run_id = pipeline.complete()
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()
    assert {row[0] for row in pipeline.rows()} == subjects
    minimised = pipeline.standing_plan(run_id).validated.minimised
    assert (minimised.source_rows, len(minimised.source_sha256)) == (ROWS, 64)
    assert [item.column for item in minimised.treatments if not item.declared] == ["name"]

    passed = [event.data for event in pipeline.ledger.events(run_id, "gate-passed") if event.data["gate"] == "fetch_credential"]
    assert [data["value"]["block"] for data in passed if data["value"]["purpose"] == "read_source"] == [block]
    canaries = [*pipeline.canaries, sign_in]
    assert leaks(canaries, pipeline.home, pipeline.log) == []
    # moto's fixed key is in no other file either; the password of PostgreSQL is one of this test session.
    assert leaks(pipeline.canaries, prefect_home) == []


def test_a_dry_run_reads_the_real_source(make_pipeline: Any, postgres: PostgresServer) -> None:
    """``gatehouse plan`` opens the source with its own credential, tokenises with a throw-away key, and shows what it read from."""
    from prefect_gatehouse.operate.dry_run import dry_run_plan
    from prefect_gatehouse.run.plan_view import sections

    pipeline = make_pipeline(rounds=1)
    in_postgres(pipeline, postgres, moved_out(pipeline))
    settings = pipeline.settings.model_copy(update={"identity": pipeline.keys[REQUESTER]})
    plan = dry_run_plan(settings, pipeline.manifest, lambda words: lambda done, total: None)
    assert plan.validated.minimised.source_rows == ROWS
    shown = {row[0]: row[1] for section in sections(plan) for row in section.rows if len(row) == 2}
    assert shown["Read from"].startswith("clinic (postgresql://127.0.0.1:")
    assert shown["Read from"].endswith(": SELECT * FROM patients WHERE x > 0")
    assert postgres.password not in plan.model_dump_json()


def test_a_source_that_is_not_the_declared_system_is_denied(make_pipeline: Any, postgres: PostgresServer) -> None:
    """The block's address leads to another database than the manifest says: the policy's sentence, before the database is asked anything."""
    from prefect.blocks.system import Secret

    pipeline = make_pipeline(rounds=1)
    block, _ = in_postgres(pipeline, postgres, moved_out(pipeline))
    Secret(value=SecretStr(postgres.url(postgres.new_database()))).save(block.partition("/")[2], overwrite=True)  # type: ignore[call-arg]
    run_id = pipeline.start()
    pipeline.process(run_id)
    row = pipeline.ledger.run(run_id)
    assert (row.status, row.ending) == ("ended", "denied"), row
    (failed,) = pipeline.ledger.events(run_id, "gate-failed")
    assert "source-not-declared" in failed.data["message"]
    assert pipeline.left_behind() == []
