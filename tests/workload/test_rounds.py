"""Driving a workload: the same rounds on every replay, and nothing but circuits and a frame out of it."""

from __future__ import annotations

import gc
import random
import signal
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.support.circuit_lists import summarise
from tests.support.gates import HEAD, TWO_ROUNDS

from prefect_gatehouse.errors import WorkloadFailed
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.frame import Unusable, table_of
from prefect_gatehouse.workload.load import load_workload
from prefect_gatehouse.workload.rounds import Finished, Rounds

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
    assert isinstance(rounds.advance(None), CircuitBatch)
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
