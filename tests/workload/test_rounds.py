"""Driving a workload: the same rounds on every replay, nothing but circuits and a frame out of it, and no more than was approved."""

from __future__ import annotations

import base64
import gc
import random
import signal
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.support.plans import MANIFEST, RUN, write_project

from prefect_gatehouse.errors import DataRefused, Denied, InputError, WorkloadFailed
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import ApprovedPlan, Plan, RawOutcome
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.await_approval import await_approval
from prefect_gatehouse.tasks.minimise import minimise
from prefect_gatehouse.tasks.plan import plan
from prefect_gatehouse.tasks.rounds import run_rounds
from prefect_gatehouse.tasks.validate_input import validate_input
from prefect_gatehouse.workload.circuits import summarise
from prefect_gatehouse.workload.frame import Unusable, table_of
from prefect_gatehouse.workload.load import load_workload
from prefect_gatehouse.workload.rounds import Finished, Rounds

HEAD = "import os\nimport random\nimport sys\nimport warnings\n\nimport numpy as np\nimport pandas as pd\nfrom qiskit import QuantumCircuit\n\n\n"
# Two rounds; the second depends on the counts of the first, and on random numbers.
TWO_ROUNDS = """
def circuit(angle):
    made = QuantumCircuit(2, 2)
    made.ry(angle, 0)
    made.cx(0, 1)
    made.measure([0, 1], [0, 1])
    return made


def solve(features, parameters):
    counts = yield [circuit(float(x)) for x in sorted(features["x"])]
    share = counts[0].get("00", 0) / sum(counts[0].values())
    counts = yield [circuit(share + random.random() + np.random.random())]
    return pd.DataFrame({"subject": features["subject"], "score": counts[0].get("11", 0)})
"""
FEATURES = pd.DataFrame({"subject": ["a", "b", "c"], "x": [0.3, 0.2, 0.1]})


def rounds_of(folder: Path, body: str, features: pd.DataFrame = FEATURES, **parameters: object) -> Rounds:
    """A workload of this text over some features."""
    folder.mkdir(exist_ok=True)
    (folder / "workload.py").write_text(HEAD + body)
    return Rounds(load_workload("workload.py:solve", folder), features, parameters)


def digests(rounds: Rounds, counts: dict[str, int]) -> list[str]:
    """What each round amounts to, every circuit answered with the same counts."""
    found: list[str] = []
    step = rounds.advance(None)
    while not isinstance(step, Finished):
        found.append(summarise(step, 64).digest)
        step = rounds.advance([counts] * len(step))
    return found


def test_a_replay_gives_the_same_rounds(tmp_path: Path) -> None:
    """Ten drives with the same counts, whatever was drawn from the generators of the process before, yield the same circuits."""
    found = []
    for turn in range(10):
        random.seed(turn)
        np.random.seed(turn)
        found.append(digests(rounds_of(tmp_path, TWO_ROUNDS), {"00": 40, "11": 24}))
    assert len(found[0]) == 2
    assert found == [found[0]] * 10
    other = digests(rounds_of(tmp_path, TWO_ROUNDS), {"00": 41, "11": 23})
    assert other[0] == found[0][0] and other[1] != found[0][1]


def test_rounds_do_not_repeat_each_other_s_random_numbers(tmp_path: Path) -> None:
    """Each round draws numbers of its own."""
    body = """
def solve(features, parameters):
    for _ in range(20):
        made = QuantumCircuit(1, 1)
        made.rx(random.random(), 0)
        made.ry(np.random.random(), 0)
        yield [made]
    return pd.DataFrame({"a": [1]})
"""
    found = digests(rounds_of(tmp_path, body), {"0": 64})
    assert len(set(found)) == 20


def test_the_caller_s_random_numbers_stay(tmp_path: Path) -> None:
    """Driving a workload leaves the generators of the process as they were."""
    random.seed(5)
    np.random.seed(5)
    expected = (random.random(), np.random.random())
    random.seed(5)
    np.random.seed(5)
    digests(rounds_of(tmp_path, TWO_ROUNDS), {"00": 1})
    assert (random.random(), np.random.random()) == expected


def test_a_workload_can_not_change_what_it_was_given(tmp_path: Path) -> None:
    """Features, parameters and counts are its own copies: what it does to them reaches neither the caller nor a replay."""
    body = """
def solve(features, parameters):
    features["x"] = 99.0
    parameters["turns"] = 0
    counts = yield [QuantumCircuit(1, 1)]
    counts[0]["0"] = 99
    counts.clear()
    return pd.DataFrame({"a": [parameters["turns"]]})
"""
    features, parameters, counts = FEATURES.copy(), {"turns": 7}, [{"0": 64}]
    rounds = rounds_of(tmp_path, body, features, **parameters)
    rounds.advance(None)
    rounds.advance(counts)
    pd.testing.assert_frame_equal(features, FEATURES)
    assert (parameters, counts) == ({"turns": 7}, [{"0": 64}])


def test_nothing_that_a_workload_says_gets_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prints, warnings, logs, and what it or a process of its own writes on the standard streams stay inside, in every round."""
    body = """
class Loud:
    def __del__(self):
        raise ValueError("CANARY")


def failing():
    raise ValueError("CANARY")


def solve(features, parameters):
    import logging
    import subprocess
    import threading

    logging.getLogger("early").addHandler(logging.StreamHandler(sys.__stderr__))
    for _ in range(2):
        os.write(1, b"CANARY")
        os.write(2, b"CANARY")
        subprocess.run(["echo", "CANARY"], check=True)
        print("CANARY", file=sys.__stderr__, flush=True)
        logging.getLogger("early").error("CANARY")
        Loud()
        thread = threading.Thread(target=failing)
        thread.start()
        thread.join()
        print("CANARY", features)
        print("CANARY", file=sys.stderr)
        sys.stdout.write("CANARY")
        warnings.warn("CANARY")
        yield [QuantumCircuit(1, 1)]
    return pd.DataFrame({"a": [1]})
"""
    digests(rounds_of(tmp_path, body), {"0": 1})
    assert capfd.readouterr() == ("", "")


RAISING = {
    "value": "raise ValueError(str(features))",
    "exit": "sys.exit('CANARY')",
    "chained": "try:\n        raise ValueError('CANARY')\n    except ValueError as error:\n        raise KeyError('CANARY') from error",
    "stop": "raise StopIteration('CANARY')",
    "key": "features['CANARY']",
    "own-class": "raise type('E_CANARY', (Exception,), {})('CANARY')",
    "own-class-in-disguise": "raise type('CANARY', (ValueError,), {'__module__': 'builtins', '__qualname__': 'CANARY'})",
    "own-metaclass": "raise type('M', (type,), {'__name__': 'CANARY', '__mro__': ()})('CANARY', (Exception,), {})",
    "base": "raise BaseException('CANARY')",
    "own-base": "raise type('CANARY', (BaseException,), {})('CANARY')",
    "own-interrupt": "raise type('CANARY', (KeyboardInterrupt,), {})('CANARY')",
    "generator-exit": "raise GeneratorExit('CANARY')",
    "own-exit": "raise type('CANARY', (SystemExit,), {})('CANARY')",
    "recursion": "f = lambda: f()\n    f()",
    "memory": "raise MemoryError('CANARY')",
    "group": "raise ExceptionGroup('CANARY', [ValueError('CANARY')])",
    "notes": "error = ValueError('CANARY')\n    error.add_note('CANARY')\n    raise error",
    "ours": "from prefect_gatehouse.errors import WorkloadFailed\n    raise WorkloadFailed('CANARY', where='CANARY', advice='CANARY')",
    "ours-refused": "from prefect_gatehouse.errors import Rejected\n    raise Rejected('CANARY')",
    "prefect-s": "from prefect.exceptions import Pause\n    raise Pause('CANARY')",
    "prefect-s-order": "from prefect.exceptions import TerminationSignal\n    raise TerminationSignal('CANARY')",
    "compiled": "exec(compile('raise ValueError', 'CANARY.py', 'exec'))",
    "cancelled": "import asyncio\n    raise asyncio.CancelledError('CANARY')",
}


@pytest.mark.parametrize("name", RAISING)
@pytest.mark.parametrize("later", [False, True], ids=["first-round", "later-round"])
def test_a_workload_that_raises(tmp_path: Path, name: str, later: bool) -> None:
    """Type and line are told, the text, which may hold data, is not; no exception hangs on the error."""
    features = pd.DataFrame({"subject": ["CANARY"], "x": [1.0]})
    first = "    yield [QuantumCircuit(1, 1)]\n" if later else ""
    rounds = rounds_of(tmp_path, f"def solve(features, parameters):\n{first}    {RAISING[name]}\n    yield []\n", features)
    if later:
        rounds.advance(None)
    with pytest.raises(WorkloadFailed) as caught:
        rounds.advance([{"0": 1}] if later else None)
    assert "CANARY" not in str(caught.value)
    assert caught.value.where.startswith("workload.py")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_name_that_holds_data_is_not_told(tmp_path: Path) -> None:
    """The nearest class of Python's own is named, whatever class the workload made for the occasion."""
    for name, kind in (("own-class", "Exception"), ("own-class-in-disguise", "ValueError"), ("own-base", "BaseException"), ("ours", "Exception")):
        rounds = rounds_of(tmp_path, f"def solve(features, parameters):\n    {RAISING[name]}\n    yield []\n")
        with pytest.raises(WorkloadFailed, match=f"the workload raised {kind}; its text is withheld"):
            rounds.advance(None)


def test_the_line_is_the_innermost_of_the_workload_s_files(tmp_path: Path) -> None:
    """Where a helper raises, its line is told, not the call's, nor one of a library."""
    (tmp_path / "helper.py").write_text("def half(value):\n    return {}[value]\n")
    rounds = rounds_of(tmp_path, "def solve(features, parameters):\n    import helper\n    yield helper.half(1)\n")
    with pytest.raises(WorkloadFailed) as caught:
        rounds.advance(None)
    assert caught.value.where == "helper.py:2"
    rounds = rounds_of(tmp_path, "def solve(features, parameters):\n    yield pd.DataFrame({'a': [1]}).loc['x']\n")
    with pytest.raises(WorkloadFailed) as caught:
        rounds.advance(None)
    assert caught.value.where == f"workload.py:{HEAD.count(chr(10)) + 2}"


def stopped(number: int, frame: object) -> None:
    raise Stopped(number)


class Stopped(BaseException):
    """What a handler raises, as Prefect's does."""


SLEEPING = """
def solve(features, parameters):
    import signal

    try:
        signal.raise_signal(signal.Signals[parameters["signal"]])
    except Exception:
        pass
    yield [QuantumCircuit(1, 1)]
"""


def test_who_stops_the_process_is_not_taken_for_the_workload(tmp_path: Path) -> None:
    """Ctrl-C, and what a handler that was set before raises, pass through; Ctrl-C without a text, which the workload could have written."""
    rounds = rounds_of(tmp_path, SLEEPING, signal="SIGINT")
    with pytest.raises(KeyboardInterrupt):
        rounds.advance(None)
    kept = signal.signal(signal.SIGTERM, stopped)
    try:
        rounds = rounds_of(tmp_path, SLEEPING, signal="SIGTERM")
        with pytest.raises(Stopped):
            rounds.advance(None)
        rounds = rounds_of(tmp_path, "def solve(features, parameters):\n    raise KeyboardInterrupt('CANARY')\n    yield\n")
        with pytest.raises(KeyboardInterrupt) as caught:
            rounds.advance(None)
        assert caught.value.args == ()
        # A handler of the workload's own is the workload.
        own = "    signal.signal(signal.SIGTERM, lambda *_: {}['CANARY'])\n    try:"
        rounds = rounds_of(tmp_path, SLEEPING.replace("    try:", own).replace("except Exception", "except ZeroDivisionError"), signal="SIGTERM")
        with pytest.raises(WorkloadFailed, match="KeyError"):
            rounds.advance(None)
    finally:
        signal.signal(signal.SIGTERM, kept)


STUBBORN = {
    "swallows": "try:\n            yield [QuantumCircuit(1, 1)]\n        except GeneratorExit:\n            print('CANARY')",
    "raises": "try:\n            yield [QuantumCircuit(1, 1)]\n        finally:\n            raise ValueError('CANARY')",
    "exits": "try:\n            yield [QuantumCircuit(1, 1)]\n        finally:\n            sys.exit('CANARY')",
    "own-base": "try:\n            yield [QuantumCircuit(1, 1)]\n        finally:\n            raise type('CANARY', (BaseException,), {})",
}


@pytest.mark.parametrize("name", STUBBORN)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_workload_that_does_not_end_when_it_is_told_to(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """It swallows GeneratorExit, or raises at it: nobody hears of it, neither then nor when Python forgets the generator."""
    with rounds_of(tmp_path, f"def solve(features, parameters):\n    while True:\n        {STUBBORN[name]}\n") as rounds:
        rounds.advance(None)
    rounds.close()
    del rounds
    gc.collect()
    assert capfd.readouterr() == ("", "")


def test_counts_of_several_registers(tmp_path: Path) -> None:
    """A workload is given texts without spaces, as ever; and, if it asks, those that Qiskit writes, or one register's."""
    body = """
from qiskit import ClassicalRegister, QuantumRegister


def solve(features, parameters):
    two = QuantumCircuit(QuantumRegister(3), ClassicalRegister(1, "c0"), ClassicalRegister(2, "c1"))
    counts = yield [two, QuantumCircuit(2, 2)]
    first, second = counts
    assert first == {"101": 3, "111": 2, "100": 1} and isinstance(first, dict)
    assert first.spaced() == {"10 1": 3, "11 1": 2, "10 0": 1}
    assert first.of("c0") == {"1": 5, "0": 1}
    assert first.of("c1") == {"10": 4, "11": 2}
    assert second.spaced() == second == {"01": 6}
    try:
        first.of("c2")
    except KeyError:
        return pd.DataFrame({"a": [1]})
"""
    rounds = rounds_of(tmp_path, body)
    rounds.advance(None)
    assert isinstance(rounds.advance([{"101": 3, "111": 2, "100": 1}, {"01": 6}]), Finished)


NO_CIRCUITS = [
    "None",
    "[]",
    "()",
    "QuantumCircuit(1, 1)",
    "[1]",
    "[QuantumCircuit(1, 1), None]",
    "'circuits'",
    "iter([QuantumCircuit(1, 1)])",
    "features",
    "type('CANARY', (list,), {'__iter__': lambda self: iter([1])})([1])",
]


@pytest.mark.parametrize("what", NO_CIRCUITS)
def test_what_is_no_list_of_circuits(tmp_path: Path, what: str) -> None:
    """Only a list or tuple of at least one circuit is a round."""
    rounds = rounds_of(tmp_path, f"def solve(features, parameters):\n    yield {what}\n")
    with pytest.raises(WorkloadFailed, match="no list of circuits"):
        rounds.advance(None)


@pytest.mark.parametrize("what", ["None", "{}", "[1]", "features['x']", "'CANARY'"])
def test_what_is_no_frame(tmp_path: Path, what: str) -> None:
    """Only a pandas frame is a result; nothing returned is none."""
    rounds = rounds_of(tmp_path, f"def solve(features, parameters):\n    yield (QuantumCircuit(1, 1),)\n    return {what}\n")
    assert isinstance(rounds.advance(None), list)
    with pytest.raises(WorkloadFailed, match="no pandas frame"):
        rounds.advance([{"0": 1}])


def test_what_is_almost_a_frame_is_told_by_its_name(tmp_path: Path) -> None:
    """A Series has to become a frame; decimals are finite, and what pandas takes for missing is missing in every type."""
    for what, words in (("pd.Series([1])", "a pandas Series"), ("np.zeros(3)", "a NumPy array"), ("pd.Index([1])", "a pandas Index")):
        code = f"import pandas as pd\nimport numpy as np\ndef solve(features, parameters):\n    yield (QuantumCircuit(1, 1),)\n    return {what}\n"
        rounds = rounds_of(tmp_path, code)
        rounds.advance(None)
        with pytest.raises(WorkloadFailed, match=f"no pandas frame, but {words} .return a .*DataFrame"):
            rounds.advance([{"0": 1}])
    for missing in ("NaN", "sNaN"):
        table = table_of(pd.DataFrame({"score": [Decimal(missing), Decimal("1.5")], "other": [float("nan"), 1.5]}))
        assert isinstance(table, pa.Table)
        assert [column.null_count for column in table.columns] == [1, 1]
    found = table_of(pd.DataFrame({"score": [Decimal("Infinity"), Decimal(1)]}), ["score"])
    assert found == Unusable(
        "column 1 of the workload's frame ('score') holds a decimal that is not finite", "return finite numbers; None, or NaN, is a missing value"
    )


# --- under the gates: a run up to its approval, then its rounds, without a Prefect server


class Desk:
    """A run over a small project, approved, and what drives it."""

    def __init__(self, folder: Path, body: str = TWO_ROUNDS, rounds: int = 2, jobs: int = 10, backends: str = "aer, braket-local") -> None:
        self.folder = folder / "project"
        write_project(self.folder)
        manifest = MANIFEST.replace("envelope: {rounds: 2, jobs: 10,", f"envelope: {{rounds: {rounds}, jobs: {jobs},")
        (self.folder / "gatehouse.yaml").write_text(manifest.replace("backends: [aer, braket-local]", f"backends: [{backends}]"))
        (self.folder / "source.csv").write_text("subject,x\nann,0.1\nbob,0.2\ncid,0.3\n")
        self.write(body)
        # Nobody signs here, and the data is restricted: a tier that admits that.
        tiers = folder / "tiers.yaml"
        tiers.write_text(Settings().tiers.read_text().replace("unverified_class: internal", "unverified_class: restricted"))
        self.settings = Settings(home=folder / "home", tiers=tiers)
        self.settings.folder("")
        self.ledger = Ledger(self.settings.ledger())
        self.attempt = self.next_attempt()

    def write(self, body: str) -> None:
        (self.folder / "workload.py").write_text(HEAD + body)

    def next_attempt(self) -> Attempt:
        key = base64.b64encode(bytes(range(32))).decode()
        return Attempt(self.settings, self.ledger, RUN, lambda block: SecretText(key))

    def planned(self) -> Plan:
        attempt = self.attempt
        return plan(attempt, validate_input(attempt, minimise(attempt, admit(attempt, str(self.folder / "gatehouse.yaml"), None))))

    def approved(self) -> ApprovedPlan:
        made = self.planned()
        people = People(self.settings.people_folder())
        key = self.folder.parent / "bob"
        people.add("bob", key=generate_key(key, ""), roles=frozenset({"approver"}), totp=False, clearance=DataClass.RESTRICTED)
        approve, _ = ask(self.attempt, made, "k")
        judge(self.attempt, made, "k", Answer(decision="approve", approver="bob", proof=sshsig.sign(key, approve.message())))
        return await_approval(self.attempt, made)

    def entries(self) -> list[tuple[int, int, str, str]]:
        return [(entry.round, entry.fallback, entry.backend, entry.state) for entry in journal.entries(self.attempt)]

    def frame(self, outcome: RawOutcome) -> pd.DataFrame:
        made: pd.DataFrame = self.attempt.store.read(outcome.frame, self.attempt.key).to_pandas()
        return made


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
    desk = Desk(tmp_path / "cut")
    # The same code both times, or the approval would be void: what differs lies outside of it.
    desk.write(TWO_ROUNDS.replace("    share =", f"    open({str(desk.folder / 'go')!r}).close()\n    share ="))
    approved = desk.approved()
    with pytest.raises(WorkloadFailed, match="FileNotFoundError"):
        run_rounds(desk.attempt, approved)
    assert desk.entries() == [(0, 0, "aer", "settled")]
    (desk.folder / "go").write_text("")
    desk.attempt = desk.next_attempt()
    outcome = run_rounds(desk.attempt, approved)
    assert desk.entries() == [(0, 0, "aer", "settled"), (1, 0, "aer", "settled")]
    assert len(desk.ledger.events(RUN, "job-submitted")) == 2
    assert [item.submission.circuits.digest for item in outcome.rounds] == [item.submission.circuits.digest for item in expected.rounds]


def test_a_workload_whose_first_round_changes(tmp_path: Path) -> None:
    """Other circuits than those that were approved, though the code is the same: refused before anything is fetched or submitted."""
    desk = Desk(tmp_path)
    desk.write(TWO_ROUNDS.replace("sorted(features", f"[float(open({str(desk.folder / 'angle')!r}).read())] or sorted(features"))
    (desk.folder / "angle").write_text("0.5")
    approved = desk.approved()
    (desk.folder / "angle").write_text("0.6")
    with pytest.raises(WorkloadFailed, match="round 1 has other circuits than before"):
        run_rounds(desk.attempt, approved)
    assert desk.entries() == []
    (desk.folder / "angle").write_text("0.5")
    run_rounds(desk.attempt, approved)


def test_a_workload_whose_later_round_changes(tmp_path: Path) -> None:
    """A finished round whose circuits differ on replay is an error, not a resubmission: no job is added, and the old one stays."""
    desk = Desk(tmp_path)
    # A clock, as it were: what it shows is read where a seed would belong; the end is held up once, so that there is a replay.
    body = TWO_ROUNDS.replace("share + random", f"float(open({str(desk.folder / 'clock')!r}).read()) + random")
    desk.write(body.replace("    return pd.", f"    open({str(desk.folder / 'go')!r}).close()\n    return pd."))
    (desk.folder / "clock").write_text("1")
    approved = desk.approved()
    with pytest.raises(WorkloadFailed, match="FileNotFoundError"):
        run_rounds(desk.attempt, approved)
    before = journal.entries(desk.attempt)
    assert [entry.state for entry in before] == ["settled", "settled"]
    (desk.folder / "go").write_text("")
    (desk.folder / "clock").write_text("2")
    desk.attempt = desk.next_attempt()
    with pytest.raises(WorkloadFailed, match="round 2 has other circuits than before") as caught:
        run_rounds(desk.attempt, approved)
    assert "deterministic" in caught.value.advice
    assert journal.entries(desk.attempt) == before
    (desk.folder / "clock").write_text("1")
    assert len(run_rounds(desk.attempt, approved).rounds) == 2


def test_more_rounds_than_were_approved(tmp_path: Path) -> None:
    """The round beyond the envelope is denied before it is intended; those before it stand."""
    desk = Desk(tmp_path, rounds=1)
    with pytest.raises(Denied, match="more than the approved 1 rounds"):
        run_rounds(desk.attempt, desk.approved())
    assert desk.entries() == [(0, 0, "aer", "settled")]


def test_more_jobs_than_were_approved(tmp_path: Path) -> None:
    """At Braket a circuit is a job: three fit the envelope of three, the fourth in the second round does not."""
    desk = Desk(tmp_path, jobs=3, backends="braket-local")
    with pytest.raises(Denied, match="more than the approved envelope"):
        run_rounds(desk.attempt, desk.approved())
    assert desk.entries() == [(0, 0, "braket-local", "settled")] * 3


def test_a_first_round_that_does_not_fit_is_not_even_planned(tmp_path: Path) -> None:
    """The approver is not asked for what the envelope can't hold."""
    desk = Desk(tmp_path, jobs=2, backends="braket-local")
    with pytest.raises(Denied, match="needs 3 jobs for the first round, the envelope has 2"):
        desk.planned()


TOO_WIDE = "def solve(features, parameters):\n    made = QuantumCircuit(29, 29)\n    made.measure(0, 0)\n    yield [made]\n"
NOT_AT_BRAKET = "def solve(features, parameters):\n    made = QuantumCircuit(1, 1)\n    made.reset(0)\n    made.measure(0, 0)\n    yield [made]\n"


def test_circuits_that_a_backend_can_not_run_are_not_planned(tmp_path: Path) -> None:
    """Too many qubits, or a reset where there is none, ends the run before anybody is asked, with the backend's name."""
    with pytest.raises(Denied, match="aer has 28 qubits, the circuits need 29"):
        Desk(tmp_path / "wide", TOO_WIDE).planned()
    with pytest.raises(InputError, match="a circuit resets"):
        Desk(tmp_path / "reset", NOT_AT_BRAKET).planned()


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
    desk = Desk(tmp_path, TWO_ROUNDS[: TWO_ROUNDS.index("    share =")] + f"    {answer}\n")
    approved = desk.approved()
    with pytest.raises(DataRefused, match=words) as caught:
        run_rounds(desk.attempt, approved)
    assert caught.value.ending == "denied" and "start a new run" in caught.value.advice
    assert "CANARY" not in str(caught.value)
    assert desk.entries() == [(0, 0, "aer", "settled")]


NO_FIRST_ROUND = {
    "returns": "    return pd.DataFrame({'a': [1]})\n    yield\n",
    "empty": "    yield []\n",
    "numbers": "    yield [1]\n",
    "raises": "    raise ValueError('CANARY')\n    yield\n",
}


@pytest.mark.parametrize("name", NO_FIRST_ROUND)
def test_a_workload_without_a_first_round_is_not_planned(tmp_path: Path, name: str) -> None:
    """No circuits, no plan."""
    desk = Desk(tmp_path, "def solve(features, parameters):\n" + NO_FIRST_ROUND[name])
    with pytest.raises(WorkloadFailed) as caught:
        desk.planned()
    assert "CANARY" not in str(caught.value)
    assert "CANARY" not in "".join(str(dict(event.data)) for event in desk.ledger.events())
