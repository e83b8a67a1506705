"""What the gates cost: each workload as a plain Prefect flow, on prefect-qiskit 0.2.1 and as a governed run, pair by pair, in fresh processes.

All sides read the same rows, run the same circuits on Aer with the same shots against the same Prefect server on SQLite, read counts of every
circuit and write the same rows into SQLite. A governed run is a process as a process worker starts it; the time that people take for their answer
is left out, three seconds where its process stays; beside it a gatehouse worker runs the same, each process forked from a warm one, its polling
counted, the others cold. A process whose run is answered within a minute stays for the answer and goes on; answered later, it takes a second
process, which is measured as well. The plain flow runs once more with Prefect's own wait for an answer, which makes it two processes as well. The
order turns from pair to pair. prefect-qiskit runs in an environment of its own (benchmarks/peers).

Beside that: a gate that does nothing and an empty task of Prefect, in turn, in one flow run; and a round of 100,000 settings of one template
of 16 gates from the workload's ``yield`` to its payload in the journal, in a fresh process.

The last line is one JSON object: governed wall seconds over the other's, median of the pairs, for the worst workload (lower is better);
milliseconds of the empty gate, median; seconds of the settings, median. ``--quick`` takes one pair, a smaller tumour and fewer gates, and
leaves the files in docs alone.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from governed.cost import Cost, cost_of
from governed.desk import GovernedSide, Warm
from peers.chart import Bar, chart, seconds
from peers.environment import PREFECT_QISKIT, python
from rich.console import Console
from rich.table import Table
from workloads.table import WORKLOADS

import prefect_gatehouse
from prefect_gatehouse.cli.quiet import quiet_prefect
from prefect_gatehouse.cli.stack import Stack

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
SIDES = ("plain Prefect", "plain, with Prefect's own approval", "prefect-qiskit", "governed, answered later", "governed")
PLAIN, ASKED, PEER, LATER, GOVERNED = SIDES
SETTINGS = 100_000


@dataclass
class Contest:
    """One workload.

    Attributes:
        name: Which.
        parameters: The generator's, where they differ from the full run's.
        costs: What each side took, pair by pair.
        warm: What the governed run took on a gatehouse worker, pair by pair.
    """

    name: str
    parameters: dict[str, Any]
    costs: dict[str, list[Cost]] = field(default_factory=lambda: {side: [] for side in SIDES})
    warm: list[Warm] = field(default_factory=list)

    def warm_ratios(self) -> list[float]:
        """The governed run on a warm worker over plain Prefect started cold, pair by pair."""
        return [mine.wall / theirs for mine, theirs in zip(self.warm, self.walls(PLAIN), strict=True)]

    def walls(self, side: str) -> list[float]:
        """Wall seconds, pair by pair."""
        return [cost.wall for cost in self.costs[side]]

    def ratios(self, other: str) -> list[float]:
        """Governed over another side, pair by pair."""
        return self.over(GOVERNED, other)

    def over(self, side: str, other: str) -> list[float]:
        """One side over another, pair by pair."""
        return [mine / theirs for mine, theirs in zip(self.walls(side), self.walls(other), strict=True)]

    def memory_above(self, other: str) -> float:
        """MiB that the governed run's larger process takes more at its peak than another side's."""
        mine, theirs = (statistics.median(cost.peak_mb for cost in self.costs[side]) for side in (GOVERNED, other))
        return mine - theirs

    def figures(self) -> dict[str, Any]:
        """All of it."""
        sides = {
            side: {
                what: spread([getattr(cost, what) for cost in costs], 2) | {"all": [round(getattr(cost, what), 2) for cost in costs]}
                for what in ("wall", "cpu", "peak_mb")
            }
            for side, costs in self.costs.items()
        }
        over = {f"governed over {other}": spread(self.ratios(other), 2) for other in SIDES if other != GOVERNED}
        return {
            "title": WORKLOADS[self.name].title,
            "parameters": self.parameters,
            **sides,
            **over,
            "governed, warm worker": {"wall": spread([each.wall for each in self.warm], 2), "all": [round(each.wall, 2) for each in self.warm]},
            "warm over plain Prefect": spread(self.warm_ratios(), 2),
            "approval_to_submit_s": spread([each.approval_to_submit for each in self.warm], 2),
            "peak_mb_above_plain": round(self.memory_above(PLAIN)),
        }


def spread(values: Sequence[float], digits: int) -> dict[str, float]:
    """Median and ends."""
    return {name: round(of(values), digits) for name, of in (("median", statistics.median), ("min", min), ("max", max))}


class Bench:
    """A Prefect server, the governed side's installation, and the peers' interpreter.

    Args:
        folder: Holds everything; thrown away.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = Stack(folder, folder / "home")
        self._peer = str(python(PREFECT_QISKIT))
        self._sources: dict[str, Path] = {}

    def open(self) -> None:
        """Starts the server and lays out what runs need; none of it is counted."""
        self._stack.start_server()
        os.environ.update(self._stack.environment)
        os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
        self._governed = GovernedSide(self._folder)
        self._stack.wait()
        self._stack.create_pool()
        self._stack.deploy()
        self._governed.save_token_key()
        self._asking = self._deploy_asking()
        self._governed.start_warm(self._stack)

    def _deploy_asking(self) -> UUID:
        """The deployment of the plain flow with Prefect's own approval; nobody but this process takes its runs up."""
        from plain_flow.flow import plain_asked
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            flow, entrypoint = client.create_flow(plain_asked), f"{HERE / 'plain_flow' / 'flow.py'}:plain_asked"
            return client.create_deployment(flow_id=flow, name="asked", entrypoint=entrypoint, pull_steps=[], enforce_parameter_schema=False)

    def close(self) -> None:
        """Stops the server and the worker."""
        self._governed.let_go()
        self._stack.stop()

    def pair(self, contest: Contest, number: int) -> None:
        """Every side once; which is first turns from pair to pair."""
        if contest.name not in self._sources:
            self._sources[contest.name] = self._governed.lay_out(contest.name, WORKLOADS[contest.name], contest.parameters)
        run = {
            PLAIN: lambda: self._flow(sys.executable, HERE / "plain_flow" / "flow.py", contest),
            ASKED: lambda: self._asked(contest),
            PEER: lambda: self._flow(self._peer, HERE / "peers" / "prefect_qiskit_flow.py", contest),
            LATER: lambda: self._governed.run_twice(contest.name),
            GOVERNED: lambda: self._governed.run(contest.name),
        }
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            contest.costs[side].append(run[side]())
        contest.warm.append(self._governed.run_warm(contest.name))

    def _flow(self, interpreter: str, flow: Path, contest: Contest) -> Cost:
        target = self._folder / "trust-zone" / f"{flow.stem}.sqlite"
        with suppress(FileNotFoundError):
            target.unlink()
        command = [interpreter, str(flow), contest.name, str(self._sources[contest.name]), str(target), json.dumps(contest.parameters)]
        cost = cost_of(command, os.environ, self._folder / "logs" / f"{contest.name}-{flow.stem}.log")
        self._require_rows(contest, target)
        return cost

    def _asked(self, contest: Contest) -> Cost:
        """The plain flow with Prefect's own approval, as a process worker starts it; the answer takes nobody's time."""
        from prefect.client.orchestration import get_client

        target = self._folder / "trust-zone" / "asked.sqlite"
        with suppress(FileNotFoundError):
            target.unlink()
        parameters = {"name": contest.name, "source": str(self._sources[contest.name]), "target": str(target), "parameters": contest.parameters}
        command, log = [sys.executable, "-m", "prefect.engine"], self._folder / "logs" / f"{contest.name}-asked.log"
        with get_client(sync_client=True) as client:
            run = client.create_flow_run_from_deployment(self._asking, parameters=parameters)
            environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(run.id)}
            first = cost_of(command, environment, log)
            client.resume_flow_run(run.id, run_input={"go_on": True})
            both = first.then(cost_of(command, environment, log))
        self._require_rows(contest, target)
        return both

    def _require_rows(self, contest: Contest, target: Path) -> None:
        """A side that wrote less than the source has rows has not done the same."""
        import sqlite3

        from pandas import read_csv

        connection = sqlite3.connect(target)
        (rows,) = connection.execute(f"SELECT count(*) FROM {WORKLOADS[contest.name].table}").fetchone()
        connection.close()
        if rows != len(read_csv(self._sources[contest.name])):
            raise SystemExit(f"{contest.name}: {rows} rows were written")

    def empty_gate(self, times: int) -> dict[str, list[float]]:
        """Milliseconds of a gate and of a task that do nothing."""
        found = self._folder / "empty.json"
        command = [sys.executable, str(HERE / "governed" / "empty_gate.py"), str(found), str(times)]
        cost_of(command, {**os.environ, "GATEHOUSE_HOME": str(self._folder / "empty-home")}, self._folder / "logs" / "empty.log")
        answer: dict[str, list[float]] = json.loads(found.read_text())
        return answer

    def versions(self) -> dict[str, dict[str, str]]:
        """What each side's environment has."""
        names = ("prefect", "prefect-qiskit", "qiskit", "qiskit-aer", "pandas", "numpy")
        script = f"import json, importlib.metadata as m; print(json.dumps({{d.name: d.version for d in m.distributions() if d.name in {names}}}))"
        return {
            who: json.loads(subprocess.run([at, "-c", script], capture_output=True, text=True, check=True).stdout)
            for who, at in (("Gatehouse and plain Prefect", sys.executable), ("prefect-qiskit", self._peer))
        }


def settings_round(turns: int) -> list[dict[str, float]]:
    """Rounds of many settings, from the workload to the journal, each in a fresh process."""
    from prefect_gatehouse.workload.hashing import SEED

    script, found = str(HERE / "governed" / "settings_round.py"), []
    # Prefect is imported by the gates and never asked: no server is named, so that nobody can say it was.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API")} | {"PYTHONHASHSEED": SEED}
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as name:
            for act in ("prepare", "measure"):
                command = [sys.executable, script, act, str(Path(name).resolve()), str(SETTINGS)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(f"the round of settings failed: {done.stderr[-2000:]}")
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def report(contests: Sequence[Contest]) -> Table:
    """What was measured, as a table for the terminal."""
    table = Table(title="median (min..max); a governed run's peak is its larger process's", title_justify="left")
    for name in ("workload", "side", "wall s", "CPU s", "peak MiB", "governed is"):
        table.add_column(name, justify="left" if name in ("workload", "side") else "right")
    for contest in contests:
        for side in SIDES:
            costs = contest.costs[side]
            cells = [ranged([getattr(cost, what) for cost in costs], form) for what, form in (("wall", ".1f"), ("cpu", ".1f"), ("peak_mb", ".0f"))]
            factor = "" if side == GOVERNED else f"{ranged(contest.ratios(side), '.2f')} x"
            table.add_row(WORKLOADS[contest.name].title if side == PLAIN else "", side, *cells, factor)
        table.add_section()
    return table


def ranged(values: Sequence[float], form: str) -> str:
    """Median with its ends."""
    median = format(statistics.median(values), form)
    return median if len(values) == 1 else f"{median} ({min(values):{form}}..{max(values):{form}})"


def markdown(contests: Sequence[Contest], beside: Sequence[str], versions: dict[str, dict[str, str]], pairs: int) -> str:
    """The same as Markdown."""
    lines = ["| workload | side | wall s | CPU s | peak MiB | governed is |", "|---|---|---|---|---|---|"]
    for contest in contests:
        for side in SIDES:
            costs = contest.costs[side]
            cells = [ranged([getattr(cost, what) for cost in costs], form) for what, form in (("wall", ".1f"), ("cpu", ".1f"), ("peak_mb", ".0f"))]
            factor = "" if side == GOVERNED else f"{ranged(contest.ratios(side), '.2f')} x"
            lines.append(f"| {WORKLOADS[contest.name].title if side == PLAIN else ''} | {side} | {' | '.join(cells)} | {factor} |")
    told = "; ".join(f"{who}: {', '.join(f'{name} {number}' for name, number in sorted(found.items()))}" for who, found in versions.items())
    notes = [
        *beside,
        f"Medians of {pairs} pairs with min..max, fresh processes, one Prefect server on SQLite. A governed run is one process, which stays for the"
        " answer, and where that comes later two in a row, as is the plain flow that is suspended for Prefect's own approval; the time that people"
        " take is left out, the peak is the larger one's. prefect-qiskit takes PUBs, binds each setting before it simulates, looks every half"
        " second whether a job is done, and runs the circuits untranspiled on a device with their own gates.",
        f"Versions: {told}.",
        "Written by `benchmarks/overhead.py`.",
    ]
    return "\n".join([*lines, "", "\n\n".join(notes), ""])


def drawing(contests: Sequence[Contest]) -> str:
    """The plot."""
    groups = []
    for contest in contests:
        bars = []
        for side in SIDES:
            walls = contest.walls(side)
            note = f"s ({min(walls):.3g} to {max(walls):.3g})"
            if side != GOVERNED:
                note += f", governed {statistics.median(contest.ratios(side)):.2f} x"
            bars.append(Bar(side, statistics.median(walls), side == GOVERNED, note))
        groups.append((WORKLOADS[contest.name].title, bars))
    return chart("What the gates cost: a whole run, from cold processes", groups, seconds)


def main() -> None:
    """Runs the pairs, prints and writes what they gave."""
    parser = argparse.ArgumentParser(description="What the gates cost.")
    parser.add_argument("--quick", action="store_true", help="one pair, a smaller tumour, fewer gates; files in docs stay as they are")
    parser.add_argument("--pairs", type=int, help="how many pairs; 5 unless --quick")
    parser.add_argument("--only", choices=list(WORKLOADS), action="append", help="only this workload, for a look; files in docs stay as they are")
    asked = parser.parse_args()
    pairs = asked.pairs or (1 if asked.quick else 5)
    quiet_prefect()
    compile_modules()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server is left behind
    names = asked.only or list(WORKLOADS)
    contests = [Contest(name, WORKLOADS[name].quick if asked.quick else {}) for name in names]
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name).resolve())
        try:
            bench.open()
            for number in range(pairs):
                for contest in contests:
                    bench.pair(contest, number)
                    took = ", ".join(f"{side} {contest.walls(side)[-1]:.1f} s" for side in SIDES)
                    warm = contest.warm[-1]
                    took += f", on a warm worker {warm.wall:.1f} s, a job {warm.approval_to_submit:.1f} s after the approval"
                    print(f"pair {number + 1}, {contest.name}: {took}", flush=True)
            empty = bench.empty_gate(20 if asked.quick else 300)
        finally:
            bench.close()
        versions = bench.versions()
    settings = settings_round(1 if asked.quick else pairs)

    beside = [
        f"A gate that does nothing: {ranged(empty['gate'], '.1f')} ms, the 95th of a hundred {percentile(empty['gate']):.1f} ms;"
        f" an empty Prefect task beside it: {ranged(empty['task'], '.1f')} ms, the 95th {percentile(empty['task']):.1f} ms;"
        f" the difference of the medians: {statistics.median(empty['gate']) - statistics.median(empty['task']):.1f} ms.",
        f"{SETTINGS:,} settings of one template of 16 gates, from the workload to the journal:"
        f" {ranged([each['seconds'] for each in settings], '.2f')} s;"
        f" the peak of process and cell {ranged([each['peak_mb'] for each in settings], '.0f')} MiB, of which they held"
        f" {ranged([each['before_mb'] for each in settings], '.0f')} MiB before there were settings;"
        f" the payload {settings[0]['payload_mb']:.1f} MiB.",
    ]
    beside += [
        f"{WORKLOADS[contest.name].title} on a gatehouse worker, each process forked from a warm one:"
        f" {ranged([each.wall for each in contest.warm], '.1f')} s, {ranged(contest.warm_ratios(), '.2f')} x plain Prefect started cold;"
        f" from the approval to the first job {ranged([each.approval_to_submit for each in contest.warm], '.1f')} s."
        for contest in contests
    ]
    Console(width=150).print(report(contests))
    for line in beside:
        print(line)
    last = {
        "governed_vs_prefect": round(max(statistics.median(contest.ratios(PLAIN)) for contest in contests), 2),
        "governed_later_vs_prefect": round(max(statistics.median(contest.over(LATER, PLAIN)) for contest in contests), 2),
        "governed_vs_prefect_approval": round(max(statistics.median(contest.ratios(ASKED)) for contest in contests), 2),
        "approval_vs_prefect": round(max(statistics.median(contest.over(ASKED, PLAIN)) for contest in contests), 2),
        "governed_vs_prefect_qiskit": round(max(statistics.median(contest.ratios(PEER)) for contest in contests), 2),
        "warm_vs_prefect": round(max(statistics.median(contest.warm_ratios()) for contest in contests), 2),
        "approval_to_submit_s": round(max(statistics.median(each.approval_to_submit for each in contest.warm) for contest in contests), 2),
        "empty_gate_ms": round(statistics.median(empty["gate"]), 1),
        "settings_100k_s": round(statistics.median(each["seconds"] for each in settings), 2),
    }
    if not asked.quick and not asked.only:
        figures = {
            **last,
            "pairs": pairs,
            "workloads": {contest.name: contest.figures() for contest in contests},
            "gate_ms": spread(empty["gate"], 2) | {"p95": round(percentile(empty["gate"]), 2), "times": len(empty["gate"])},
            "task_ms": spread(empty["task"], 2) | {"p95": round(percentile(empty["task"]), 2), "times": len(empty["task"])},
            "settings": settings,
            "versions": versions,
        }
        (DOCS / "benchmarks").mkdir(exist_ok=True)
        (DOCS / "benchmarks" / "overhead.json").write_text(json.dumps(figures, indent=1) + "\n")
        (DOCS / "benchmarks" / "overhead.md").write_text(markdown(contests, beside, versions, pairs))
        (DOCS / "images" / "overhead.svg").write_text(drawing(contests))
    print(json.dumps(last))


def compile_modules() -> None:
    """Compiles Gatehouse's modules as an installer does: a checkout whose Python writes no compiled files would pay for it in each process."""
    package = Path(prefect_gatehouse.__file__).parent
    for folder in (package, *(package / name for name in ("tasks", "flows", "blocks"))):
        compileall.compile_dir(folder, quiet=1)


def percentile(values: Sequence[float]) -> float:
    """The 95th of a hundred."""
    return statistics.quantiles(values, n=20)[-1]


if __name__ == "__main__":
    main()
