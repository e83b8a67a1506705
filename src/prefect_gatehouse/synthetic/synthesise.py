"""From a source to a synthetic file: model, draw, write, measure what was written, judge, record, and only then give it its name."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from prefect_gatehouse.canonical import canonical, sha256_bytes
from prefect_gatehouse.data.sources.kinds import ending_of
from prefect_gatehouse.errors import DataRefused, InputError, StorageError
from prefect_gatehouse.files import open_new
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.csv_form import STANDARD, CsvForm
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.synthetic.attacks import disclosure, nearest_rows
from prefect_gatehouse.synthetic.fidelity import measure_column, measure_correlations
from prefect_gatehouse.synthetic.files import SourceTable, publish, read_back, read_source, write_table
from prefect_gatehouse.synthetic.model import Model
from prefect_gatehouse.synthetic.record import SyntheticRecord, make_record, write_record
from prefect_gatehouse.synthetic.report import GENERATOR, Combined, Limits, Report

LEAST_K, USUAL_K = 5, 10
_TEXTS = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zstd")

Progress = Callable[[str], Callable[[int, int], None]]
"""Makes a progress reporter from a few words."""


@dataclass(frozen=True)
class Synthesised:
    """A finished file."""

    path: Path
    record: SyntheticRecord
    report: Report


def synthesise(
    settings: Settings,
    ledger: Ledger,
    source: Path,
    out: Path,
    *,
    rows: int | None = None,
    k: int = USUAL_K,
    seed: int | None = None,
    report_file: Path | None = None,
    limits: Limits | None = None,
    form: CsvForm = STANDARD,
    progress: Progress = lambda what: lambda done, total: None,
) -> Synthesised:
    """Writes a synthetic file like a source and records its digest; nothing is left behind where anything fails.

    Args:
        settings: The installation's, for its signing key.
        ledger: Where the digest is recorded.
        source: CSV or Parquet.
        out: The new file, of the same format.
        rows: How many rows; as many as the source has unless given.
        k: Fewest rows that make a value or a combination common.
        seed: For tests; the operating system's randomness unless given.
        report_file: Where the report is written too, as JSON.
        limits: What the file is held to.
        form: How both files are written, if they are CSV.
        progress: Makes progress reporters.

    Raises:
        InputError: A file or an option is wrong, the signing key that is named is not there, or a column can't be made up.
        DataRefused: The source has too few rows, or the result is not like the source, or too like it.
        StorageError: A file can't be read or written.
    """
    _check(source, out, rows, k, report_file)
    key = settings.signing_key()  # at once: one that is named and not there is said before the work, not behind it
    partial = [out.with_name(f".{out.name}.{secrets.token_hex(8)}{out.suffix}")]
    if report_file is not None:
        partial.append(report_file.with_name(f".{report_file.name}.{secrets.token_hex(8)}"))
    try:
        loaded = read_source(source, progress("source read"), form)
        _check_format(loaded, out)
        report = _make(loaded, partial[0], rows or loaded.table.num_rows, k, seed, limits or Limits(), progress("steps done"))
        failures = report.failures()
        if failures:
            more = f", and {len(failures) - 8} more" if len(failures) > 8 else ""
            raise DataRefused(
                f"the result is beyond its limits: {', '.join(failures[:8])}{more}",
                where=source.name,
                advice="nothing was written; take more rows, round the values of the columns named, or leave those out",
            )
        if report_file is not None:
            _write_text(partial[1], json.dumps(report.model_dump(mode="json"), indent=1) + "\n")
        record = make_record(
            sha256=report.sha256,
            rows=report.rows,
            source_sha256=report.source_sha256,
            report_sha256=sha256_bytes(canonical(report.model_dump(mode="json"))),
            generator=GENERATOR,
            key=key,
        )
        # First the record: a digest without a file harms nobody, a file without a record would only look synthetic.
        write_record(ledger, record)
        if report_file is not None:
            publish(partial[1], report_file)
        publish(partial[0], out)
        return Synthesised(out, record, report)
    except pa.ArrowException as error:  # its text may quote a value, its class does not
        raise DataRefused(f"the source can't be made up: {type(error).__name__}", where=source.name, advice="check the columns' types") from None
    except MemoryError:
        raise DataRefused("the source does not fit into memory", where=source.name, advice="take fewer rows or columns") from None
    finally:
        for path in partial:
            path.unlink(missing_ok=True)


def _check(source: Path, out: Path, rows: int | None, k: int, report_file: Path | None) -> None:
    if k < LEAST_K:
        raise InputError(f"fewer than {LEAST_K} rows are no crowd", where="--min-count", advice=f"give {LEAST_K} or more")
    if rows is not None and rows < 1:
        raise InputError("a file has at least one row", where="--rows")
    if out.suffix.lower() in _PACKED:
        raise InputError("a synthetic file is written without compression", where=str(out), advice="name it without the last ending")
    kinds = [_kind(path) for path in (out, source)]
    if kinds[0] == "other" or (kinds[0] != kinds[1] and "other" not in kinds):
        raise _other_format(out)
    for path in (out, report_file):
        if path is not None and (path.exists() or path.is_symlink()):
            raise InputError("there is a file of this name", where=str(path), advice="name another, or remove it")
        if path is not None and not path.parent.is_dir():
            raise InputError("the folder does not exist", where=str(path.parent), advice="make it, or name another")
    if report_file is not None and report_file.absolute() == out.absolute():
        raise InputError("report and file have one name", where=str(out), advice="name another for the report")


def _kind(path: Path) -> str:
    """What a file's name says; what it holds is said when it is read."""
    ending = ending_of(path.name)
    return "parquet" if ending in (".parquet", ".pq") else "csv" if ending in _TEXTS else "other"


def _check_format(loaded: SourceTable, out: Path) -> None:
    if loaded.typed is not (_kind(out) == "parquet"):
        raise _other_format(out)


def _other_format(out: Path) -> InputError:
    return InputError("the file is to be of the source's format", where=str(out), advice="name a .csv for CSV, a .parquet for Parquet")


def _make(loaded: SourceTable, partial: Path, rows: int, k: int, seed: int | None, limits: Limits, step: Callable[[int, int], None]) -> Report:
    rng = np.random.default_rng(secrets.randbits(256) if seed is None else seed)
    source = loaded.table
    model = Model(source, k, rng)
    step(1, 5)
    drawn = model.draw(rng, rows)
    step(2, 5)
    sha256 = write_table(drawn, partial, loaded)
    del drawn
    made = read_back(partial, source.schema, loaded.form)
    step(3, 5)
    columns = tuple(measure_column(column, source[column.name], made[column.name], k, limits) for column in model.columns)
    correlations = measure_correlations(model, source, made, rng, limits)
    step(4, 5)
    report = Report(
        generator=GENERATOR,
        seeded=seed is not None,
        k=k,
        source_rows=source.num_rows,
        rows=made.num_rows,
        source_sha256=loaded.sha256,
        sha256=sha256,
        columns=columns,
        correlations=correlations,
        rows_copied=int(model.copied(made).sum()),
        combinations=Combined(
            columns=len(model.combinations.columns),
            order=model.combinations.order,
            left_out=model.combinations.left_out,
            rare_copied=int(model.rare_combination(made).sum()),
        ),
        nearest=nearest_rows(model.columns, source, made, rng, limits),
        disclosure=disclosure(model.columns, source, made, rng, limits),
        limits=limits,
    )
    step(5, 5)
    return report


def _write_text(path: Path, text: str) -> None:
    try:
        with os.fdopen(open_new(path), "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StorageError(f"the report can't be written: {error.strerror}", where=str(path), advice="check the folder") from None
