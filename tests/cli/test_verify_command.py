"""``gatehouse verify``: what it says of a home, and with which exit code."""

from __future__ import annotations

import contextlib
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.run.desk import intend
from tests.support.plans import RUN, plan_for, write_project

from prefect_gatehouse.canonical import sha256_bytes
from prefect_gatehouse.cli.main import main
from prefect_gatehouse.ledger.answers import ApprovalGiven
from prefect_gatehouse.ledger.events import GateEntered, GatePassed, PolicyDecided, ReportWritten
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.ledger.seal import COPY, seal_home
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.approvals import ask
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two sealed heads."""
    settings = Settings(home=tmp_path / "home")
    with contextlib.closing(Ledger(f"sqlite:///{settings.folder('') / 'ledger.sqlite'}")) as ledger:
        for run_id in ("one", "two"):
            ledger.begin_attempt(run_id)
            if run_id == "one":
                with ledger.transaction() as tx:
                    tx.append("one:admit:before", run_id, GateEntered(gate="admit"), attempt=1)
            seal_home(settings.home, ledger)
    monkeypatch.setenv("GATEHOUSE_HOME", str(settings.home))
    return settings.home


def verified() -> Result:
    return CliRunner().invoke(main, ["verify"], prog_name="gatehouse")


def test_a_home_as_it_is(home: Path) -> None:
    """Everything holds."""
    told = verified()
    assert (told.exit_code, "ledger verified: 3 events, 2 signed heads" in told.output) == (0, True)


@pytest.mark.parametrize("what", ["missing", "junk"])
def test_the_copy_of_the_newest_head_can_not_just_go(home: Path, what: str) -> None:
    """Whoever deletes the newest head would delete its copy as well: that it is gone is told."""
    (home / COPY).unlink() if what == "missing" else (home / COPY).write_text("junk\n")
    told = verified()
    assert (told.exit_code, COPY in told.output) == (7, True)


def test_the_newest_head_and_its_events_are_gone(home: Path) -> None:
    """The copy tells of it."""
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as thief:
        for trigger in ("events_no_delete", "heads_no_delete"):
            thief.execute(f"DROP TRIGGER gatehouse_{trigger}")
        thief.execute("DELETE FROM gatehouse_events WHERE seq = 3")
        thief.execute("DELETE FROM gatehouse_heads WHERE size = 3")
        thief.execute("DELETE FROM gatehouse_runs WHERE run_id = 'two'")
        thief.commit()
    told = verified()
    assert (told.exit_code, "head at 3: it was signed, and the ledger has it no more" in told.output) == (7, True)


@pytest.mark.parametrize("body", ["{{{", "[]", b"\xff\xfe"])
def test_what_reads_a_broken_event_says_so(home: Path, body: str | bytes) -> None:
    """``show`` names the command that finds it, and no foreign error comes out."""
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as thief:
        thief.execute("DROP TRIGGER gatehouse_events_no_update")
        thief.execute("UPDATE gatehouse_events SET body = ? WHERE seq = 2", (body,))
        thief.commit()
    told = CliRunner().invoke(main, ["show", "one"], prog_name="gatehouse")
    assert (told.exit_code, "an event can't be read" in told.output, "unexpected" in told.output) == (7, True, False)
    assert verified().exit_code == 7


@pytest.mark.parametrize(
    ("column", "value"), [("started", "yesterday"), ("attempt", "one"), ("wait_until", 1e300), ("pipeline", b"\xff\xfe"), ("status", b"x")]
)
@pytest.mark.parametrize("command", [("runs",), ("show", "one"), ("who", "one")])
def test_a_cell_of_another_type_is_named(home: Path, command: tuple[str, ...], column: str, value: object) -> None:
    """Whatever somebody put into a run's row with sqlite3, each command names table, column and what to run, and ``verify`` says no."""
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as thief:
        thief.execute(f"UPDATE gatehouse_runs SET {column} = ? WHERE run_id = 'one'", (value,))
        thief.commit()
    told = CliRunner().invoke(main, list(command), prog_name="gatehouse")
    assert (told.exit_code, f"gatehouse_runs.{column}" in told.output, "gatehouse verify" in told.output) == (7, True, True), told.output
    assert "unexpected" not in told.output
    checked = verified()
    assert (checked.exit_code, "unexpected" in checked.output, column in checked.output) == (7, False, True), checked.output


def test_a_frontier_that_is_another(home: Path) -> None:
    """What the next head would go on from is checked now, not when the next head is signed."""
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as thief:
        thief.execute("DROP TRIGGER gatehouse_heads_no_update")
        thief.execute("UPDATE gatehouse_heads SET frontier = '[]' WHERE size = 3")
        thief.commit()
    told = verified()
    assert (told.exit_code, "head at 3: the frontier beside it" in told.output) == (7, True)


@pytest.fixture
def run_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a run that holds an artifact, an approval, a permitted job with its result, and a suite's page, all under heads."""
    settings = Settings(home=tmp_path / "run-home")
    write_project(tmp_path / "project")
    plan = plan_for(tmp_path / "project", settings)
    with open_ledger(settings) as ledger:
        attempt = Attempt(settings, ledger, RUN, lambda block: SecretText(""))
        sealed = b"encrypted rows"
        minimised = plan.validated.minimised
        artifact = minimised.artifact.model_copy(update={"uri": f"artifact:{RUN}/minimised.parquet", "sha256": sha256_bytes(sealed)})
        (settings.folder("artifacts") / RUN).mkdir()
        (settings.home / "artifacts" / RUN / "minimised.parquet").write_bytes(sealed)
        validated = plan.validated.model_copy(update={"minimised": minimised.model_copy(update={"artifact": artifact})})
        plan = plan.model_copy(update={"validated": validated})
        for value in (minimised.admitted, validated.minimised, validated, plan):
            attempt.record(value.passage, GatePassed(gate=value.gate, value=attempt.chain.stored(value)))
        approve, _ = ask(attempt, plan, "k")
        given = ApprovalGiven(plan_digest=plan.digest, person="bob", method="totp", totp_step=1, statement=approve.message().decode())
        attempt.permit("answer:k", given)
        page = settings.folder("reports") / RUN / "validate_input.html"
        page.parent.mkdir()
        page.write_text("page")
        written = ReportWritten(
            gate="validate_input", path=f"reports/{RUN}/validate_input.html", sha256=sha256_bytes(b"page"), owner="o", retain_days=1
        )
        attempt.record("report:validate_input:1", written)
        attempt.permit("decided:1:0", PolicyDecided(action="submit", allowed=True, reasons=("p",), policy_digest="d" * 64))
        attempt.record("between", GateEntered(gate="submit", round=0))
        attempt.permit("decided:1:1", PolicyDecided(action="submit", allowed=True, reasons=("p",), policy_digest="d" * 64))
        (entry,) = intend(attempt, "0.5")
        journal.submitted(attempt, entry, "handle", "")
        (entry,) = journal.entries(attempt)
        journal.settled(attempt, entry, b"[{}]", Decimal(0))
        attempt.seal()
    monkeypatch.setenv("GATEHOUSE_HOME", str(settings.home))
    return settings.home


def test_what_is_kept_beside_the_events_holds(run_home: Path) -> None:
    """Everything is as it was written; and what was deleted since, artifacts and pages, is not missed."""
    told = verified()
    assert told.exit_code == 0, told.output
    (run_home / "artifacts" / RUN / "minimised.parquet").unlink()
    (run_home / "reports" / RUN / "validate_input.html").unlink()
    assert verified().exit_code == 0


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (f"artifacts/{RUN}/minimised.parquet", f"the bytes of artifact:{RUN}/minimised.parquet are not those that were stored"),
        (f"reports/{RUN}/validate_input.html", f"the page reports/{RUN}/validate_input.html is not the one that was written"),
    ],
)
def test_an_overwritten_file_is_seen(run_home: Path, file: str, said: str) -> None:
    """Without a key, and though nobody opens it any more."""
    (run_home / file).write_bytes(b"something else")
    told = verified()
    assert (told.exit_code, said in told.output) == (7, True), told.output


@pytest.mark.parametrize(("column", "value"), [("payload", b"other"), ("result", b"other"), ("payload", "text")])
def test_an_overwritten_journal_is_seen(run_home: Path, column: str, value: object) -> None:
    """What the journal keeps encrypted is compared with the digest in the events."""
    with contextlib.closing(sqlite3.connect(run_home / "ledger.sqlite")) as thief:
        thief.execute(f"UPDATE gatehouse_submissions SET {column} = ?", (value,))
        thief.commit()
    told = verified()
    named = f"the journal's {column} of {RUN}:0:0:0" if isinstance(value, bytes) else f"gatehouse_submissions.{column}"
    assert (told.exit_code, named in told.output) == (7, True), told.output


def test_an_older_head_that_is_gone_is_seen(run_home: Path) -> None:
    """Every permit has a head of its own before the next thing happens, also where a later head covers both."""
    with contextlib.closing(sqlite3.connect(run_home / "ledger.sqlite")) as thief:
        sizes = [size for (size,) in thief.execute("SELECT size FROM gatehouse_heads ORDER BY size")]
        assert len(sizes) == 4
        thief.execute("DROP TRIGGER gatehouse_heads_no_delete")
        thief.execute("DELETE FROM gatehouse_heads WHERE size = ?", (sizes[0],))
        thief.commit()
    told = verified()
    said = f"the signed head over event {sizes[0]}, which permits something, is missing"
    assert (told.exit_code, said in told.output) == (7, True), told.output


@pytest.mark.parametrize(("run", "gate", "entered"), [("one", "minimise", 2), ("two", "admit", 2), ("one", "admit", 1), ("one", "admit", 99)])
def test_a_gate_that_was_not_entered(home: Path, run: str, gate: str, entered: int) -> None:
    """The end of a passage names its beginning: of the same run, through the same gate, and not ended before."""
    settings = Settings(home=home)
    with open_ledger(settings) as ledger:
        with ledger.transaction() as tx:
            tx.append(f"{run}:{gate}", run, GatePassed(gate=gate, entered=entered, value={}), attempt=1)
        seal_home(home, ledger)
    told = verified()
    assert (told.exit_code, f"event 4: the gate {gate} was not entered by event {entered}" in told.output) == (7, True), told.output
