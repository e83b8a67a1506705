"""Reading a secret by its block reference ``type/name`` or ``type/name#field``; one small function a type.

Another block type is one more function, entered with ``register``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefect.blocks.core import Block
from prefect.settings import PREFECT_API_URL

from prefect_gatehouse.blocks.vault import VaultSecret
from prefect_gatehouse.errors import Denied, GatehouseError, Unavailable
from prefect_gatehouse.leases import SecretText

if TYPE_CHECKING:
    from prefect_aws import S3Bucket

Read = Callable[[Any, str | None], SecretText]
_READERS: dict[str, Read] = {}
# Secrets Manager says no with status 400 and one of these; STS, where the block assumes a role, with status 403.
_REFUSALS = frozenset({"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"})


def register(block_type: str, read: Read) -> None:
    """Makes a block type readable.

    Args:
        block_type: The type's slug.
        read: Takes the loaded block and the field after ``#``.
    """
    _READERS[block_type] = read


def read_secret(reference: str) -> SecretText:
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


def load_block(place: str) -> Any:
    """The stored block ``type/name``.

    Raises:
        Unavailable: It is missing, or the Prefect server does not give it.
    """
    block_type, _, name = place.partition("/")
    if not PREFECT_API_URL.value():
        # Prefect would start a server of its own for this one question, in which there is no block.
        raise Unavailable("no Prefect server is set", where=f"{place}, PREFECT_API_URL", advice="set it to the server's address")
    try:
        if block_type == "aws-secret":
            import prefect_aws.secrets_manager
        if block_type == "s3-bucket":
            import prefect_aws.s3  # noqa: F401
        return Block.load(place)
    except ValueError:
        raise Unavailable("there is no such block", where=place, advice=f"make the block {name} in the Prefect UI, then try again") from None
    except Exception:  # noqa: BLE001 - the client's errors have many types and may quote what they got
        raise Unavailable(
            "the block can't be loaded", where=place, advice="check the Prefect server and PREFECT_API_URL, then try again", retry=True
        ) from None


def store_error(error: Exception, place: str, deed: str) -> GatehouseError:
    """What an error of a secret store means, without its text.

    Args:
        error: Whatever its client raised.
        place: The block.
        deed: What was tried: read or write.
    """
    if isinstance(error, GatehouseError):
        return error
    code, status = aws_code(error)
    if code in _REFUSALS or status in (401, 403):
        return Denied(f"the secret store refuses the {deed}", where=place, advice="check the block's credentials and the store's policy")
    if code in {"ResourceNotFoundException", "InvalidRequestException"}:  # the latter for one that waits to be deleted
        return Unavailable("the store has no such secret", where=place, advice="check the block's secret name")
    return Unavailable("the secret store does not answer", where=place, advice="check the store, then resume the run", retry=True)


def aws_code(error: Exception) -> tuple[str, int]:
    """AWS's code and HTTP status of an error, where it is one of botocore's."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return "", 0
    return str(response.get("Error", {}).get("Code", "")), int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


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


def _vault_secret(block: VaultSecret, field: str | None) -> SecretText:
    return block.read_secret(field)


def _s3_bucket(block: S3Bucket, field: str | None) -> SecretText:
    from prefect_gatehouse.blocks.sources import open_bucket

    return open_bucket(block, field)


register("s3-bucket", _s3_bucket)
register("secret", _prefect_secret)
register("aws-secret", _aws_secret)
register("vault-secret", _vault_secret)
