"""The rehearsal: what a job would show at the earliest, and no job can change, is told at the plan; what a job decides is told as a doubt."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.errors import GatehouseError, UnusableAnswer, WorkloadFailed
from prefect_gatehouse.run import journal, rehearsal
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.values import Plan
from tests.support.gates import TWO_ROUNDS, Desk
from tests.support.plans import RUN, SUITE

# One round, then what a test puts there.
ONE = (
    "def circuit(width=1, angle=1.0):\n    made = QuantumCircuit(width, width)\n    made.ry(angle, 0)\n"
    "    made.measure(range(width), range(width))\n    return made\n\n\n"
    "def solve(features, parameters):\n    counts = yield [circuit()]\n"
)
FRAME = "    return pd.DataFrame({'subject': features['subject'], 'score': 1.5})\n"
Made = Callable[..., Desk]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Made]:
    """Makes a run of the small project over a workload; its only backend is Aer unless others are named."""
    made: list[Desk] = []

    def desk(body: str, **more: Any) -> Desk:
        made.append(Desk(tmp_path / f"d{len(made)}", body, **{"backends": "aer", **more}))
        return made[-1]

    yield desk
    for each in made:
        each.ledger.close()


def told(desk: Desk) -> GatehouseError:
    """Why there is no plan; nobody was asked, no job was made, and no value is in the error or in the ledger."""
    with pytest.raises(GatehouseError) as caught:
        desk.planned()
    everything = "".join(str(dict(event.data)) for event in desk.ledger.events())
    assert "CANARY" not in str(caught.value) + everything
    assert not any(token in str(caught.value) for token in ("s1_", "bob"))
    assert journal.entries(desk.attempt) == [] and not desk.ledger.events(RUN, "approval-asked")
    return caught.value


def line(plan: Plan) -> str:
    """What approvers read of it."""
    return next(row[1] for section in sections(plan) for row in section.rows if row[0] == "Rehearsed")


def test_a_workload_that_is_as_it_should_be(make: Made) -> None:
    """To its end on 64 shots, with no job; the record is in the plan, on the form and in the ledger, and not in the digest."""
    desk = make(TWO_ROUNDS)
    plan = desk.planned()
    found = plan.rehearsal
    assert (found.rehearsed, found.rounds, found.shots, found.simulated, found.uniform, found.rows, found.doubts) == (True, 2, 64, 4, 0, 3, ())
    assert 0 < found.seconds < 60
    assert line(plan) == f"2 rounds, 4 circuits simulated, 64 shots each, in {found.seconds:.1f} s; frame of 3 rows accepted"
    assert journal.entries(desk.attempt) == [] and not (desk.settings.home / "providers" / "simulator" / RUN).exists()
    (stored,) = [event.data["value"] for event in desk.ledger.events(RUN, "gate-passed") if event.data["gate"] == "plan"]
    assert stored["rehearsal"] == json.loads(found.model_dump_json(exclude_defaults=True))
    assert plan.model_copy(update={"rehearsal": rehearsal.Rehearsal()}).body.digest() == plan.digest


def test_few_shots_where_the_run_has_fewer(make: Made) -> None:
    """Never more than the run itself takes."""
    desk = make(TWO_ROUNDS)
    desk.change("shots: 64", "shots: 7")
    assert desk.planned().rehearsal.shots == 7


FAULTS = {
    "entropy": ("", "def solve(features, parameters):\n    yield [circuit(1, np.random.default_rng().random())]\n", "another one when"),
    "number-of-circuits": ("", "def solve(features, parameters):\n    yield [circuit()] * (1 + os.urandom(2)[0])\n", "another one when"),
    "raises": ("    raise ValueError('CANARY')\n", "", "raised ValueError; .* in the rehearsal, after the counts of round 1"),
    "raises-later": ("    yield [circuit()]\n    raise type('CANARY', (Exception,), {})()\n", "", "raised Exception; .* of round 2"),
    "empty-round": ("    yield []\n", "", "in the rehearsal, after the counts of round 1"),
    "not-measured": ("    yield [QuantumCircuit(1, 1)]\n", "", "measures nothing; in the rehearsal"),
    "too-wide": ("    yield [circuit(29)]\n", "", "aer has 28 qubits, the circuits need 29; in the rehearsal"),
    "rounds": ("    yield [circuit()]\n    yield [circuit()]\n", "", "more than the 2 rounds of the envelope"),
    "endless": ("    while True:\n        yield [circuit()]\n", "", "more than the 2 rounds of the envelope"),
    "nothing": ("    return None\n", "", "no pandas frame, but None; in the rehearsal"),
    "no-rows": ("    return pd.DataFrame({'subject': [], 'score': []})\n", "", "empty frame"),
    "column-more": ("    return pd.DataFrame({'subject': features['subject'], 'score': 1, 'CANARY': 1})\n", "", "exactly the declared .* 1 more"),
    "column-less": ("    return pd.DataFrame({'subject': features['subject']})\n", "", r"missing \['score'\]"),
    "key-twice": ("    return pd.DataFrame({'subject': [features['subject'][0]] * 2, 'score': 1})\n", "", "key .* is empty or repeated"),
    "key-lacks": ("    return pd.DataFrame({'subject': [features['subject'][0], None], 'score': 1})\n", "", "key .* is empty or repeated"),
    "key-strange": ("    return pd.DataFrame({'subject': ['CANARY'], 'score': 1})\n", "", "1 key of the workload's frame is none"),
    "key-number": ("    return pd.DataFrame({'subject': [4711], 'score': 1})\n", "", "1 key of the workload's frame is none"),
    "nested": ("    return pd.DataFrame({'subject': features['subject'], 'score': [[1]] * 3})\n", "", "column 2"),
    "infinite": ("    return pd.DataFrame({'subject': features['subject'], 'score': float('inf')})\n", "", "not finite; in the rehearsal"),
    "all-lacking": ("    return pd.DataFrame({'subject': features['subject'], 'score': None})\n", "", "would fail the output suite: .*score"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_at_the_plan(make: Made, name: str) -> None:
    """Each in one sentence, with what to do; mended, the same run is planned."""
    after, whole, words = FAULTS[name]
    helper = ONE.partition("def solve")[0]
    desk = make(helper + whole if whole else ONE + after)
    error = told(desk)
    with pytest.raises(type(error), match=words):
        raise error
    assert error.advice
    desk.write(ONE + FRAME)
    desk.attempt = desk.next_attempt()
    assert desk.planned().rehearsal.rows == 3


def test_faults_can_be_mended_and_are_no_ending(make: Made) -> None:
    """A fault of the workload leaves the run to be resumed, as any of its exceptions before the approval does."""
    assert isinstance(told(make(ONE + "    return None\n")), UnusableAnswer)
    error = told(make(ONE + "    while True:\n        yield [circuit()]\n"))
    assert isinstance(error, WorkloadFailed) and error.where == "execution.envelope.rounds"


def test_what_a_module_draws_while_it_is_loaded(make: Made) -> None:
    """A generator of the module's own begins anew with every start, as it does in a process of its own: the workload is deterministic."""
    body = ONE.replace("def circuit", "drawn = np.random.default_rng(7)\n\n\ndef circuit").replace(
        "yield [circuit()]", "yield [circuit(1, drawn.random())]"
    )
    assert make(body + FRAME).planned().rehearsal.rounds == 1


def with_suite(desk: Desk, *more: dict[str, Any]) -> Desk:
    (desk.folder / "suites" / "output.json").write_text(json.dumps({"name": "output", "expectations": [*SUITE, *more]}))
    return desk


def test_the_suite_s_lasting_verdicts_are_faults_and_the_others_doubts(make: Made) -> None:
    """A set, a type or a missing value is the workload's doing; a mean, a range or a number of rows may be the counts'."""
    in_set = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "score", "value_set": [1, 2]}}
    mean = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "score", "min_value": 7}}
    rows = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 8}}
    error = told(with_suite(make(ONE + FRAME), in_set, mean))
    assert "would fail the output suite: expect_column_values_to_be_in_set(score); in the rehearsal" in str(error)
    assert error.where == "output.suite suites/output.json"
    most = {"type": in_set["type"], "kwargs": {**in_set["kwargs"], "mostly": 0.9}}  # type: ignore[dict-item]
    plan = with_suite(make(ONE + FRAME), mean, most, rows).planned()
    assert plan.rehearsal.doubts == (
        "expect_column_mean_to_be_between(score)",
        "expect_column_values_to_be_in_set(score)",
        "expect_table_row_count_to_equal(table)",
    )
    assert "only the real counts decide: expect_column_mean_to_be_between(score), expect_column_values" in line(plan)


@pytest.mark.parametrize(("kind", "refused"), [("TEXT", "column score is TEXT and takes no float"), ("FLOAT", "")])
def test_the_table_that_rows_go_to(make: Made, kind: str, refused: str) -> None:
    """Where the pre-flight saw a table, the frame's columns have to be of types that it takes."""
    desk = make(ONE + FRAME)
    desk.change("  write_back: secret/url", "  preflight: secret/url\n  write_back: secret/url")
    with closing(sqlite3.connect(desk.folder / "target.sqlite")) as database:
        own = "_gatehouse_run VARCHAR(64) NOT NULL, _gatehouse_label VARCHAR(20) NOT NULL"
        database.execute(f"CREATE TABLE results (subject TEXT PRIMARY KEY, score {kind}, {own})")
    if refused:
        assert refused in str(told(desk))
    else:
        assert desk.planned().rehearsal.rows == 3


def test_a_number_of_rounds_that_the_counts_decide(make: Made) -> None:
    """Without end on simulated counts, at its end on uniform ones: nobody can say, so it is told, and the frame that there was is accepted."""
    plan = make(
        ONE.replace("circuit()]", "circuit(1, 0.0)]") + "    while len(counts[0]) < 2:\n        counts = yield [circuit(1, 0.0)]\n" + FRAME
    ).planned()
    found = plan.rehearsal
    assert (found.rounds, found.simulated, found.uniform, found.rows) == (1, 0, 1, 3)
    assert found.doubts == ("whether it asks for more than the 2 rounds of the envelope, as it did",)
    assert "1 round, 1 circuit given uniform counts, 64 shots each" in line(plan)


def test_a_workload_that_uniform_counts_upset(make: Made) -> None:
    """It asked for too many rounds and raises on counts that its circuits never give: neither is certain, and there is no frame to look at."""
    loop = "    while True:\n        assert len(counts[0]) == 1\n        counts = yield [circuit(1, 0.0)]\n"
    plan = make(ONE.replace("circuit()]", "circuit(1, 0.0)]") + loop).planned()
    assert (plan.rehearsal.rounds, plan.rehearsal.rows, len(plan.rehearsal.doubts)) == (2, None, 1)
    assert "it did not come to its end; only the real counts decide: whether it asks" in line(plan)


def test_circuits_beyond_the_simulator(make: Made) -> None:
    """Wide ones get uniform counts, and the plan says so; rounds without end are told as a doubt, for no circuit was simulated."""
    plan = make(ONE.replace("circuit()]", "circuit(21)]") + "    assert all(len(bits) == 21 for bits in counts[0])\n" + FRAME).planned()
    assert (plan.rehearsal.simulated, plan.rehearsal.uniform, plan.rehearsal.rows) == (0, 1, 3)
    assert "1 circuit given uniform counts" in line(plan)
    error = told(make(ONE.replace("circuit()]", "circuit(21)]") + "    raise KeyError('CANARY')\n"))
    assert "1 circuit had uniform counts" in str(error)
    endless = make(ONE.replace("circuit()]", "circuit(21)]") + "    while True:\n        yield [circuit(21)]\n").planned()
    assert endless.rehearsal.rows is None and "more than the 2 rounds" in endless.rehearsal.doubts[0]


def test_a_rehearsal_that_takes_too_long(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """No further round is begun after the bound; what was not seen is told."""
    monkeypatch.setattr(rehearsal, "SECONDS", -1.0)
    plan = make(TWO_ROUNDS).planned()
    assert (plan.rehearsal.rehearsed, plan.rehearsal.rounds, plan.rehearsal.rows) == (True, 0, None)
    assert "no further round was rehearsed" in plan.rehearsal.doubts[0]


def test_more_jobs_than_the_envelope_has(make: Made) -> None:
    """Three jobs in the first round fit, the fourth of the second does not: told, for with other counts there may be fewer rounds."""
    plan = make(TWO_ROUNDS, jobs=3, backends="braket-local").planned()
    assert plan.rehearsal.doubts == ("whether it needs more than 3 jobs on braket-local, as it did",)


def test_it_can_be_left_out(make: Made) -> None:
    """Where manifest and tier say so: the plan tells that nobody rehearsed."""
    desk = make(ONE + "    raise ValueError\n", rehearsal="skip")
    plan = desk.planned()
    assert line(plan) == "not rehearsed: the manifest says execution.rehearsal: skip"
    assert not plan.rehearsal.rehearsed
