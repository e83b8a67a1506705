"""Hostile workloads: each attack succeeds without a cell, in the same words, and fails in each cell."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.support.cells import CELLS, LIMITS, all_attacked, attacked, runner, to_the_end
from tests.support.gates import Desk
from tests.support.plans import RUN

import prefect_gatehouse
from prefect_gatehouse.errors import WorkloadFailed
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.runner.interface import Limits

pytestmark = pytest.mark.parametrize("cell", CELLS)


# Files


@contextmanager
def waiting(folder: Path) -> Iterator[Desk]:
    """A run that waits for its approval, and somebody with a one-time code."""
    made = Desk(folder)
    made.planned()
    made.attempt.seal()
    people = People(made.settings.people_folder())
    people.add("bob", key=generate_key(folder / "bob", ""), roles=frozenset({"approver"}), totp=True, clearance=DataClass.RESTRICTED)
    yield made
    made.ledger.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A run that waits, of the test's own."""
    with waiting(tmp_path) as made:
        yield made


Tried = Callable[[CellName], dict[str, str]]
"""What attacks got hold of in a cell, by name; each cell is started once."""


READ = """
def attack(parameters):
    return open(parameters["file"], "rb").read()[-8:]
"""
HELD = {
    "the-run-s-key": "run-keys/*",
    "the-people-s-secrets": "people/*",
    "the-ledger": "ledger.sqlite",
    "the-ledger-s-key": "ledger.key",
    "an-artifact": f"artifacts/{RUN}/*",
}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, list[Path]], Tried]]:
    """The files of a run that waits, and the end of each, as a workload reads it."""
    with waiting(tmp_path_factory.mktemp("installation")) as made:
        files = {what: [path for path in made.settings.home.glob(pattern) if path.is_file()] for what, pattern in HELD.items()}
        attacks = {str(file): (READ, {"file": str(file)}) for found in files.values() for file in found}
        yield files, cache(lambda cell: all_attacked(cell, tmp_path_factory.mktemp("reads"), attacks))


@pytest.mark.parametrize("what", HELD)
def test_reads_what_the_installation_holds(cell: CellName, held: tuple[dict[str, list[Path]], Tried], what: str) -> None:
    """Keys, secrets of people, the ledger and artifacts of runs, which the process of the run reads."""
    files, read = held
    assert files[what]
    for file in files[what]:
        assert read("none")[str(file)] == repr(file.read_bytes()[-8:])
        assert read(cell)[str(file)] == "None"


def test_reads_beside_itself(cell: CellName, tmp_path: Path) -> None:
    """The folder of the manifest holds the source and more: only the digested files are in the cell."""
    (tmp_path / "w").mkdir()
    source = tmp_path / "w" / "source.csv"
    source.write_text("CANARY")
    attack = "def attack(parameters):\n    return open(os.path.join(os.path.dirname(__file__), 'source.csv')).read()\n"
    assert attacked("none", tmp_path / "w", attack, apart=(source,)) == "'CANARY'"
    assert attacked(cell, tmp_path / "w", attack, apart=(source,)) == "None"


@pytest.mark.parametrize("lies", ["beside", "below"])
def test_reads_its_source_through_a_link(cell: CellName, tmp_path: Path, lies: str) -> None:
    """Columns that stay behind, under a name that is none of the source's: what a link leads to is as little the workload's as the file itself."""
    folder = tmp_path / "w" / ("data" if lies == "below" else "")
    folder.mkdir(parents=True)
    (folder / "source.csv").write_text("CANARY")
    (tmp_path / "w" / "harmless.txt").symlink_to(folder / "source.csv")
    attack = "def attack(parameters):\n    return open(os.path.join(os.path.dirname(__file__), 'harmless.txt')).read()\n"
    apart = (folder,) if lies == "below" else (folder / "source.csv",)
    assert attacked("none", tmp_path / "w", attack, apart=apart) == "'CANARY'"
    assert attacked(cell, tmp_path / "w", attack, apart=apart) == "None"


CHANGES = {
    "writes": "    open(place + '/weights.txt', 'w').write('CANARY')\n",
    "makes it writable": "    os.chmod(place + '/weights.txt', 0o644)\n    open(place + '/weights.txt', 'w').write('CANARY')\n",
    "replaces": "    os.chmod(place, 0o755)\n    os.unlink(place + '/weights.txt')\n    open(place + '/weights.txt', 'w').write('CANARY')\n",
    "adds": "    open(place + '/more.txt', 'w').write('CANARY')\n",
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_its_own_files(name: str, cell: CellName, tmp_path: Path) -> None:
    """What was digested stays as it is, and there is nothing else, for the run's later processes as for this one."""
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "weights.txt").write_text("0.5")
    attack = f"def attack(parameters):\n    place = os.path.dirname(__file__)\n{CHANGES[name]}    return 'changed'\n"
    assert attacked(cell, tmp_path / "w", attack) == "None"
    assert (tmp_path / "w" / "weights.txt").read_text() == "0.5" and not (tmp_path / "w" / "more.txt").exists()
    assert attacked("none", tmp_path / "w", attack) == "'changed'"


LIST = """
def attack(parameters):
    return sorted(os.listdir(parameters["folder"]))
"""


def test_looks_around(cell: CellName, tmp_path: Path) -> None:
    """No folder of anybody's can be listed."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "CANARY").write_text("")
    assert attacked("none", tmp_path / "w", LIST, folder=str(tmp_path / "home")) == "['CANARY']"
    folders = [str(each) for each in (tmp_path / "home", tmp_path, Path.home() / ".ssh", Path("/home"), Path("/var/lib"), Path("/etc"))]
    found = all_attacked(cell, tmp_path / "w", {folder: (LIST, {"folder": folder}) for folder in folders})
    for folder in folders:
        assert found[folder] in ("None", "[]", "['ld.so.cache']"), folder


EVENT = """
def attack(parameters):
    from prefect_gatehouse.ledger.answers import ApprovalGiven
    from prefect_gatehouse.ledger.events import EndingDecided
    from prefect_gatehouse.ledger.store import Ledger

    ledger = Ledger(parameters["ledger"])
    with ledger.transaction() as tx:
        done = tx.append("forged", parameters["run"], {fact}, attempt=1)
    ledger.close()
    return done
"""
FORGED = {
    "decides-the-end": 'EndingDecided(ending="completed")',
    "approves-its-own-plan": 'ApprovalGiven(plan_digest=parameters["plan"], person="cfo", method="ssh-fido", statement="{}", signature="x")',
}


@pytest.mark.parametrize("forged", FORGED)
def test_writes_an_event(cell: CellName, desk: Desk, tmp_path: Path, forged: str) -> None:
    """Who can open the ledger can decide a run's end, approve its own plan, or forge who did."""
    attack = EVENT.replace("{fact}", FORGED[forged])
    where = {"ledger": desk.settings.ledger(), "run": RUN, "plan": "0" * 64}
    before = len(desk.ledger.events(RUN))
    assert attacked(cell, tmp_path / "w", attack, **where) == "None"
    assert len(desk.ledger.events(RUN)) == before
    assert attacked("none", tmp_path / "w", attack, **where) == "True"
    assert len(desk.ledger.events(RUN)) == before + 1


WRITE = """
def attack(parameters):
    with open(parameters["file"], "w") as file:
        return file.write("CANARY")
"""


READ_BY_OTHERS = {
    "site-packages": Path(sysconfig.get_path("purelib")),
    "package": Path(prefect_gatehouse.__file__).parent,
    "code-cache": Path(sysconfig.get_path("stdlib")) / "__pycache__",
    "interpreter": Path(sysconfig.get_path("stdlib")),
    "shared-memory": Path("/dev/shm"),
    "temporary": Path("/tmp"),
}


def attack_file(place: str) -> Path:
    return READ_BY_OTHERS[place] / f"gatehouse_attack_{os.getpid()}.py"


@pytest.fixture(scope="module")
def there_after_writing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[CellName], list[str]]:
    """Places where a file is once each was written to in a cell."""

    @cache
    def there(cell: CellName) -> list[str]:
        all_attacked(cell, tmp_path_factory.mktemp("writes"), {place: (WRITE, {"file": str(attack_file(place))}) for place in READ_BY_OTHERS})
        return [place for place in READ_BY_OTHERS if attack_file(place).exists()]

    return there


@pytest.mark.parametrize("place", READ_BY_OTHERS)
def test_writes_where_others_read(cell: CellName, there_after_writing: Callable[[CellName], list[str]], tmp_path: Path, place: str) -> None:
    """Code of the next run, compiled files, memory that is shared: nothing that is written is there afterwards."""
    file = attack_file(place)
    try:
        assert place not in there_after_writing(cell)
        assert attacked("none", tmp_path / "w", WRITE, file=str(file)) == "6"
        assert file.read_text() == "CANARY"
    finally:
        file.unlink(missing_ok=True)


def test_changes_a_file_s_mode(cell: CellName, tmp_path: Path) -> None:
    """Landlock does not govern modes: the filter does."""
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(0o600)
    attack = "def attack(parameters):\n    return os.chmod(parameters['file'], 0o666) or 'done'\n"
    assert attacked(cell, tmp_path / "w", attack, file=str(file)) == "None"
    assert file.stat().st_mode & 0o777 == 0o600
    assert attacked("none", tmp_path / "w", attack, file=str(file)) == "'done'"
    assert file.stat().st_mode & 0o777 == 0o666


# The network


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Servers on this machine that tell a canary to whoever asks, by the name of their kind."""
    streams = {
        "tcp": (socket.AF_INET, ("127.0.0.1", 0)),
        "unix": (socket.AF_UNIX, str(tmp_path_factory.mktemp("listening") / "socket")),
        "abstract": (socket.AF_UNIX, f"\0gatehouse-{os.getpid()}"),
    }
    servers, where = [], {}
    for name, (family, address) in streams.items():
        server = socket.socket(family, socket.SOCK_STREAM)
        server.bind(address)
        server.listen(8)
        bound = server.getsockname()
        where[name] = str(bound[1]) if name == "tcp" else bound.decode() if isinstance(bound, bytes) else bound
        servers.append(server)
        threading.Thread(target=_tell, args=(server,), daemon=True).start()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    servers.append(datagrams)
    where["udp"] = str(datagrams.getsockname()[1])
    threading.Thread(target=_echo, args=(datagrams,), daemon=True).start()
    api = HTTPServer(("127.0.0.1", 0), _Api)
    where["api"] = str(api.server_port)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    yield where
    api.shutdown()
    api.server_close()
    for server in servers:
        server.shutdown(socket.SHUT_RDWR) if server is not datagrams else None
        server.close()


class _Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"CANARY")

    def log_message(self, *_: object) -> None:
        return


def _tell(server: socket.socket) -> None:
    while True:
        try:
            met, _ = server.accept()
        except OSError:
            return
        with met:
            met.sendall(b"CANARY")


def _echo(server: socket.socket) -> None:
    while True:
        try:
            _, address = server.recvfrom(64)
            server.sendto(b"CANARY", address)
        except OSError:
            return


DIAL = {
    "tcp": "s = socket.create_connection(('127.0.0.1', int(parameters['at'])), 5)\n    return s.recv(6)",
    "udp": "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n    s.settimeout(5)\n"
    "    s.sendto(b'which name?', ('127.0.0.1', int(parameters['at'])))\n    return s.recv(6)",
    "unix": "s = socket.socket(socket.AF_UNIX)\n    s.connect(parameters['at'])\n    return s.recv(6)",
    "abstract": "s = socket.socket(socket.AF_UNIX)\n    s.connect(parameters['at'])\n    return s.recv(6)",
    "api": "import urllib.request\n    return urllib.request.urlopen(f\"http://127.0.0.1:{parameters['at']}/api/flow_runs\", timeout=5).read()",
}


@pytest.fixture(scope="module")
def dialled(listening: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """What each way to a server tells."""
    attacks = {how: (f"def attack(parameters):\n    import socket\n    {DIAL[how]}\n", {"at": listening[how]}) for how in DIAL}
    return cache(lambda cell: all_attacked(cell, tmp_path_factory.mktemp("dials"), attacks))


@pytest.mark.parametrize("how", DIAL)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_opens_a_socket(cell: CellName, dialled: Tried, how: str) -> None:
    """TCP, UDP (which DNS goes over), a socket in the file system, one without a name there, and an API on the loopback interface."""
    assert dialled("none")[how] == "b'CANARY'"
    assert dialled(cell)[how] == "None"


def test_sends_a_datagram_over_a_pair(cell: CellName, tmp_path: Path) -> None:
    """A pair of sockets needs no address, but one of datagrams can be given one."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(tmp_path / "datagrams"))
    server.settimeout(0.2)
    attack = (
        "def attack(parameters):\n    import socket\n    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    return one.sendto(b'CANARY', parameters['at'])\n"
    )
    with server:
        assert attacked(cell, tmp_path / "w", attack, at=str(tmp_path / "datagrams")) == "None"
        with pytest.raises(TimeoutError):
            server.recv(6)


# Other processes


def test_reads_the_environment(cell: CellName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the run hold addresses and passwords; a cell has an allow-list."""
    monkeypatch.setenv("GATEHOUSE_CANARY", "CANARY")
    attack = "def attack(parameters):\n    return os.environ['GATEHOUSE_CANARY']\n"
    assert attacked("none", tmp_path / "w", attack) == "'CANARY'"
    assert attacked(cell, tmp_path / "w", attack) == "None"
    names = "def attack(parameters):\n    return sorted(os.environ)\n"
    from prefect_gatehouse.workload.runner.cell import ENVIRONMENT

    extra = {"PWD", "LC_CTYPE"}
    assert set(eval(attacked(cell, tmp_path / "w", names))) <= {*ENVIRONMENT, *extra}


NEIGHBOURS = {
    "environment": "return open(f\"/proc/{parameters['process']}/environ\", 'rb').read().count(b'PATH') > 0",
    "memory": "with open(f\"/proc/{parameters['process']}/mem\", 'rb') as file:\n"
    "        file.seek(parameters['address'])\n        return file.read(6) == b'CANARY'",
    "process-vm": "import ctypes\n    class Vector(ctypes.Structure):\n        _fields_ = [('at', ctypes.c_void_p), ('size', ctypes.c_size_t)]\n"
    "    got = ctypes.create_string_buffer(6)\n    here, there = Vector(ctypes.addressof(got), 6), Vector(parameters['address'], 6)\n"
    "    ctypes.CDLL(None).process_vm_readv(parameters['process'], ctypes.byref(here), 1, ctypes.byref(there), 1, 0)\n"
    "    return got.raw == b'CANARY'",
    "signal": "os.kill(parameters['process'], 0)\n    return True",
    "signal-to-all": "os.kill(0, 0)\n    return True",
    # Whoever owns a descriptor gets a signal when it is ready: any process of the user's, where Landlock does not scope signals (before Linux 6.12).
    "signal-of-a-pipe": "import fcntl\n    fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, parameters['process'])\n    return True",
    "signal-of-a-socket": "import fcntl, socket, struct\n"
    "    fcntl.ioctl(socket.socketpair()[0], 0x8901, struct.pack('i', parameters['process']))\n    return True",
    "which-signal": "import fcntl\n    fcntl.fcntl(os.pipe()[0], 10, 10)\n    return True",
    "descriptor": "return bool(os.listdir(f\"/proc/{parameters['process']}/fd\"))",
    "limits": "import resource\n    return bool(resource.prlimit(parameters['process'], resource.RLIMIT_NOFILE, "
    "resource.prlimit(parameters['process'], resource.RLIMIT_NOFILE)))",
}


@pytest.fixture(scope="module")
def attached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """What each way to this process tells."""
    held = ctypes.create_string_buffer(b"CANARY")
    where = {"process": os.getpid(), "address": ctypes.addressof(held)}
    attacks = {how: (f"def attack(parameters):\n    {NEIGHBOURS[how]}\n", where) for how in NEIGHBOURS}
    yield cache(lambda cell: all_attacked(cell, tmp_path_factory.mktemp("attaches"), attacks))
    assert held.value == b"CANARY"


@pytest.mark.parametrize("how", NEIGHBOURS)
def test_attaches_to_its_parent(cell: CellName, attached: Tried, how: str) -> None:
    """The process of the run is neither looked into nor signalled nor limited."""
    assert attached("none")[how] == "True"
    assert attached(cell)[how] in ("None", "False")


OUTLIVE = """
def attack(parameters):
    if os.fork() == 0:
        import time

        time.sleep(parameters["after"])
        open(parameters["file"], "w").write("alive")
        os._exit(0)
    return "forked"
"""


def test_forks_and_outlives(cell: CellName, tmp_path: Path) -> None:
    """A process of the workload's own goes on when the run is over, without anybody's limits."""
    file = tmp_path / "file"
    assert attacked(cell, tmp_path / "w", OUTLIVE, after=0.1, file=str(file)) == "None"
    time.sleep(0.5)
    assert not file.exists()
    assert attacked("none", tmp_path / "w", OUTLIVE, after=0.1, file=str(file)) == "'forked'"
    for _ in range(100):
        if file.exists():
            break
        time.sleep(0.1)
    assert file.exists()
    os.wait()


def test_starts_another_program(cell: CellName, tmp_path: Path) -> None:
    """Nothing else runs in a cell, neither beside the workload nor in its place."""
    attack = "def attack(parameters):\n    import subprocess\n    return subprocess.run(['/bin/echo', 'CANARY'], capture_output=True).stdout\n"
    assert attacked("none", tmp_path / "w", attack) == r"b'CANARY\n'"
    # In its own place it would need no fork: without a cell that would be the end of this test.
    instead = "def attack(parameters):\n    os.execv('/bin/true', ['true'])\n    return 'still here'\n"
    assert all_attacked(cell, tmp_path / "w", {"beside": (attack, {}), "instead": (instead, {})}) == {"beside": "None", "instead": "None"}


def test_monkeypatches_gatehouse(cell: CellName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of ours that it replaces is replaced in its own process only."""
    from prefect_gatehouse.run import approvals

    monkeypatch.setattr(approvals, "judge", approvals.judge)
    judge = approvals.judge
    attack = (
        "def attack(parameters):\n    from prefect_gatehouse.run import approvals\n"
        "    approvals.judge = lambda *_: 'cfo, ciso'\n    return approvals.judge()\n"
    )
    assert attacked(cell, tmp_path / "w", attack) == "'cfo, ciso'"
    assert approvals.judge is judge
    assert attacked("none", tmp_path / "w", attack) == "'cfo, ciso'"
    assert approvals.judge is not judge


# Filling things


def test_fills_memory(cell: CellName, tmp_path: Path) -> None:
    """More than its share is not there, in whatever form it asks."""
    attack = "def attack(parameters):\n    return len(np.empty(2 << 30, np.uint8))\n"
    small = Limits(LIMITS.cpu_seconds, LIMITS.wall_seconds, 2 << 30, LIMITS.file)
    assert attacked("none", tmp_path / "w", attack) == str(2 << 30)
    mapped = "def attack(parameters):\n    import mmap\n    return len(mmap.mmap(-1, 2 << 30))\n"
    made = "def attack(parameters):\n    return os.memfd_create('x')\n"
    attacks: dict[str, tuple[str, dict[str, str]]] = {"array": (attack, {}), "map": (mapped, {}), "file": (made, {})}
    assert all_attacked(cell, tmp_path / "w", attacks, small) == {"array": "None", "map": "None", "file": "None"}


def test_fills_the_disk(cell: CellName, tmp_path: Path) -> None:
    """Neither one large file nor many small ones."""
    small = """
def attack(parameters):
    for n in range(20):
        with open(f"{parameters['folder']}/gatehouse-fill-{n}", "wb") as file:
            file.write(b"x" * (1 << 20))
    return "done"
"""
    large = small.replace("range(20)", "range(1)").replace("1 << 20", "20 << 20")
    (tmp_path / "fill").mkdir()
    assert attacked("none", tmp_path / "w", small, folder=str(tmp_path / "fill")) == "'done'"
    folders = ("/tmp", "/dev/shm", "/", "/dev", str(tmp_path))
    attacks = {f"{size} {folder}": (each, {"folder": folder}) for size, each in {"small": small, "large": large}.items() for folder in folders}
    assert all_attacked(cell, tmp_path / "w", attacks) == dict.fromkeys(attacks, "None")


def test_fills_the_processes(cell: CellName, tmp_path: Path) -> None:
    """There is one process, whatever it tries."""
    attack = (
        "def attack(parameters):\n    made = 0\n    for _ in range(8):\n        child = os.fork()\n        if child == 0:\n            os._exit(0)\n"
        "        os.waitpid(child, 0)\n        made += 1\n    return made\n"
    )
    assert attacked("none", tmp_path / "w", attack) == "8"
    assert attacked(cell, tmp_path / "w", attack) == "None"


def test_fills_the_processes_with_threads(cell: CellName, tmp_path: Path) -> None:
    """A machine has so many numbers for threads, and other runs want some; each cell has a limit of its own (but for root's, docs/operators.md)."""
    attack = "def attack(parameters):\n    import resource\n    return resource.getrlimit(resource.RLIMIT_NPROC)[1]\n"
    outside = eval(attacked("none", tmp_path / "w", attack))
    inside = eval(attacked(cell, tmp_path / "w", attack))
    assert 0 < inside < 20_000 and (outside < 0 or inside < outside)


def test_computes_for_ever(cell: CellName, tmp_path: Path) -> None:
    """By the clock and by processor time: an endless loop, or an endless sleep, ends, and with it the process."""
    body = "def solve(features, parameters):\n    while True:\n        {}\n    yield\n"
    clock = Limits(LIMITS.cpu_seconds, 4, LIMITS.memory, LIMITS.file)
    words = "computed for more than 4 s without a round"
    with runner(cell, tmp_path / "w", body.format("__import__('time').sleep(1)"), limits=clock) as rounds, pytest.raises(WorkloadFailed, match=words):
        rounds.advance(None)
    processor = Limits(4, LIMITS.wall_seconds, LIMITS.memory, LIMITS.file)
    words = "used more than its 4 s of processor time"
    with runner(cell, tmp_path / "w", body.format("pass"), limits=processor) as rounds, pytest.raises(WorkloadFailed, match=words):
        rounds.advance(None)


def test_ends_its_process(cell: CellName, tmp_path: Path) -> None:
    """It takes only itself away: the run is told, and can go on with a mended workload."""
    for how, words in (
        ("os._exit(0)", "ended its process"),
        ("os.kill(os.getpid(), 9)", r"was killed \(signal 9\)"),
        ("__import__('ctypes').string_at(8)", r"was killed \(signal 11\)"),
    ):
        body = f"def solve(features, parameters):\n    {how}\n    yield\n"
        with runner(cell, tmp_path / "w", body) as rounds, pytest.raises(WorkloadFailed, match=words):
            rounds.advance(None)


# What it says


TALK = """
def solve(features, parameters):
    import logging

    for _ in range(2):
        print("CANARY")
        print("CANARY", file=sys.stderr)
        os.write(1, b"CANARY\\n")
        os.write(2, b"CANARY")
        warnings.warn("CANARY")
        logging.getLogger("x").warning("CANARY")
        yield [QuantumCircuit(1, 1)]
    return pd.DataFrame({"found": [1]})
"""


def test_talks(cell: CellName, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Prints, warnings, logs and bytes on the streams are counted and dropped."""
    rounds = runner(cell, tmp_path / "w", TALK)
    to_the_end(rounds)
    assert rounds.suppressed is not None and 9 <= rounds.suppressed <= 13
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_talks_without_end(cell: CellName, tmp_path: Path) -> None:
    """Megabytes on a stream hold up nobody."""
    body = (
        "def solve(features, parameters):\n    for _ in range(200):\n        os.write(1, b'CANARY\\n' * 10000)\n"
        "    yield [QuantumCircuit(1, 1)]\n    return pd.DataFrame({'found': [1]})\n"
    )
    rounds = runner(cell, tmp_path / "w", body)
    to_the_end(rounds)
    assert rounds.suppressed == 2_000_000


def test_hides_data_in_metadata(cell: CellName, tmp_path: Path) -> None:
    """A frame comes out as its columns' names and values; a circuit as gates and numbers."""
    body = (
        "def solve(features, parameters):\n    made = QuantumCircuit(1, 1, name='CANARY', metadata={'CANARY': 1})\n    made.h(0, label='CANARY')\n"
        "    yield [made]\n    frame = pd.DataFrame({'found': [1]})\n    frame.attrs['CANARY'] = 'CANARY'\n    return frame\n"
    )
    table = to_the_end(runner(cell, tmp_path / "w", body))
    assert not table.schema.metadata
    assert table.to_pydict() == {"found": [1]}


def test_a_home_among_the_packages(cell: CellName, tmp_path: Path) -> None:
    """Where a secret folder lies within what a cell reads, the system's folders among it, no cell is made."""
    from prefect_gatehouse.errors import InputError

    for place in (Path(sysconfig.get_path("purelib")) / "home", Path(sys.prefix) / "lib", Path("/usr/src/app"), Path("/usr/local/var/gatehouse")):
        with pytest.raises(InputError, match="lies where a workload may read"):
            runner(cell, tmp_path / "w", TALK, secret=(place,))
