"""Gates 6 to 8, round by round: every job once, the same rounds on every replay, and no more than was approved."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.gates import TWO_ROUNDS, Desk
from tests.support.plans import RUN

from prefect_gatehouse.errors import DataRefused, Denied, WorkloadFailed
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.run import journal


def test_two_rounds_are_submitted_and_replayed(tmp_path: Path) -> None:
    """Each round is one job, settled; a second drive, by another attempt, submits nothing and gives the same outcome."""
    desk = Desk(tmp_path)
    approved = desk.approved()
    outcome = run_rounds(desk.attempt, approved)
    assert desk.entries() == [(0, 0, "aer", "settled"), (1, 0, "aer", "settled")]
    assert [item.submission.circuits.count for item in outcome.rounds] == [3, 1]
    assert outcome.label == "primary"
    frame = desk.frame(outcome)
    assert len(frame) == 3 and set(frame["subject"]).isdisjoint({"ann", "bob", "cid"})
    size = desk.ledger.size()
    desk.attempt = desk.next_attempt()
    assert run_rounds(desk.attempt, approved) == outcome
    assert (desk.ledger.size(), len(desk.entries())) == (size + 1, 2)


def test_a_run_that_stopped_between_its_rounds_goes_on(tmp_path: Path) -> None:
    """The first round is not submitted again: its counts come from the journal, and the second round is what it would have been."""
    whole = Desk(tmp_path / "whole")
    expected = run_rounds(whole.attempt, whole.approved())
    desk = Desk(tmp_path / "cut", rehearsal="skip")
    # The same code both times, or the approval would be void: what differs lies outside of it.
    desk.write(TWO_ROUNDS.replace("    share =", f"    open({str(desk.folder.parent / 'go')!r}).close()\n    share ="))
    approved = desk.approved()
    with pytest.raises(WorkloadFailed, match="FileNotFoundError"):
        run_rounds(desk.attempt, approved)
    assert desk.entries() == [(0, 0, "aer", "settled")]
    (desk.folder.parent / "go").write_text("")
    desk.attempt = desk.next_attempt()
    outcome = run_rounds(desk.attempt, approved)
    assert desk.entries() == [(0, 0, "aer", "settled"), (1, 0, "aer", "settled")]
    assert len(desk.ledger.events(RUN, "job-submitted")) == 2
    assert [item.submission.circuits.digest for item in outcome.rounds] == [item.submission.circuits.digest for item in expected.rounds]


def test_a_workload_whose_first_round_changes(tmp_path: Path) -> None:
    """Other circuits than those that were approved, though the code is the same: refused before anything is fetched or submitted."""
    desk = Desk(tmp_path)
    desk.write(TWO_ROUNDS.replace("sorted(features", f"[float(open({str(desk.folder.parent / 'angle')!r}).read())] or sorted(features"))
    (desk.folder.parent / "angle").write_text("0.5")
    approved = desk.approved()
    (desk.folder.parent / "angle").write_text("0.6")
    with pytest.raises(WorkloadFailed, match="round 1 has other circuits than before"):
        run_rounds(desk.attempt, approved)
    assert desk.entries() == []
    (desk.folder.parent / "angle").write_text("0.5")
    run_rounds(desk.attempt, approved)


def test_a_workload_whose_later_round_changes(tmp_path: Path) -> None:
    """A finished round whose circuits differ on replay is an error, not a resubmission: no job is added, and the old one stays."""
    desk = Desk(tmp_path, rehearsal="skip")
    # A clock, as it were: what it shows is read where a seed would belong; the end is held up once, so that there is a replay.
    body = TWO_ROUNDS.replace("share + random", f"float(open({str(desk.folder.parent / 'clock')!r}).read()) + random")
    desk.write(body.replace("    return pd.", f"    open({str(desk.folder.parent / 'go')!r}).close()\n    return pd."))
    (desk.folder.parent / "clock").write_text("1")
    approved = desk.approved()
    with pytest.raises(WorkloadFailed, match="FileNotFoundError"):
        run_rounds(desk.attempt, approved)
    before = journal.entries(desk.attempt)
    assert [entry.state for entry in before] == ["settled", "settled"]
    (desk.folder.parent / "go").write_text("")
    (desk.folder.parent / "clock").write_text("2")
    desk.attempt = desk.next_attempt()
    with pytest.raises(WorkloadFailed, match="round 2 has other circuits than before") as caught:
        run_rounds(desk.attempt, approved)
    assert "deterministic" in caught.value.advice
    assert journal.entries(desk.attempt) == before
    (desk.folder.parent / "clock").write_text("1")
    assert len(run_rounds(desk.attempt, approved).rounds) == 2


def test_more_rounds_than_were_approved(tmp_path: Path) -> None:
    """The round beyond the envelope is denied before it is intended; those before it stand."""
    desk = Desk(tmp_path, rounds=1, rehearsal="skip")
    with pytest.raises(Denied, match="more than the approved 1 rounds"):
        run_rounds(desk.attempt, desk.approved())
    assert desk.entries() == [(0, 0, "aer", "settled")]


def test_more_jobs_than_were_approved(tmp_path: Path) -> None:
    """At Braket a circuit is a job: three fit the envelope of three, the fourth in the second round does not."""
    desk = Desk(tmp_path, jobs=3, backends="braket-local")
    with pytest.raises(Denied, match="more than the approved envelope"):
        run_rounds(desk.attempt, desk.approved())
    assert desk.entries() == [(0, 0, "braket-local", "settled")] * 3


NO_ANSWER = {
    "none": ("return None", "no pandas frame, but None"),
    "dict": ("return {'CANARY': 1}", "no pandas frame, but a value of type dict"),
    "empty": ("return pd.DataFrame({'subject': [], 'score': []})", "an empty frame"),
    "twice": ("return pd.DataFrame([['a', 1, 2]], columns=['subject', 'score', 'score'])", r"columns 2 and 3 .* \('score'\)"),
    "complex": ("return pd.DataFrame({'subject': features['subject'], 'score': 1j})", r"column 2 .* \('score'\) holds values of type complex"),
    "no-circuits": ("yield [None]", "no list of circuits"),
    "no-number": ("made = circuit(float('nan'))\n    yield [made]", "operation 1 of a circuit: an angle is not a finite number"),
    "control-flow": ("made = circuit(1.0)\n    with made.if_test((0, 1)):\n        made.x(0)\n    yield [made]", "IfElseOp is control flow"),
}


@pytest.mark.parametrize("name", NO_ANSWER)
def test_an_answer_that_can_not_change_ends_the_run(tmp_path: Path, name: str) -> None:
    """After the approval code and data are bound: a refused answer would be given again, so it is an ending, and no round is added to it."""
    answer, words = NO_ANSWER[name]
    desk = Desk(tmp_path, TWO_ROUNDS[: TWO_ROUNDS.index("    share =")] + f"    {answer}\n", rehearsal="skip")
    approved = desk.approved()
    with pytest.raises(DataRefused, match=words) as caught:
        run_rounds(desk.attempt, approved)
    assert caught.value.ending == "denied" and "start a new run" in caught.value.advice
    assert "CANARY" not in str(caught.value)
    assert desk.entries() == [(0, 0, "aer", "settled")]
