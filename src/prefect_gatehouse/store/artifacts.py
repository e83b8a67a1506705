"""Encrypted tables of a run: an artifact is one encrypted Parquet file, or a folder of several that hold its rows one after the other.

Several files are written by as many processes as there are, each the facts of its own rows only; whoever reads does not see the seams.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path

import pyarrow as pa

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import InputError, StorageError, Tampered
from prefect_gatehouse.files import safe_name, sync_file, sync_folder
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.store.artifact import Artifact, Deletion
from prefect_gatehouse.store.encrypted_file import BATCH_ROWS, Slot, Written, as_it_was, reading, storage_error, write_file
from prefect_gatehouse.store.run_keys import RunKey

_SCHEME = "artifact:"
_OTHER = "the artifact does not hold the rows and columns it was recorded with"


class Draft:
    """An artifact that is being written; ``ArtifactStore.draft`` makes one.

    Attributes:
        slots: Where its files go, in the order of their rows; other processes may write them (``write_file``).
    """

    def __init__(self, folder: Path, name: str, uri: str, files: int) -> None:
        self._uri = uri
        self._final = folder / f"{name}.parquet"
        self._partial = folder / f".{name}.{secrets.token_hex(8)}.partial"
        places = [f"{number:04}.parquet" for number in range(files)]
        self.slots = tuple(Slot(self._partial / place, f"{uri}/{place}" if files > 1 else uri) for place in places)
        self._files: list[Written] = []
        self._beside = ThreadPoolExecutor(1)
        self._syncing: list[Future[None]] = []

    def begin(self) -> None:
        """Makes room for the files."""
        self._final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._partial.mkdir(mode=0o700)

    def add(self, file: Written) -> None:
        """Takes the file of the next slot; the disk gets it while the ones that follow are written.

        Raises:
            OSError: It is gone.
        """
        path = self.slots[len(self._files)].path
        file.path.replace(path)
        self._syncing.append(self._beside.submit(sync_file, path))
        self._files.append(file)

    def finish(self) -> Artifact:
        """The artifact, in place of an earlier one of its name; all files have been added.

        Raises:
            StorageError: The disk did not take a file, or it can't be moved to its place.
        """
        files, alone = self._files, len(self._files) == 1
        try:
            for each in self._syncing:
                each.result()
            for stray in {*self._partial.iterdir()} - {slot.path for slot in self.slots}:
                stray.unlink(missing_ok=True)  # whoever wrote it may be removing it
            sync_folder(self._partial)
            if not alone or _is_folder(self._final):  # the disk replaces a file by a file only
                with suppress(FileNotFoundError):
                    _remove(self._final)
            (self.slots[0].path if alone else self._partial).replace(self._final)
            sync_folder(self._final.parent)
        except OSError as error:
            raise storage_error(error, self._uri) from None
        return Artifact(
            uri=self._uri,
            sha256=_together([file.sha256 for file in files]),
            rows=sum(file.rows for file in files),
            columns=files[0].columns,
            bytes=sum(file.bytes for file in files),
        )

    def drop(self) -> None:
        """Removes what was written and is not part of a finished artifact."""
        self._beside.shutdown(cancel_futures=True)
        with suppress(OSError):
            _remove(self._partial)


class ArtifactStore:
    """Artifacts below a local folder, one folder per run."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def write(self, run_id: str, name: str, content: pa.Table | Iterable[pa.RecordBatch], key: RunKey, *, random: Collection[str] = ()) -> Artifact:
        """Writes a table or record batches of one schema as one file; whole or not at all, replacing an earlier one of the same name.

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
        with self.draft(run_id, name) as draft:
            draft.add(write_file(draft.slots[0], content, key, random=random))
            return draft.finish()

    @contextmanager
    def draft(self, run_id: str, name: str, files: int = 1) -> Iterator[Draft]:
        """An artifact to be written in so many files; what is not finished in the context is removed.

        Raises:
            InputError: The run id or the name is not a plain name.
            StorageError: No disk or no permission.
        """
        folder = self._root / safe_name(run_id, "the run id")
        uri = f"{_SCHEME}{run_id}/{safe_name(name, 'the name of the artifact')}.parquet"
        self._no_link(folder)
        draft = Draft(folder, name, uri, files)
        try:
            draft.begin()
            yield draft
        except OSError as error:
            raise storage_error(error, uri) from None
        finally:
            draft.drop()

    def read(self, artifact: Artifact, key: RunKey) -> pa.Table:
        """The table of an artifact.

        Raises:
            InputError: The URI leads outside the store.
            StorageError: The artifact is gone or can't be read.
            Tampered: Its bytes, its name or its key are not those it was written with.
        """
        tables = []
        with self._opened(artifact, key) as files:
            for stream, uri in files:
                with reading(stream, uri, key) as file:
                    table = file.read()
                    batches = [as_it_was(batch) for batch in table.to_batches()]
                    tables.append(pa.Table.from_batches(batches) if batches else table)
        return pa.concat_tables(tables)

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
            raise InputError(counted(unknown, "column", "are not in the artifact"), where=artifact.uri, advice="name columns that leave the source")
        with self._opened(artifact, key) as files:
            for stream, uri in files:
                with reading(stream, uri, key) as file:
                    for batch in file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False):
                        yield as_it_was(batch.select(wanted))

    @contextmanager
    def _opened(self, artifact: Artifact, key: RunKey) -> Iterator[list[tuple[BufferedReader, str]]]:
        """The files of an artifact and their URIs, all of them verified: bytes, rows and columns are the recorded ones."""
        try:
            with ExitStack() as open_:
                files: list[tuple[BufferedReader, str]] = []
                for path, uri in _files(self._path(artifact.uri), artifact.uri):
                    stream = open_.enter_context(os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb"))
                    files.append((stream, uri))
                if _together([hashlib.file_digest(stream, "sha256").hexdigest() for stream, _ in files]) != artifact.sha256:
                    raise _other_bytes(artifact)
                rows = 0
                for stream, uri in files:
                    with reading(stream, uri, key) as file:
                        rows += file.metadata.num_rows
                        if tuple(file.schema_arrow.names) != artifact.columns:
                            raise Tampered(_OTHER, where=artifact.uri)
                if rows != artifact.rows:
                    raise Tampered(_OTHER, where=artifact.uri)
                yield files
        except FileNotFoundError:
            raise _gone(artifact) from None
        except OSError as error:
            raise storage_error(error, artifact.uri) from None

    def digest(self, uri: str) -> str | None:
        """The digest of an artifact's encrypted bytes as they are now, for whoever has no key; None where there is none.

        Raises:
            InputError: The URI leads outside the store.
            StorageError: The artifact can't be read.
        """
        digests = []
        try:
            for path, _ in _files(self._path(uri), uri):
                with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
                    digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, uri) from None
        return _together(digests)

    def require(self, artifact: Artifact) -> None:
        """Compares an artifact's encrypted bytes with its digest.

        Raises:
            InputError: The URI leads outside the store.
            StorageError: It is gone or can't be read.
            Tampered: They are other ones.
        """
        found = self.digest(artifact.uri)
        if found is None:
            raise _gone(artifact)
        if found != artifact.sha256:
            raise _other_bytes(artifact)

    def delete(self, uri: str) -> Deletion:
        """Removes one artifact, and the run's folder with its last one; never raises for what the disk answers.

        Raises:
            InputError: The URI leads outside the store.
        """
        path = self._path(uri)
        try:
            _remove(path)
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
            raise storage_error(error, f"{_SCHEME}{run_id}") from None

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


def _gone(artifact: Artifact) -> StorageError:
    return StorageError("the artifact is gone", where=artifact.uri, advice="start a new run")


def _other_bytes(artifact: Artifact) -> Tampered:
    return Tampered("the artifact's bytes do not match its digest", where=artifact.uri)


def _files(path: Path, uri: str) -> list[tuple[Path, str]]:
    """The files of an artifact and their URIs, in the order of their rows; what a worker that was taken for dead left beside them is none."""
    if not _is_folder(path):
        return [(path, uri)]
    return [(each, f"{uri}/{each.name}") for each in sorted(path.iterdir()) if each.suffix == ".parquet"]


def _together(digests: Sequence[str]) -> str:
    """The digest of an artifact: its file's, or SHA-256 over the RFC 8785 list of its files' digests."""
    return digests[0] if len(digests) == 1 else digest(list(digests))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    """Removes an artifact, or what has become of one so far; nothing else is ever in its folder, and a folder in there stays."""
    if not _is_folder(path):
        path.unlink()
        return
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
