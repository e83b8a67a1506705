"""The caps of tenants and billing codes with many processes at once, on both databases: never overdrawn, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from prefect_gatehouse.ledger.charges import Used, month_of, used
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.seal import ORIGIN, seal_home
from prefect_gatehouse.ledger.tables import charges
from prefect_gatehouse.ledger.verify import verify
from tests.money.tills import CODE, TENANT, admit, set_budget
from tests.run.desk import Desk

PROCESSES = 16
ROUNDS = 5
SPENDER = """
import json, sys
from decimal import Decimal
from pathlib import Path
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings
from tests.money.tills import admit

order = json.loads(sys.argv[1])
settings = Settings(home=Path(order["home"]), ledger_url=order["url"])
ledger = Ledger(settings.ledger())
attempt = Attempt(settings, ledger, order["run"], lambda block: SecretText(""))
admit(attempt, tier="business", billing_code=order["code"])
attempt.key
print("ready", flush=True)
sys.stdin.readline()
told = []
for number in range(order["rounds"]):
    try:
        # Two jobs at once, on another provider each round: one cap spans them all.
        made = journal.intend(
            attempt, [(b"a", 1, "0" * 64), (b"b", 1, "0" * 64)], round_number=number, fallback=0, backend=f"provider-{number % 3}/device",
            prices=[Decimal("0.3"), Decimal("0.4")], cap=Decimal(100), jobs_cap=100,
        )
        told.append("made")
    except Denied as denied:
        told.append(denied.where)
        continue
    first, second = made
    if number % 2:  # half of it refused, half billed below the worst case: that room is another's
        journal.refused(attempt, [first], "no room")
        journal.submitted(attempt, second, f"h{number}", "")
        (second,) = [entry for entry in journal.entries(attempt, number) if entry.key == second.key]
        journal.settled(attempt, second, b"r", Decimal("0.1"))
print(json.dumps(told))
"""


def spend(desk: Desk, codes: list[str]) -> list[list[str]]:
    """One run in one process for each billing code, all at once; what became of their rounds."""
    rivals = []
    for number, code in enumerate(codes):
        order = {"home": str(desk.settings.home), "url": desk.settings.ledger_url, "run": f"run-{number}", "code": code, "rounds": ROUNDS}
        rivals.append(subprocess.Popen([sys.executable, "-c", SPENDER, json.dumps(order)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for rival in rivals:
        assert rival.stdout is not None and rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    told = [rival.communicate(timeout=200)[0] for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0] * len(codes)
    return [json.loads(text) for text in told]


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


def test_threads_of_one_month_and_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month that is full is full for every run of the tenant; the next one is empty, and the first stays as it was."""
    import time

    from prefect_gatehouse.errors import Denied
    from tests.run.desk import intend

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
