"""``gatehouse synthesise``: a synthetic file like a source, measured, and its digest recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prefect_gatehouse.cli.csv_options import csv_options
from prefect_gatehouse.cli.output import emit, gatehouse_command, table
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.plurals import counted

if TYPE_CHECKING:
    from prefect_gatehouse.synthetic.report import Report
    from prefect_gatehouse.synthetic.synthesise import Synthesised


@click.argument("file", type=PATH)
@click.option("--out", required=True, type=PATH, help="The new file, of FILE's format; it must not exist.")
@click.option("--rows", type=int, help="How many rows; as many as FILE has unless given.")
@click.option("--min-count", "k", type=int, default=10, show_default=True, help="Fewest rows that make a value or a combination common; at least 5.")
@click.option("--seed-from-os", is_flag=True, help="Draw from the operating system's randomness: the default, said aloud.")
@click.option("--seed", type=click.IntRange(min=0), help="For tests: the same file again. The report says that a seed was given.")
@click.option("--report", "report_file", type=PATH, help="Write the report here too, as JSON.")
@csv_options
def _synthesise(
    file: Path,
    out: Path,
    rows: int | None,
    k: int,
    seed_from_os: bool,
    seed: int | None,
    report_file: Path | None,
    csv: dict[str, object],
    as_json: bool,
) -> None:
    """Write synthetic data like FILE's (CSV or Parquet), measure it, and record its digest.

    The options that say how a CSV is written are those of data.csv in a manifest; the new file is written in the same way.

    Same columns and types, marginals and correlations within the stated limits; no row, no rare combination and no value of a column
    with many values is copied. Beyond a limit nothing is written. No value is shown.
    """
    from prefect_gatehouse.cli.progress import bars
    from prefect_gatehouse.data.sources.recognise import csv_form
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.settings import load_settings
    from prefect_gatehouse.synthetic.synthesise import synthesise

    if seed_from_os and seed is not None:
        raise click.UsageError("give --seed-from-os or --seed, not both")
    settings = load_settings()
    with open_ledger(settings) as ledger, bars(hidden=as_json) as progress:
        made = synthesise(settings, ledger, file, out, rows=rows, k=k, seed=seed, report_file=report_file, form=csv_form(csv), progress=progress)
    record = {key: value for key, value in made.record.model_dump(mode="json").items() if key != "signature"}
    emit({"file": str(out), "record": record, "report": json.loads(made.report.model_dump_json())}, as_json, lambda: _show(made))


def _show(made: Synthesised) -> None:
    report = made.report
    guesses = {item.column: item for item in report.disclosure}
    rows = []
    for column in report.columns:
        guess = guesses.get(column.column)
        rows.append(
            (
                column.column,
                column.kind,
                _limited(column.distance, column.limit),
                f"{column.null_difference:.3f}",
                "-" if column.values_copied is None else str(column.values_copied),
                f"{guess.with_synthetic:.2f} ({guess.with_others:.2f}, {guess.with_marginal:.2f})" if guess else "-",
            )
        )
    headers = ("Column", "Kind", "Distance (limit)", "Nulls", "Copied", "Guessed (others, marginal)")
    table(f"{made.path.name}: {counted(report.rows, 'row')} like {report.source_rows}, k = {report.k}", headers, rows)
    table("The whole table", ("", ""), _whole(report))
    click.echo(f"recorded as synthetic: {report.sha256}")
    if made.record.fingerprint:
        click.echo(f"  signed by {made.record.fingerprint}")


def _whole(report: Report) -> list[tuple[str, str]]:
    correlations, near, combined = report.correlations, report.nearest, report.combinations
    rows = [
        ("Rows copied", str(report.rows_copied)),
        (f"Rare combinations of {combined.order} among {counted(combined.columns, 'column')}", str(combined.rare_copied)),
        ("Greatest difference of correlations (limit)", _limited(correlations.max_difference, correlations.max_limit)),
        ("Mean difference (limit)", _limited(correlations.mean_difference, correlations.mean_limit)),
    ]
    if near is not None:
        ratio = "-" if near.ratio_5th is None else f"{near.ratio_5th:.2f}"
        rows.append((f"5th percentile of nearest distances over the source's own (at least {near.ratio_limit:.2f})", ratio))
        rows.append(("Rows nearer than that (limit)", _limited(near.share_below, near.share_limit)))
    rows.append(("Randomness", "a given seed: for tests" if report.seeded else "from the operating system"))
    return rows


def _limited(value: float | None, limit: float | None) -> str:
    return "-" if value is None or limit is None else f"{value:.3f} ({limit:.3f})"


command = gatehouse_command("synthesise", "Write synthetic data like a file's, measured, and record its digest.", reads="file")(_synthesise)
