"""``gatehouse profile``: proposed column rules for a new source, with reasons and without a value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.output import command as make
from prefect_gatehouse.cli.output import console, emit, plain, table

if TYPE_CHECKING:
    from prefect_gatehouse.data.profile import Profile
    from prefect_gatehouse.data.propose import Proposal


@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(min=1), help="Read only the first rows; the whole file unless given.")
@click.option("--manifest", "as_yaml", is_flag=True, help="Print the manifest's data section, ready to be pasted.")
def _profile(file: Path, rows: int | None, as_yaml: bool, as_json: bool) -> None:
    """Propose column rules for FILE (.csv, .parquet), with reasons. No value is shown; read the proposal before you use it."""
    from prefect_gatehouse.cli.progress import bars
    from prefect_gatehouse.data.profile import data_section, profile

    with bars(hidden=as_json) as progress:
        found = profile(file, rows, progress)
    if as_yaml and not as_json:
        click.echo(plain(data_section(found)), nl=False)
        return
    emit(_as_dict(found), as_json, lambda: _show(found))


def _show(found: Profile) -> None:
    part = "" if found.whole else "first "
    table(
        f"{found.file}: {part}{found.rows} rows",
        ("Column", "Holds", "Missing", "Different", "Rule", "Class"),
        [
            (
                each.observed.name,
                each.observed.kind,
                f"{each.observed.missing / each.observed.rows:.1%}",
                f"{each.observed.share_different:.1%}",
                _rule(each),
                str(each.column.data_class),
            )
            for each in found.proposals
        ],
    )
    # A reason that thirty columns share is told once.
    alike: dict[str, list[str]] = {}
    for each in found.proposals:
        alike.setdefault(each.reason, []).append(each.observed.name)
    table("Why", ("Column", ""), [(", ".join(names), reason) for reason, names in alike.items()])
    out = console()
    if found.unnamed:
        out.print(f"{found.unnamed} more columns have no name that a manifest can hold; they are dropped", markup=False)
    if found.k is not None:
        names = plain(", ".join(found.quasi_identifiers))
        out.print(f"k = {found.k} over {names}, in {found.groups} groups", markup=False)
    out.print("names of people are not recognised in values: read every column that leaves", markup=False)


def _rule(each: Proposal) -> str:
    settings = each.column.model_dump(mode="json", exclude_defaults=True, exclude={"rule", "data_class"})
    return " ".join([each.column.rule, *(f"{name} {value}" for name, value in settings.items())])


def _as_dict(found: Profile) -> dict[str, object]:
    return {
        "file": found.file,
        "rows": found.rows,
        "whole": found.whole,
        "unnamed_columns": found.unnamed,
        "k": found.k,
        "groups": found.groups,
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


command = make("profile", "Propose column rules for a new source; no value is shown.", reads="file")(_profile)
