"""The rounds of a run as people see them: where, how long, what it cost, and what may be shown of the counts.

Counts have the class of everything that the workload saw (docs/adr/0009). Prefect's database asks nobody who they are, so only counts of class public
are shown there. Nor is their shape: how many outcomes there are is the workload's to choose, so it could tell anybody who reads that page something
of the data. In the terminal of whoever holds the run's key the shape is shown, whatever the class.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.run.counts import counts_of
from prefect_gatehouse.run.journal import Reads, cost_of
from prefect_gatehouse.run.reader import RunReader
from prefect_gatehouse.run.values import AdmittedRun, RoundOutcome, Submission
from prefect_gatehouse.workload.counts import Counts
from prefect_gatehouse.workload.histogram import Histogram, histogram


@dataclass(frozen=True)
class RoundView:
    """One round.

    Attributes:
        number: From 1.
        backend: Where its jobs are.
        label: Whether that is the first backend of the manifest.
        jobs: How many.
        circuits: In all of them.
        shots: Of each circuit.
        queue_seconds: Until the last job started; None while the round waits.
        run_seconds: On the backend, all jobs together.
        reserved: USD.
        settled: USD, as billed.
        calibration: First digits of the digest of the calibration at execution, empty where there was none.
        shape: What the counts are like without what they are; empty where nobody can or may tell.
        histogram: The counts, where their class allows it.
        note: Why there is no histogram.
    """

    number: int
    backend: str
    label: str
    jobs: int
    circuits: int
    shots: int
    reserved: Decimal
    queue_seconds: float | None = None
    run_seconds: float | None = None
    settled: Decimal | None = None
    calibration: str = ""
    shape: str = ""
    histogram: Histogram | None = None
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """One row of a table; see ``HEADERS``."""
        waits = self.settled is None
        return (
            str(self.number),
            self.backend,
            self.label,
            f"{self.jobs:,} x {self.circuits:,} x {self.shots:,}",
            "waits" if waits else f"{self.queue_seconds or 0.0:.1f}",
            "" if waits else f"{self.run_seconds or 0.0:.1f}",
            f"{self.reserved} / {'-' if waits else self.settled}",
            self.calibration or "none",
        )

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        bars = [{"outcome": bits, "shots": count} for bits, count in self.histogram.bars] if self.histogram is not None else None
        return {**asdict(self), "histogram": bars}


HEADERS = ("Round", "Backend", "Label", "Jobs x circuits x shots", "Queue s", "Run s", "USD reserved / settled", "Calibration")


def view_of(reads: Reads, submission: Submission, outcome: RoundOutcome | None) -> RoundView:
    """A round without its counts; what was settled is the journal's, which a process that died before the end of its gate has written as well."""
    jobs = submission.jobs
    view = RoundView(
        number=submission.round + 1,
        backend=", ".join(dict.fromkeys(job.backend for job in jobs)),
        label=submission.label,
        jobs=len(jobs),
        circuits=submission.circuits.count,
        shots=submission.circuits.shots,
        reserved=submission.reserved,
    )
    if outcome is None:
        return view
    return replace(
        view,
        queue_seconds=outcome.queue_seconds,
        run_seconds=outcome.run_seconds,
        settled=cost_of(reads, submission.round),
        calibration=outcome.calibration_sha256[:12],
    )


def rounds_in_the_terminal(reader: RunReader) -> list[RoundView]:
    """Every round of a run, for whoever holds the run's key."""
    admitted = reader.chain.read(AdmittedRun.gate, AdmittedRun)
    found: list[RoundView] = []
    while admitted is not None and (submission := reader.chain.read(f"{Submission.gate}:{len(found)}", Submission)) is not None:
        outcome = reader.chain.read(f"{RoundOutcome.gate}:{len(found)}", RoundOutcome)
        view = view_of(reader, submission, outcome)
        found.append(view if outcome is None else _with_counts(reader, view, outcome, admitted.classes.output_class))
    return found


def round_in_prefect(reads: Reads, outcome: RoundOutcome, counts: list[Counts], data_class: DataClass) -> RoundView:
    """A round that was just collected, for a page that anybody may read.

    Args:
        reads: The journal.
        outcome: The round's.
        counts: What it names.
        data_class: Of what the run gives.
    """
    view = view_of(reads, outcome.submission, outcome)
    if data_class is not DataClass.PUBLIC:
        note = f"counts and their shape are of class {data_class}, and this page asks nobody who they are: gatehouse show has the shape"
        return replace(view, note=note)
    return _drawn(view, histogram(counts), data_class)


def _with_counts(reads: Reads, view: RoundView, outcome: RoundOutcome, data_class: DataClass) -> RoundView:
    try:
        return _drawn(view, histogram(counts_of(reads, outcome)), data_class)
    except GatehouseError as error:
        return replace(view, note=f"no counts: {error.message}")


def _drawn(view: RoundView, drawn: Histogram, data_class: DataClass) -> RoundView:
    if data_class is not DataClass.PUBLIC:
        return replace(view, shape=drawn.heading, note=f"outcomes are of class {data_class} and not shown")
    return replace(view, shape=drawn.heading, histogram=drawn)


def markdown(view: RoundView) -> str:
    """A round for the Prefect UI: a table, and the histogram as an image, which both of Prefect's pages show."""
    lines = [f"# Round {view.number}", "", f"| {' | '.join(HEADERS)} |", f"|{' --- |' * len(HEADERS)}", f"| {' | '.join(view.cells())} |", ""]
    if view.histogram is not None:
        lines += [f"{view.shape.capitalize()}.", "", f"![{view.shape}](data:image/svg+xml;base64,{b64encode(view.histogram.svg.encode()).decode()})"]
    elif view.note:
        lines.append(f"{view.note[:1].upper()}{view.note[1:]}.")
    return "\n".join(lines)
