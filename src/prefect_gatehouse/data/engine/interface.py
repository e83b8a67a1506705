"""What minimises: one function for record batches, and the engines that run it, in this process or in several.

An engine deals the rows out (first pass), puts them in order and stores them (second pass); whatever it is, the rows, their order and every count are
the same. Another engine for several processes is one more ``Pool``: it gets functions and values to call them with, which hold
references and no key, no row and no value, and gives back what they return, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa

from prefect_gatehouse.data.digest import Bucket
from prefect_gatehouse.data.engine.partition import MEMORY, PartitionRange
from prefect_gatehouse.data.engine.treat import Counted, Tallies
from prefect_gatehouse.data.sources import Place, SourceAccess
from prefect_gatehouse.data.suppress import Suppressed
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.store.encrypted_file import Slot, Written
from prefect_gatehouse.store.run_keys import RunKey
from prefect_gatehouse.tokens.keys import RootKey

A = TypeVar("A")
R = TypeVar("R")

Progress = Callable[[int, int], None]
"""Called with what has been read and what there is: bytes of a CSV, rows of anything else."""

KeyReader = Callable[[], SecretText]
"""Reads the root key where it is called. One that is sent to other processes is picklable: it holds a reference, not the key."""


@dataclass(frozen=True)
class Work:
    """What there is to do, as every process gets it: references only.

    Attributes:
        data: What the manifest declares.
        tenant: Whose tokens.
        run_id: Whose artifact.
        place: Where the source is.
        artifacts: Folder of the artifact store, shared by all processes; temporary files lie there too.
        run_keys: Folder of the runs' keys, shared by all processes.
        access: Opens the source where it is not a file.
        root: Reads the root key of the tokens, None if no rule needs it.
        key_version: Version of the root key that every process makes tokens with, None if no rule needs the key.
        token: Names this piece of work, so that a process opens its keys once.
        memory: Bytes of treated rows that one process holds before it writes them to a temporary file.
    """

    data: Data
    tenant: str
    run_id: str
    place: Place
    artifacts: Path
    run_keys: Path
    access: SourceAccess | None = None
    root: KeyReader | None = None
    key_version: int | None = None
    token: str = ""
    memory: int = field(default=MEMORY)


class Keys(NeverPrinted):
    """The keys that one process works with."""

    __slots__ = ("root", "run")

    def __init__(self, run: RunKey, root: RootKey | None) -> None:
        self.run = run
        self.root = root


@dataclass(frozen=True)
class Form:
    """What all files of the artifact have in common.

    Attributes:
        schema: Of the columns; those without gaps are required ones.
        random: Columns that look random.
    """

    schema: pa.Schema
    random: tuple[str, ...]


@dataclass(frozen=True)
class Stored:
    """A portion that was stored.

    Attributes:
        file: The file.
        buckets: The digests of its rows.
    """

    file: Written
    buckets: tuple[Bucket, ...]


class Engine(Protocol):
    """Runs the two passes."""

    def deal(self, progress: Progress | None) -> Counted:
        """The first pass over the whole source.

        Raises:
            DataRefused: A rule can't treat a column at all, or too many rows are bad.
            Interrupted: The disk, the source or a worker failed; the run can be resumed.
        """

    def finish(self, counted: Counted, tallies: Tallies) -> Counted:
        """Gives every row its last form and deals it out anew, where that changes any."""

    def suppress(self, counted: Counted, suppressed: Suppressed) -> Counted:
        """Deals every row out anew without those of some groups, and counts the groups that are left."""

    def store(self, portions: Sequence[PartitionRange], form: Form, slots: Sequence[Slot]) -> Iterator[Stored]:
        """The second pass: each portion's rows in their order, written where its slot says; what was stored, in the order of the portions.

        Raises:
            DataRefused: Parquet can't hold a column.
            Interrupted: The disk or a worker failed; the run can be resumed.
            Tampered: A temporary file was changed.
        """


class Pool(Protocol):
    """Several processes that call functions."""

    workers: int

    def map(self, function: Callable[[A], R], arguments: Iterable[A], ahead: int) -> Iterator[R]:
        """Calls a module's function for each argument, at most ``ahead`` at once, and gives the results in order.

        Raises:
            Unavailable: A worker died.
        """
