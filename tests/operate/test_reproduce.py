"""A run that can be run again: nothing stays unless it was asked for, what stays is sealed and ends, and the answer tells devices apart."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.gates import Desk
from tests.support.plans import RUN

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied, InputError, StorageError, Tampered
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.ledger.events import PolicyDecided
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.verify import verify
from prefect_gatehouse.operate.device_now import DeviceNow
from prefect_gatehouse.operate.reproduce import reproduce
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.reproducible import FILES, read_kept, sample
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.testing import BraketEmulator

DAY = 86_400.0


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A run of two rounds, three circuits and one, that keeps two circuits of each job."""
    made = Desk(tmp_path, backends="aer")
    made.manifest.write_text(made.manifest.read_text() + "reproduce: {keep: 2d, circuits: 2}\n")
    with closing(made.ledger):
        yield made


def files(desk: Desk) -> list[str]:
    return sorted(str(path.relative_to(desk.settings.home)) for path in desk.settings.home.glob("reproduce*/**/*") if path.is_file())


def finished(desk: Desk) -> None:
    run_rounds(desk.attempt, desk.approved())
    end(desk.attempt, "completed")


def test_a_run_is_kept_beyond_its_end_and_not_beyond_its_retention(desk: Desk) -> None:
    """Its data key is gone and its kept circuits read; two days later they, their key and their folder are gone, with a receipt that verifies."""
    approved = desk.approved()
    said = [cell for section in sections(approved.plan) for row in section.rows for cell in row]
    assert "up to 2 circuits of each job, with angles and counts, under a key of their own, for 48 h from the result" in said
    run_rounds(desk.attempt, approved)
    receipt = end(desk.attempt, "completed")
    assert not any(item.uri.startswith("reproduction:") for item in receipt.deletions)
    assert not (desk.settings.home / "run-keys" / f"{RUN}.key").exists()
    assert files(desk) == [f"reproduce-keys/{RUN}.key", f"reproduce/{RUN}/0-0-0", f"reproduce/{RUN}/1-0-0"]
    first, second = read_kept(desk.settings, desk.ledger, RUN)
    assert (first.circuits, first.places, len(first.batch), len(first.counts)) == (3, (0, 2), 2, 2)
    assert (second.places, second.shots, first.backend) == ((0,), 64, "aer") and "qiskit" in first.versions
    assert FILES.delete_due(desk.settings, desk.ledger, time.time() + 1.9 * DAY) == []
    deleted = FILES.delete_due(desk.settings, desk.ledger, time.time() + 2.1 * DAY)
    assert [item.deleted for item in deleted] == [True, True] and files(desk) == []
    assert FILES.delete_due(desk.settings, desk.ledger, time.time() + 3 * DAY) == [] and read_kept(desk.settings, desk.ledger, RUN) == []
    desk.attempt.seal()
    assert verify(desk.ledger, VerifierKey.parse((desk.settings.home / "ledger.vkey").read_text())).problems == []


def test_nothing_of_it_lies_there_in_clear(desk: Desk) -> None:
    """Neither payload nor counts nor names: the files are sealed, and the ledger has URI, owner and end."""
    finished(desk)
    (first, _) = read_kept(desk.settings, desk.ledger, RUN)
    there = b"".join(path.read_bytes() for path in (desk.settings.home / "reproduce").rglob("*") if path.is_file())
    for secret in (base64.b64decode(first.payload)[-16:], json.dumps(first.counts[0]).encode(), b"gatehouse-circuits", b"aer"):
        assert secret not in there
    stored = [event.data for event in desk.ledger.events(RUN, "artifact-stored") if event.data["uri"].startswith("reproduction:")]
    assert [each["owner"] for each in stored] == ["test-owner"] * 2 and all(set(each) == {"uri", "owner", "retain_until"} for each in stored)
    assert "ann" not in first.model_dump_json()


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    """No file, no key, and an error that says what to write."""
    with closing((plain := Desk(tmp_path, backends="aer")).ledger):
        finished(plain)
        assert files(plain) == []
        with pytest.raises(InputError, match="nothing is kept"):
            reproduce(plain.settings, plain.ledger, RUN)


def test_a_class_caps_how_long(desk: Desk) -> None:
    """Restricted data stays three days at most, as artifacts do."""
    desk.change("{keep: 2d,", "{keep: 4d,")
    with pytest.raises(Denied, match="at most 3 d") as caught:
        desk.admitted()
    assert caught.value.where == "reproduce.keep"


def test_an_honest_simulator_is_expected_and_another_one_an_incident(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer with its interval, in words and as JSON, on the ledger; outcomes of other circuits end with exit code 8."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(desk.settings.home))
    finished(desk)
    said = CliRunner().invoke(main, ["reproduce", RUN[:8]])
    assert said.exit_code == 0 and "expected: distance" in said.output and "2 of 3" in said.output
    answer = json.loads(CliRunner().invoke(main, ["reproduce", RUN[:8], "--json"]).output)
    assert answer["verdict"] == "expected" and answer["interval"][0] <= answer["distance"] <= answer["interval"][1]
    assert [job["model"] for job in answer["jobs"]] == ["ideal", "ideal"] and "counts" not in answer["jobs"][0]
    other = [job.model_copy(update={"counts": tuple({"01": job.shots} for _ in job.counts)}) for job in read_kept(desk.settings, desk.ledger, RUN)]
    monkeypatch.setattr("prefect_gatehouse.operate.reproduce.read_kept", lambda *_: other)
    assert CliRunner().invoke(main, ["reproduce", RUN]).exit_code == 8
    verdicts = [event.data["verdict"] for event in desk.ledger.events(RUN, "run-reproduced")]
    assert verdicts == ["expected", "expected", "incident"]


def test_a_file_that_was_changed_or_moved(desk: Desk) -> None:
    """Another run's bytes, or another job's, are no evidence."""
    finished(desk)
    folder = desk.settings.home / "reproduce" / RUN
    (folder / "0-0-0").write_bytes((folder / "1-0-0").read_bytes())
    with pytest.raises(Tampered, match="another job's"):
        read_kept(desk.settings, desk.ledger, RUN)
    (folder / "0-0-0").write_bytes(RunKeys(folder).obtain("other").sealer().seal(b"{}"))
    with pytest.raises(Tampered):
        read_kept(desk.settings, desk.ledger, RUN)
    (folder / "0-0-0").unlink()
    with pytest.raises(StorageError, match="gone"):
        read_kept(desk.settings, desk.ledger, RUN)


@pytest.mark.parametrize(("circuits", "most", "places"), [(1, 4, (0,)), (4, 4, (0, 1, 2, 3)), (4544, 4, (0, 1514, 3029, 4543)), (9, 1, (0,))])
def test_which_circuits(circuits: int, most: int, places: tuple[int, ...]) -> None:
    """Evenly spread, the first and the last among them."""
    assert sample(circuits, most) == places


BACKEND = "braket/garnet-eu"
BELL = """
def solve(features, parameters):
    made = QuantumCircuit(2, 2)
    made.h(0)
    made.cx(0, 1)
    made.measure([0, 1], [0, 1])
    counts = yield [made] * 3
    return pd.DataFrame({"subject": features["subject"], "score": counts[0].get("11", 0)})
"""


def test_a_machine_with_its_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own errors are expected; without them the same counts are more than chance; what has changed of the device since is told.

    The provider is asked under the policy, whose decision is in the ledger before the secret is read.
    """
    from prefect_gatehouse.testing import braket_emulator

    with braket_emulator() as braket, closing((run := Desk(tmp_path, BELL, rounds=1, backends=BACKEND)).ledger):
        _connect(run, braket)
        finished(run)
        (job,) = read_kept(run.settings, run.ledger, RUN)
        assert job.calibrated.startswith(b"{") and job.device.startswith("amazon-braket ")
        found = reproduce(run.settings, run.ledger, RUN, lambda _: job.calibrated.replace(b"0.99", b"0.95"))
        # An honest device is outside once in a hundred, so what is asked here is a distance that chance never gives.
        assert (found.whole.distance < 0.04, found.jobs[0].model) == (True, "calibration") and found.verdict != "incident"
        assert "two-qubit gates 0.0079 -> " in found.jobs[0].change
        assert found.jobs[0].as_dict()["change"] == found.jobs[0].change
        decided: list[int] = []

        def secret(block: str) -> SecretText:
            decided.append(len([each for each in run.ledger.facts(PolicyDecided, RUN) if each.fact.action == "read_secret"]))
            return SecretText(braket.credential)

        monkeypatch.setattr("prefect_gatehouse.operate.device_now.read_secret", secret)
        # The state that a backend tells is more than this; the calibration is what is compared.
        assert reproduce(run.settings, run.ledger, RUN, DeviceNow(run.settings, run.ledger, RUN)).jobs[0].change == "the same calibration"
        assert decided == [1]
        ideal = reproduce_without_errors(run, job)
        assert ideal.verdict != "expected" and ideal.whole.distance > 0.045


def reproduce_without_errors(run: Desk, job: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefect_gatehouse.operate.reproduce.read_kept", lambda *_: [job.model_copy(update={"calibration": ""})])
        return reproduce(run.settings, run.ledger, RUN)


def _connect(run: Desk, braket: BraketEmulator) -> None:
    braket.create_bucket("again")
    run.blocks["braket-device/garnet-eu"] = braket.settings("again", grace_seconds=1.0, call_seconds=0.8)
    run.change("credentials:\n", "credentials:\n  submit: secret/aws\n")
    run.change("shots: 64", "shots: 1000")
    run.manifest.write_text(run.manifest.read_text() + "reproduce: {}\n")
    run.secrets["secret/aws"] = braket.credential
    tiers = run.settings.tiers
    tiers.write_text(tiers.read_text().replace("backends: [aer, braket-local]", f"backends: [aer, {BACKEND}]"))
    run.attempt = run.next_attempt()
