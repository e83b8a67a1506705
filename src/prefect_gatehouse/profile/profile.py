"""The profile of a new source: proposed column rules with reasons, and the k that the quasi-identifiers would give. No value in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from prefect_gatehouse.data.anonymity import Groups
from prefect_gatehouse.data.rules import rule_for
from prefect_gatehouse.data.sources import FilesPlace, open_source
from prefect_gatehouse.data.sources.recognise import Recognised, recognised
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.columns import Column, Drop
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.manifest.yaml_scalars import written as _quoted
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.profile.propose import Proposal, propose
from prefect_gatehouse.profile.reach import SUPPRESSION, Reached, reach
from prefect_gatehouse.profile.statistics import observe

K = 5
"""The k that is proposed; what the data gives now is told beside it."""

L = 2
_SUITE = "suites/input.json"
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Profile:
    """What is proposed for a source.

    Attributes:
        file: Its name.
        rows: Rows that were read.
        whole: Whether these are all.
        unnamed: Columns that share a name with another or that no manifest can name; they are left out, so they are dropped.
        proposals: One for each other column.
        csv: How the file is written, and what of it somebody should confirm.
        reached: What the proposed quasi-identifiers, as treated, give on the data; None where none was proposed.
    """

    file: str
    rows: int
    whole: bool
    unnamed: int
    proposals: tuple[Proposal, ...]
    csv: Recognised
    reached: Reached | None = None

    @property
    def k(self) -> int | None:
        """Rows in the smallest group of the proposed quasi-identifiers; None where there are none."""
        return self.reached.k if self.reached is not None and self.quasi_identifiers else None

    @property
    def groups(self) -> int | None:
        """How many groups they form."""
        return self.reached.groups if self.reached is not None and self.quasi_identifiers else None

    @property
    def suppression_limit(self) -> float | None:
        """Share of the rows that may be left out, where some have to be."""
        return SUPPRESSION if self.reached is not None and self.reached.suppressing(self.rows) else None

    def shortfall(self) -> str:
        """Why the proposal does not reach k and l on these rows; empty where it does."""
        if self.reached is None or not self.reached.failing or self.suppression_limit is not None:
            return ""
        if self.rows < K:
            return f"not reached: {counted(self.rows, 'row', f'are fewer than {K}')}"
        failing = f"{self.reached.failing} of {counted(self.rows, 'row')}"
        return f"not reached: {failing} are in groups with fewer than {K} rows or {L} values of a sensitive column"

    @property
    def quasi_identifiers(self) -> tuple[str, ...]:
        """Columns that identify somebody only together."""
        return tuple(each.observed.name for each in self.proposals if each.quasi)

    @property
    def sensitive(self) -> tuple[str, ...]:
        """Columns that nobody may learn about a person whose group is known; without groups there is nothing to count."""
        return tuple(each.observed.name for each in self.proposals if each.sensitive) if self.quasi_identifiers else ()

    def data(self) -> Data:
        """The proposal as the manifest's ``data``."""
        return Data(
            source=self.file,
            csv=self.csv.form,
            columns={each.observed.name: each.column for each in self.proposals},
            quasi_identifiers=self.quasi_identifiers,
            k=K if self.quasi_identifiers else None,
            suppression_limit=self.suppression_limit,
            sensitive=self.sensitive,
            l=L if self.sensitive else None,
            suite=_SUITE,
        )


def profile(
    path: Path, rows: int | None = None, progress: Callable[[str], Report] | None = None, csv: Mapping[str, object] = MappingProxyType({})
) -> Profile:
    """Reads a CSV or Parquet file once for its columns, and once more for the groups.

    Args:
        path: The file.
        rows: Most rows to read; the whole file if there is none.
        progress: Makes a reporter for each of the two passes.
        csv: What is known of how a CSV is written, as ``data.csv`` of a manifest; the rest is proposed by its first rows.

    Raises:
        InputError: The file is missing, malformed, of another kind, or no column has a name that a manifest can hold.
        DataRefused: There are no rows.
        StorageError: The file can't be read.
    """
    form = recognised(FilesPlace(path.parent, (path.name,)), csv)
    place = FilesPlace(path.parent, (path.name,), form.form)
    with open_source(place) as source:
        seen, whole = observe(source, rows, progress("looking at the columns") if progress else None)
        named = [column for column in seen if _nameable(column.name)]
        if not named:
            raise InputError("no column has a name that a manifest can hold", where=path.name, advice="write a header row")

        def measure(quasi: Mapping[str, Column], sensitive: Sequence[str]) -> Groups:
            return _groups(place, quasi, sensitive, source.typed, rows, progress("measuring the groups") if progress else None)

        proposals = propose(named)
        reached = reach(proposals, measure, seen[0].rows, K, L)
        return Profile(
            file=path.name,
            rows=seen[0].rows,
            whole=whole,
            unnamed=len(source.names) - len(named),
            proposals=reached.proposals if reached is not None else proposals,
            csv=form,
            reached=reached,
        )


def _nameable(name: str) -> bool:
    try:
        Data(source="x", suite="x", columns={name: Drop(rule="drop")})
    except ValueError:
        return False
    return True


def _groups(
    place: FilesPlace, quasi: Mapping[str, Column], sensitive: Sequence[str], typed: bool, rows: int | None, progress: Report | None
) -> Groups:
    """Groups over the treated quasi-identifiers, with the sensitive values in them; a value that can't be treated counts as missing."""
    rules = {name: rule_for(name, column, typed=typed, root_key=None, tenant="profile") for name, column in quasi.items()}
    groups = Groups(tuple(rules), tuple(sensitive))
    left = rows
    with open_source(place) as source:
        for batch in source.batches([*rules, *sensitive]):
            part = batch if left is None else batch.slice(0, left)
            treated = {name: rule.apply(part.column(name))[0] for name, rule in rules.items()}
            groups.add(pa.table({**treated, **{name: part.column(name) for name in sensitive}}))
            if progress is not None:
                progress(*source.progress())
            if left is not None:
                left -= part.num_rows
                if left <= 0:
                    break
    return groups


def data_section(found: Profile) -> str:
    """The proposal as YAML, ready to be pasted into a manifest, each reason beside its column."""
    lines = ["data:", f"  source: {_quoted(found.file)}"]
    form = found.csv.form.model_dump(mode="json", exclude_defaults=True)
    if form:
        lines.append("  csv:  # by its first rows: confirm it")
        lines += [f"    {name}: {_written(value)}" for name, value in form.items()]
    lines.append("  columns:")
    for each in found.proposals:
        rule = each.column.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        rule = {"rule": rule.pop("rule"), **rule, "class": str(each.column.data_class)}
        settings = ", ".join(f"{name}: {_quoted(value)}" for name, value in rule.items())
        lines.append(f"    {_quoted(each.observed.name)}: {{{settings}}}  # {each.reason}")
    data = found.data()
    if data.k is not None:
        lines.append(f"  quasi_identifiers: [{', '.join(map(_quoted, data.quasi_identifiers))}]")
        lines.append(f"  k: {data.k}  # measured now: {found.k}{'; ' + found.shortfall() if found.shortfall() else ''}")
    if data.suppression_limit is not None and found.reached is not None:
        lines.append(f"  suppression_limit: {data.suppression_limit}  # {found.reached.failing} of {counted(found.rows, 'row')} now")
    if data.l is not None:
        lines.append(f"  sensitive: [{', '.join(map(_quoted, data.sensitive))}]")
        lines.append(f"  l: {data.l}  # measured now: {found.reached.l if found.reached is not None else None}")
    lines.append(f"  suite: {data.suite}  # write it: row count, missing values, ranges")
    return "\n".join(lines) + "\n"


def _written(value: object) -> str:
    return f"[{', '.join(map(_quoted, value))}]" if isinstance(value, list) else _quoted(value)
