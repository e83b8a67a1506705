"""Encrypted artifacts."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefect_gatehouse.canonical import digest, sha256_file
from prefect_gatehouse.errors import DataRefused, InputError, StorageError, Tampered
from prefect_gatehouse.store.artifact import Artifact
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.store.encrypted_file import write_file
from prefect_gatehouse.store.run_keys import RunKey

KEY, OTHER = RunKey(b"k" * 32), RunKey(b"o" * 32)
TABLE = pa.table(
    {
        "diagnosis_column": pa.array(["CANARYmin", None, "CANARYmid", "CANARYmax"] * 50),
        "age_column": pa.array([1234567890123, 2, 3, 9876543210987] * 50),
        "risk_column": pa.array([0.5, 0.25, None, 0.125] * 50),
    }
)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def path_of(tmp_path: Path, artifact: Artifact) -> Path:
    return tmp_path / "artifacts" / artifact.uri.removeprefix("artifact:")


def test_round_trip_of_a_table_and_of_batches(store: ArtifactStore, tmp_path: Path) -> None:
    """Both forms come back as they were; the value tells rows, columns, bytes and digest; the file is the owner's only."""
    one = store.write("run-1", "table", TABLE, KEY)
    two = store.write("run-1", "batches", iter(TABLE.to_batches(max_chunksize=30)), KEY)
    assert store.read(one, KEY).equals(TABLE)
    assert store.read(two, KEY).equals(TABLE)
    assert one.uri == "artifact:run-1/table.parquet"
    assert (one.rows, one.columns) == (200, ("diagnosis_column", "age_column", "risk_column"))
    path = path_of(tmp_path, one)
    assert one.bytes == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert store.uris("run-1") == [two.uri, one.uri]


def test_nothing_of_the_table_is_visible_in_the_bytes(store: ArtifactStore, tmp_path: Path) -> None:
    """No column name, value, minimum or maximum; the footer is encrypted too, so that a reader without the key learns nothing."""
    data = path_of(tmp_path, store.write("run-1", "table", TABLE, KEY)).read_bytes()
    plain = tmp_path / "plain.parquet"
    pq.write_table(TABLE, plain, compression="zstd")
    numbers = [(1234567890123).to_bytes(8, "little"), (9876543210987).to_bytes(8, "little")]
    needles = [b"diagnosis_column", b"age_column", b"risk_column", b"CANARY", b"ARROW:schema", b"parquet-cpp", *numbers]
    assert all(needle in plain.read_bytes() for needle in needles), "the needles must be visible without encryption"
    assert not [needle for needle in needles if needle in data]
    assert data[:4] == data[-4:] == b"PARE"
    with pytest.raises(OSError, match="decrypt"):
        pq.ParquetFile(pa.BufferReader(data))


def test_equal_tables_have_unequal_files(store: ArtifactStore) -> None:
    """Fresh nonces: a second write of the same content does not tell that it is the same."""
    assert store.write("run-1", "table", TABLE, KEY).sha256 != store.write("run-1", "table", TABLE, KEY).sha256


def several(store: ArtifactStore, files: int = 3, key: RunKey = KEY) -> Artifact:
    """An artifact of several files, of 70 rows each but for the last one."""
    with store.draft("run-1", "table", files) as draft:
        for place, slot in enumerate(draft.slots):
            draft.add(write_file(slot, TABLE.slice(70 * place, 70), key))
        return draft.finish()


def test_an_artifact_of_several_files_reads_like_one(store: ArtifactStore, tmp_path: Path) -> None:
    """Rows, columns and bytes are those of all files, in order; it is one artifact to list and to delete, and replaces one of any form."""
    store.write("run-1", "table", TABLE.slice(0, 1), KEY)
    for files in (3, 4, 1):  # a folder in the place of a file, of a folder; a file in the place of a folder
        artifact = several(store, files)
        expected = TABLE.slice(0, 70 * files)
        assert store.read(artifact, KEY).equals(expected)
        assert pa.Table.from_batches(store.stream(artifact, KEY, ["age_column"])).equals(expected.select(["age_column"]))
        assert (artifact.rows, artifact.columns) == (expected.num_rows, tuple(expected.column_names))
        assert store.uris("run-1") == [artifact.uri]
        path = path_of(tmp_path, artifact)
        held = sorted(path.iterdir()) if files > 1 else [path]
        assert len(held) == files
        assert artifact.bytes == sum(file.stat().st_size for file in held)
        assert {stat.S_IMODE(file.stat().st_mode) for file in held} == {0o600}
    assert store.delete(artifact.uri).deleted
    artifact = several(store)
    assert store.delete(artifact.uri).deleted
    assert list((tmp_path / "artifacts").iterdir()) == []
    with pytest.raises(StorageError, match="gone"):
        store.read(artifact, KEY)


def test_files_of_an_artifact_can_t_be_changed_left_out_added_or_swapped(store: ArtifactStore, tmp_path: Path) -> None:
    """By the digest; and by the encryption where the attacker corrects the digest too."""
    artifact = several(store)
    folder = path_of(tmp_path, artifact)
    first, second, third = (folder / f"000{place}.parquet" for place in range(3))
    whole = [file.read_bytes() for file in (first, second, third)]

    def corrected() -> Artifact:
        return artifact.model_copy(update={"sha256": digest([sha256_file(file) for file in sorted(folder.iterdir())])})

    first.write_bytes(whole[1])
    second.write_bytes(whole[0])
    with pytest.raises(Tampered, match="digest"):
        next(store.stream(artifact, KEY))
    with pytest.raises(Tampered, match="decrypt"):
        next(store.stream(corrected(), KEY))
    first.write_bytes(whole[0])
    second.write_bytes(whole[1])
    (folder / "0003.parquet").write_bytes(whole[2])
    with pytest.raises(Tampered, match="digest"):
        store.read(artifact, KEY)
    with pytest.raises(Tampered, match="decrypt"):
        store.read(corrected(), KEY)
    (folder / "0003.parquet").unlink()
    third.unlink()
    with pytest.raises(Tampered, match="digest"):
        store.read(artifact, KEY)
    with pytest.raises(Tampered, match="recorded"):
        store.read(corrected(), KEY)
    third.symlink_to(tmp_path / "outside")
    (tmp_path / "outside").write_bytes(whole[2])
    with pytest.raises(StorageError):
        store.read(artifact, KEY)
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(Tampered, match="digest"):
        store.read(artifact, KEY)


def test_two_workers_that_write_one_file_leave_the_one_that_counts(store: ArtifactStore, tmp_path: Path) -> None:
    """A worker that was taken for dead writes on, and so does the one in its place: each under a name of its own, and one is taken."""
    for files in (1, 2):
        with store.draft("run-1", "table", files) as draft:
            dead = write_file(draft.slots[0], TABLE.slice(0, 5), KEY)
            for slot in draft.slots:
                draft.add(write_file(slot, TABLE, KEY))
            artifact = draft.finish()
        path = path_of(tmp_path, artifact)
        assert not list(tmp_path.rglob(dead.path.name))
        if files > 1:
            (path / dead.path.name).write_bytes(b"later still")
        assert store.read(artifact, KEY).num_rows == files * 200
        assert store.uris("run-1") == [artifact.uri]
    assert store.delete(artifact.uri).deleted
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_a_linked_folder_is_no_artifact(store: ArtifactStore, tmp_path: Path) -> None:
    """It is not read, and deleting it spares what it leads to."""
    artifact = several(store)
    path_of(tmp_path, artifact).rename(tmp_path / "outside")
    path_of(tmp_path, artifact).symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError):
        store.read(artifact, KEY)
    assert store.delete(artifact.uri).deleted
    assert len(list((tmp_path / "outside").iterdir())) == 3


def test_a_draft_that_fails_leaves_the_earlier_artifact_and_nothing_else(store: ArtifactStore) -> None:
    """One file was written, the next one fails."""
    artifact = several(store)

    def fails_halfway() -> None:
        with store.draft("run-1", "table", 2) as draft:
            draft.add(write_file(draft.slots[0], TABLE, KEY))
            raise DataRefused("enough")

    with pytest.raises(DataRefused, match="enough"):
        fails_halfway()
    assert store.uris("run-1") == [artifact.uri]
    assert store.read(artifact, KEY).num_rows == 200


def test_wrong_key_does_not_read(store: ArtifactStore) -> None:
    """Another run's key opens nothing."""
    artifact = store.write("run-1", "table", TABLE, KEY)
    with pytest.raises(Tampered, match="decrypt"):
        store.read(artifact, OTHER)


def test_flipped_byte_does_not_read(store: ArtifactStore, tmp_path: Path) -> None:
    """A changed byte anywhere fails by the digest, and by the encryption when the attacker corrects the digest too."""
    artifact = store.write("run-1", "table", TABLE.slice(0, 5), KEY)
    path = path_of(tmp_path, artifact)
    whole = path.read_bytes()
    for place in (8, len(whole) // 3, len(whole) // 2, len(whole) - 60, len(whole) - 6):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(Tampered, match="digest"):
            store.read(artifact, KEY)
        with pytest.raises(Tampered, match="decrypt"):
            store.read(artifact.model_copy(update={"sha256": sha256_file(path)}), KEY)


def test_swapped_and_plaintext_artifacts_do_not_read(store: ArtifactStore, tmp_path: Path) -> None:
    """A genuine file under another name or run does not open, nor does an unencrypted file in its place."""
    artifact = store.write("run-1", "table", TABLE, KEY)
    other = store.write("run-1", "other", TABLE, KEY)
    path = path_of(tmp_path, artifact)
    path.write_bytes(path_of(tmp_path, other).read_bytes())
    with pytest.raises(Tampered, match="decrypt"):
        store.read(artifact.model_copy(update={"sha256": other.sha256}), KEY)
    pq.write_table(TABLE, path)
    with pytest.raises(Tampered, match="decrypt"):
        store.read(artifact.model_copy(update={"sha256": sha256_file(path)}), KEY)


def test_record_that_does_not_fit_the_file(store: ArtifactStore) -> None:
    """A record with other columns or rows than the file is refused."""
    artifact = store.write("run-1", "table", TABLE, KEY)
    for change in ({"rows": 199}, {"columns": ("a", "b", "c")}):
        with pytest.raises(Tampered, match="recorded"):
            store.read(artifact.model_copy(update=change), KEY)


def test_gone_is_a_storage_error(store: ArtifactStore) -> None:
    """A deleted artifact is an operational failure with advice; deleting twice is fine and leaves no folder."""
    artifact = store.write("run-1", "table", TABLE, KEY)
    assert store.delete(artifact.uri).deleted
    again = store.delete(artifact.uri)
    assert (again.deleted, again.note) == (True, "was gone already")
    assert store.uris("run-1") == []
    with pytest.raises(StorageError, match="gone"):
        store.read(artifact, KEY)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/x", "a.b", "a\0", "a b", "x" * 200])
def test_escapes_in_run_ids_and_names_are_refused(store: ArtifactStore, tmp_path: Path, name: str) -> None:
    """Neither the run id nor the name leads out of the store; nothing is created."""
    for run_id, artifact in ((name, "table"), ("run-1", name)):
        with pytest.raises(InputError):
            store.write(run_id, artifact, TABLE, KEY)
    with pytest.raises(InputError):
        store.uris(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "uri",
    [
        "artifact:run-1/../../secret",
        "artifact:../x",
        "artifact:run-1/..",
        "artifact:run-1/",
        "artifact:run-1",
        "artifact:/etc/passwd",
        "file:run-1/x",
        "run-1/x",
        "artifact:run-1/a/b",
        "artifact:run-1/a\\b",
        "artifact:run-1/a\0b",
    ],
)
def test_escapes_in_uris_are_refused(store: ArtifactStore, uri: str) -> None:
    """A URI from a tampered record deletes and reads nothing outside the store."""
    artifact = Artifact(uri=uri, sha256="0" * 64, rows=0, columns=(), bytes=0)
    with pytest.raises(InputError):
        store.delete(uri)
    with pytest.raises(InputError):
        store.read(artifact, KEY)


def test_links_are_not_followed(store: ArtifactStore, tmp_path: Path) -> None:
    """A run folder that is a link is refused; a linked artifact is not read, and deleting it spares its target."""
    outside = tmp_path / "outside"
    outside.mkdir()
    artifact = store.write("run-1", "table", TABLE, KEY)
    (tmp_path / "artifacts" / "run-2").symlink_to(outside)
    for act in (
        lambda: store.write("run-2", "table", TABLE, KEY),
        lambda: store.uris("run-2"),
        lambda: store.delete("artifact:run-2/x"),
    ):
        with pytest.raises(InputError, match="link"):
            act()
    path = path_of(tmp_path, artifact)
    path.rename(outside / "target")
    path.symlink_to(outside / "target")
    with pytest.raises(StorageError):
        store.read(artifact, KEY)
    assert store.delete(artifact.uri).deleted
    assert [item.name for item in outside.iterdir()] == ["target"]


def test_full_disk_leaves_nothing_behind(store: ArtifactStore) -> None:
    """A write that hits the limit is a StorageError, keeps the earlier artifact, and leaves no partial file."""
    artifact = store.write("run-1", "table", TABLE.slice(0, 3), KEY)
    large = pa.table({"x": [os.urandom(50).hex() for _ in range(20_000)]})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageError) as caught:
            store.write("run-1", "table", large, KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert store.uris("run-1") == [artifact.uri]
    assert store.read(artifact, KEY).num_rows == 3


def test_read_only_store_is_a_storage_error(tmp_path: Path) -> None:
    """A store that can't be made is one clear error for writing, and lists what it can't have as an error too."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        ArtifactStore(tmp_path / "file").write("run-1", "table", TABLE, KEY)
    with pytest.raises(StorageError):
        ArtifactStore(tmp_path / "file").uris("run-1")


def test_failing_producer_leaves_nothing_behind(store: ArtifactStore) -> None:
    """An error of ours in the middle of the batches comes through unchanged, without a partial file."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches(max_chunksize=30)
        raise DataRefused("enough")

    with pytest.raises(DataRefused, match="enough"):
        store.write("run-1", "table", batches(), KEY)
    assert store.uris("run-1") == []


def test_what_a_killed_write_left_is_listed_and_deletable(store: ArtifactStore, tmp_path: Path) -> None:
    """Clean-up sees a partial file or folder like any artifact."""
    artifact = store.write("run-1", "table", TABLE, KEY)
    folder = tmp_path / "artifacts" / "run-1"
    (folder / ".table.0011223344556677.partial").write_bytes(b"half")
    (folder / ".table.8899aabbccddeeff.partial").mkdir()
    (folder / ".table.8899aabbccddeeff.partial" / "0000.parquet").write_bytes(b"half")
    uris = store.uris("run-1")
    assert uris == ["artifact:run-1/.table.0011223344556677.partial", "artifact:run-1/.table.8899aabbccddeeff.partial", artifact.uri]
    assert all(store.delete(uri).deleted for uri in uris)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_empty_table_and_no_batches(store: ArtifactStore) -> None:
    """A table without rows has a schema and is stored; no batches at all have none and are refused."""
    assert store.read(store.write("run-1", "table", TABLE.slice(0, 0), KEY), KEY).schema.equals(TABLE.schema)
    with pytest.raises(InputError):
        store.write("run-1", "none", [], KEY)


def test_a_directory_in_the_way_is_an_open_obligation(store: ArtifactStore, tmp_path: Path) -> None:
    """What can't be deleted is reported as such, not raised: nobody but somebody else makes folders within an artifact."""
    (tmp_path / "artifacts" / "run-1" / "stuck" / "inner").mkdir(parents=True)
    receipt = store.delete("artifact:run-1/stuck")
    assert not receipt.deleted
    assert receipt.note


def test_stream_gives_the_rows_in_batches(store: ArtifactStore) -> None:
    """All columns or some, in the order asked for; together the batches are the table."""
    artifact = store.write("run-1", "table", iter(TABLE.to_batches(max_chunksize=30)), KEY)
    assert pa.Table.from_batches(store.stream(artifact, KEY)).equals(TABLE)
    some = pa.Table.from_batches(store.stream(artifact, KEY, ["risk_column", "age_column"]))
    assert some.equals(TABLE.select(["risk_column", "age_column"]))
    with pytest.raises(InputError, match="1 column is not in the artifact"):
        next(store.stream(artifact, KEY, ["CANARY"]))


def test_stream_verifies_before_the_first_row(store: ArtifactStore, tmp_path: Path) -> None:
    """A changed byte at the very end, another key, other rows than recorded: nothing is given out."""
    artifact = store.write("run-1", "table", TABLE, KEY)
    with pytest.raises(Tampered):
        next(store.stream(artifact, OTHER))
    with pytest.raises(Tampered):
        next(store.stream(artifact.model_copy(update={"rows": 7}), KEY))
    path = path_of(tmp_path, artifact)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(Tampered, match="do not match its digest"):
        next(store.stream(artifact, KEY))


def test_random_columns_come_back_too(store: ArtifactStore) -> None:
    """Columns that are stored as they are read like all others."""
    artifact = store.write("run-1", "table", TABLE, KEY, random=["diagnosis_column"])
    assert store.read(artifact, KEY).equals(TABLE)


@pytest.mark.parametrize("repeats", [1, 100])
def test_text_of_one_length_comes_back_as_text(store: ArtifactStore, tmp_path: Path, repeats: int) -> None:
    """It is stored without a length for each text, as it is or by a dictionary, and read whole, in batches and by column like any other."""
    rows = 2000
    tokens = [f"t{row % (rows // repeats):07d}\u00e9" for row in range(rows)]
    field = pa.field("token", pa.string(), nullable=False)
    table = pa.table([pa.array(tokens), pa.array(range(rows))], pa.schema([field, pa.field("x", pa.int64())]))
    with store.draft("run-1", "table") as draft:
        draft.add(write_file(draft.slots[0], table.to_batches(300), KEY, random=["token"], widths={"token": 10}))
        artifact = draft.finish()
    assert store.read(artifact, KEY).equals(table)
    assert store.read(artifact, KEY).schema.equals(table.schema, check_metadata=True)
    assert pa.Table.from_batches(store.stream(artifact, KEY)).equals(table)
    assert pa.Table.from_batches(store.stream(artifact, KEY, ["token"]))["token"].to_pylist() == tokens
    if repeats == 1:
        assert artifact.bytes < store.write("run-1", "other", table, KEY, random=["token"]).bytes
    assert b"gatehouse.text" not in path_of(tmp_path, artifact).read_bytes()
