"""CSV and Parquet objects of a bucket as a source, read by ranges of exactly the objects that were listed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect_gatehouse.data.sources.collection import Collection, Item
from prefect_gatehouse.data.sources.interface import Bucket, Rejects, S3Place, StoredObject
from prefect_gatehouse.data.sources.kinds import check_ending
from prefect_gatehouse.data.sources.patterns import chosen, fixed_folder, is_pattern
from prefect_gatehouse.errors import DataRefused, InputError


class BucketFile:
    """An object as an open file. Every request demands the listed entity tag (RFC 9110, If-Match), so what is read is one state."""

    # A request costs some 20 ms: fetching less at once would mean waiting, more would hold memory for each column that is read.
    read_ahead = 4 << 20

    def __init__(self, bucket: Bucket, item: StoredObject) -> None:
        self._bucket = bucket
        self._item = item
        self.name = item.key
        self.size = item.size

    def read_at(self, start: int, length: int) -> bytes:
        """A range of the bytes; short only at the end."""
        length = min(length, self.size - start)
        if length <= 0:
            return b""
        data = self._bucket.read(self._item, start, length)
        if len(data) != length:
            raise InputError("the store gave another number of bytes than the object has", where=self.name, advice="run again")
        return data

    def check_unchanged(self) -> None:
        """Nothing to do: a request for an object that changed has failed."""


def bucket_source(place: S3Place, bucket: Bucket, rejects: Rejects) -> Collection:
    """The objects as a source; they are listed when they are first needed."""

    def items() -> tuple[Item, ...]:
        stored = {item.key: item for item in bucket.objects(fixed_folder(place.pattern))}
        keys = chosen(iter(stored), place.pattern) if is_pattern(place.pattern) else (place.pattern,)
        for key in keys:
            if key not in stored:
                raise InputError("there is no such object in the bucket", where=key, advice="check data.source.s3 and the block's folder")
            check_ending(key)
            if stored[key].size == 0:
                raise DataRefused("the source is empty", where=key)
        return tuple(Item(key, f"{stored[key].size}:{stored[key].etag}", stored[key].size) for key in keys)

    @contextmanager
    def open_item(key: str, mark: str) -> Iterator[BucketFile]:
        size, _, etag = mark.partition(":")
        yield BucketFile(bucket, StoredObject(key, int(size), etag))

    return Collection(items, open_item, rejects, place.form)
