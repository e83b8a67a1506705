"""Objects of a real S3 server (moto) as a source, through the block's own client: ranges of one state, patterns, refusals."""

from __future__ import annotations

import gzip
import io
import pickle
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefect_gatehouse.blocks.buckets import BlockBucket, BucketSecret
from prefect_gatehouse.blocks.source_access import SecretAccess
from prefect_gatehouse.canonical import canonical, sha256_bytes
from prefect_gatehouse.data.sources import S3Place, StoredObject, open_source
from prefect_gatehouse.errors import DataRefused, Denied, GatehouseError, InputError, Unavailable
from prefect_gatehouse.manifest.csv_form import STANDARD, CsvForm


class Store:
    """A bucket of its own, and what was asked of it."""

    def __init__(self, moto: Any) -> None:
        self.client = moto.client("s3")
        self.name = f"b-{secrets.token_hex(6)}"
        self.client.create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.ranges: list[str] = []
        self.client.meta.events.register("before-parameter-build.s3.GetObject", lambda params, **_: self.ranges.append(params["Range"]))

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def access(self, folder: str = "") -> SecretAccess:
        bucket = BucketSecret(BlockBucket(self.client, self.name, folder))
        return SecretAccess(lambda: bucket)

    @contextmanager
    def opened(self, pattern: str, folder: str = "", quarantine: int | None = None, form: CsvForm = STANDARD) -> Iterator[Any]:
        with open_source(S3Place(pattern, form), access=self.access(folder), quarantine=quarantine) as source:
            yield source


@pytest.fixture
def store(moto: Any) -> Store:
    return Store(moto)


def parquet(rows: range, group: int = 100_000) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": pa.array(rows, pa.int64()), "text": [f"CANARY-{row}" for row in rows]}), sink, row_group_size=group)
    return sink.getvalue()


def test_csv_is_streamed_and_hashed(store: Store) -> None:
    """The bytes of one object, its rows, malformed ones set aside; progress ends at its size."""
    data = b"a,b\n" + b"".join(b"%d,%s\n" % (row, b"x" * 40) for row in range(60_000)) + b"CANARY\n"
    store.put("in/p.csv", data)
    with store.opened("in/p.csv", quarantine=5) as source:
        assert source.names == ("a", "b")
        assert sum(batch.num_rows for batch in source.batches(["a"])) == 60_000
        assert [row.raw for row in source.rejects.rows] == [b"CANARY"]
        assert source.progress() == (len(data), len(data))
        assert source.digest() == sha256_bytes(data)


def test_parquet_is_read_by_ranges(store: Store) -> None:
    """One column of one part asks for a fraction of the object, in few requests."""
    data = parquet(range(300_000))
    store.put("p.parquet", data)
    with store.opened("p.parquet") as source:
        parts = source.parts()
        assert len(parts) == 3
        store.ranges.clear()
        batches = list(source.batches(["n"], parts[1]))
        assert pa.Table.from_batches(batches)["n"].to_pylist() == list(range(100_000, 200_000))
    asked = sum(int(last) - int(first) + 1 for first, last in (text.removeprefix("bytes=").split("-") for text in store.ranges))
    assert asked < len(data) / 3
    assert len(store.ranges) <= 8


def test_a_pattern_below_the_blocks_folder(store: Store) -> None:
    """Keys are told and matched below the folder, in order, and what lies beside it is not seen."""
    objects = {f"2026/{month}.parquet": parquet(range(month * 10, month * 10 + 10)) for month in (2, 1)}
    for key, data in objects.items():
        store.put(f"zone/{key}", data)
    store.put("2026/3.parquet", b"outside the folder")
    store.put("zone/2026/_SUCCESS", b"")
    with store.opened("2026/*.parquet", folder="zone/") as source:
        assert [part.name for part in source.parts()] == ["2026/1.parquet", "2026/2.parquet"]
        assert pa.Table.from_batches(source.batches(["n"]))["n"].to_pylist() == list(range(10, 30))
        assert source.digest() == sha256_bytes(canonical([[key, sha256_bytes(objects[key])] for key in sorted(objects)]))


def test_another_process_reads_a_part_without_listing(store: Store) -> None:
    """A place and a part, pickled, are enough beside the access; the listing is not repeated."""
    store.put("p.parquet", parquet(range(1000)))
    with store.opened("*.parquet") as source:
        sent = pickle.dumps((S3Place("*.parquet"), source.parts()))
    store.client.meta.events.register("before-call.s3.ListObjectsV2", lambda **_: pytest.fail("listed again"))
    place, (part,) = pickle.loads(sent)
    with open_source(place, access=store.access()) as source:
        assert sum(batch.num_rows for batch in source.batches(["n"], part)) == 1000


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_object_that_changes_under_our_hands_is_refused(store: Store, kind: str) -> None:
    """Every request demands the entity tag that was listed: rows of two states never meet, and the digest is of the state that was read."""
    first, second = (b"a,n\n1,2\n", b"a,n\n3,4\n") if kind == "csv" else (parquet(range(10)), parquet(range(10, 20)))
    store.put(f"p.{kind}", first)
    with store.opened(f"p.{kind}") as source:
        parts = source.parts()
        store.put(f"p.{kind}", second)
        for read in (lambda: list(source.batches(["n"], parts[0])), source.digest):
            with pytest.raises(InputError, match=rf"p\.{kind}: the source changed"):
                read()
        store.client.delete_object(Bucket=store.name, Key=f"p.{kind}")
        with pytest.raises(InputError, match="changed"):
            source.digest()


def test_a_store_that_passes_over_the_demand_is_found_out(store: Store) -> None:
    """Where If-Match is not understood, the entity tag of the answer tells that the object is another."""
    store.put("p.csv", b"a\n1\n")
    with store.opened("p.csv") as source:
        parts = source.parts()
        store.put("p.csv", b"a\n2\n")
        store.client.meta.events.register("before-parameter-build.s3.GetObject", lambda params, **_: params.pop("IfMatch"))
        with pytest.raises(InputError, match="changed"):
            list(source.batches(["a"], parts[0]))


FAILURES: dict[str, tuple[str, type[GatehouseError], str]] = {
    "no-such-key": ("nowhere.csv", InputError, "nowhere.csv: there is no such object"),
    "nothing-matches": ("x/*.csv", InputError, "nothing matches"),
    "empty": ("empty.csv", DataRefused, "empty.csv: the source is empty"),
    "another-kind": ("p.xlsx", InputError, "p.xlsx: the source is neither"),
    "not-parquet": ("bad.parquet", InputError, "bad.parquet: the file is not valid Parquet"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_is_no_source(store: Store, case: str) -> None:
    """One clear error with the key, and nothing of the object."""
    store.put("empty.csv", b"")
    store.put("p.xlsx", b"CANARY")
    store.put("bad.parquet", b"CANARY" * 20)
    pattern, kind, message = FAILURES[case]
    with pytest.raises(kind, match=message) as refused, store.opened(pattern) as source:
        source.parts()
    assert "CANARY" not in str(refused.value)


def test_what_the_store_refuses(store: Store, moto: Any) -> None:
    """No bucket, no server, no right: each its own kind of error, without keys and addresses."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    with pytest.raises(Unavailable, match="no such bucket"):
        BlockBucket(store.client, "no-such-bucket-canary", "").objects("")
    fast = Config(connect_timeout=1, retries={"max_attempts": 0})
    nobody = boto3.Session("testing", "canary-secret", region_name="eu-central-1").client("s3", endpoint_url="http://127.0.0.1:1", config=fast)
    with pytest.raises(Unavailable, match="does not answer") as silent:
        BlockBucket(nobody, "b", "").objects("")
    assert silent.value.retry

    def refuse(**_: object) -> None:
        answer = {"Error": {"Code": "AccessDenied", "Message": "canary"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise ClientError(answer, "GetObject")  # type: ignore[arg-type]

    store.client.meta.events.register("before-call.s3.GetObject", refuse)
    with pytest.raises(Denied, match="store refuses") as refused:
        BlockBucket(store.client, store.name, "").read(StoredObject("k", 1, "e"), 0, 1)
    for error in (silent.value, refused.value):
        assert "canary" not in str(error) and "127.0.0.1" not in str(error)
        assert error.__suppress_context__


def test_a_bucket_ends_with_its_lease(store: Store) -> None:
    """Revoked, it opens nothing any more; it is no text, shows none, and is never pickled."""
    secret = BucketSecret(BlockBucket(store.client, store.name, ""))
    access = SecretAccess(lambda: secret)
    assert access.bucket().objects("") == []
    with pytest.raises(Denied, match="holds no address"):
        access.address()
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    secret.revoke()
    with pytest.raises(Denied, match="ended"):
        access.bucket()


def test_compressed_objects_of_another_form(store: Store) -> None:
    """A pattern of objects, compressed or not, with the settings of the manifest; one of another kind is named for what it is."""
    data = b"".join(b"%d; %d,5; ?\n" % (row, row) for row in range(40_000))
    store.put("in/a.csv.gz", gzip.compress(data))
    store.put("in/b.csv", b"7; 8; x\n")
    form = CsvForm(delimiter=";", header="none", trim=True, missing=("?",), decimal_comma=("column_2",))
    with store.opened("in/*", form=form) as source:
        table = pa.Table.from_batches(list(source.batches(source.names)))
        assert table.num_rows == 40_001
        assert table.slice(39_999).to_pydict() == {"column_1": ["39999", "7"], "column_2": ["39999.5", "8"], "column_3": [None, "x"]}
        assert source.progress() == (len(gzip.compress(data)) + 8, len(gzip.compress(data)) + 8)
    store.put("in/c.csv", b"PK\x03\x04CANARY")
    with pytest.raises(InputError, match=r"in/c\.csv: .* zip archive"), store.opened("in/*", form=form) as source:
        list(source.batches(["column_1"]))
