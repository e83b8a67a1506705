"""What drives a workload, and what keeps it apart.

A *runner* drives one workload: a context with ``ask``, ``answer`` and ``close``. ``rounds.Rounds`` is one, in the process of the run;
``cell.Cell`` is the other: the same in a process of its own, whose answers are read as a stranger's.

A *mechanism* makes that process: the command that starts it, and in the process, before any of the
workload's code is there, what it gives up. To add one, write a module with a class of this shape, enter it in ``choose.MECHANISMS`` by its
strength and its name in ``vocabulary.CellName``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from prefect_gatehouse.vocabulary import CellName
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.counts import Counts
from prefect_gatehouse.workload.rounds import Finished
from prefect_gatehouse.workload.sources import FoundWorkload

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Task:
    """What is to be driven.

    Attributes:
        workload: Its files.
        features: Reads the minimised data, one row a subject; asked once, when the workload is ready for it.
        parameters: The manifest's.
        declared: The columns of the output, which messages about the returned frame may name.
    """

    workload: FoundWorkload
    features: Callable[[], pa.Table]
    parameters: Mapping[str, Any]
    declared: Collection[str] = ()


@dataclass(frozen=True)
class Limits:
    """What a cell may use.

    Attributes:
        cpu_seconds: Processor time of all its steps.
        wall_seconds: Time of one step.
        memory: Bytes of address space.
        file: Bytes of all its temporary files, where it may have any.
    """

    cpu_seconds: int
    wall_seconds: int
    memory: int
    file: int


class Runner(Protocol):
    """A workload in progress; a context that ends it on the way out."""

    apart: ClassVar[bool]
    """Whether it is a process of its own, so that another one may run at the same time."""
    drawn: bytes | None
    """What its process drew before it had the workload (``drawing.fulfil``), once it stands; None where it was not asked to."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None: ...

    def ask(self, counts: Sequence[Counts] | None) -> None:
        """Gives the workload its last round's counts (None at the start); where it can, it computes while its run does something else.

        Asked again before there was an answer, it goes on with what it was asked.
        """

    def answer(self) -> CircuitBatch | Finished:
        """Takes its next circuits or its frame.

        Raises:
            InputError: There is no generator function of this name.
            WorkloadFailed: It raised, ended, or used more than it may.
            UnusableAnswer: It gave something else than circuits or a frame.
        """

    def advance(self, counts: Sequence[Counts] | None) -> CircuitBatch | Finished:
        """Asks it and takes its answer.

        Raises:
            InputError: There is no generator function of this name.
            WorkloadFailed: It raised, ended, or used more than it may.
            UnusableAnswer: It gave something else than circuits or a frame.
        """

    def close(self) -> None:
        """Ends the workload where it is."""

    @property
    def alive(self) -> bool:
        """Whether it can be asked for something."""

    @property
    def suppressed(self) -> int | None:
        """Lines that it wrote and nobody read; None where they are not counted."""


class Mechanism(Protocol):
    """What makes a process that can compute and nothing else."""

    name: CellName
    denies: str
    """What it denies, in words for the plan."""
    home: Path | None
    """The folder in the process that the workload's files are put into; None where they are read where they lie."""

    def usable(self) -> bool:
        """Whether it works here, found by trying."""

    def command(self, inside: Sequence[str], readable: Sequence[Path], limits: Limits, room: int) -> list[str]:
        """The command that starts the process.

        Args:
            inside: What runs in it.
            readable: Folders and files that it may read, under their own names.
            limits: What it may use.
            room: Bytes that the workload's files take in its home.
        """
