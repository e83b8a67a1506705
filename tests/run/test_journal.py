"""The submission journal: intent before effect, once per key, within the budget, by the newest attempt only."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.errors import Denied, StorageError, Superseded, Tampered
from prefect_gatehouse.ledger.events import RunEnded
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.tables import submissions
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import SecretText
from tests.run.desk import CANARY, PENNY, RUN, Desk, intend
from tests.support.facts import told


def test_an_intent_stands_before_anything_is_sent(desk: Desk) -> None:
    """Row, reservation and event are there for every other process once intend returns, and nothing says that a job exists."""
    made = intend(desk.attempt, "0.25", "0.5")
    with contextlib.closing(Ledger(desk.settings.ledger())) as other:
        successor = Attempt(desk.settings, other, RUN, lambda block: SecretText(""))
        found = journal.entries(successor)
        assert found == made
        assert [(entry.key, entry.state, entry.handle, entry.reserved, entry.settled) for entry in found] == [
            (f"{RUN}:0:0:0", "intended", None, Decimal("0.25"), None),
            (f"{RUN}:0:1:0", "intended", None, Decimal("0.5"), None),
        ]
        # The very bytes, for a successor that has to send them again.
        assert [journal.payload_of(successor, entry) for entry in found] == [CANARY + b"-0-0", CANARY + b"-0-1"]
        assert [entry.payload_sha256 for entry in found] == [sha256_bytes(CANARY + b"-0-0"), sha256_bytes(CANARY + b"-0-1")]
    intended = desk.events("submission-intended")
    assert [(event.data["key"], event.data["reserved_usd"], event.data["payload_sha256"]) for event in intended] == [
        (entry.key, price, entry.payload_sha256) for entry, price in zip(made, ("0.2500", "0.5000"), strict=True)
    ]
    assert desk.events("job-submitted") == []


def test_a_row_s_whole_way(desk: Desk) -> None:
    """Intended, submitted, settled: each step in the row and, once, in the ledger; the result comes back as it was."""
    (entry,) = intend(desk.attempt, "0.5")
    journal.submitted(desk.attempt, entry, "handle-1", "lease-1")
    (now,) = journal.entries(desk.attempt)
    assert (now.state, now.handle, now.settled) == ("submitted", "handle-1", None)
    assert journal.results_of(desk.attempt, 0) == []
    assert journal.cost_of(desk.attempt, 0) == 0
    journal.settled(desk.attempt, now, b"[{}]", Decimal("0.3"))
    assert (journal.cost_of(desk.next_attempt(), 0), journal.cost_of(desk.attempt, 1)) == (Decimal("0.3"), 0)
    (now,) = journal.entries(desk.attempt)
    assert (now.state, now.handle, now.reserved, now.settled) == ("settled", "handle-1", Decimal("0.5"), Decimal("0.3"))
    assert journal.results_of(desk.attempt, 0) == [b"[{}]"]
    (submitted,) = desk.events("job-submitted")
    assert dict(submitted.data) == {"key": entry.key, "backend": "aer", "job": "handle-1", "lease": "lease-1", "environment": "local"}
    (settled,) = desk.events("job-settled")
    said = dict(settled.data)
    assert said.pop("sealed_sha256") != said["result_sha256"]
    assert said == {"key": entry.key, "result_sha256": sha256_bytes(b"[{}]"), "cost_usd": "0.3"}
    assert [event.seq for event in (desk.events("submission-intended")[0], submitted, settled)] == [3, 4, 5]


def test_the_same_key_is_intended_once(desk: Desk) -> None:
    """A second intent of a key, with the same bytes or with others and however cheap, is refused; row, event and reservation stay."""
    first = intend(desk.attempt, "0.25")
    before = desk.everything()
    for prices in (("0.25",), ("0.0001",), ("0.1", "0.1")):
        with pytest.raises(StorageError):
            intend(desk.attempt, *prices)
        assert desk.everything() == before
        assert journal.payload_of(desk.attempt, first[0]) == CANARY + b"-0-0"
    assert desk.spent() == Decimal("0.25")
    successor = desk.next_attempt()
    with pytest.raises(StorageError):
        intend(successor, "0.25")
    assert journal.entries(successor) == first


def test_threads_that_intend_the_same_key(desk: Desk) -> None:
    """Of eight at once, one writes the intent; it is in the ledger once and reserved once."""

    def work(_: int) -> bool:
        with contextlib.suppress(StorageError):
            return bool(intend(desk.attempt, "0.25"))
        return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1
    assert len(desk.events("submission-intended")) == len(journal.entries(desk.attempt)) == 1
    assert desk.spent() == Decimal("0.25")


def test_order_of_entries_and_results(desk: Desk) -> None:
    """Entries come in order of round, job and attempt, results in order of job, whatever the order they were settled in."""
    for round_number, number in ((1, 0), (0, 1), (0, 0)):
        intend(desk.attempt, *["0.1"] * 11, round_number=round_number, number=number)
    keys = [(entry.round, entry.job, entry.fallback) for entry in journal.entries(desk.attempt)]
    assert keys == sorted(keys) and len(keys) == 33
    second = journal.entries(desk.attempt, 1)
    assert [entry.round for entry in second] == [1] * 11
    for entry in reversed(second):
        journal.submitted(desk.attempt, entry, f"h{entry.job}", "l")
        journal.settled(desk.attempt, entry, f"result {entry.job}".encode(), Decimal(0))
    assert journal.results_of(desk.attempt, 1) == [f"result {job}".encode() for job in range(11)]
    assert journal.results_of(desk.attempt, 0) == []


def test_rows_of_another_run_are_another_s(desk: Desk) -> None:
    """Runs share the table: neither rows, nor budget, nor key are shared; one run's payload does not open for the other."""
    mine = intend(desk.attempt, "0.25")[0]
    other = desk.next_attempt("another-run")
    theirs = intend(other, "0.5", cap="0.5", jobs_cap=1)[0]
    assert [entry.key for entry in journal.entries(desk.attempt)] == [mine.key]
    assert (desk.spent(), desk.spent("another-run")) == (Decimal("0.25"), Decimal("0.5"))
    with pytest.raises(Tampered):
        journal.payload_of(desk.attempt, theirs)


@pytest.mark.parametrize("attack", ["flipped", "truncated", "emptied", "plain", "another-run-s"])
def test_a_changed_payload_does_not_open(desk: Desk, attack: str) -> None:
    """Whoever can write the table but has no run key can't put another payload in an intent's place."""
    (entry,) = intend(desk.attempt, "0.25")
    foreign = desk.next_attempt("another-run").sealer
    with desk.ledger.transaction() as tx:
        sealed = tx.connection.scalar(select(submissions.c.payload)) or b""
        made = {
            "flipped": sealed[:20] + (b"A" if sealed[20:21] != b"A" else b"B") + sealed[21:],
            "truncated": sealed[:-4],
            "emptied": b"",
            "plain": CANARY,
            "another-run-s": foreign.seal(CANARY + b"-0-0"),
        }
        tx.connection.execute(submissions.update().values(payload=made[attack]))
    with pytest.raises(Tampered) as caught:
        journal.payload_of(desk.attempt, entry)
    assert "CANARY" not in str(caught.value)


def test_payloads_and_results_are_sealed(tmp_path: Path) -> None:
    """No byte of payload or result is in the database's files in clear, nor of a lease's secret; the digests are."""
    desk = Desk(tmp_path / "home")
    (entry,) = intend(desk.attempt, "0.25")
    journal.submitted(desk.attempt, entry, "h", "lease-1")
    journal.settled(desk.attempt, entry, b"CANARY-result", Decimal(0))
    desk.ledger.close()
    written = b"".join(path.read_bytes() for path in sorted((tmp_path / "home").glob("ledger.sqlite*")))
    assert b"CANARY" not in written
    assert entry.payload_sha256.encode() in written


# --- the budget


def test_the_cap_is_reserved_with_the_intent(desk: Desk) -> None:
    """Up to the cap to the last ten-thousandth of a dollar, and not beyond: what is refused leaves no row, no event, no reservation."""
    intend(desk.attempt, "0.4999", "0.5", cap="1", round_number=0)
    before = desk.everything()
    for prices in (("0.0002",), ("0.0001", "0.0001"), ("5",)):
        with pytest.raises(Denied, match="cost more"):
            intend(desk.attempt, *prices, cap="1", round_number=1)
        assert desk.everything() == before
    intend(desk.attempt, "0.0001", cap="1", round_number=1)
    assert desk.spent() == Decimal(1)
    with pytest.raises(Denied, match="cost more"):
        intend(desk.attempt, "0.0001", cap="1", round_number=2)
    # What costs nothing still fits.
    intend(desk.attempt, "0", cap="1", round_number=2)


def test_many_small_prices_add_up_exactly(desk: Desk) -> None:
    """Ten times ten cents is a dollar, not a binary fraction more or less."""
    for round_number in range(10):
        intend(desk.attempt, "0.1", cap="1", round_number=round_number)
    assert desk.spent() == Decimal(1)
    with pytest.raises(Denied):
        intend(desk.attempt, "0.0001", cap="1", round_number=10)


def test_jobs_are_capped_too(desk: Desk) -> None:
    """Jobs count over all rounds and fallbacks; refused ones do not, all others do, whatever became of them."""
    entries = intend(desk.attempt, "0", "0", "0", jobs_cap=3)
    with pytest.raises(Denied, match="more than the approved envelope"):
        intend(desk.attempt, "0", jobs_cap=3, round_number=1)
    journal.submitted(desk.attempt, entries[0], "h", "l")
    journal.settled(desk.attempt, entries[0], b"", Decimal(0))
    journal.ambiguous(desk.attempt, entries[1])
    assert desk.used() == 3
    journal.refused(desk.attempt, [entries[2]], "no")
    assert desk.used() == 2
    intend(desk.attempt, "0", jobs_cap=3, number=1)
    with pytest.raises(Denied):
        intend(desk.attempt, "0", "0", jobs_cap=4, round_number=1)


def test_a_refusal_gives_its_reservation_back(desk: Desk) -> None:
    """A fallback after a definite refusal has the whole budget again; the refusal and its reason are in the ledger."""
    entries = intend(desk.attempt, "0.5", "0.5", cap="1")
    journal.refused(desk.attempt, entries, "the device is retired")
    assert desk.spent() == 0
    assert [entry.state for entry in journal.entries(desk.attempt)] == ["refused", "refused"]
    assert [event.data["reason"] for event in desk.events("submission-refused")] == ["the device is retired"] * 2
    fallback = intend(desk.attempt, "0.5", "0.5", cap="1", number=1)
    assert [entry.key for entry in fallback] == [f"{RUN}:0:0:1", f"{RUN}:0:1:1"]


def test_ambiguous_keeps_its_reservation(desk: Desk) -> None:
    """Nobody knows whether it was spent, so it counts as spent."""
    (entry,) = intend(desk.attempt, "0.5")
    journal.ambiguous(desk.attempt, entry)
    (now,) = journal.entries(desk.attempt)
    assert (now.state, now.handle, desk.spent()) == ("ambiguous", None, Decimal("0.5"))
    assert [dict(event.data) for event in desk.events("submission-ambiguous")] == [{"key": entry.key, "backend": "aer"}]


def test_settling_frees_what_was_not_billed(desk: Desk) -> None:
    """After settlement the bill counts instead of the worst case, also where the bill is higher."""
    cheap, dear = intend(desk.attempt, "0.5", "0.5", cap="1")
    for entry, bill in ((cheap, "0.2"), (dear, "0.9")):
        journal.submitted(desk.attempt, entry, f"h{entry.job}", "l")
        journal.settled(desk.attempt, entry, b"", Decimal(bill))
    assert desk.spent() == Decimal("1.1")
    with pytest.raises(Denied):
        intend(desk.attempt, "0.0001", cap="1", round_number=1)


def test_threads_never_reserve_beyond_the_cap(desk: Desk) -> None:
    """Eight rounds at once want three tenths of a dollar each: three get them."""

    def work(round_number: int) -> bool:
        with contextlib.suppress(Denied):
            return bool(intend(desk.attempt, "0.3", cap="1", round_number=round_number))
        return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 3
    assert desk.spent() == Decimal("0.9")


STEPS = st.tuples(st.sampled_from(["intend", "submit", "settle", "refuse", "ambiguous"]), st.integers(0, 5), st.integers(0, 30_000))


@settings(max_examples=20, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_the_budget_holds_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    """Any order of intents, refusals and settlements: reserved plus settled is what a ledger on paper says, and never above the cap."""
    cap = 50_000
    paper: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        open_: dict[str, journal.Entry] = {}
        for turn, (step, pick, price) in enumerate(steps):
            chosen = list(open_.values())[pick % len(open_)] if open_ else None
            if step == "intend":
                fits = sum(paper.values()) + price <= cap
                try:
                    (entry,) = intend(desk.attempt, str(price * PENNY), cap=str(cap * PENNY), round_number=turn)
                except Denied:
                    assert not fits
                else:
                    assert fits
                    paper[entry.key], open_[entry.key] = price, entry
            elif chosen is not None and step == "refuse" and chosen.state == "intended":
                journal.refused(desk.attempt, [open_.pop(chosen.key)], "no")
                paper[chosen.key] = 0
            elif chosen is not None and step == "ambiguous" and chosen.state == "intended":
                journal.ambiguous(desk.attempt, open_.pop(chosen.key))
            elif chosen is not None and step == "submit" and chosen.state == "intended":
                journal.submitted(desk.attempt, chosen, f"h{turn}", "l")
                open_[chosen.key] = next(entry for entry in journal.entries(desk.attempt) if entry.key == chosen.key)
            elif chosen is not None and step == "settle" and chosen.state == "submitted":
                bill = min(price, paper[chosen.key])
                journal.settled(desk.attempt, open_.pop(chosen.key), b"", bill * PENNY)
                paper[chosen.key] = bill
            assert desk.spent() == sum(paper.values()) * PENNY <= cap * PENNY
        desk.ledger.close()


# --- the fence


def _nothing(attempt: Attempt) -> None:
    """Looks whether it may act, and writes nothing."""
    with attempt.effect():
        return


def acts(attempt: Attempt, entry: journal.Entry) -> dict[str, Callable[[], object]]:
    """Everything that writes the journal."""
    return {
        "intend": lambda: intend(attempt, "0.1", round_number=7),
        "submitted": lambda: journal.submitted(attempt, entry, "late", "l"),
        "refused": lambda: journal.refused(attempt, [entry], "late"),
        "ambiguous": lambda: journal.ambiguous(attempt, entry),
        "settled": lambda: journal.settled(attempt, entry, b"late", Decimal(0)),
        "record": lambda: attempt.record("late", told("late")),
        "effect": lambda: _nothing(attempt),
    }


@pytest.mark.parametrize("act", ["intend", "submitted", "refused", "ambiguous", "settled", "record", "effect"])
def test_a_superseded_attempt_writes_nothing(desk: Desk, act: str) -> None:
    """Once a newer attempt has begun, each act of the older one is refused and leaves rows and ledger as they were; the newer one goes on."""
    old = desk.attempt
    (entry,) = intend(old, "0.25")
    if act == "settled":
        journal.submitted(old, entry, "handle-1", "lease-1")
    new = desk.next_attempt()
    assert (old.number, new.number) == (1, 2)
    before = desk.everything()
    with pytest.raises(Superseded, match="newer attempt"):
        acts(old, entry)[act]()
    assert desk.everything() == before
    acts(new, entry)[act]()


@pytest.mark.parametrize("act", ["intend", "submitted", "refused", "ambiguous", "settled", "record", "effect"])
def test_a_closed_run_is_written_no_more(desk: Desk, act: str) -> None:
    """When the ledger has closed the run, the attempt that drives it is refused too, and no new one begins."""
    (entry,) = intend(desk.attempt, "0.25")
    with desk.ledger.transaction() as tx:
        tx.append("ended-by-another", RUN, RunEnded(ending="cancelled"))
    before = desk.everything()
    with pytest.raises(Superseded, match="closed"):
        acts(desk.attempt, entry)[act]()
    with pytest.raises(Superseded, match="closed"):
        desk.next_attempt()
    assert desk.everything() == before


# --- processes


@pytest.mark.parametrize(
    "steps", [("submitted", "submitted"), ("submitted", "refused"), ("refused", "submitted"), ("settled",), ("ambiguous", "submitted")]
)
def test_a_row_moves_only_forward(desk: Desk, steps: tuple[str, ...]) -> None:
    """A second handle for one key, a refusal of a job that exists, a result of none: refused, and the row stays what it was."""
    (entry,) = intend(desk.attempt, "0.25")
    for step in steps[:-1]:
        acts(desk.attempt, entry)[step]()
    before = desk.everything()
    with pytest.raises(Superseded, match="no longer"):
        acts(desk.attempt, entry)[steps[-1]]()
    assert desk.everything() == before


def test_swapped_payloads_are_not_sent(desk: Desk) -> None:
    """Two payloads of one run, exchanged in the table together with their digests, open with the run's key and are refused all the same."""
    first, second = intend(desk.attempt, "0.1", "0.1")
    with desk.attempt.effect() as tx:
        columns = select(submissions.c.payload, submissions.c.payload_sha256)
        rows = [tx.connection.execute(columns.where(submissions.c.key == entry.key)).one() for entry in (first, second)]
        for entry, row in zip((second, first), rows, strict=True):
            tx.connection.execute(update(submissions).where(submissions.c.key == entry.key).values(payload=row[0], payload_sha256=row[1]))
    for entry in journal.entries(desk.attempt):
        with pytest.raises(Tampered, match="not hold what the ledger says"):
            journal.payload_of(desk.attempt, entry)


@pytest.mark.parametrize("price", ["-0.01", "NaN", "Infinity", "-Infinity", "sNaN"])
def test_a_price_that_is_none(desk: Desk, price: str) -> None:
    """A price below zero would make room in the budget, and none at all has no place in it: nothing is intended."""
    with pytest.raises(Denied, match="no amount of money"):
        intend(desk.attempt, "0.1", price)
    assert journal.entries(desk.attempt) == []


def test_a_reservation_is_never_less_than_the_price(desk: Desk) -> None:
    """A price of more digits than the table has is reserved rounded up."""
    (entry,) = intend(desk.attempt, "0.00001")
    assert entry.reserved == Decimal("0.0001")
