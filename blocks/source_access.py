"""Access to a source through a lease or a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefect_gatehouse.blocks.buckets import BucketSecret
from prefect_gatehouse.blocks.reader import read_secret, read_text
from prefect_gatehouse.data.sources import Bucket
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.secrets.lease import Checkout, SecretText

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class SecretAccess:
    """What a lease or a block holds, as the access to a source.

    Attributes:
        secret: Gives it when it is used.
    """

    secret: Callable[[], Checkout]

    def address(self) -> str:
        """The address of the source database."""
        found = self.secret()
        if not isinstance(found, SecretText):
            raise Denied("the block holds no address", where="credentials.read_source", advice="name a block with a secret")
        return found.reveal()

    def bucket(self) -> Bucket:
        """The opened bucket.

        Raises:
            Denied: The block is of another type.
        """
        found = self.secret()
        if not isinstance(found, BucketSecret):
            raise Denied("the block holds no bucket", where="credentials.read_source", advice="name an s3-bucket block")
        return found.bucket()


@dataclass(frozen=True)
class BlockSecret:
    """Reads a block when it is called; picklable, so that a worker reads the secret itself.

    Attributes:
        reference: The block.
    """

    reference: str

    def __call__(self) -> Checkout:
        """The secret."""
        return read_secret(self.reference)


@dataclass(frozen=True)
class BlockText:
    """Reads a block that holds a text when it is called; picklable, so that a worker reads the secret itself.

    Attributes:
        reference: The block.
    """

    reference: str

    def __call__(self) -> SecretText:
        """The secret."""
        return read_text(self.reference)
