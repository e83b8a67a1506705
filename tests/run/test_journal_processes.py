"""The journal with two processes at once, and killed before every statement that it sends."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from tests.run.desk import RUN, Desk
from tests.support.installed import know_packages

RIVAL = """
import json, sys
from decimal import Decimal
from pathlib import Path
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings

order = json.loads(sys.argv[1])
settings = Settings(home=Path(order["home"]), ledger_url=order["url"])
ledger = Ledger(settings.ledger())
attempt = Attempt(settings, ledger, order["run"], lambda block: SecretText(""))
print("ready", flush=True)
sys.stdin.readline()
told = []
for number in range(order["rounds"]):
    try:
        (entry,) = journal.intend(
            attempt, [(b"payload %d" % number, 1, "0" * 64)], round_number=number, fallback=0, backend="aer",
            prices=[Decimal("0.1")], cap=Decimal(order["cap"]), jobs_cap=1000,
        )
        journal.submitted(attempt, entry, f"{order['name']}-{number}", "l")
        told.append("made")
    except GatehouseError as error:
        told.append(error.code)
print(json.dumps(told))
"""


def race(desk: Desk, orders: list[dict[str, Any]]) -> list[list[str]]:
    """Processes that start one after the other and then act at once; what became of each of their rounds."""
    know_packages(desk.settings.home)
    common = {"home": str(desk.settings.home), "url": desk.settings.ledger_url}
    rivals = []
    for order in orders:
        command = [sys.executable, "-c", RIVAL, json.dumps(common | order)]
        rival = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        rivals.append(rival)
        assert rival.stdout is not None and rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    told = [rival.communicate(timeout=100)[0] for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0] * len(orders)
    return [json.loads(text) for text in told]


def test_two_processes_drive_one_run(desk: Desk) -> None:
    """Both write at once on one database: the older one gets through with nothing, the newer one with everything, each key once."""
    older, newer = race(desk, [{"name": name, "run": RUN, "rounds": 20, "cap": "100"} for name in ("older", "newer")])
    assert older == ["superseded"] * 20
    assert newer == ["made"] * 20
    entries = journal.entries(desk.attempt)
    assert [(entry.key, entry.handle) for entry in entries] == [(f"{RUN}:{number}:0:0", f"newer-{number}") for number in range(20)]
    assert len(desk.events("submission-intended")) == len(desk.events("job-submitted")) == 20
    assert {event.attempt for event in desk.events("job-submitted")} == {3}


def test_two_processes_drive_two_runs(desk: Desk) -> None:
    """Neither waits for ever nor disturbs the other: each gets what its own cap admits, and the ledger has one chain without a gap."""
    one, two = race(desk, [{"name": "one", "run": "one", "rounds": 20, "cap": "1"}, {"name": "two", "run": "two", "rounds": 20, "cap": "1.5"}])
    assert one == ["made"] * 10 + ["denied"] * 10
    assert two == ["made"] * 15 + ["denied"] * 5
    assert (desk.spent("one"), desk.spent("two")) == (Decimal(1), Decimal("1.5"))
    assert [event.seq for event in desk.ledger.events()] == list(range(1, desk.ledger.size() + 1))


MORTAL = """
import os, signal, sys
from decimal import Decimal
from pathlib import Path
import sqlalchemy as sa
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.under import packages_of
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings
from tests.support.installed import inherit_look

def live(home, fatal):
    inherit_look(os.getppid())
    settings = Settings(home=home)
    ledger = Ledger(settings.ledger())
    attempt = Attempt(settings, ledger, "run", lambda block: SecretText(""))
    attempt.key
    seen = 0

    def count(*_):
        nonlocal seen
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    sa.event.listen(sa.Engine, "commit", count)
    payloads = [(b"payload %d" % job, 1, "0" * 64) for job in range(2)]
    prices = [Decimal("0.25")] * 2
    made = journal.intend(attempt, payloads, round_number=0, fallback=0, backend="aer", prices=prices, cap=Decimal(1), jobs_cap=2)
    for entry in made:
        journal.submitted(attempt, entry, f"h{entry.job}", "l")
    for entry in made:
        journal.settled(attempt, entry, b"result %d" % entry.job, Decimal("0.2"))

# Read once: reading twenty thousand installed files anew is nothing that a death has to do with.
packages_of(Settings(home=Path(sys.argv[1])))

for fatal in range(1, 200):
    home = Path(sys.argv[1]) / str(fatal)
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


def test_killed_before_every_statement(tmp_path: Path) -> None:
    """A process that dies before any statement or commit leaves row and event both or neither, and its successor ends with each job once."""
    done = subprocess.run([sys.executable, "-c", MORTAL, str(know_packages(tmp_path))], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    deaths = int(done.stdout)
    states = set()
    for fatal in range(1, deaths + 1):
        desk = Desk(tmp_path / str(fatal), run_id="run")
        entries = journal.entries(desk.attempt)
        states.add(tuple(entry.state for entry in entries))
        of = {kind: [event.data["key"] for event in desk.events(kind)] for kind in ("submission-intended", "job-submitted", "job-settled")}
        assert of["submission-intended"] == [entry.key for entry in entries]
        assert of["job-submitted"] == [entry.key for entry in entries if entry.handle is not None]
        assert of["job-settled"] == [entry.key for entry in entries if entry.state == "settled"]
        resume(desk.attempt, entries)
        assert [(entry.state, entry.handle) for entry in journal.entries(desk.attempt)] == [("settled", "h0"), ("settled", "h1")]
        assert journal.results_of(desk.attempt, 0) == [b"result 0", b"result 1"]
        assert desk.spent("run") == Decimal("0.4")
        desk.ledger.close()
    # The deaths did strike between all steps, and never left one intent of a round without the other.
    assert {(), ("intended", "intended"), ("submitted", "intended"), ("submitted", "submitted"), ("settled", "submitted")} <= states
    assert {len(found) for found in states} == {0, 2}


def resume(attempt: Attempt, entries: list[journal.Entry]) -> None:
    """What the gates do with what an earlier attempt left."""
    if not entries:
        payloads = [(b"payload %d" % job, 1, "0" * 64) for job in range(2)]
        entries = journal.intend(
            attempt, payloads, round_number=0, fallback=0, backend="aer", prices=[Decimal("0.25")] * 2, cap=Decimal(1), jobs_cap=2
        )
    for entry in entries:
        assert journal.payload_of(attempt, entry) == b"payload %d" % entry.job
        if entry.handle is None:
            journal.submitted(attempt, entry, f"h{entry.job}", "l")
        if entry.state != "settled":
            journal.settled(attempt, entry, b"result %d" % entry.job, Decimal("0.2"))
