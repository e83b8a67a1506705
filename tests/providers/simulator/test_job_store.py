"""The simulators as a durable service: at most one job per key, sealed, the same counts whatever dies when."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from qiskit import QuantumCircuit
from tests.providers.circuits import BACKENDS, LEASE, Desk, flipped
from tests.support.circuit_lists import batch_of, decode

from prefect_gatehouse.errors import Ambiguous, JobFailed, StorageError, Tampered
from prefect_gatehouse.providers.interface import Progress
from prefect_gatehouse.providers.simulator.job_store import JobStore
from prefect_gatehouse.workload.counts import Counts

KEY = "run:0:0:0"


@pytest.fixture(params=BACKENDS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """Each simulator in turn."""
    return Desk(tmp_path, request.param)


def coins(width: int) -> QuantumCircuit:
    """A fair coin on each qubit."""
    circuit = QuantumCircuit(width, width)
    circuit.h(range(width))
    circuit.measure(range(width), range(width))
    return circuit


class Machine:
    """A simulator that counts how often it ran and remembers its seeds."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def __call__(self, payload: bytes, seed: int, progress: Progress) -> Sequence[Counts]:
        self.seeds.append(seed)
        progress(1, 1)
        return [{"0": len(payload), "1": seed}]


def test_the_same_key_makes_one_job_and_runs_once(tmp_path: Path) -> None:
    """Submitted three times and asked five times, by a new spool object each time, it ran once and always gave the same."""
    sealer = Desk(tmp_path, "aer").sealer
    machine = Machine()

    def spool() -> JobStore:
        return JobStore(tmp_path / "spool", "aer", sealer)

    handles = {spool().submit(b"payload", KEY) for _ in range(3)}
    results = [spool().result(handle, machine, None).counts for handle in handles for _ in range(5)]
    assert len(handles) == 1
    assert len(machine.seeds) == 1
    assert results == [({"0": 7, "1": machine.seeds[0]},)] * 5
    assert spool().submit(b"payload", KEY) in handles
    spool().result(handles.pop(), machine, None)
    assert len(machine.seeds) == 1


def test_another_key_is_another_job(tmp_path: Path) -> None:
    """The same bytes under other keys are other jobs with other random numbers; a key never finds another's job."""
    machine = Machine()
    spool = JobStore(tmp_path / "spool", "aer", Desk(tmp_path, "aer").sealer)
    keys = [f"run:{round_number}:{job}:{number}" for round_number in range(3) for job in range(3) for number in range(2)] + ["run:1:1", "run:11:1"]
    handles = [spool.submit(b"payload", key) for key in keys]
    for handle in handles:
        spool.result(handle, machine, None)
    assert len(set(handles)) == len(set(machine.seeds)) == len(keys)
    assert [spool.find(key) for key in keys] == handles
    assert spool.find("run:9:9:9") is None


def test_two_simulators_share_a_folder(tmp_path: Path) -> None:
    """A fallback's job is not the first backend's, though key and folder are the same."""
    aer, braket = (Desk(tmp_path, backend) for backend in BACKENDS)
    handles = {desk.backend: desk.submit([flipped(2, 0)]) for desk in (aer, braket)}
    assert handles["aer"].startswith("aer-") and handles["braket-local"].startswith("braket-local-")
    assert aer.provider().delete(handles["aer"], LEASE) == ""
    assert (aer.provider().find_by_key(KEY, LEASE), braket.provider().find_by_key(KEY, LEASE)) == (None, handles["braket-local"])


def test_a_new_provider_object_finds_the_job(desk: Desk) -> None:
    """Nothing is kept in memory: a new object finds the job by its key, submits it again without effect and gives the stored counts."""
    assert desk.provider().find_by_key(KEY, LEASE) is None
    circuits = [flipped(3, 0), flipped(3, 1, 2)]
    handle = desk.submit(circuits)
    told: list[tuple[int, int]] = []
    first = desk.result(handle, lambda done, total: told.append((done, total)))
    kept = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in desk.files()}
    assert told[-1] == (2, 2)
    told.clear()
    assert desk.provider().find_by_key(KEY, LEASE) == desk.submit(circuits) == handle
    assert desk.result(handle, lambda done, total: told.append((done, total))).counts == first.counts
    # Not run again, not written again.
    assert told == []
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in desk.files()} == kept


def test_a_job_whose_result_was_lost_gives_the_same_counts(tmp_path: Path) -> None:
    """The seed comes from the key: a repeat, and a repeat in another process, is no second throw of the dice."""
    desk = Desk(tmp_path, "aer")
    handle = desk.submit([coins(3)] * 3, shots=500)
    first = desk.result(handle).counts
    (desk.spool / handle / "result").unlink()
    assert desk.result(handle).counts == first
    assert desk.run(*[coins(3)] * 3, key="another", shots=500) != first


@pytest.mark.parametrize("payload", [b"", b"payloae", b"payload "])
def test_the_same_key_with_other_bytes(tmp_path: Path, payload: bytes) -> None:
    """Nobody can say which of the two is meant: the run stops for a person, and the first job stays as it is."""
    machine = Machine()
    spool = JobStore(tmp_path / "spool", "aer", Desk(tmp_path, "aer").sealer)
    handle = spool.submit(b"payload", KEY)
    with pytest.raises(Ambiguous) as caught:
        spool.submit(payload, KEY)
    assert caught.value.where == handle
    assert spool.result(handle, machine, None).counts[0]["0"] == 7


def test_payloads_are_the_same_bytes_each_time(desk: Desk) -> None:
    """Two encodings of equal circuits are equal whatever the circuits are called, and decode to the same circuits."""
    one, other = flipped(3, 0), flipped(3, 0)
    other.name, other.metadata = "CANARY", {"patient": "CANARY"}
    payload = desk.provider().encode(batch_of([one]), 100)
    assert payload == desk.provider().encode(batch_of([other]), 100)
    (again,), shots = decode(payload)
    assert (again, shots) == (one, 100)


# --- sealed


def test_the_spool_holds_nothing_in_clear(desk: Desk) -> None:
    """No byte of payload or counts is in any file or file name; everything is for its owner only."""
    circuit = flipped(4, 1, 3)
    circuit.name, circuit.metadata = "CANARY", {"patient": "CANARY"}
    payload = desk.provider().encode(batch_of([circuit]), 4711)
    handle = desk.submit([circuit], shots=4711)
    assert desk.result(handle).counts == ({"1010": 4711},)
    assert len(desk.files()) == 2
    plain = [payload, payload[2:20], b"1010", b"4711", b"CANARY", b'"x"', b"measure", b"payload", KEY.encode()]
    for path in desk.files():
        data = path.read_bytes()
        assert not any(part in data for part in plain), path.name
        assert KEY not in str(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((desk.spool / handle).stat().st_mode) == 0o700
    assert desk.sealer.open((desk.spool / handle / "payload").read_bytes()) == f"{handle}/payload\n".encode() + payload


@pytest.mark.parametrize("name", ["payload", "result"])
def test_a_file_of_another_job_is_refused(desk: Desk, name: str) -> None:
    """One job's sealed file in another job's place opens with the run's key and is refused all the same."""
    first, second = desk.submit([flipped(1)]), desk.submit([flipped(1, 0)], key="other")
    if name == "result":
        desk.result(second)
    (desk.spool / first / name).write_bytes((desk.spool / second / name).read_bytes())
    with pytest.raises(Tampered, match="not this job's"):
        desk.result(first)


@pytest.mark.parametrize("handle", ["", ".", "..", "../precious", "/precious", "aer-x", "braket-local-", "aer-000000000000000000000000/.."])
def test_a_handle_leads_nowhere_else(desk: Desk, handle: str) -> None:
    """Handles come from a database: one that is none touches no file."""
    precious = desk.spool.parent / "precious"
    precious.mkdir(parents=True)
    (precious / "payload").write_text("x")
    made = desk.submit([flipped(1)])
    for act in (lambda: desk.provider().delete(handle, LEASE), lambda: desk.provider().cancel(handle, LEASE), lambda: desk.result(handle)):
        with pytest.raises(Tampered, match="no handle"):
            act()
    assert (precious / "payload").exists() and (desk.spool / made / "payload").exists()


def flip(data: bytes) -> bytes:
    return data[:30] + (b"A" if data[30:31] != b"A" else b"B") + data[31:]


ATTACKS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "flipped": lambda data, foreign: flip(data),
    "truncated": lambda data, foreign: data[:-8],
    "prefixed": lambda data, foreign: b"AAAA" + data,
    "emptied": lambda data, foreign: b"",
    "plain": lambda data, foreign: b'[{"1": 100}]',
    "binary": lambda data, foreign: bytes(range(256)),
    "another-run-s": lambda data, foreign: foreign,
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", ["payload", "result"])
def test_a_tampered_file_is_refused(tmp_path: Path, name: str, attack: str) -> None:
    """Whoever can write the spool but has no run key can change neither what runs nor what it gave; the error shows nothing of it."""
    desk = Desk(tmp_path, "aer")
    handle = desk.submit([flipped(1)])
    if name == "result":
        desk.result(handle)
    path = desk.spool / handle / name
    plain = desk.sealer.open(path.read_bytes())
    path.write_bytes(ATTACKS[attack](path.read_bytes(), Desk(tmp_path, "aer", "another-run").sealer.seal(plain)))
    with pytest.raises(Tampered) as caught:
        desk.result(handle)
    assert "run's key" in caught.value.message
    assert name == "result" or not (desk.spool / handle / "result").exists()


def test_a_sealed_payload_that_is_no_payload(tmp_path: Path) -> None:
    """What opens under the run's key but was not made by encode is refused too, not run."""
    desk = Desk(tmp_path, "aer")
    for number, data in enumerate((b"", b"plain", b"\x78\x9c", desk.provider().encode(batch_of([flipped(1)]), 1)[:-6])):
        handle = desk.provider().submit(data, f"k{number}", LEASE)
        with pytest.raises(Tampered, match="can't be decoded"):
            desk.result(handle)


# --- ends and failures


def test_cancelled_before_it_ran(desk: Desk) -> None:
    """A job that has not run is forgotten by cancelling, once; its key finds nothing, its handle is no job."""
    handle = desk.submit([flipped(1)])
    assert desk.provider().cancel(handle, LEASE) is True
    assert desk.provider().cancel(handle, LEASE) is False
    assert desk.provider().find_by_key(KEY, LEASE) is None
    with pytest.raises(JobFailed) as caught:
        desk.result(handle)
    assert caught.value.job_id == handle
    assert desk.files() == []


def test_too_late_to_cancel_but_not_to_delete(desk: Desk) -> None:
    """A job that has run stays when it is cancelled and goes, with every file, when it is deleted; deleting again is no error."""
    handle = desk.submit([flipped(1)])
    counts = desk.result(handle).counts
    assert desk.provider().cancel(handle, LEASE) is False
    assert desk.result(handle).counts == counts
    assert desk.provider().delete(handle, LEASE) == ""
    assert desk.files() == []
    assert desk.provider().delete(handle, LEASE) == ""


def test_deleting_one_job_leaves_the_others(desk: Desk) -> None:
    """Each job is a folder of its own."""
    one, other = (desk.submit([flipped(2, qubit)], key=f"k{qubit}") for qubit in range(2))
    assert desk.provider().delete(one, LEASE) == ""
    assert desk.result(other).counts == ({"10": 100},)


def test_a_job_that_never_was(desk: Desk) -> None:
    """An unknown handle is a failed job with its name, not a missing file."""
    with pytest.raises(JobFailed, match="no such job") as caught:
        desk.result(f"{desk.backend}-000000000000000000000000")
    assert caught.value.job_id == f"{desk.backend}-000000000000000000000000"


def test_a_spool_that_can_not_be_written(tmp_path: Path) -> None:
    """A file where the folder should be: one clear error, no half job; with the place free again the same submission goes through."""
    desk = Desk(tmp_path, "aer")
    desk.spool.write_text("")
    with pytest.raises(StorageError) as caught:
        desk.submit([flipped(1)])
    assert "resume the run" in caught.value.advice
    desk.spool.unlink()
    assert desk.run(flipped(1)) == ({"0": 100},)


def test_a_simulator_that_fails_leaves_the_job(tmp_path: Path) -> None:
    """A job whose execution raised has no result, and runs when it is asked for again."""
    spool = JobStore(tmp_path / "spool", "aer", Desk(tmp_path, "aer").sealer)
    handle = spool.submit(b"payload", KEY)

    def broken(payload: bytes, seed: int, progress: Progress) -> Sequence[Counts]:
        raise JobFailed("out of order", where="aer")

    with pytest.raises(JobFailed, match="out of order"):
        spool.result(handle, broken, None)
    assert spool.result(handle, Machine(), None).counts[0]["0"] == 7


# --- killed

MORTAL = """
import json, os, signal, sys
from pathlib import Path
from qiskit import QuantumCircuit
from tests.providers.circuits import Desk

folder, backend = Path(sys.argv[1]), sys.argv[2]
coin = QuantumCircuit(2, 2)
coin.h([0, 1])
coin.measure([0, 1], [0, 1])
Desk(folder / "warm", backend).run(coin)  # imports, and with them their file accesses, come before the fork

def live(home, fatal):
    desk = Desk(home, backend)
    seen = 0

    def count(event, arguments):
        nonlocal seen
        touched = event in ("open", "os.mkdir", "os.rename", "os.remove", "os.utime") and str(home / "spool") in str(arguments)
        seen += touched
        if touched and seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    desk.result(desk.submit([coin], shots=1000))

for fatal in range(1, 60):
    home = folder / str(fatal)
    home.mkdir()
    child = os.fork()
    if child == 0:
        try:
            live(home, fatal)
        finally:
            os._exit(0)
    if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        print(fatal)
        break
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_killed_at_every_touch_of_the_disk(backend: str, tmp_path: Path) -> None:
    """Killed before each file is opened, made or renamed: a new process submits the same key, and there is one job, of the same bytes.

    It has one result, which never changes again; at Aer that is the result of the process that lived.
    """
    command = [sys.executable, "-c", MORTAL, str(tmp_path), backend]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, cwd=Path(__file__).parents[3], env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    deaths = int(done.stdout)
    assert deaths > 6
    found, states = [], set()
    for fatal in range(1, deaths + 1):
        desk = Desk(tmp_path / str(fatal), backend)
        states.add(tuple(sorted({path.name.split("-")[0] for path in desk.files() if not path.name.startswith(".")})))
        counts = desk.run(coins(2), shots=1000)
        assert desk.run(coins(2), shots=1000) == counts
        assert sum(counts[0].values()) == 1000
        found.append(json.dumps([dict(sorted(item.items())) for item in counts]))
        (handle,) = (path.name for path in desk.spool.iterdir())
        payload = desk.provider().encode(batch_of([coins(2)]), 1000)
        assert desk.sealer.open((desk.spool / handle / "payload").read_bytes()) == f"{handle}/payload\n".encode() + payload
    assert backend != "aer" or set(found) == {found[-1]}
    # The deaths did strike before, between and after payload and result.
    assert {(), ("payload",), ("payload", "result")} <= states
