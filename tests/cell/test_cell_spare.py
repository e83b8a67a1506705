"""A cell that imports before anybody knows its workload: as tight as any other, of one workload, and of nobody where it does not suit."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.support.cells import ATTACKS, FEATURES, LIMITS, require, to_the_end
from tests.support.gates import HEAD, TWO_ROUNDS, Desk

from prefect_gatehouse.errors import StorageError, Unavailable
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.run import ahead, cells
from prefect_gatehouse.run.ahead import Early, Unassigned, drop_spare, keep_early, keep_spare, prepared, take_spare
from prefect_gatehouse.run.early import start_early
from prefect_gatehouse.run.packages import Installed
from prefect_gatehouse.run.under import packages_of
from prefect_gatehouse.workload.runner import cell as module
from prefect_gatehouse.workload.runner.cell import Cell, Spare
from prefect_gatehouse.workload.runner.choose import run_in, spare_of
from prefect_gatehouse.workload.runner.interface import Limits, Task
from prefect_gatehouse.workload.sources import find_workload

# Each gets its way without a cell; what a seccomp filter refuses is tried in a thread as well, which one for a single thread would not have met.
DENIED = {
    "socket": "import socket; socket.socket(socket.AF_INET)",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX)",
    "fork": "child = os.fork(); child or os._exit(0)",
    "exec": "import subprocess; subprocess.run(['/bin/true'])",
    "its own file's mode": "os.chmod(__file__, 0o666)",
    "its own file": "open(__file__, 'a').write('x')",
    "a file beside it": "open(os.path.join(os.path.dirname(__file__), 'more.py'), 'w').write('x')",
    "a file among the packages": "import numpy; open(numpy.__file__, 'a').write('')",
    "the project": "open({folder!r} + '/source.csv').read()",
    "another process": "os.kill({pid}, 0)",
}
ALLOWED = {
    "what lies with it": "open(os.path.join(os.path.dirname(__file__), 'more.txt')).read()",
    "its folder": "os.listdir('/tmp')",
    # Which its imports gave away.
    "its turn among all others": "assert int(open('/proc/thread-self/stat').read().rpartition(')')[2].split()[16]) < 15",
}
THREADED = """
def {name}(parameters):
    def tried():
        {act}
        return 'done'
    if not {thread}:
        return tried()
    import threading
    found = []
    def inside():
        try:
            found.append(tried())
        except Exception as error:
            found.append(None)
    thread = threading.Thread(target=inside)
    thread.start(); thread.join()
    return found[0]
attacks.append({name})
"""


def task_of(folder: Path, body: str, **parameters: Any) -> Task:
    """A workload of this text with a file beside it."""
    (folder / "workload.py").write_text(HEAD + body)
    (folder / "more.txt").write_text("more")
    table = pa.Table.from_pandas(FEATURES, preserve_index=False)
    return Task(find_workload("workload.py:solve", folder), lambda: table, parameters, {"subject", "found"})


def spare() -> Spare:
    """One of bubblewrap's, which has imported as much as it likes to."""
    require("bubblewrap")
    made = spare_of("bubblewrap", LIMITS)
    assert made is not None
    return made


def gone(process: int) -> bool:
    """Whether there is no such process any more."""
    return not Path(f"/proc/{process}").exists()


def test_it_is_as_tight_as_any_other(tmp_path: Path) -> None:
    """Every attack fails in it, in its main thread and in another, and what any cell may do it may."""
    made = spare()
    (tmp_path / "source.csv").write_text("secret")
    functions, names = "", []
    for number, (name, act) in enumerate({**DENIED, **ALLOWED}.items()):
        for thread in (False, True):
            act_here = act.format(folder=str(tmp_path), pid=os.getpid())
            functions += THREADED.format(name=f"attack_{number}_{thread}", act=act_here.replace("; ", "\n        "), thread=thread)
            names.append(name)
    body = f"attacks = []\n{functions}\n{ATTACKS}"
    workload = task_of(tmp_path, body, each=[{}] * len(names))
    found = to_the_end(run_in("bubblewrap", workload, LIMITS, (), made)).column("found").to_pylist()
    got = {name: told for name, told in zip(names, found, strict=True) if told != "None"}
    assert set(got) == set(ALLOWED), got
    assert found.count("'done'") == 2 * len(ALLOWED)
    assert (tmp_path / "source.csv").read_text() == "secret"


def test_one_that_can_not_import_does_not_come_to_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workload gets no process that lacks what every workload needs, and is not blamed for it."""
    broken = "from prefect_gatehouse.workload.runner import child; child._imported = lambda: {}['CANARY']; child.main(order)"
    monkeypatch.setattr(module, "_START", f"import json, sys; order = json.loads(sys.argv[1])\n{broken}")
    made = spare()
    with pytest.raises(Unavailable, match="did not come to stand"):
        to_the_end(run_in("bubblewrap", task_of(tmp_path, TWO_ROUNDS, each=[{}]), LIMITS, (), made))


def test_it_is_the_process_that_was_started(tmp_path: Path) -> None:
    """What suits is taken as it is; it ends with its workload."""
    made = spare()
    process = made.hand_over()[0].pid
    cell = run_in("bubblewrap", task_of(tmp_path, "def solve(features, parameters):\n    yield [QuantumCircuit(1, 1)]\n"), LIMITS, (), made)
    assert isinstance(cell, Cell)
    assert cell.alive
    with cell:
        assert len(cell.advance(None)) == 1  # type: ignore[arg-type]
        assert not gone(process)
    assert gone(process)


@pytest.mark.parametrize("other", ["limits", "room", "cell"])
def test_what_does_not_suit_is_ended(other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workload gets a cell of its own, as if there had been none."""
    made = spare()
    process = made.hand_over()[0].pid
    limits = Limits(60, 60, 2 << 30, 4 << 20) if other == "limits" else LIMITS
    if other == "room":
        monkeypatch.setattr(module, "SPARE_ROOM", 10)
    body = "def solve(features, parameters):\n    yield [QuantumCircuit(1, 1)]\n"
    with run_in("landlock" if other == "cell" else "bubblewrap", task_of(tmp_path, body), limits, (), made) as cell:
        assert gone(process)
        assert len(cell.advance(None)) == 1  # type: ignore[arg-type]


def test_a_secret_among_what_it_reads_ends_it(tmp_path: Path) -> None:
    """A refusal leaves no process behind."""
    made = spare()
    process = made.hand_over()[0].pid
    with pytest.raises(Exception, match="lies where a workload may read"):
        run_in("bubblewrap", task_of(tmp_path, "def solve(features, parameters):\n    yield []\n"), LIMITS, (Path("/usr/share"),), made)
    assert gone(process)


def test_no_other_mechanism_has_one() -> None:
    """Landlock confines itself to the workload's files, while it has one thread; without a cell there is nothing to start."""
    assert spare_of("landlock", LIMITS) is None
    assert spare_of("none", LIMITS) is None


def test_it_serves_the_first_workload_of_a_process(tmp_path: Path) -> None:
    """A run's cell is the one that was kept, for the plan; nothing is kept any more."""
    require("bubblewrap")
    desk = Desk(tmp_path, TWO_ROUNDS, cell="bubblewrap")
    cells.get_spares(desk.attempt.settings)
    assert prepared() == 1
    process = ahead._unassigned[0].spare.hand_over()[0].pid
    cells.get_spares(desk.attempt.settings)  # there is one
    assert not gone(process)
    made = desk.planned()
    assert prepared() == 0
    assert gone(process)  # with the rehearsal, to which the plan's cell goes on
    assert len(run_rounds(desk.attempt, desk.approve(made)).rounds) == 2


def test_one_that_is_started_while_a_flow_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It outlives the thread that imported the flow, which ends; a run that wants two has it and another."""
    require("bubblewrap")
    desk, before = Desk(tmp_path, cell="bubblewrap"), children()
    monkeypatch.setenv("GATEHOUSE_HOME", str(desk.settings.home))
    importing = threading.Thread(target=start_early)
    importing.start()
    importing.join()
    time.sleep(0.5)
    (early,) = children() - before
    cells.get_spares(desk.settings, 2)
    (other,) = children() - before - {early}
    assert [kept.spare.hand_over()[0].pid for kept in ahead._unassigned] == [early, other]
    assert not ahead._early
    drop_spare()
    assert children() == before


def test_none_is_started_early_where_settings_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever drives the run says so: here nothing happens, and nobody is kept waiting."""
    before = children()
    monkeypatch.setenv("GATEHOUSE_CELL", "CANARY")
    start_early()
    assert prepared() == 0
    assert not ahead._early
    assert children() == before


def test_one_that_nobody_wants_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that the process drives has its outcome already, or is over."""
    require("bubblewrap")
    desk, before = Desk(tmp_path, cell="bubblewrap"), children()
    desk.planned()
    monkeypatch.setenv("GATEHOUSE_HOME", str(desk.settings.home))
    row = desk.ledger.run(desk.attempt.run_id)
    assert row is not None
    for ending, cell_count in ((None, 1), ("denied", 0)):  # it has a plan, whose rehearsal is done
        start_early()
        cells.start_spares(desk.settings, desk.ledger, desk.attempt.run_id, replace(row, ending=ending))
        assert prepared() == cell_count
        drop_spare()
    assert children() == before


def test_other_packages_since_it_was_started(tmp_path: Path) -> None:
    """It has imported what was there; the run is compared with what is there."""
    require("bubblewrap")
    settings = Desk(tmp_path, cell="bubblewrap").attempt.settings
    cells.get_spares(settings)
    kept = ahead._unassigned[0]
    process = kept.spare.hand_over()[0].pid
    assert kept.packages == packages_of(settings).digest
    assert take_spare("bubblewrap", "0" * 64) is None
    assert gone(process)
    assert prepared() == 0


def test_packages_changed_since_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed is looked at when the cell imports already: a change since shortly before its start, and nobody knows what it imported."""
    require("bubblewrap")
    settings, started = Desk(tmp_path, cell="bubblewrap").attempt.settings, list[set[int]]()
    looked = packages_of(settings)

    def looks(settings: object) -> Installed:
        started.append(children())
        return replace(looked, changed=time.time_ns() - 1_000_000_000)

    before = children()
    monkeypatch.setattr(cells, "packages_of", looks)
    cells.get_spares(settings)
    assert prepared() == 0
    assert started[0] > before
    assert children() == before


def test_packages_that_can_t_be_read_leave_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("bubblewrap")
    settings, before = Desk(tmp_path, cell="bubblewrap").attempt.settings, children()

    def looks(settings: object) -> Installed:
        raise StorageError("an installed package can't be read", where="packages")

    monkeypatch.setattr(cells, "packages_of", looks)
    cells.get_spares(settings)
    assert prepared() == 0
    assert children() == before


def children() -> set[int]:
    """The processes that this one has started and that live."""
    return {int(pid) for thread in Path("/proc/self/task").iterdir() for pid in (thread / "children").read_text().split()}


def test_what_nobody_takes_is_ended() -> None:
    """A process that leaves leaves no cell, however early it was started; the first that was kept is the first that is taken."""
    one, two, three = spare(), spare(), spare()
    first, second, third = (each.hand_over()[0].pid for each in (one, two, three))
    keep_spare(Unassigned("bubblewrap", "", one))
    keep_spare(Unassigned("bubblewrap", "", two))
    keep_early(Early("bubblewrap", 0, three))
    taken = take_spare("bubblewrap", "")
    assert taken is not None
    assert taken.spare is one
    assert not any(gone(each) for each in (first, second, third))
    taken.spare.close()
    drop_spare()
    assert all(gone(each) for each in (first, second, third))
    assert prepared() == 0
