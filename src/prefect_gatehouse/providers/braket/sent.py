"""What was sent, sealed, in the bucket beside the result: how any host reads a result, and how far back a lost task is looked for.

It is written before the task is made and never overwritten. A key without it was never sent, which S3 knows for certain; a key with it was sent no
earlier than the object was written. Deleting the run's key makes it unreadable, wherever copies of it are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.providers.braket.session import Absent, Refusal, understood
from prefect_gatehouse.store.sealer import Sealer

_NAME, _AGAIN = "sent", "sent-again"


@dataclass(frozen=True)
class Times:
    """When a payload was sent, by S3's clock.

    Attributes:
        first: The first time, or earlier.
        age: Seconds since the last time, or fewer.
    """

    first: datetime
    age: float


class SentPayloads:
    """The payloads of one bucket's folder.

    Args:
        s3: The client.
        bucket: The bucket.
        sealer: Of the run.
    """

    def __init__(self, s3: Any, bucket: str, sealer: Sealer) -> None:
        self._s3, self._bucket, self._sealer = s3, bucket, sealer

    def write(self, folder: str, payload: bytes) -> bool:
        """Keeps a payload; True if none was there."""
        if self.times(folder) is not None:
            return False
        body = self._sealer.seal(f"{folder}\n".encode() + payload)
        try:
            with understood():
                self._s3.put_object(Bucket=self._bucket, Key=f"{folder}/{_NAME}", Body=body, IfNoneMatch="*")
        except Refusal as refusal:
            if str(refusal) in {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}:
                return False  # another process was faster
            raise
        return True

    def mark(self, folder: str) -> None:
        """Notes that the payload is about to be sent again."""
        with understood():
            self._s3.put_object(Bucket=self._bucket, Key=f"{folder}/{_AGAIN}", Body=b"")

    def times(self, folder: str) -> Times | None:
        """When a payload was sent, None if it was not."""
        first = self._head(folder, _NAME)
        last = first if first is None else self._head(folder, _AGAIN) or first
        if first is None or last is None:
            return None
        # Both times are whole seconds, rounded down: one second less is never too much.
        age = (last[1] - last[0]).total_seconds() - 1.0
        return Times(first[0], max(0.0, age))

    def _head(self, folder: str, name: str) -> tuple[datetime, datetime] | None:
        """When an object was written, and what the time is there now."""
        try:
            with understood():
                answer = self._s3.head_object(Bucket=self._bucket, Key=f"{folder}/{name}")
        except Absent:
            return None
        return answer["LastModified"], parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def read(self, folder: str) -> bytes:
        """The payload.

        Raises:
            Tampered: What lies there is not what was sent.
        """
        with understood():
            sealed = self._s3.get_object(Bucket=self._bucket, Key=f"{folder}/{_NAME}")["Body"].read()
        owner, _, payload = self._sealer.open(sealed).partition(b"\n")
        if owner != folder.encode():
            raise Tampered("what lies beside the result is not what was sent", where=folder, advice="run: gatehouse verify")
        return payload

    def delete(self, folder: str) -> None:
        """Removes everything in a folder, earlier versions as well."""
        with understood():
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=f"{folder}/"):
                for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    self._s3.delete_object(Bucket=self._bucket, Key=item["Key"], VersionId=item["VersionId"])
