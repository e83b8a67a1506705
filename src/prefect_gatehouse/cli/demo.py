"""``gatehouse demo``: the main job on this machine, from a fresh server to predictions in a database, with nobody's account or key."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.demo_ui import command_line, print_ways, stay
from prefect_gatehouse.cli.output import console, emit, gatehouse_command, table
from prefect_gatehouse.cli.quiet import quiet_prefect
from prefect_gatehouse.cli.stack import Stack
from prefect_gatehouse.errors import GatehouseError, InputError, Interrupted
from prefect_gatehouse.files import write_new
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.ledger.projection import RunRow
    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.settings import Settings

REQUESTER, APPROVER = "requester@example.org", "approver@example.org"
_EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "tumour_kernel"
_RUN_SECONDS = 300.0


@dataclass(frozen=True)
class Desk:
    """Where the demo keeps what it needs.

    Attributes:
        folder: All of it.
        settings: The requester's settings.
        approver: The approver's: another identity, the same ledger.
    """

    folder: Path
    settings: Settings
    approver: Settings

    @property
    def clinic(self) -> Path:
        """The target database: inside the trust zone."""
        return self.folder / "trust-zone" / "clinic.sqlite"

    @property
    def manifest(self) -> Path:
        """The manifest, beside its source: inside the trust zone."""
        return self.folder / "trust-zone" / "tumour_kernel" / "gatehouse.yaml"


@click.option("--ui", is_flag=True, help="Leave the run suspended and say how to approve it; server and pages stay until Ctrl-C.")
def _demo(ui: bool, as_json: bool) -> None:
    """Run the main job end to end: 569 patients, a quantum kernel, an approval by a second identity, predictions written back.

    Starts a Prefect server and a worker, unless PREFECT_API_URL is set, and stops what it started.
    """
    quiet_prefect()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out = console()

    def say(text: str) -> None:
        if not as_json:
            out.print(text, markup=False, soft_wrap=True)

    started = time.monotonic()
    with _stack(say) as desk:
        from prefect_gatehouse.cli.follow import follow_run
        from prefect_gatehouse.operate import runs as control

        run_id = control.start(desk.settings, desk.manifest, signed=True)
        try:
            say(f"run {run_id}: asked for by {REQUESTER}")
            row = follow_run(desk.settings, run_id, seconds=_RUN_SECONDS, quiet=as_json)
            if row.status != "waiting":
                raise _failed(desk, row)
            with _decide(desk, run_id, ui, as_json, say):
                row = follow_run(desk.settings, run_id, until=("failed", "ended"), seconds=None if ui else _RUN_SECONDS, quiet=as_json)
            _tell_the_rest(desk)
            _summary(desk, row, time.monotonic() - started, as_json)
            if ui:
                stay(desk.settings, run_id, say)
            if row.ending != "completed":
                raise _failed(desk, row)
        finally:
            _leave_nothing(desk, run_id, say)


def _tell_the_rest(desk: Desk) -> None:
    """The run's process tells of the run when it leaves, and the demo's worker is stopped then; what it did not come to is told here."""
    from prefect_gatehouse.evidence.tell import tell_outside
    from prefect_gatehouse.ledger.opening import open_ledger

    with open_ledger(desk.settings) as ledger:
        tell_outside(desk.settings, ledger)


def _leave_nothing(desk: Desk, run_id: str, say: Callable[[str], None]) -> None:
    """Nobody can resume a run whose server is about to stop, so one that is still open is abandoned and cleaned up."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate import runs as control

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open_ledger(desk.settings) as ledger:
        row = ledger.run(run_id)
        if row is not None and row.ending is None:
            control.abandon(desk.settings, ledger, run_id)
            say(f"run {run_id}: abandoned, its artifacts are deleted")


def _failed(desk: Desk, row: RunRow) -> GatehouseError:
    message = row.message or f"the run ended as {row.ending}"
    return Interrupted(message, where=row.run_id, advice=f"look at: {command_line(desk.settings)} show {row.run_id}")


@contextlib.contextmanager
def _stack(say: Callable[[str], None]) -> Iterator[Desk]:
    """A server, a worker, blocks, deployments and identities; everything that was started is stopped on the way out."""
    from prefect_gatehouse.settings import load_settings
    from prefect_gatehouse.worker.configuration import FOLDERS

    settings = load_settings()
    own = not os.environ.get("PREFECT_API_URL")
    folder = settings.folder("demo").resolve()
    # The demo's worker takes manifests from the demo's trust zone.
    stack = Stack(folder, folder / "home", {FOLDERS: str(folder / "trust-zone")}) if own else None
    desk: Desk | None = None
    try:
        if stack is not None:
            say(f"starting a Prefect server on {stack.url} and a worker; state and logs are in {folder}")
            stack.start_server()
            for own_place in ("GATEHOUSE_PEOPLE", "GATEHOUSE_LEDGER_URL"):  # nobody's real registry and ledger hold the demo's people
                os.environ.pop(own_place, None)
            os.environ.update(stack.environment)
            os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
        desk = make_desk(folder, load_settings())
        import prefect_gatehouse.operate.runs  # noqa: F401 - two seconds of imports while the server starts

        if stack is not None:
            stack.wait()
            stack.create_pool("gatehouse")
            stack.start_worker("gatehouse")
        save_blocks(desk)
        (stack or Stack(folder, settings.home, {"PREFECT_API_URL": os.environ["PREFECT_API_URL"]})).deploy()
        say("blocks and deployments are in place")
        yield desk
    finally:
        if stack is not None:
            # A second Ctrl-C must not leave a server behind.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            stack.stop()
        elif desk is not None:
            _forget_people(desk)


def _forget_people(desk: Desk) -> None:
    """Somebody's own registry keeps no approver whose key lies in a folder of the demo."""
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.registry import Registrar

    with open_ledger(desk.settings) as ledger:
        registrar = Registrar(desk.settings, ledger, "gatehouse demo")
        for person in (REQUESTER, APPROVER):
            if registrar.people.get(person) is not None:
                registrar.revoke(person, None)


def make_desk(folder: Path, settings: Settings) -> Desk:
    """Lays out the example with a fresh source, two identities with keys of their own, and a registry that knows both."""
    from prefect_gatehouse.identity.keys import generate_key, public_line
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.manifest.fields import DataClass
    from prefect_gatehouse.operate.registry import Registrar

    requester, approver = (settings.model_copy(update={"identity": folder / who / "id_ed25519"}) for who in ("requester", "approver"))
    desk = Desk(folder, requester, approver)
    place = desk.manifest.parent
    if place.exists():
        shutil.rmtree(place)
    shutil.copytree(_EXAMPLE, place, ignore=shutil.ignore_patterns("*.sqlite*", "__pycache__", "source.csv"))
    _write_source(place)
    with open_ledger(settings) as ledger:
        registrar = Registrar(settings, ledger, "gatehouse demo")
        for person, role, owner in ((REQUESTER, "requester", desk.settings), (APPROVER, "approver", desk.approver)):
            key = owner.identity_key()
            line = public_line(key) if key.exists() else generate_key(key, person)
            registrar.add(
                person,
                key=line,
                roles=frozenset({role}),  # type: ignore[arg-type]
                totp=role == "approver",
                clearance=DataClass.RESTRICTED,  # the example holds identifiers and birth dates
            )
    return desk


def _write_source(place: Path) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("_gatehouse_demo_source", place / "source.py")
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        module.write_source(place / "source.csv")
    except ImportError:
        raise InputError("the demo needs scikit-learn", where="demo", advice="install prefect-gatehouse[examples]") from None


def save_blocks(desk: Desk) -> None:
    """The secrets, in Prefect Secret blocks: the tokens' root key, kept from the first demo on, and the target's address."""
    from prefect.blocks.system import Secret

    key = desk.folder / "trust-zone" / "token-root-key"
    if not key.exists():
        write_new(key, base64.b64encode(secrets.token_bytes(32)))
    Secret(value=key.read_text()).save("tumour-token-key", overwrite=True)
    Secret(value=f"sqlite:///{desk.clinic}").save("tumour-warehouse", overwrite=True)


@contextlib.contextmanager
def _decide(desk: Desk, run_id: str, ui: bool, as_json: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Approves, or shows somebody how to; one-time codes are shown until the block is left."""
    from prefect_gatehouse.cli.plan import print_matter
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate import runs as control
    from prefect_gatehouse.operate.answering import asked

    decided = threading.Event()
    with open_ledger(desk.settings) as ledger:
        plan, _ = asked(ledger, run_id)
        if not as_json:
            print_matter(plan)
        if ui:
            # With --json, too: without an address and a code nobody could approve.
            print_ways(desk.settings, desk.approver, APPROVER, run_id, decided, err=as_json)
        else:
            say(f"\napproving as {APPROVER}, through the call that the Prefect UI makes")
            control.answer(run_id, "approve", proof=control.sign_answer(desk.approver, ledger, run_id, "approve"))
    try:
        yield
    finally:
        decided.set()


def _summary(desk: Desk, row: RunRow, seconds: float, as_json: bool) -> None:
    from prefect_gatehouse.cli.follow import gate_table
    from prefect_gatehouse.evidence.questions import passages
    from prefect_gatehouse.ledger.note import VerifierKey
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.ledger.verify import verify

    with open_ledger(desk.settings) as ledger:
        found = verify(ledger, VerifierKey.parse((desk.settings.home / "ledger.vkey").read_text()))
        passed = passages(ledger, row.run_id)
        facts = _facts(desk, ledger, row)
    facts["Ledger"] = f"{'verified' if found.ok else 'NOT VERIFIED'}: {counted(found.events, 'event')}, {counted(found.heads, 'signed head')}"
    facts["Time"] = f"{seconds:.0f} s with start-up"
    ok = row.ending == "completed" and found.ok

    def render() -> None:
        out = console()
        out.print(gate_table(passed, title="Gates"))
        out.print()
        table("What came of it", ("", ""), list(facts.items()))
        out.print(f"demo: {'ok' if ok else row.ending} run={row.run_id}", markup=False)

    emit({"ok": ok, "run": row.run_id, "ending": row.ending, **facts}, as_json, render)
    if not found.ok:
        raise SystemExit(7)


def _facts(desk: Desk, ledger: Ledger, row: RunRow) -> dict[str, str]:
    from prefect_gatehouse.run.chain import Chain
    from prefect_gatehouse.run.values import CleanupReceipt, WriteBackReceipt

    chain = Chain(ledger, row.run_id)
    facts = {"Run": f"{row.ending}, requester {row.requester}, ticket {row.ticket}"}
    written, cleaned = chain.read(WriteBackReceipt.gate, WriteBackReceipt), chain.read(CleanupReceipt.gate, CleanupReceipt)
    if written is not None:
        facts["Rows written"] = f"{written.rows} into {written.system}/{written.table}, {written.label} backend"
        with contextlib.closing(sqlite3.connect(desk.clinic)) as clinic:
            kernel, baseline = clinic.execute("SELECT max(kernel_accuracy), max(baseline_accuracy) FROM tumour_predictions").fetchone()
        facts["Accuracy"] = f"quantum kernel {kernel:.3f}, the same classifier with a classical kernel {baseline:.3f} (held-out fifth)"
    if cleaned is not None:
        facts["Artifacts"] = f"{len(cleaned.deletions)} deleted, their key first; open obligations: {len(cleaned.obligations)}"
    return facts


command = gatehouse_command("demo", "Run the main job end to end on this machine.")(_demo)
