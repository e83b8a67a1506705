"""Gate 2: only what the manifest allows leaves the source: tokenised, generalised, shuffled, encrypted before it is stored."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from prefect_gatehouse.data.anonymity import require_k
from prefect_gatehouse.data.artifacts import ArtifactStore
from prefect_gatehouse.data.digest import table_digest
from prefect_gatehouse.data.rules import Rule, rule_for
from prefect_gatehouse.data.run_keys import RunKey
from prefect_gatehouse.data.sources import Place, Source, SourceAccess, open_source
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.manifest.columns import Drop, ShiftDates
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.values import Artifact, Treatment

ARTIFACT = "minimised"
"""Name of the artifact that this gate writes."""

_WHERE = "data.source"

# Rows of a row group of the artifact.
_ROW_GROUP = 1 << 16

Progress = Callable[[int, int], None]
"""Called with what has been read and what there is: bytes of a CSV, rows of a Parquet file."""

# A header that is longer or holds control characters is shown by its place; the pattern is the manifest's for a column name.
_LONGEST_NAME = 128
_UNSAFE = frozenset("`|<>")


@dataclass(frozen=True)
class Minimised:
    """What the gate found and wrote.

    Attributes:
        artifact: The encrypted table.
        source_sha256: Of the source's bytes, or of its content where it is no file.
        source_rows: Rows read; every one leaves.
        data_digest: ``table_digest`` of the minimised table, before the shuffle and the encryption.
        treatments: Declared columns in the manifest's order, then the source's other columns, dropped.
        highest_class: Highest declared class among the columns that leave, tokenised or not.
        k: Smallest group over the quasi-identifiers, None where there are none.
    """

    artifact: Artifact
    source_sha256: str
    source_rows: int
    data_digest: str
    treatments: tuple[Treatment, ...]
    highest_class: DataClass
    k: int | None


def minimise(
    data: Data,
    source: Place,
    root_key: RootKey | None,
    *,
    tenant: str,
    run_id: str,
    store: ArtifactStore,
    key: RunKey,
    access: SourceAccess | None = None,
    progress: Progress | None = None,
) -> Minimised:
    """Minimises a source into an encrypted artifact.

    Args:
        data: What the manifest declares.
        source: Where it is.
        root_key: Root key of the tokens, None if no column is tokenised.
        tenant: Whose tokens.
        run_id: Whose artifact.
        store: Where the artifact goes.
        key: The run's key.
        access: Opens the source, where it is not a file.
        progress: Called after each batch.

    Raises:
        InputError: The source or a rule is wrong.
        DataRefused: The source has no rows, holds values that a rule can't treat, or a group is smaller than k.
        StorageError: The source can't be read or the artifact not written.
    """
    with open_source(source, access=access) as opened:
        _check_columns(data, opened, _WHERE)
        rules = {
            name: rule_for(name, column, typed=opened.typed, root_key=root_key, tenant=tenant, columns=data.columns)
            for name, column in data.columns.items()
            if not isinstance(column, Drop)
        }
        table = _treated(opened, rules, _WHERE, progress)
        k = require_k(table, data.quasi_identifiers, data.k) if data.k is not None else None
        return Minimised(
            artifact=store.write(run_id, ARTIFACT, _shuffled(table), key),
            source_sha256=opened.digest(),
            source_rows=table.num_rows,
            data_digest=table_digest(table),
            treatments=_treatments(data, rules, opened),
            highest_class=max((data.columns[name].data_class for name in rules), key=lambda each: each.rank),
            k=k,
        )


def _check_columns(data: Data, source: Source, name: str) -> None:
    found = Counter(source.names)
    # Only the manifest's names are repeated: what a file without a header has in its first row are values.
    subjects = [column.subject for column in data.columns.values() if isinstance(column, ShiftDates)]
    declared = list(dict.fromkeys((*data.columns, *subjects)))
    missing = [f"'{column}'" for column in declared if column not in found]
    if missing:
        raise InputError(
            f"{len(missing)} declared columns are not in the source: {', '.join(missing)}",
            where=name,
            advice="check data.columns; a CSV needs a header row and commas",
        )
    double = [f"'{column}'" for column in declared if found[column] > 1]
    if double:
        message = f"declared columns occur twice in the source: {', '.join(double)}"
        raise InputError(message, where=name, advice="rename one of them")
    if all(isinstance(column, Drop) for column in data.columns.values()):
        advice = "keep, tokenise or generalise one"
        raise InputError("every column is dropped; nothing would leave", where="data.columns", advice=advice)


def _treated(source: Source, rules: dict[str, Rule], name: str, progress: Progress | None) -> pa.Table:
    chunks: dict[str, list[pa.Array]] = {column: [] for column in rules}
    try:
        wanted = list(dict.fromkeys(column for rule in rules.values() for column in rule.reads))
        for batch in source.batches(wanted):
            for column, rule in rules.items():
                chunks[column].append(rule.apply(*(batch.column(each) for each in rule.reads))[0])
            if progress is not None:
                progress(*source.progress())
        if not any(len(chunk) for chunk in next(iter(chunks.values()))):
            raise DataRefused("the source has no rows", where=name)
        for rule in rules.values():
            rule.check()
        return pa.table({column: rule.finish(pa.chunked_array(chunks[column])) for column, rule in rules.items()})
    except pa.ArrowException as error:  # its text may quote a value, its class does not
        message = f"the columns can't be treated: {type(error).__name__}"
        raise DataRefused(message, where=name, advice="check the types of the declared columns") from None


def _shuffled(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The rows in a random order, so that a row's place no longer tells whose it is.

    Sorting by 64 random bits of the operating system draws every permutation alike, but for collisions (n^2 / 2^65).
    """
    order = pa.array(np.argsort(np.frombuffer(os.urandom(8 * table.num_rows), np.uint64)))
    for first in range(0, table.num_rows, _ROW_GROUP):
        yield from table.take(order.slice(first, _ROW_GROUP)).combine_chunks().to_batches()


def _treatments(data: Data, rules: dict[str, Rule], source: Source) -> tuple[Treatment, ...]:
    declared = [
        Treatment(
            column=name,
            data_class=column.data_class,
            rule=column.rule,
            detail=rules[name].detail if name in rules else "",
            declared=True,
        )
        for name, column in data.columns.items()
    ]
    others = [
        Treatment(column=_shown(name, place), data_class=DataClass.RESTRICTED, rule="drop", detail="", declared=False)
        for place, name in enumerate(source.names, start=1)
        if name not in data.columns
    ]
    return (*declared, *others)


def _shown(name: str, place: int) -> str:
    plain = 0 < len(name) <= _LONGEST_NAME and name.isprintable() and not _UNSAFE & set(name)
    return name if plain else f"(column {place})"
