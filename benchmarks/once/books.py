"""What was made and what came of it, counted from the service's own books and from what the owner of the work knows.

Nothing here asks a side what it thinks it did: tasks and bills are the emulator's, and a result counts only if it is the right one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

RUNNING = {"CREATED", "QUEUED", "RUNNING", "CANCELLING"}


@dataclass(frozen=True)
class Task:
    """One task, as the service has it.

    Attributes:
        arn: Its name.
        piece: The piece of work that it was made for, by its tag.
        status: As the service writes it.
        billed: USD.
    """

    arn: str
    piece: int
    status: str
    billed: Decimal


@dataclass(frozen=True)
class Count:
    """What a side did with its pieces of work.

    Attributes:
        runs: Pieces of work.
        submitted: Tasks that the service made.
        billed: Tasks that the service asks money for.
        usd: That money.
        duplicates: Tasks more than one for a piece.
        lost: Pieces whose result nobody got.
        orphans: Tasks that run or are billed and that nobody knows.
    """

    runs: int
    submitted: int
    billed: int
    usd: Decimal
    duplicates: int
    lost: int
    orphans: int


@dataclass
class Books:
    """All tasks that were ever seen at the service; one that is seen again is the newer one."""

    tasks: dict[str, Task] = field(default_factory=dict)

    def enter(self, found: Iterable[Task]) -> None:
        """Enters what the service tells."""
        self.tasks.update({task.arn: task for task in found})

    def count(self, pieces: int, known: Mapping[int, set[str]], delivered: set[int]) -> Count:
        """The sum of it.

        Args:
            pieces: How many pieces of work there were, numbered from 0.
            known: The handles that a piece's owner has at the end.
            delivered: Pieces whose owner has the right result.

        Raises:
            ValueError: A task is nobody's, or an owner names a task that the service never made: then the drill is wrong, not the side.
        """
        made = Counter(task.piece for task in self.tasks.values())
        if not set(made) <= set(range(pieces)):
            raise ValueError("a task was made for no piece of work")
        if not set().union(*known.values()) <= set(self.tasks):
            raise ValueError("somebody knows a task that the service never made")
        billed = [task for task in self.tasks.values() if task.billed]
        orphans = [task for task in self.tasks.values() if (task.billed or task.status in RUNNING) and task.arn not in known.get(task.piece, set())]
        return Count(
            runs=pieces,
            submitted=len(self.tasks),
            billed=len(billed),
            usd=sum((task.billed for task in billed), Decimal(0)),
            duplicates=sum(number - 1 for number in made.values()),
            lost=len(set(range(pieces)) - delivered),
            orphans=len(orphans),
        )
