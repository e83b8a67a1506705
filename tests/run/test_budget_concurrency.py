"""The caps of tenants and billing codes with many processes at once, on both databases: never overdrawn, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.ledger.charges import month_of
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.spending import Used, used
from prefect_gatehouse.ledger.tables import charges
from prefect_gatehouse.ledger.verify import verify
from tests.money.tills import CODE, TENANT, admit, set_budget
from tests.run.desk import Desk, intend
from tests.support.installed import know_packages

PROCESSES = 16
ROUNDS = 5
# One process that has imported everything, and forks: sixteen interpreters that each import it take most of a minute.
SPENDERS = """
import json, os, sys
from decimal import Decimal
from pathlib import Path
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.run.under import packages_of
from tests.money.tills import admit
from tests.support.installed import inherit_look

order = json.loads(sys.argv[1])
ready, tell_ready = os.pipe()
go, tell_go = os.pipe()

def spend(number, code):
    inherit_look(os.getppid())
    settings = Settings(home=Path(order["home"]), ledger_url=order["url"])
    ledger = Ledger(settings.ledger())
    attempt = Attempt(settings, ledger, f"run-{number}", lambda block: SecretText(""))
    admit(attempt, tier="business", billing_code=code)
    attempt.key
    os.close(tell_go)
    os.write(tell_ready, b".")
    os.read(go, 1)  # ends for all at once, when the parent closes the other end
    told = []
    for number_ in range(order["rounds"]):
        try:
            # Two jobs at once, on another provider each round: one cap spans them all.
            first, second = journal.intend(
                attempt, [(b"a", 1, "0" * 64), (b"b", 1, "0" * 64)], round_number=number_, fallback=0, backend=f"provider-{number_ % 3}/device",
                prices=[Decimal("0.3"), Decimal("0.4")], cap=Decimal(100), jobs_cap=100,
            )
        except Denied as denied:
            told.append(denied.where)
            continue
        told.append("made")
        if number_ % 2:  # half of it refused, half billed below the worst case: that room is another's
            journal.refused(attempt, [first], "no room")
            journal.submitted(attempt, second, f"h{number_}", "")
            (second,) = [entry for entry in journal.entries(attempt, number_) if entry.key == second.key]
            journal.settled(attempt, second, b"r", Decimal("0.1"))
    (Path(order["home"]) / f"told-{number}.json").write_text(json.dumps(told))

packages_of(Settings(home=Path(order["home"])))
children = []
for number, code in enumerate(order["codes"]):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            spend(number, code)
            status = 0
        finally:
            os._exit(status)
    children.append(child)
os.close(tell_ready)
waiting = len(children)
while waiting and (found := os.read(ready, waiting)):
    waiting -= len(found)
os.close(tell_go)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]) or waiting)
"""


def spend(desk: Desk, codes: list[str]) -> list[list[str]]:
    """One run in one process for each billing code, all at once; what became of their rounds."""
    know_packages(desk.settings.home)
    order = {"home": str(desk.settings.home), "url": desk.settings.ledger_url, "codes": codes, "rounds": ROUNDS}
    done = subprocess.run([sys.executable, "-c", SPENDERS, json.dumps(order)], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    return [json.loads((desk.settings.home / f"told-{number}.json").read_text()) for number in range(len(codes))]


@pytest.mark.parametrize(("tenant_cap", "code_cap"), [("7", None), ("20", "3")])
def test_sixteen_processes_never_overdraw(desk: Desk, tenant_cap: str, code_cap: str | None) -> None:
    """Sixteen runs of one tenant at once: at no event were more reserved and billed than the caps, and some were refused for want of room."""
    set_budget(desk.settings, desk.ledger, tenant_cap)
    if code_cap is not None:
        set_budget(desk.settings, desk.ledger, code_cap, billing_code=CODE)
    told = spend(desk, [CODE if number % 2 else "OTHER" for number in range(PROCESSES)])
    flat = [each for rounds in told for each in rounds]
    made = flat.count("made")
    assert 0 < made < PROCESSES * ROUNDS  # else nothing was put to the test
    assert set(flat) - {"made"} <= {f"budget of tenant {TENANT}", f"budget of billing code {CODE} of tenant {TENANT}"}
    # The highest that each sum ever was, event by event, as an auditor would add it up.
    highest = peaks(desk)
    assert highest[""] <= Decimal(tenant_cap)
    if code_cap is not None:
        assert highest[CODE] <= Decimal(code_cap)
        assert f"budget of billing code {CODE} of tenant {TENANT}" in flat
    else:
        assert highest[""] > Decimal(tenant_cap) - Decimal("0.7")  # refused because it was full, not before
    with desk.ledger.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(charges)) == 2 * made
    seal_home(desk.settings.home, desk.ledger)
    found = verify(desk.ledger, VerifierKey.parse((desk.settings.home / "ledger.vkey").read_text()))
    assert [problem for problem in found.problems if "permitted" not in problem] == []  # no policy was asked here


def peaks(desk: Desk) -> dict[str, Decimal]:
    """The highest sum of the tenant (under no code) and of each code, over the chain of events."""
    of_run: dict[str, str] = {}
    held: dict[str, tuple[str, Decimal]] = {}
    highest: dict[str, Decimal] = {"": Decimal(0)}
    for event in desk.ledger.events():
        data = event.data
        if event.kind == "run-admitted":
            of_run[event.run_id] = data["billing_code"]
        elif event.kind == "submission-intended":
            held[data["key"]] = (of_run[event.run_id], Decimal(data["reserved_usd"]))
        elif event.kind == "submission-refused":
            held[data["key"]] = (held[data["key"]][0], Decimal(0))
        elif event.kind == "job-settled":
            held[data["key"]] = (held[data["key"]][0], Decimal(data["cost_usd"]))
        # Both jobs of a round are intended in one transaction; an intent in the middle of it can only lower the sum.
        for code in {"", *(code for code, _ in held.values())}:
            total = sum((amount for each, amount in held.values() if code in {"", each}), Decimal(0))
            highest[code] = max(highest.get(code, Decimal(0)), total)
    return highest


def test_one_month_and_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month that is full is full for every run of the tenant; the next one is empty, and the first stays as it was."""
    admit(desk.attempt, tier="business")
    set_budget(desk.settings, desk.ledger, "1")
    november, december = 1796083199.0, 1796083200.0
    assert (month_of(november), month_of(december)) == ("2026-11", "2026-12")
    monkeypatch.setattr(time, "time", lambda: november)
    intend(desk.attempt, "1")
    with pytest.raises(Denied, match=r"0\.0000 USD are left of 1\.0000 USD for 2026-11"):
        intend(desk.attempt, "0.0001", round_number=1)
    monkeypatch.setattr(time, "time", lambda: december)
    intend(desk.attempt, "0.4", round_number=1)
    with desk.ledger.reading() as connection:
        assert used(connection, "2026-11", TENANT) == Used(10_000, 0)
        assert used(connection, "2026-12", TENANT, CODE) == Used(4_000, 0)
        assert used(connection, "2026-12", "another") == Used(0, 0)
