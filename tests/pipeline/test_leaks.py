"""Invariant 1: no source value in clear outside the trust zone, whatever becomes of the run."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.support.leaks import forms, leaks
from tests.support.pipeline import GATES

BEFORE_APPROVAL = GATES[:4]


def places(pipeline: Any, prefect_home: Path) -> tuple[Path, ...]:
    """Everything outside the trust zone that a run writes."""
    return prefect_home, pipeline.home, pipeline.log


@pytest.mark.parametrize("disguise", ["text", "upper", "utf-16", "hex", "base64", "base64+1", "sqlite"])
def test_the_search_finds_what_it_looks_for(tmp_path: Path, disguise: str) -> None:
    """A planted canary is found in each form and in a database, so that finding none means something."""
    canary = "SUBJ-0a1b2c3d4e5f"
    coded = {
        "text": canary.encode(),
        "upper": canary.upper().encode(),
        "utf-16": canary.encode("utf-16-le"),
        "hex": canary.encode().hex().encode(),
        "base64": base64.b64encode(canary.encode() + b" and more"),
        "base64+1": base64.b64encode(b"x" + canary.encode() + b" and more"),
    }
    if disguise == "sqlite":
        connection = sqlite3.connect(tmp_path / "planted")
        connection.execute("CREATE TABLE t (c)")
        connection.execute("INSERT INTO t VALUES (?)", (canary,))
        connection.commit()
        connection.close()
    else:
        (tmp_path / "planted").write_bytes(b"before " + coded[disguise] + b" after")
    assert leaks([canary], tmp_path)
    assert leaks(["SUBJ-ffffffffffff"], tmp_path) == []
    assert all(len(form) >= 10 for form in forms(canary).values())


def test_a_failure_in_any_gate_leaks_nothing_and_can_be_resumed(pipeline: Any, prefect_home: Path, tmp_path: Path) -> None:
    """Each gate in turn raises with all canaries in its text; the run is resumed each time and completes; nothing leaked anywhere."""
    tap = tmp_path / "tap"
    run_id = pipeline.start()
    for gate in GATES:
        if gate == "await_approval":
            pipeline.process(run_id)
            pipeline.answer(run_id)
        pipeline.process(run_id, fail=gate, tap=str(tap))
        state = pipeline.state(run_id)
        assert (state.name, pipeline.ledger.run(run_id).status) == ("Resumable", "failed"), gate
        assert "withheld" in state.message and f"gatehouse resume {run_id}" in state.message
        # Five rows' canaries after each gate, all of them at the end: the text of the failure holds all.
        assert leaks(pipeline.canaries[:20], *places(pipeline, prefect_home)) == [], gate
        pipeline.restart(run_id)
    pipeline.process(run_id, tap=str(tap))
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.state(run_id)
    assert len(pipeline.rows()) == len(pipeline.source_subjects())
    assert leaks(pipeline.canaries, *places(pipeline, prefect_home)) == []
    payloads = [words for words in map(json.loads, tap.read_text().splitlines()) if words[0] == "job"]
    assert len(payloads) == 2  # one a round: no failure made a second
    assert leaks(pipeline.canaries, tap) == []


def test_a_rejected_run_leaks_nothing(pipeline: Any, prefect_home: Path) -> None:
    """A plan that was shown and rejected has told nobody a value."""
    run_id = pipeline.start()
    pipeline.process(run_id)
    assert leaks(pipeline.canaries[:20], *places(pipeline, prefect_home)) == []
    pipeline.answer(run_id, "reject", reason="no")
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "rejected"
    assert leaks(pipeline.canaries, *places(pipeline, prefect_home)) == []


def test_the_secrets_leak_nowhere(pipeline: Any, prefect_home: Path) -> None:
    """The token key and the address appear in no file: blocks are encrypted, and nothing else ever holds them."""
    pipeline.complete()
    assert leaks([pipeline.token_key, pipeline.address, pipeline.address.partition("=")[2]], *places(pipeline, prefect_home)) == []
