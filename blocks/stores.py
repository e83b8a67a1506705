"""Stored blocks, and what an error of the store behind one means."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from prefect_gatehouse.errors import Denied, GatehouseError, Unavailable

if TYPE_CHECKING:
    from prefect.blocks.core import Block

_CLASSES = {
    "aws-credentials": ("prefect_aws.credentials", "AwsCredentials"),
    "aws-secret": ("prefect_aws.secrets_manager", "AwsSecret"),
    "s3-bucket": ("prefect_aws.s3", "S3Bucket"),
    "custom-webhook": ("prefect.blocks.notifications", "CustomWebhookNotificationBlock"),
    "secret": ("prefect.blocks.system", "Secret"),
    "sendgrid-email": ("prefect.blocks.notifications", "SendgridEmail"),
    "slack-webhook": ("prefect.blocks.notifications", "SlackWebhook"),
    "vault-secret": ("prefect_gatehouse.blocks.vault", "VaultSecret"),
}
"""Where the class of a block type is."""

# Secrets Manager says no with status 400 and one of these; STS, where the block assumes a role, with status 403.
_REFUSALS = frozenset({"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"})


def load_block(place: str) -> Any:
    """The stored block ``type/name``.

    Raises:
        Unavailable: It is missing, or the Prefect server does not give it.
    """
    block_type, _, name = place.partition("/")
    with _asking(place):
        kind = _class_of(block_type)
        return kind.load(place if kind.__name__ == "Block" else name)


def read_document(place: str) -> dict[str, Any]:
    """What is stored in the block ``type/name``, its secrets left out, whatever its class.

    Raises:
        Unavailable: It is missing, or the Prefect server does not give it.
    """
    block_type, _, name = place.partition("/")
    with _asking(place), get_client(sync_client=True) as client:
        return dict(client.read_block_document_by_name(name, block_type, include_secrets=False).data)


@contextmanager
def _asking(place: str) -> Iterator[None]:
    """Around a question to the Prefect server about one block."""
    if not PREFECT_API_URL.value():
        # Prefect would start a server of its own for this one question, in which there is no block.
        raise Unavailable("no Prefect server is set", where=f"{place}, PREFECT_API_URL", advice="set it to the server's address")
    try:
        yield
    except (ValueError, ObjectNotFound):
        block_type, _, name = place.partition("/")
        advice = f"make the block {name} of type {block_type} in the Prefect UI, then try again"
        raise Unavailable("there is no such block", where=place, advice=advice) from None
    except Exception:  # noqa: BLE001 - the client's errors have many types and may quote what they got
        raise Unavailable(
            "the block can't be loaded", where=place, advice="check the Prefect server and PREFECT_API_URL, then try again", retry=True
        ) from None


def _class_of(block_type: str) -> type[Block]:
    """The class of a block type.

    ``Block.load`` finds it among the classes of every collection that is installed, and imports them all for it (prefect-dask, the whole of
    prefect-aws: 1.7 s of CPU in each process): that is kept for types that only a plug-in knows.
    """
    module, name = _CLASSES.get(block_type, ("prefect.blocks.core", "Block"))
    found: type[Block] = getattr(importlib.import_module(module), name)
    return found


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
