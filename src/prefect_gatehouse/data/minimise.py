"""Gate 2: only what the manifest allows leaves the source: tokenised, generalised, in the order of its content, encrypted when stored."""

from __future__ import annotations

import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from prefect_gatehouse.data.coarsen import explained
from prefect_gatehouse.data.digest import ContentDigest
from prefect_gatehouse.data.engine.in_process import InProcess
from prefect_gatehouse.data.engine.interface import Engine, Form, KeyReader, Keys, Pool, Progress, Work
from prefect_gatehouse.data.engine.partition import MEMORY
from prefect_gatehouse.data.engine.remote import Remote
from prefect_gatehouse.data.engine.treat import Counted, Treater, require_few
from prefect_gatehouse.data.engine.two_pass import cut, folder_of, last_needed, treater_of
from prefect_gatehouse.data.rules import Rule
from prefect_gatehouse.data.sources import Place, Source, SourceAccess, open_source
from prefect_gatehouse.data.spill import SpillFolder
from prefect_gatehouse.data.suppress import Suppressed, to_suppress
from prefect_gatehouse.errors import DataRefused, InputError, StorageError
from prefect_gatehouse.manifest.columns import Drop, ShiftDates, Tokenise
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.treatment import Treatment, undeclared
from prefect_gatehouse.store.artifact import Artifact
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.store.run_keys import RunKey
from prefect_gatehouse.tokens.keys import RootKey

ARTIFACT = "minimised"
"""Name of the artifact that this gate writes."""

QUARANTINE = "quarantine"
"""Name of the artifact that holds the rows set aside."""

_WHERE = "data.source"

# A header that is longer or holds control characters is shown by its place; the pattern is the manifest's for a column name.
_LONGEST_NAME = 128
_UNSAFE = frozenset("`|<>")


@dataclass(frozen=True)
class Minimised:
    """What the gate found and wrote.

    Attributes:
        artifact: The encrypted table.
        quarantine: The encrypted rows that were set aside, None if there were none.
        source_sha256: Of the source's bytes, or of its content where it is no file.
        source_rows: Rows of the source; those that were neither set aside nor suppressed leave.
        quarantined_rows: Rows that could not be read or treated and were set aside.
        suppressed_rows: Rows that were left out because their group was too small or too uniform.
        suppressed_groups: Groups that they formed.
        data_digest: ``table_digest`` of the minimised table.
        treatments: Declared columns in the manifest's order, then the source's other columns, dropped.
        highest_class: Highest declared class among the columns that leave, tokenised or not.
        k: Smallest group over the quasi-identifiers, None where there are none.
        l: Fewest distinct values of a sensitive column in a group, None where there are none.
        workers: Other processes that read the keys.
    """

    artifact: Artifact
    quarantine: Artifact | None
    source_sha256: str
    source_rows: int
    quarantined_rows: int
    suppressed_rows: int
    suppressed_groups: int
    data_digest: str
    treatments: tuple[Treatment, ...]
    highest_class: DataClass
    k: int | None
    l: int | None  # noqa: E741 the measure's own letter
    workers: int


@dataclass(frozen=True)
class Workers:
    """Other processes that share the work, and what they get in place of keys and connections.

    Attributes:
        pool: The processes.
        run_keys: Folder of the runs' keys, which they share.
        root: Reads the root key there, None if no rule needs it.
        access: Opens the source there, None if it is a file.
    """

    pool: Pool
    run_keys: Path
    root: KeyReader | None = None
    access: SourceAccess | None = None


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
    workers: Workers | None = None,
    progress: Progress | None = None,
    memory: int = MEMORY,
) -> Minimised:
    """Minimises a source into an encrypted artifact, in flat memory; the result is the same with and without workers.

    Args:
        data: What the manifest declares.
        source: Where it is.
        root_key: Root key of the tokens, None if no rule needs it.
        tenant: Whose tokens.
        run_id: Whose artifact.
        store: Where the artifact goes, and temporary files meanwhile.
        key: The run's key.
        access: Opens the source, where it is not a file.
        workers: Other processes that do the work; this one does it if there are none.
        progress: Called after each batch, or each part that a worker has read.
        memory: Bytes of treated rows that a process holds before it writes them to a temporary file.

    Raises:
        InputError: The source or a rule is wrong.
        DataRefused: The source has no rows, holds values that a rule can't treat, or a group is smaller than k.
        StorageError: The source can't be read or the artifact not written.
        Unavailable: A worker died.
    """
    work = Work(
        data,
        tenant,
        run_id,
        source,
        store.root,
        workers.run_keys if workers is not None else Path(),
        access=workers.access if workers is not None else access,
        root=workers.root if workers is not None else None,
        key_version=root_key.current if root_key is not None else None,
        token=secrets.token_hex(8),
        memory=memory,
    )
    keys = Keys(key, root_key)
    folder = folder_of(work, keys)
    folder.clear(others=True)
    limit = data.quarantine_limit if data.malformed == "quarantine" else None
    try:
        with open_source(source, access=access, quarantine=limit) as opened:
            _check_columns(data, opened, _WHERE)
            treater = treater_of(work, keys, typed=opened.typed)
            engine = Remote(work, keys, opened, workers.pool) if workers is not None else InProcess(work, keys, opened)
            source_sha256, counted = _dealt(engine, opened, progress)
            rows, aside = _checked(data, treater, counted)
            if treater.finishes(counted.dealt.schema):
                _replace(counted, engine.finish(counted, counted.tallies), folder)
            suppressed = _in_groups(data, counted, rows)
            if suppressed is not None:
                _replace(counted, engine.suppress(counted, suppressed[0]), folder)
            k, l = counted.groups.check(data.k, data.l) if counted.groups is not None else (None, None)  # noqa: E741
            artifact, data_digest = _written(store, folder, work, counted, engine)
            return Minimised(
                artifact=artifact,
                quarantine=store.write(run_id, QUARANTINE, counted.aside, key) if counted.aside else None,
                source_sha256=source_sha256,
                source_rows=rows + aside,
                quarantined_rows=aside,
                suppressed_rows=suppressed[1] if suppressed is not None else 0,
                suppressed_groups=suppressed[0].groups if suppressed is not None else 0,
                data_digest=data_digest,
                treatments=_treatments(data, treater.rules, opened),
                highest_class=max((data.columns[name].data_class for name in treater.rules), key=lambda each: each.rank),
                k=k,
                l=l,
                workers=len(engine.readers) if isinstance(engine, Remote) else 0,
            )
    finally:
        with suppress(StorageError):  # what went wrong before is what to tell; cleaning the run up removes what is left
            folder.clear()


def _dealt(engine: Engine, source: Source, progress: Progress | None) -> tuple[str, Counted]:
    """The source's digest and what the first pass found; a file is hashed while the workers read it."""
    if isinstance(engine, InProcess):
        counted = engine.deal(progress)
        return counted.source_sha256 or source.digest(), counted
    with ThreadPoolExecutor(1) as beside:
        digest = beside.submit(source.digest) if len(source.parts()) > 1 else None
        counted = engine.deal(progress)
        return counted.source_sha256 or (digest.result() if digest is not None else source.digest()), counted


def _in_groups(data: Data, counted: Counted, rows: int) -> tuple[Suppressed, int] | None:
    """The groups that leave and their rows, None where none has to: then all groups reach k and l."""
    if counted.groups is None:
        return None
    try:
        suppressed = to_suppress(data, counted.groups, rows)
        if suppressed is None:
            counted.groups.check(data.k, data.l)
        return suppressed
    except DataRefused as error:
        raise explained(error, data, counted.groups, rows) from None


def _replace(counted: Counted, anew: Counted, folder: SpillFolder) -> None:
    """Takes what was dealt out anew in the place of what it was made from."""
    folder.remove(*{flushed.file for flushed in counted.dealt.flushed})
    counted.dealt, counted.groups = anew.dealt, anew.groups


def _checked(data: Data, treater: Treater, counted: Counted) -> tuple[int, int]:
    """Judges by the counts: rows that leave, and rows set aside."""
    aside = counted.set_aside_rows()
    if not counted.dealt.rows:
        message = f"no row is left; {aside} were set aside" if aside else "the source has no rows"
        raise DataRefused(message, where=_WHERE)
    require_few(aside, data.quarantine_limit)
    treater.absorb(counted.tallies)
    for rule in treater.rules.values():
        rule.check()
    return counted.dealt.rows, aside


def _written(store: ArtifactStore, folder: SpillFolder, work: Work, counted: Counted, engine: Engine) -> tuple[Artifact, str]:
    """The artifact and the digest of what went into it."""
    assert counted.dealt.schema is not None  # there are rows
    digest = ContentDigest(counted.dealt.schema, counted.dealt.rows)

    # A column without gaps is stored as one that can have none, which spares it a level for each value.
    gaps = counted.dealt.gaps
    schema = pa.schema([field.with_nullable(field.name in gaps or pa.types.is_null(field.type)) for field in counted.dealt.schema])

    tokens = tuple(name for name, column in work.data.columns.items() if isinstance(column, Tokenise) and column.scheme != "codes")
    portions = cut(counted.dealt)
    with store.draft(work.run_id, ARTIFACT, len(portions)) as draft:
        for stored, spent in zip(engine.store(portions, Form(schema, tokens), draft.slots), last_needed(portions), strict=True):
            digest.update(stored.buckets)
            draft.add(stored.file)
            folder.remove(*spent)  # so that temporary files and artifact together take little more room than one of them
        return draft.finish(), digest.hexdigest()


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
            advice="check data.columns; for a CSV without a header row, or with names of your own, data.csv",
        )
    double = [f"'{column}'" for column in declared if found[column] > 1]
    if double:
        message = f"declared columns occur twice in the source: {', '.join(double)}"
        raise InputError(message, where=name, advice="rename one of them")
    if all(isinstance(column, Drop) for column in data.columns.values()):
        advice = "keep, tokenise or generalise one"
        raise InputError("every column is dropped; nothing would leave", where="data.columns", advice=advice)


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
    others = [undeclared(_shown(name, place)) for place, name in enumerate(source.names, start=1) if name not in data.columns]
    return (*declared, *others)


def _shown(name: str, place: int) -> str:
    plain = 0 < len(name) <= _LONGEST_NAME and name.isprintable() and not _UNSAFE & set(name)
    return name if plain else f"(column {place})"
