"""Reading a secret by its block reference ``type/name`` or ``type/name#field``; one small function a type.

Another block type is one more function, entered with ``register``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.blocks.stores import load_block, store_error
from prefect_gatehouse.errors import Denied, Unavailable
from prefect_gatehouse.secrets.lease import Checkout, SecretText

if TYPE_CHECKING:
    from prefect_aws import AwsCredentials, S3Bucket

    from prefect_gatehouse.blocks.vault import VaultSecret

Read = Callable[[Any, str | None], Checkout]
_READERS: dict[str, Read] = {}


def register(block_type: str, read: Read) -> None:
    """Makes a block type readable.

    Args:
        block_type: The type's slug.
        read: Takes the loaded block and the field after ``#``.
    """
    _READERS[block_type] = read


def read_secret(reference: str) -> Checkout:
    """The secret that a reference names.

    Raises:
        Denied: The block type holds no secrets that Gatehouse reads, or its store refuses.
        Unavailable: The block is missing or its store does not answer.
    """
    place, _, field = reference.partition("#")
    block_type = place.partition("/")[0]
    read = _READERS.get(block_type)
    if read is None:
        raise Denied(f"blocks of type {block_type} are not read", where=place, advice=f"use one of {', '.join(sorted(_READERS))}")
    block = load_block(place)
    try:
        return read(block, field or None)
    except Exception as error:  # noqa: BLE001 - the stores' errors have many types and may quote what they got
        raise store_error(error, place, "read") from None


def read_text(reference: str) -> SecretText:
    """The secret that a reference names, where it is a text.

    Raises:
        Denied: It is none; or see ``read_secret``.
        Unavailable: See ``read_secret``.
    """
    found = read_secret(reference)
    if not isinstance(found, SecretText):
        raise Denied("the block holds no text", where=reference, advice="name a block with a secret for this purpose")
    return found


def _field_of(text: str, field: str | None, where: str) -> str:
    """One field of a JSON secret, or the whole text."""
    if field is None:
        return text
    try:
        value = json.loads(text)[field]
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, str) or not value:
        raise Unavailable("the secret has no such field with text in it", where=where, advice="check the field after #")
    return value


def _prefect_secret(block: Any, field: str | None) -> SecretText:
    value = block.get()
    if isinstance(value, dict):
        value = json.dumps(value)
    if not isinstance(value, str) or not value:
        raise Unavailable("the block holds no text", where="secret", advice="enter the secret in the block")
    return SecretText(_field_of(value, field, "secret"))


def _aws_secret(block: Any, field: str | None) -> SecretText:
    # Not block.read_secret(): it gives no version, and the record names which version was used.
    client = block.aws_credentials.get_secrets_manager_client()
    answer = client.get_secret_value(SecretId=block.secret_name)
    try:
        text = answer.get("SecretString") or answer.get("SecretBinary", b"").decode()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise Unavailable("the secret holds no text", where="aws-secret", advice="store text in the secret")
    return SecretText(_field_of(text, field, "aws-secret"), version=answer.get("VersionId", ""))


def _aws_credentials(block: AwsCredentials, field: str | None) -> SecretText:
    """What the block signs in with, a role's session or a profile's key as well, under the names that STS gives them."""
    found = block.get_boto3_session().get_credentials()
    if found is None:
        raise Unavailable("the block holds no credential", where="aws-credentials", advice="enter a key, a profile or a role in the block")
    held = found.get_frozen_credentials()
    named = {"AccessKeyId": held.access_key, "SecretAccessKey": held.secret_key, "SessionToken": held.token}
    return SecretText(_field_of(json.dumps({name: value for name, value in named.items() if value}), field, "aws-credentials"))


def _vault_secret(block: VaultSecret, field: str | None) -> SecretText:
    return block.read_secret(field)


def _s3_bucket(block: S3Bucket, field: str | None) -> Checkout:
    from prefect_gatehouse.blocks.buckets import open_bucket

    return open_bucket(block, field)


register("aws-credentials", _aws_credentials)
register("s3-bucket", _s3_bucket)
register("secret", _prefect_secret)
register("aws-secret", _aws_secret)
register("vault-secret", _vault_secret)
