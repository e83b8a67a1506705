"""Both passes in several processes: the functions that a worker calls, and the engine that calls them through a pool.

What goes to a worker names files, folders, blocks and temporary files; what comes back names temporary files. Rows, counts, groups and
digests travel sealed under the run's key in those files. A worker reads its keys itself and holds them while the pool lives.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from prefect_gatehouse.data.engine.interface import Form, Keys, Pool, Progress, Stored, Work
from prefect_gatehouse.data.engine.partition import PartitionBlock, PartitionRange
from prefect_gatehouse.data.engine.sort_and_digest import shares_of
from prefect_gatehouse.data.engine.treat import Counted, Tallies
from prefect_gatehouse.data.engine.two_pass import deal_parts, finish_portion, folder_of, store_portion, suppress_portion
from prefect_gatehouse.data.sources import Part, Source, open_source
from prefect_gatehouse.data.spill import SpillFolder
from prefect_gatehouse.data.suppress import Suppressed
from prefect_gatehouse.errors import GatehouseError, Interrupted
from prefect_gatehouse.store.encrypted_file import Slot
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.tokens.keys import RootKey

T = TypeVar("T")

# Tasks for each worker: enough that the last ones do not leave a worker idle, few enough that none is small.
_TASKS_A_WORKER = 8

_keys: dict[str, Keys] = {}
_opening = threading.Lock()


@dataclass(frozen=True)
class Task:
    """One call of a worker.

    Attributes:
        work: What there is to do.
        parts: Parts of the source to deal out.
        portion: Partitioned rows to finish or to store.
        tallies: Where the tallies of all rows lie.
        suppressed: Where the groups that leave lie.
        typed: Whether the source has types.
        form: What all files of the artifact have in common.
        slot: Where the file goes.
    """

    work: Work
    parts: tuple[Part, ...] = ()
    portion: PartitionRange | None = None
    tallies: PartitionBlock | None = None
    suppressed: PartitionBlock | None = None
    typed: bool = True
    form: Form | None = None
    slot: Slot | None = None


def deal_task(task: Task) -> PartitionBlock | GatehouseError:
    """Deals out parts of the source; where the sealed counts lie, or why not."""

    def deal(keys: Keys) -> PartitionBlock:
        limit = task.work.data.quarantine_limit if task.work.data.malformed == "quarantine" else None
        with open_source(task.work.place, access=task.work.access, quarantine=limit) as source:
            counted = deal_parts(task.work, keys, source, task.parts, keep=False)
        return _seal(folder_of(task.work, keys), counted)

    return _called(task.work, deal)


def finish_task(task: Task) -> PartitionBlock | GatehouseError:
    """Gives rows their last form; where the sealed counts lie, or why not."""

    def finish(keys: Keys) -> PartitionBlock:
        assert task.portion is not None  # finish() sets both
        assert task.tallies is not None
        folder = folder_of(task.work, keys)
        tallies = cast("Tallies", _unseal(folder, task.tallies))
        return _seal(folder, finish_portion(task.work, keys, task.portion, tallies, typed=task.typed, keep=False))

    return _called(task.work, finish)


def suppress_task(task: Task) -> PartitionBlock | GatehouseError:
    """Deals rows out anew without those of some groups; where the sealed counts lie, or why not."""

    def suppress(keys: Keys) -> PartitionBlock:
        assert task.portion is not None  # suppress() sets both
        assert task.suppressed is not None
        folder = folder_of(task.work, keys)
        suppressed = cast("Suppressed", _unseal(folder, task.suppressed))
        return _seal(folder, suppress_portion(task.work, keys, task.portion, suppressed, typed=task.typed, keep=False))

    return _called(task.work, suppress)


def store_task(task: Task) -> PartitionBlock | GatehouseError:
    """Puts rows in their order and writes them; where the sealed digests lie, or why not."""

    def store(keys: Keys) -> PartitionBlock:
        assert task.portion is not None  # store() sets all three
        assert task.form is not None
        assert task.slot is not None
        return _seal(folder_of(task.work, keys), store_portion(task.work, keys, task.portion, task.form, task.slot))

    return _called(task.work, store)


def forget() -> None:
    """Drops the keys that this process holds; work that still needs them reads them again."""
    with _opening:
        _keys.clear()


class Remote:
    """The engine of several processes.

    Args:
        work: What there is to do.
        keys: This process's keys.
        source: The source, open here too.
        pool: The workers.
    """

    def __init__(self, work: Work, keys: Keys, source: Source, pool: Pool) -> None:
        self._work = work
        self._keys = keys
        self._source = source
        self._pool = pool
        self._folder = folder_of(work, keys)
        self.readers: set[str] = set()
        """The workers that read keys, by host and number."""

    def deal(self, progress: Progress | None) -> Counted:
        """The first pass, parts of the source at once."""
        shares = _shared(self._source.parts(), self._pool.workers * _TASKS_A_WORKER)
        total, done = sum(part.size for share in shares for part in share), 0
        counted = Counted()
        for share, found in zip(shares, self._counts(deal_task, [Task(self._work, parts=share) for share in shares]), strict=True):
            counted.absorb(found)
            done += sum(part.size for part in share)
            if progress is not None:
                progress(done, total)
        return counted

    def finish(self, counted: Counted, tallies: Tallies) -> Counted:
        """The last form of every row."""
        sealed = _seal(self._folder, tallies)
        return self._again(finish_task, counted, Task(self._work, tallies=sealed, typed=self._source.typed))

    def suppress(self, counted: Counted, suppressed: Suppressed) -> Counted:
        """Every row but those of some groups."""
        sealed = _seal(self._folder, suppressed)
        return self._again(suppress_task, counted, Task(self._work, suppressed=sealed, typed=self._source.typed))

    def _again(self, function: Callable[[Task], PartitionBlock | GatehouseError], counted: Counted, task: Task) -> Counted:
        """What was dealt out, dealt out anew, portions at once."""
        portions = counted.dealt.portions(shares_of(counted.dealt.rows, self._pool.workers * _TASKS_A_WORKER))
        done = Counted()
        for found in self._counts(function, [replace(task, portion=portion) for portion in portions]):
            done.absorb(found)
        return done

    def store(self, portions: Sequence[PartitionRange], form: Form, slots: Sequence[Slot]) -> Iterator[Stored]:
        """The second pass, portions at once."""
        tasks = [Task(self._work, portion=portion, form=form, slot=slot) for portion, slot in zip(portions, slots, strict=True)]
        return (cast("Stored", found) for found in self._results(store_task, tasks))

    def _counts(self, function: Callable[[Task], PartitionBlock | GatehouseError], tasks: Sequence[Task]) -> Iterator[Counted]:
        for found in self._results(function, tasks):
            counted = cast("Counted", found)
            self.readers.add(counted.worker)
            yield counted

    def _results(self, function: Callable[[Task], PartitionBlock | GatehouseError], tasks: Sequence[Task]) -> Iterator[object]:
        for result in self._pool.map(function, tasks, ahead=self._pool.workers * 2):
            piece = _raised(result)
            found = _unseal(self._folder, piece)
            self._folder.remove(piece.file)
            yield found


def _called(work: Work, function: Callable[[Keys], T]) -> T | GatehouseError:
    """Calls with this process's keys; an error becomes a value, because pools write the ones that are raised into logs."""
    try:
        return function(_opened(work))
    except GatehouseError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a foreign error's text may quote a value, its class does not
        return Interrupted(f"a worker failed: {type(error).__name__}", where="minimise", advice="see the worker's log, then resume the run")


def _opened(work: Work) -> Keys:
    with _opening:
        if work.token not in _keys:
            root = None
            if work.root is not None:
                secret = work.root()
                root = RootKey.parse(secret.reveal())
                if work.key_version is not None:  # the store may hold a newer version by now; tokens of two versions do not match
                    root = root.at(work.key_version)
                with suppress(Exception):  # the key has been taken out; the gate's own lease of it is revoked by the gate
                    secret.revoke()
            _keys[work.token] = Keys(RunKeys(work.run_keys).load(work.run_id), root)
        return _keys[work.token]


def _raised(result: T | GatehouseError) -> T:
    if isinstance(result, GatehouseError):
        raise result
    return result


def _seal(folder: SpillFolder, value: object) -> PartitionBlock:
    with folder.create() as writer:
        return PartitionBlock(writer.name, writer.append(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)))


def _unseal(folder: SpillFolder, piece: PartitionBlock) -> object:
    with folder.open(piece.file) as reader:
        # Nobody but a holder of the run's key can have written what opens under it.
        return pickle.loads(reader.read(piece.frame))  # noqa: S301


def _shared(parts: Sequence[Part], count: int) -> list[tuple[Part, ...]]:
    """Neighbouring parts joined into about so many tasks of about one size."""
    target = max(1, sum(part.size for part in parts) // count)
    shares: list[tuple[Part, ...]] = []
    share: list[Part] = []
    for part in parts:
        share.append(part)
        if sum(each.size for each in share) >= target:
            shares.append(tuple(share))
            share = []
    return [*shares, tuple(share)] if share else shares
