"""From the first proposal of quasi-identifiers to one that reaches k and l on the data: coarser values, then suppression, then fewer columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from prefect_gatehouse.data.anonymity import Groups
from prefect_gatehouse.data.coarsen import Search, Step, Way, failing_rows
from prefect_gatehouse.data.suppress import Suppressed, without
from prefect_gatehouse.manifest.columns import Column, Drop
from prefect_gatehouse.profile.propose import Proposal

SUPPRESSION = 0.01
"""Share of the rows that is proposed as the suppression limit, where no coarser value saves the last small groups."""

# Readings of the file, at most: a step that was tried on counted groups is measured on the rows.
_READINGS = 4

Measure = Callable[[Mapping[str, Column], Sequence[str]], Groups]
"""Counts the groups of these quasi-identifiers, and the values of these sensitive columns in them."""


@dataclass(frozen=True)
class Reached:
    """What was measured for the last proposal.

    Attributes:
        proposals: One for each column, coarser than it was where that helps.
        first: Rows in the smallest group of the first proposal.
        k: Rows in the smallest group, suppressed ones apart.
        l: Fewest different values of a sensitive column in such a group; None without sensitive columns.
        groups: How many groups there are, suppressed ones apart.
        failing: Rows in groups that miss k or l: what would be suppressed, or what refuses the data.
        steps: What was made coarser, in words.
    """

    proposals: tuple[Proposal, ...]
    first: int
    k: int
    l: int | None  # noqa: E741 the measure's own letter
    groups: int
    failing: int
    steps: tuple[str, ...] = ()

    def suppressing(self, rows: int) -> bool:
        """Whether so few rows miss k or l that they may be suppressed."""
        return 0 < self.failing <= SUPPRESSION * rows


def reach(proposals: tuple[Proposal, ...], measure: Measure, rows: int, k: int, l: int) -> Reached | None:  # noqa: E741
    """The proposal with what it gives on the data; None where there are no quasi-identifiers.

    Args:
        proposals: The first proposal.
        measure: Counts groups.
        rows: Rows that were read.
        k: Fewest rows of a group.
        l: Fewest different values of each sensitive column in a group.
    """
    first: int | None = None
    best, taken = None, dict[str, str]()
    for _ in range(_READINGS):
        quasi = {each.observed.name: each.column for each in proposals if each.quasi}
        if not quasi:
            break
        sensitive = [each.observed.name for each in proposals if each.sensitive]
        groups = measure(quasi, sensitive)
        first = groups.sizes()[0] if first is None else first
        least = l if sensitive else None
        best = replace(_measured(proposals, groups, k, least), first=first, steps=tuple(taken.values()))
        if not best.failing or best.suppressing(rows) or rows < k:
            break
        way = _way(Search(groups, quasi, k, least), int(SUPPRESSION * rows))
        if not way.steps:
            break
        taken |= {step.column: f"'{step.column}' {step.words}" for step in way.steps}
        proposals = _changed(proposals, {step.column: step for step in way.steps}, k)
    if best is not None and not any(each.quasi for each in proposals):
        # Nothing is left to group by, so nothing identifies together any more.
        return replace(best, proposals=proposals, k=rows, l=None, groups=1, failing=0, steps=tuple(taken.values()))
    return best


def _measured(proposals: tuple[Proposal, ...], groups: Groups, k: int, l: int | None) -> Reached:  # noqa: E741
    failing, _ = failing_rows(groups, k, l)
    left = without(groups, Suppressed(groups.columns, groups.failing(k, l))) if 0 < failing < groups.rows() else groups
    smallest, count = left.sizes()
    return Reached(proposals, smallest, smallest, left.fewest() if l is not None else None, count, failing)


def _way(search: Search, tolerated: int) -> Way:
    """Coarser values if they do; else with suppression; else columns are left out too."""
    coarser = search.together(leaving_out=False)
    if not coarser.failing:
        return coarser
    return search.together(leaving_out=coarser.failing > tolerated, tolerated=tolerated)


def _changed(proposals: tuple[Proposal, ...], steps: Mapping[str, Step], k: int) -> tuple[Proposal, ...]:
    found = []
    for each in proposals:
        step = steps.get(each.observed.name)
        if step is None:
            found.append(each)
        elif isinstance(step.declared, Drop):
            found.append(replace(each, column=step.declared, quasi=False, reason=f"left out: with it, groups have fewer than {k} rows"))
        else:
            found.append(replace(each, column=step.declared, reason=f"{each.reason}; coarser ({step.words}), so that groups have {k} rows"))
    return tuple(found)
