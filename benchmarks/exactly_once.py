"""Who pays twice: processes are killed and the service errs at random, on Gatehouse, the bare SDK and prefect-qiskit.

A piece is one job on a device of the Braket emulator, in a fresh process (forked from a warm one) that submits it, waits and has its result on the
disk. At a random moment of the time that processes take, SIGKILL ends it, every fifth time the second process as well; whoever owns the work starts
it again until it is done, eight times at most. Meanwhile the emulator drops connections before or after it has made a task, throttles, answers 5xx,
is slow, forgets client tokens, or hides new tasks from searches. All sides meet the same fates; each has an emulator of its own.

Gatehouse: one approved run of as many rounds as there are pieces; a process passes gates 6 to 8 as they are, on a ledger on SQLite. Bare SDK:
``AwsDevice.run(...).result()`` in a task with three retries, begun anew by a restart. prefect-qiskit 0.2.1: a flow with a ``QuantumRuntime`` over a
client for Braket, in an environment of its own (benchmarks/peers). Tasks, bills and duplicates are counted in the emulators' books; the handles that
are known at the end are the journal's, and elsewhere those of results that came.

The last line is one JSON object: runs; duplicates, lost results and orphans of Gatehouse; duplicates of the other two. ``--quick`` takes few pieces
and leaves the page in docs alone. Exit code 1 if Gatehouse's figures are not 0, 0, 0.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from once.books import Books, Count, Task
from once.fates import CALM, Fate, fates
from once.warm import Warm
from once.work import SHOTS, bits_of
from peers.environment import PREFECT_QISKIT, python
from rich.console import Console
from rich.table import Table

from prefect_gatehouse.testing import BraketEmulator, braket_emulator
from prefect_gatehouse.testing.braket import MACHINE

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks" / "exactly_once.md"
RUNS, QUICK, SEED = 500, 5, 20261129
CALM_PIECES = 3  # before the first death: they tell how long a process takes
STARTS = 8
GATEHOUSE, BARE, PEER = "Gatehouse", "bare SDK", "prefect-qiskit"
BUCKET = "results"


@dataclass
class Side:
    """One way of getting work done.

    Attributes:
        name: Shown.
        warm: Its warm process.
        emulator: Its own.
        answers: Where its processes write what they got.
        order: What each of them is told.
        piece_of: The piece of a task, by its tags.
        books: Of its emulator.
        kills: Processes that were killed.
        late: Those of which there was a task by then.
        starts: Processes in all.
        seconds: That the drill took.
        took: Seconds of the newest processes that came to their end.
    """

    name: str
    warm: Warm
    emulator: BraketEmulator
    answers: Path
    order: dict[str, Any]
    piece_of: Callable[[dict[str, str]], int]
    books: Books = field(default_factory=Books)
    kills: int = 0
    late: int = 0
    starts: int = 0
    seconds: float = 0.0
    took: deque[float] = field(default_factory=lambda: deque(maxlen=9))

    def drill(self, plan: list[Fate]) -> None:
        """All pieces, the calm ones first; the very first finds everything cold and tells nothing of how long a process takes."""
        self.warm.ready()
        began = time.monotonic()
        self._piece(0, CALM)
        self.took.clear()
        for number, fate in enumerate([CALM] * (CALM_PIECES - 1) + plan, 1):
            self._piece(number, fate)
        self.seconds = time.monotonic() - began

    def _piece(self, number: int, fate: Fate) -> None:
        """One piece of work to its end, or to where its owner gives up."""
        self.emulator.conduct(**fate.conduct)
        for fault in fate.faults:
            self.emulator.fault(**fault)
        for start in range(STARTS):
            # Of the time that the newest processes took: the machine may be busier than it was at the beginning.
            kill_after = fate.kills[start] * statistics.median(self.took) if start < len(fate.kills) else None
            ended = self.warm.run(piece=number, kill_after=kill_after, answers=str(self.answers), **self.order)
            self.starts, self.kills = self.starts + 1, self.kills + ended.killed
            self.late += ended.killed and any(self.piece_of(task["tags"]) == number for task in self.emulator.tasks())
            if ended.code == 0:
                self.took.append(ended.seconds)
                break
        self._close_books()

    def _close_books(self) -> None:
        """Enters what there is once all has ended, and begins with an empty service; a task that a slow call makes later is found the next time."""
        self.emulator.release()  # slow calls come to their end now
        time.sleep(0.05)
        try:
            state = self.emulator.wait(lambda state: all(task["status"] not in {"CREATED", "QUEUED", "RUNNING"} for task in state["tasks"]))
        except TimeoutError:
            state = self.emulator.state()
        found = state["tasks"]
        self.books.enter(Task(task["arn"], self.piece_of(task["tags"]), task["status"], Decimal(task["billed"])) for task in found)
        self.emulator.reset()

    def finish(self, pieces: int, known: dict[int, set[str]] | None) -> Count:
        """The sum.

        Args:
            pieces: How many.
            known: The handles that are known, where they are kept apart from the results.
        """
        time.sleep(1.0)  # what a slow call made belongs into the books
        self._close_books()
        answers = {number: json.loads(path.read_text()) for number in range(pieces) if (path := self.answers / f"{number}.json").exists()}
        right = {number for number, answer in answers.items() if answer["counts"] == {bits_of(number): SHOTS}}
        return self.books.count(pieces, known or {number: set(answer["handles"]) for number, answer in answers.items()}, right)


def opened(folder: Path, stack: ExitStack) -> list[Side]:
    """The three sides, each getting warm beside the others."""
    from once import governed

    sides = []
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    quiet = {**plain, "PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "0", "TZ": "UTC"}
    prefect, environment = _prefect(folder, stack)
    for name, script, interpreter in (
        (GATEHOUSE, HERE / "once" / "governed.py", sys.executable),
        (BARE, HERE / "once" / "bare_sdk.py", sys.executable),
        (PEER, HERE / "peers" / "prefect_qiskit_braket.py", str(python(PREFECT_QISKIT))),
    ):
        own = folder / script.stem
        (own / "answers").mkdir(parents=True)
        emulator = stack.enter_context(braket_emulator(noise=False))
        emulator.create_bucket(BUCKET)
        order: dict[str, Any] = {"device": MACHINE, "bucket": BUCKET, "environment": emulator.environment}
        if name == GATEHOUSE:
            block = emulator.settings(BUCKET, grace_seconds=1.2, call_seconds=1.2)
            order = {"folder": str(own), "block": block, "credential": emulator.credential}
            governed.prepare(order, quiet)
        warm = Warm([interpreter, str(script)], {**quiet, **environment} if name == PEER else quiet, folder / f"{script.stem}.log")
        stack.callback(warm.close)
        sides.append(Side(name, warm, emulator, own / "answers", order, _round if name == GATEHOUSE else _piece))
    prefect.wait()
    return sides


def _round(tags: dict[str, str]) -> int:
    return int(tags["gatehouse-key"].split(":")[1])


def _piece(tags: dict[str, str]) -> int:
    return int(tags["piece"])


def _prefect(folder: Path, stack: ExitStack) -> tuple[Any, dict[str, str]]:
    """A server for the peer, and what its processes need to find it."""
    from prefect_gatehouse.cli.stack import Stack

    server = Stack(folder / "prefect", folder / "unused")
    server.start_server()
    stack.callback(server.stop)
    return server, server.environment | {"PREFECT_LOGGING_LEVEL": "ERROR"}


def main() -> None:
    """Runs the drill on all sides at once and says what came of it."""
    parser = argparse.ArgumentParser(description="Who pays twice.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} pieces of work")
    parser.add_argument("--runs", type=int, default=None, help=f"pieces of work; {RUNS} unless given")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    runs = asked.runs or (QUICK if asked.quick else RUNS)
    plan = fates(runs, asked.seed)
    from once import governed

    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name).resolve()
        sides = opened(folder, stack)
        failed: list[BaseException] = []
        threads = [threading.Thread(target=_guarded, args=(side, plan, failed)) for side in sides]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        pieces = runs + CALM_PIECES
        counts = {side.name: side.finish(pieces, governed.known(folder / "governed", pieces) if side.name == GATEHOUSE else None) for side in sides}
        # The journal's money is the service's.
        if governed.spent(folder / "governed") != counts[GATEHOUSE].usd:
            raise SystemExit(f"the journal has settled {governed.spent(folder / 'governed')} USD, the service has billed {counts[GATEHOUSE].usd}")
    Console(width=150).print(report(sides, counts))
    if not asked.quick:
        PAGE.write_text(markdown(sides, counts, asked.seed))
    mine = counts[GATEHOUSE]
    figures = {
        "runs": runs,
        "duplicates": mine.duplicates,
        "lost": mine.lost,
        "orphans": mine.orphans,
        "bare_sdk_duplicates": counts[BARE].duplicates,
        "prefect_qiskit_duplicates": counts[PEER].duplicates,
    }
    print(json.dumps(figures))
    if mine.duplicates or mine.lost or mine.orphans:
        raise SystemExit(1)


def _guarded(side: Side, plan: list[Fate], failed: list[BaseException]) -> None:
    try:
        side.drill(plan)
    except BaseException as error:  # noqa: BLE001 - told by the main thread
        failed.append(error)


_HEAD = ("side", "killed", "with a task", "submitted", "billed", "USD", "duplicated", "lost", "orphans", "seconds")


def _row(side: Side, count: Count) -> tuple[str, ...]:
    numbers = (
        side.kills,
        side.late,
        count.submitted,
        count.billed,
        f"{count.usd:.2f}",
        count.duplicates,
        count.lost,
        count.orphans,
        f"{side.seconds:.0f}",
    )
    return (side.name, *map(str, numbers))


def report(sides: list[Side], counts: dict[str, Count]) -> Table:
    """For the terminal."""
    (pieces,) = {count.runs for count in counts.values()}
    table = Table(title=f"{pieces} pieces of work, {CALM_PIECES} of them calm", title_justify="left")
    for name in _HEAD:
        table.add_column(name, justify="left" if name == "side" else "right")
    for side in sides:
        table.add_row(*_row(side, counts[side.name]))
    return table


def markdown(sides: list[Side], counts: dict[str, Count], seed: int) -> str:
    """The same as a page."""
    (pieces,) = {count.runs for count in counts.values()}
    lines = [f"| {' | '.join(_HEAD[:-1])} |", f"|---|{'---:|' * (len(_HEAD) - 2)}"]
    lines += [f"| {' | '.join(_row(side, counts[side.name])[:-1])} |" for side in sides]
    notes = (
        f"{pieces} pieces of work on the emulator of Amazon Braket, {CALM_PIECES} of them calm, the others with at least one SIGKILL at a random "
        "moment of the time that processes take; two in three meet a fault of the service as well: a connection that is dropped before or after "
        "the task is made, throttling, 500, 503, slow answers. Client tokens are forgotten and new tasks hidden from searches at random.",
        "*Killed*: processes, and how many of them when the service had made their task. *Submitted* and *billed*: tasks, as the service has them. "
        "*Duplicated*: tasks more than one for a piece. *Lost*: pieces whose right result nobody got after eight starts. *Orphans*: tasks that run "
        "or are billed and that nobody knows.",
        "The bare SDK and prefect-qiskit are used as their documentation shows: a flow that is restarted runs its task again, and the task's handle "
        "was in the process that died. prefect-qiskit waits one second between its tries instead of 300.",
        f"Written by `benchmarks/exactly_once.py`, seed {seed}.",
    )
    return "\n".join([*lines, "", "\n\n".join(notes), ""])


if __name__ == "__main__":
    main()
