"""``gatehouse profile``: proposed column rules for a new source, with reasons and without a value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.csv_options import csv_options
from prefect_gatehouse.cli.output import console, emit, gatehouse_command, plain, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.profile.profile import Profile
    from prefect_gatehouse.profile.propose import Proposal

# Columns from which on those that are alike share a line, and how many of their names stand there.
_MANY, _NAMED_TOGETHER = 500, 3


@click.argument("file", type=PATH)
@click.option("--rows", type=click.IntRange(min=1), help="Read only the first rows; the whole file unless given.")
@click.option("--manifest", "as_yaml", is_flag=True, help="Print the manifest's data section, ready to be pasted.")
@csv_options
def _profile(file: Path, rows: int | None, as_yaml: bool, csv: dict[str, object], as_json: bool) -> None:
    """Propose column rules for FILE (CSV, also compressed, or Parquet), with reasons. No value is shown; read the proposal before you use it.

    How a CSV is written is told by its first rows, and proposed as data.csv; the options say what is known better.
    """
    from prefect_gatehouse.cli.progress import bars
    from prefect_gatehouse.profile.profile import data_section, profile

    with bars(hidden=as_json) as progress:
        found = profile(file, rows, progress, csv)
    if as_yaml and not as_json:
        click.echo(plain(data_section(found)), nl=False)
        return
    emit(_as_dict(found), as_json, lambda: _show(found))


def _show(found: Profile) -> None:
    part = "" if found.whole else "first "
    table(
        f"{found.file}: {part}{counted(found.rows, 'row')}",
        ("Column", "Holds", "Missing", "Different", "Rule", "Class"),
        _columns(found),
    )
    # A reason that thirty columns share is told once.
    alike: dict[str, list[str]] = {}
    for each in found.proposals:
        alike.setdefault(each.reason, []).append(each.observed.name)
    table("Why", ("Column", ""), [(_names(names), reason) for reason, names in alike.items()])
    out = console()
    for sentence in found.csv.told:
        out.print(f"data.csv: {plain(sentence)}", markup=False)
    if found.unnamed:
        out.print(f"{counted(found.unnamed, 'more column', 'have no name that a manifest can hold')}: dropped", markup=False)
    if found.k is not None:
        names = plain(", ".join(found.quasi_identifiers))
        out.print(f"k = {found.k} over {names}, in {counted(found.groups or 0, 'group')}{_behind(found)}", markup=False)
    out.print("names of people are not recognised in values: read every column that leaves", markup=False)


def _behind(found: Profile) -> str:
    """What was done so that k is reached, or why it is not."""
    if found.reached is None:
        return ""
    told = f"; {found.shortfall()}" if found.shortfall() else ""
    if found.suppression_limit is not None:
        told += f", when {found.reached.failing} of {counted(found.rows, 'row')} are suppressed (suppression_limit: {found.suppression_limit})"
    if found.reached.steps:
        told += f"; it was {found.reached.first} before these were made coarser: {plain(', '.join(found.reached.steps))}"
    return told


def _columns(found: Profile) -> list[tuple[str, ...]]:
    """A line for each column; where there are more than anybody reads, one for all that are alike, at the place of the first."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for place, each in enumerate(found.proposals):
        observed = each.observed
        missing, different = f"{observed.missing / observed.rows:.1%}", f"{observed.share_different:.1%}"
        line = (observed.kind, missing, different, _rule(each), str(each.column.data_class))
        own = () if len(found.proposals) > _MANY else (str(place),)
        alike.setdefault((*own, *line), []).append(observed.name)
    return [(_names(names, _NAMED_TOGETHER), *line[-5:]) for line, names in alike.items()]


def _names(names: Sequence[str], most: int = 30) -> str:
    """Names of columns, the first of them where there are many; ``--json`` has them all."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"


def _rule(each: Proposal) -> str:
    settings = each.column.model_dump(mode="json", exclude_defaults=True, exclude={"rule", "data_class"})
    return " ".join([each.column.rule, *(f"{name} {value}" for name, value in settings.items())])


def _as_dict(found: Profile) -> dict[str, object]:
    return {
        "file": found.file,
        "rows": found.rows,
        "whole": found.whole,
        "unnamed_columns": found.unnamed,
        "csv": {"told": list(found.csv.told), "settings": found.csv.form.model_dump(mode="json", exclude_defaults=True)},
        "k": found.k,
        "groups": found.groups,
        "l": found.reached.l if found.reached is not None else None,
        "rows_missing_k_or_l": found.reached.failing if found.reached is not None else 0,
        "k_before_coarser": found.reached.first if found.reached is not None else None,
        "coarser": list(found.reached.steps) if found.reached is not None else [],
        "shortfall": found.shortfall() or None,
        "columns": [
            {
                "name": each.observed.name,
                "holds": each.observed.kind,
                "missing": each.observed.missing,
                "different": each.observed.different,
                "share_different": round(each.observed.share_different, 4),
                "identifiers": each.observed.identifiers,
                "reason": each.reason,
                "quasi_identifier": each.quasi,
                "sensitive": each.sensitive,
            }
            for each in found.proposals
        ],
        "data": found.data().model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


command = gatehouse_command("profile", "Propose column rules for a new source; no value is shown.", reads="file")(_profile)
