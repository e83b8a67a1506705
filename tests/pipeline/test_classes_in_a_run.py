"""Classes, the boundary and re-identification in real runs: who and what is not cleared is denied before anything happens."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.pipeline import APPROVER, REQUESTER, ROWS

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.evidence.questions import re_identifications, who
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.run.boundary import kinds_in
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.plain_form import read, words_of

SMUGGLER = """
import pandas as pd


def solve(features, parameters):
    from qiskit import QuantumCircuit, QuantumRegister

    circuits = []
    for token in features["subject"][:3]:
        circuit = QuantumCircuit(QuantumRegister(1, "q_" + token), name=token, metadata={"token": token})
        circuit.add_bits(QuantumCircuit(0, 1).clbits)
        circuit.ry(ANGLE, 0)
        circuit.measure(0, 0)
        circuits.append(circuit)
    yield circuits
    return pd.DataFrame({"subject": features["subject"], "score": 1.0})
"""


def denied(pipeline: Any, run_id: str, *words: str) -> None:
    """Ended as denied with these words in the state, no job, no row, no token turned back, nothing left behind."""
    message = pipeline.state(run_id).message
    assert pipeline.ledger.run(run_id).ending == "denied", (message, pipeline.log.read_text()[-2000:])
    assert all(word in message for word in words), message
    assert (pipeline.rows(), pipeline.left_behind(), pipeline.ledger.events(run_id, "re-identified")) == ([], [], [])


def changed(pipeline: Any, old: str, new: str) -> None:
    text = pipeline.manifest.read_text()
    assert old in text
    pipeline.manifest.write_text(text.replace(old, new))


def entered(pipeline: Any, run_id: str) -> set[str]:
    return {event.data["gate"] for event in pipeline.ledger.events(run_id, "gate-entered")}


def test_a_system_that_is_not_cleared(pipeline: Any) -> None:
    """A system takes public data unless it says more: the run is denied before the source is read or the target is opened."""
    changed(pipeline, ", highest_class: restricted", "")
    run_id = pipeline.start()
    pipeline.process(run_id)
    assert not pipeline.target.exists()
    denied(pipeline, run_id, "[class-above-system]", "restricted (from subject, account, city, born)")
    assert entered(pipeline, run_id) == {"admit", "clean_up"}


def test_a_requester_who_is_not_cleared(pipeline: Any) -> None:
    """The signature is good and the role is there, the clearance is one below: denied when it is asked for."""
    pipeline.people.add(REQUESTER, roles=frozenset(), clearance=DataClass.CONFIDENTIAL)
    run_id = pipeline.start()
    pipeline.process(run_id)
    denied(pipeline, run_id, "[class-above-clearance]", "restricted (from subject")
    assert entered(pipeline, run_id) == {"admit", "clean_up"}


def test_an_approver_who_is_not_cleared(pipeline: Any) -> None:
    """The answer does not count and says why; once cleared, the same person approves."""
    pipeline.people.add(APPROVER, roles=frozenset(), clearance=DataClass.PUBLIC)
    run_id = pipeline.start()
    pipeline.process(run_id)
    pipeline.answer(run_id)
    pipeline.process(run_id)
    assert pipeline.standing(run_id).refusals == ("this approver is not cleared for data of class restricted",)
    pipeline.people.add(APPROVER, roles=frozenset(), clearance=DataClass.RESTRICTED)
    pipeline.answer(run_id)
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed"


def test_what_stays_longer_than_its_class_may(pipeline: Any) -> None:
    """Restricted artifacts stay three days at most; a manifest that asks for four is denied by the name of the field."""
    pipeline.manifest.write_text(pipeline.manifest.read_text() + "retention: {artifacts: 4d}\n")
    run_id = pipeline.start()
    pipeline.process(run_id)
    denied(pipeline, run_id, "retention.artifacts", "restricted")


def test_a_clearance_taken_away_before_the_rows_are_written(pipeline: Any) -> None:
    """The jobs have run; the requester may not read restricted data any more: no token is turned back, no row is written."""
    run_id = pipeline.start()
    pipeline.approved(run_id)
    pipeline.process(run_id, kill={"event": "validate_output", "side": "after"})
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 2
    pipeline.people.add(REQUESTER, roles=frozenset(), clearance=DataClass.INTERNAL)
    pipeline.restart(run_id)
    pipeline.process(run_id)
    denied(pipeline, run_id, "policy: write_back", "[class-above-clearance]")
    leased = {event.data["value"]["purpose"] for event in pipeline.ledger.events(run_id, "gate-passed") if event.data["gate"] == "fetch_credential"}
    assert "re_identify" not in leased


def test_a_completed_run_tells_classes_and_re_identification(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the ledger, in the answers of ``show`` and ``who``, in the lineage and in the target's own receipt."""
    run_id = pipeline.complete()
    assert pipeline.ledger.run(run_id).ending == "completed"
    _written_down_before_it_happened(pipeline, run_id)
    monkeypatch.setenv("GATEHOUSE_HOME", str(pipeline.home))
    _show_and_who_tell_it(pipeline, run_id)
    _lineage_and_receipt_carry_the_class(pipeline)


def _written_down_before_it_happened(pipeline: Any, run_id: str) -> None:
    """Permitted, then recorded, then done: secret, lease, column, number, key version and target; no token and no value."""
    (found,) = re_identifications(pipeline.ledger, run_id)
    act = found.act
    assert (act.column, act.scheme, act.tokens, act.key_versions, act.data_class) == ("subject", "siv", ROWS, (1,), DataClass.RESTRICTED)
    assert (act.system, act.table, act.person) == ("target", "results", REQUESTER)
    events = pipeline.ledger.events(run_id)
    lease = next(event for event in events if (event.data.get("value") or {}).get("lease_id") == act.lease_id)
    assert (lease.data["value"]["purpose"], lease.data["value"]["block"]) == ("re_identify", act.block)
    permitted = next(event for event in events if event.kind == "policy-decided" and event.data["action"] == "re_identify")
    written = next(event for event in events if event.event_id == f"{run_id}:write_back")
    assert permitted.seq < lease.seq < found.event < written.seq
    recorded = json.dumps(pipeline.ledger.events(run_id, "re-identified")[0].data)
    assert "s1_" not in recorded and not any(canary in recorded for canary in pipeline.canaries)
    assert (written.data["value"]["data_class"], written.data["value"]["because"]) == ("restricted", ["subject", "account", "city", "born"])


def _show_and_who_tell_it(pipeline: Any, run_id: str) -> None:
    """An auditor sees it in both answers, with the number of the event that proves it."""
    (found,) = re_identifications(pipeline.ledger, run_id)
    assert who(pipeline.ledger, run_id)[0].re_identified == (found,)
    for command in ("show", "who"):
        told = " ".join(CliRunner().invoke(main, [command, run_id], prog_name="gatehouse").output.split())
        assert f"{ROWS} tokens of subject" in told, told
        assert f"[{found.event}]" in told
        answer = json.loads(CliRunner().invoke(main, [command, run_id, "--json"], prog_name="gatehouse").output)
        (act,) = (answer if command == "show" else answer[0])["re_identified"]
        assert (act["tokens"], act["lease_id"], act["event"]) == (ROWS, found.act.lease_id, found.event)


def _lineage_and_receipt_carry_the_class(pipeline: Any) -> None:
    """OpenLineage has a class for every column that was made; the target's own receipt has the class of the rows."""
    events = [json.loads(line) for line in (pipeline.home / "lineage" / "openlineage.ndjson").read_text().splitlines()]
    made = {event["job"]["name"].rpartition(".")[2]: event["outputs"] for event in events if event["eventType"] == "COMPLETE"}

    def tags(gate: str) -> dict[str | None, str]:
        return {tag.get("field"): tag["value"] for tag in made[gate][0]["facets"]["tags"]["tags"]}

    assert tags("minimise") == {
        "subject": "restricted",
        "account": "restricted",
        "city": "restricted",
        "born": "restricted",
        "x": "confidential",
        "y": "confidential",
    }
    assert tags("conclude") == {"subject": "restricted", "score": "restricted"}
    assert tags("write_back") == {None: "restricted"}
    with closing(sqlite3.connect(pipeline.target)) as target:
        assert target.execute("SELECT data_class FROM _gatehouse_receipts").fetchall() == [("restricted",)]


def test_a_key_of_permuted_numbers_as_text(pipeline: Any) -> None:
    """Numbers of a CSV leave as text that says its key's version, and are numbers again in the target; the record names scheme and version."""
    source = pipeline.zone / "source.csv"
    source.write_text(re.sub(r"SUBJ-([0-9a-f]{12})", lambda found: str(-int(found[1], 16)), source.read_text()))
    changed(pipeline, "rule: tokenise, scheme: siv}", "rule: tokenise, scheme: permute, form: text}")
    run_id = pipeline.complete()
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()[-2000:]
    assert {str(row[0]) for row in pipeline.rows()} == pipeline.source_subjects()
    (found,) = re_identifications(pipeline.ledger, run_id)
    assert (found.act.scheme, found.act.tokens, found.act.key_versions) == ("permute", ROWS, (1,))


def test_a_policy_that_forbids_to_turn_tokens_back(make_pipeline: Any, tmp_path: Path) -> None:
    """An administrator's forbid on the action and the column: everything before it happened, and not a row is written."""
    policies = Path(shutil.copytree(Settings().policies, tmp_path / "policies"))
    (policies / "own.cedar").write_text(
        '@id("subjects-stay-tokens")\n@reason("subjects are not re-identified")\n'
        'forbid (principal, action == Gatehouse::Action::"re_identify", resource) when { context.column == "subject" };\n'
    )
    pipeline = make_pipeline(environment={"GATEHOUSE_POLICIES": str(policies)})
    run_id = pipeline.start()
    pipeline.approved(run_id)
    pipeline.process(run_id)
    denied(pipeline, run_id, "subjects are not re-identified [subjects-stay-tokens]")
    assert {"write_back"} <= entered(pipeline, run_id)


def test_a_workload_that_names_its_circuits_after_tokens(make_pipeline: Any, tmp_path: Path) -> None:
    """Register and circuit names and metadata do not leave: the run completes, and what was sent holds no token."""
    pipeline = make_pipeline(workload=SMUGGLER.replace("ANGLE", "0.5"), rounds=1)
    run_id = pipeline.start()
    pipeline.approved(run_id)
    pipeline.process(run_id, tap=str(tmp_path / "tap"))
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()[-2000:]
    (sent,) = [json.loads(line)[2] for line in (tmp_path / "tap").read_text().splitlines() if json.loads(line)[0] == "job"]
    payload = sent.encode("latin-1")
    assert b"s1_" not in payload
    assert kinds_in(words_of(payload)) == []
    read(payload)  # behind the lines in which words could stand are numbers only


def test_a_workload_that_sends_tokens_as_angles(make_pipeline: Any) -> None:
    """A token as a whole number is no angle: the run is denied before anybody is asked, and the error names no value."""
    pipeline = make_pipeline(workload=SMUGGLER.replace("ANGLE", "float(int(token[3:15], 32))"), rounds=1)
    run_id = pipeline.start()
    pipeline.process(run_id)
    denied(pipeline, run_id, "boundary: aer", "an angle is beyond 804")
    assert pipeline.ledger.events(run_id, "approval-asked") == []
    failed = json.dumps([event.data for event in pipeline.ledger.events(run_id, "gate-failed")])
    assert not any(canary in failed for canary in pipeline.canaries)
