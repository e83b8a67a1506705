"""Encrypted tables of a run as Parquet files: Parquet Modular Encryption, AES_GCM_V1, columns and footer under a 256-bit key.

Every artifact has a data key of its own, derived from the run's key and the artifact's URI. The URI is also the file's AAD prefix
and is not stored in it, so that an artifact under another name or run does not decrypt.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from prefect_gatehouse.data.files import DigestingFile, open_new, safe_name, sync_folder
from prefect_gatehouse.data.run_keys import RunKey
from prefect_gatehouse.errors import DataRefused, InputError, StorageError, Tampered
from prefect_gatehouse.tokens.columns import is_text
from prefect_gatehouse.tokens.keys import derive_key
from prefect_gatehouse.values import Artifact, Deletion

_SCHEME = "artifact:"
_ROW_GROUP = 1 << 16
# Rows of a row group at most: Parquet keeps what it knows of each until the file ends, so fewer and larger ones.
_GROUP_ROWS = 1 << 17
# Values a distinct one, from which on a dictionary is worth it for tokens: places of a few bits stand for 27 characters.
_REPEATED = 8
_OTHER = "the artifact does not hold the rows and columns it was recorded with"


class ArtifactStore:
    """Artifacts below a local folder, one folder per run."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def write(self, run_id: str, name: str, content: pa.Table | Iterable[pa.RecordBatch], key: RunKey, *, random: Collection[str] = ()) -> Artifact:
        """Writes a table or record batches of one schema; whole or not at all, replacing an earlier one of the same name.

        Args:
            run_id: Whose artifact.
            name: Its name.
            content: What it holds.
            key: The run's key.
            random: Columns that look random, such as tokens: no compression finds anything in them, and a dictionary only where they repeat.

        Raises:
            InputError: The run id or the name is not a plain name, or there is no batch to take a schema from.
            DataRefused: Parquet can't hold a column.
            StorageError: No disk or no permission; nothing is left behind.
        """
        folder = self._root / safe_name(run_id, "the run id")
        uri = f"{_SCHEME}{run_id}/{safe_name(name, 'the name of the artifact')}.parquet"
        partial = folder / f".{name}.{secrets.token_hex(8)}.partial"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._no_link(folder)
            with os.fdopen(open_new(partial), "wb") as stream:
                sink = DigestingFile(stream)
                schema, rows = _write(sink, content, _encryption(key, uri), random)
                stream.flush()
                os.fsync(stream.fileno())
            Path(partial).replace(folder / f"{name}.parquet")
            sync_folder(folder)
        except OSError as error:
            _remove(partial)
            raise _storage(error, uri) from None
        except pa.ArrowException:
            _remove(partial)
            raise DataRefused("a column can't be stored as Parquet", where=uri, advice="keep flat columns only") from None
        except BaseException:
            _remove(partial)
            raise
        return Artifact(uri=uri, sha256=sink.digest(), rows=rows, columns=tuple(schema.names), bytes=sink.size)

    def read(self, artifact: Artifact, key: RunKey) -> pa.Table:
        """The table of an artifact.

        Raises:
            InputError: The URI leads outside the store.
            StorageError: The artifact is gone or can't be read.
            Tampered: Its bytes, its name or its key are not those it was written with.
        """
        with self._opened(artifact, key) as file:
            table = file.read()
            if table.num_rows != artifact.rows or tuple(table.column_names) != artifact.columns:
                raise Tampered(_OTHER, where=artifact.uri)
            return table

    def stream(self, artifact: Artifact, key: RunKey, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of an artifact in batches of at most 65,536, in flat memory; all bytes are verified before the first one.

        Args:
            artifact: The artifact.
            key: The run's key.
            columns: Those to read, in this order; all if None.

        Raises:
            InputError: The URI leads outside the store, or the artifact has no such column.
            StorageError: The artifact is gone or can't be read.
            Tampered: Its bytes, its name or its key are not those it was written with.
        """
        wanted = list(artifact.columns if columns is None else columns)
        unknown = len(set(wanted) - set(artifact.columns))
        if unknown:
            raise InputError(f"{unknown} columns are not in the artifact", where=artifact.uri, advice="name columns that leave the source")
        with self._opened(artifact, key) as file:
            if file.metadata.num_rows != artifact.rows or tuple(file.schema_arrow.names) != artifact.columns:
                raise Tampered(_OTHER, where=artifact.uri)
            for batch in file.iter_batches(_ROW_GROUP, columns=wanted, use_threads=False):
                yield batch.select(wanted)

    @contextmanager
    def _opened(self, artifact: Artifact, key: RunKey) -> Iterator[pq.ParquetFile]:
        try:
            descriptor = os.open(self._path(artifact.uri), os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != artifact.sha256:
                    raise Tampered("the artifact's bytes do not match its digest", where=artifact.uri)
                stream.seek(0)
                with _decrypting(artifact.uri):
                    properties = pe.create_decryption_properties(_data_key(key, artifact.uri), aad_prefix=artifact.uri.encode())
                    file = pq.ParquetFile(stream, decryption_properties=properties, pre_buffer=False)
                with file, _decrypting(artifact.uri):
                    yield file
        except FileNotFoundError:
            raise StorageError("the artifact is gone", where=artifact.uri, advice="start a new run") from None
        except OSError as error:
            raise _storage(error, artifact.uri) from None

    def delete(self, uri: str) -> Deletion:
        """Removes one artifact, and the run's folder with its last one; never raises for what the disk answers.

        Raises:
            InputError: The URI leads outside the store.
        """
        path = self._path(uri)
        try:
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError:
            return Deletion(uri=uri, deleted=True, note="was gone already")
        except OSError as error:
            return Deletion(uri=uri, deleted=False, note=error.strerror or "input/output error")
        with suppress(OSError):  # not empty yet
            path.parent.rmdir()
        return Deletion(uri=uri, deleted=True)

    def uris(self, run_id: str) -> list[str]:
        """Everything a run keeps here, also what an interrupted write left.

        Raises:
            InputError: The run id is not a plain name.
            StorageError: The folder can't be read.
        """
        folder = self._root / safe_name(run_id, "the run id")
        try:
            self._no_link(folder)
            return sorted(f"{_SCHEME}{run_id}/{entry.name}" for entry in folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _storage(error, f"{_SCHEME}{run_id}") from None

    def _path(self, uri: str) -> Path:
        scheme, _, rest = uri.partition(":")
        run_id, _, name = rest.partition("/")
        if scheme + ":" != _SCHEME or not name or name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
            raise InputError("the URI does not name an artifact of this store", advice="write artifact:<run>/<name>.parquet")
        folder = self._root / safe_name(run_id, "the run id")
        self._no_link(folder)
        return folder / name

    @staticmethod
    def _no_link(folder: Path) -> None:
        if folder.is_symlink():
            raise InputError("the run's folder is a link and leads outside the store", where=folder.name, advice="remove the link")


def _encryption(key: RunKey, uri: str) -> pe.FileEncryptionProperties:
    return pe.create_encryption_properties(
        _data_key(key, uri),
        aad_prefix=uri.encode(),
        store_aad_prefix=False,
        encryption_algorithm="AES_GCM_V1",
        plaintext_footer=False,
    )


def _data_key(key: RunKey, uri: str) -> bytes:
    return derive_key(key.parquet_key(), 32, ("gatehouse artifact", uri))


def _write(
    sink: DigestingFile, content: pa.Table | Iterable[pa.RecordBatch], encryption: pe.FileEncryptionProperties, random: Collection[str]
) -> tuple[pa.Schema, int]:
    batches = iter(content.to_batches(max_chunksize=_ROW_GROUP) if isinstance(content, pa.Table) else content)
    first = next(batches, None)
    schema = content.schema if isinstance(content, pa.Table) else first.schema if first is not None else None
    if schema is None:
        raise InputError("there is no batch to take the schema from", where="artifact")
    rows = 0
    options: dict[str, object] = {"compression": "zstd"}
    if random:
        # Where tokens make most of the bytes, a better compression of the rest gains little and would cost more than all else here.
        options["compression"] = {name: "none" if name in random else "lz4" for name in schema.names}
        texts = [field.name for field in schema if is_text(field.type)]
        options["use_dictionary"] = [name for name in texts if name not in random or (first is not None and _repeats(first.column(name)))]
    # Without statistics: nobody filters by them, and they repeat values.
    with pq.ParquetWriter(sink, schema, write_statistics=False, encryption_properties=encryption, **options) as writer:
        held: list[pa.RecordBatch] = []
        for batch in chain(() if first is None else (first,), batches):
            if held and sum(each.num_rows for each in held) + batch.num_rows > _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(held), _GROUP_ROWS)
                held = []
            held.append(batch)
            rows += batch.num_rows
        if held:
            writer.write_table(pa.Table.from_batches(held), _GROUP_ROWS)
    return schema, rows


def _repeats(column: pa.Array) -> bool:
    return len(column) > _REPEATED * len(column.unique())


@contextmanager
def _decrypting(uri: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError):  # pyarrow reports a wrong key, a wrong AAD and a broken file as OSError
        raise Tampered("the artifact does not decrypt under this run's key and name", where=uri) from None


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _storage(error: OSError, uri: str) -> StorageError:
    return StorageError(
        f"the artifact can't be stored or read: {error.strerror or 'input/output error'}",
        where=uri,
        advice="check the disk and the permissions below GATEHOUSE_HOME, then resume the run",
    )
