"""What opens a source: the bucket of a ``prefect_aws.S3Bucket`` block, and the block's reference as an access that other processes take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.blocks.stores import aws_code
from prefect_gatehouse.data.sources import Bucket, StoredObject
from prefect_gatehouse.errors import Denied, GatehouseError, InputError, Unavailable
from prefect_gatehouse.secrets.lease import Checkout

if TYPE_CHECKING:
    from prefect_aws import S3Bucket

_GONE = frozenset({"NoSuchKey", "404"})
_MOST_PAGES = 100  # of a thousand keys each


class BlockBucket:
    """A bucket through the client of its block, so that everything the block says of the connection holds.

    Args:
        client: A boto3 client of S3.
        bucket: The bucket's name.
        folder: The block's folder; keys are told below it.
    """

    def __init__(self, client: Any, bucket: str, folder: str) -> None:
        self._client = client
        self._bucket = bucket
        self._folder = f"{folder.strip('/')}/" if folder.strip("/") else ""

    def objects(self, prefix: str) -> list[StoredObject]:
        """Every object whose key begins so.

        Raises:
            InputError: There are more than can sensibly be one source.
            Denied: The store refuses.
            Unavailable: It does not answer.
        """
        found = []
        with self._answering(prefix or "the bucket"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._folder + prefix)
            for number, page in enumerate(pages):
                if number == _MOST_PAGES:
                    raise InputError("too many objects lie where the pattern looks", where="data.source.s3", advice="begin the pattern with a folder")
                for item in page.get("Contents", ()):
                    found.append(StoredObject(item["Key"][len(self._folder) :], item["Size"], item["ETag"]))
        return found

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        """A range of an object's bytes, if it still is the one that was listed.

        Raises:
            InputError: The object is gone or another.
            Denied: The store refuses.
            Unavailable: It does not answer.
        """
        with self._answering(item.key):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._folder + item.key, Range=f"bytes={start}-{start + length - 1}", IfMatch=item.etag
            )
            with answer["Body"] as body:
                data: bytes = body.read()
        if answer.get("ETag") != item.etag:  # a store that passes over If-Match
            raise _changed(item.key)
        return data

    @contextmanager
    def _answering(self, where: str) -> Iterator[None]:
        try:
            yield
        except GatehouseError:
            raise
        except Exception as error:  # noqa: BLE001 - botocore's and urllib3's errors have many types and may quote what they sent
            code, status = aws_code(error)
            if code in _GONE or (status in (404, 412, 416) and code != "NoSuchBucket"):
                raise _changed(where) from None
            if status in (401, 403):
                raise Denied("the store refuses the read", where=where, advice="check the block's credentials and the bucket's policy") from None
            if code == "NoSuchBucket":
                raise Unavailable("there is no such bucket", where=where, advice="check the block's bucket name") from None
            raise Unavailable("the store does not answer", where=where, advice="check the store, then resume the run", retry=True) from None


def _changed(key: str) -> InputError:
    return InputError("the source changed while it was read", where=key, advice="run again on objects that nobody writes")


class BucketSecret(Checkout):
    """An opened bucket: it can be read from until it is revoked."""

    __slots__ = ("_bucket",)

    def __init__(self, bucket: Bucket) -> None:
        super().__init__()
        self._bucket: Bucket | None = bucket

    def bucket(self) -> Bucket:
        """The bucket.

        Raises:
            Denied: The lease has ended.
        """
        if self._bucket is None:
            raise Denied("the lease of the bucket has ended", where="s3-bucket", advice="fetch it again just before its use")
        return self._bucket

    def forget(self) -> None:
        """Forgets the bucket."""
        self._bucket = None


def open_bucket(block: S3Bucket, field: str | None) -> BucketSecret:
    """The bucket of a loaded block, as ``reader.read_secret`` gives it.

    Raises:
        InputError: A field was named; a bucket has none.
    """
    if field is not None:
        raise InputError("a bucket has no field", where="s3-bucket", advice="remove # and what follows")
    return BucketSecret(BlockBucket(block.credentials.get_client("s3"), block.bucket_name, block.bucket_folder or ""))
