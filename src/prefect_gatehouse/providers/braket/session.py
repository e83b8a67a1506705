"""A leased credential as clients of AWS, and what their errors mean.

Four things are told apart, because what may be done next differs: *refused* (no job exists), *busy* (none exists, and trying again later is free),
*absent* (what was asked for is not there) and *unknown* (a job may exist).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.answers import Absent, Busy, NotAllowed, Refusal, Unknown, reading_from
from prefect_gatehouse.providers.braket.place import Place
from prefect_gatehouse.secrets.lease import CredentialLease

__all__ = ["Absent", "Busy", "Clients", "NotAllowed", "Refusal", "Unknown", "connect", "reading", "understood"]

_THROTTLED = {"ThrottlingException", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded"}
_CREDENTIAL = {
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "InvalidSignatureException", "RequestExpired", "SignatureDoesNotMatch",
    "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidToken", "IncompleteSignature", "MissingAuthenticationToken",
}  # fmt: skip
_NAMES = {
    "aws_access_key_id": ("AccessKeyId", "aws_access_key_id", "access_key"),
    "aws_secret_access_key": ("SecretAccessKey", "aws_secret_access_key", "secret_key"),
    "aws_session_token": ("SessionToken", "aws_session_token", "security_token"),
}


@contextmanager
def understood() -> Iterator[None]:
    """Turns what boto3 raises into one of the five above; their texts are names of errors, which hold nothing of a request."""
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
        raise _meaning(code, status)(code or str(status)) from None
    except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError):
        raise Busy("no connection") from None  # nothing was sent
    except (boto.NoCredentialsError, boto.PartialCredentialsError):
        raise NotAllowed("no credentials") from None
    except boto.ParamValidationError:
        raise Refusal("the request is not well formed") from None
    except boto.BotoCoreError as error:
        raise Unknown(type(error).__name__) from None


def _meaning(code: str, status: int) -> type[Exception]:
    if status == 429 or code in _THROTTLED:
        return Busy
    if code in _CREDENTIAL:
        return NotAllowed
    if code in {"ResourceNotFoundException", "NoSuchKey", "NoSuchVersion", "404"}:
        return Absent
    return Refusal if 400 <= status < 500 else Unknown


def reading(where: str) -> AbstractContextManager[None]:
    """Around calls that change nothing.

    Raises:
        Unavailable: The service does not answer, or does not let us ask.
    """
    return reading_from("Amazon Braket", where, understood)


@dataclass(frozen=True)
class Clients:
    """Clients of one lease.

    Attributes:
        braket: For reading, which is tried again.
        once: For what must not be repeated unseen: no retries.
        s3: For what is sent and for results.
    """

    braket: Any
    once: Any
    s3: Any


def connect(place: Place, lease: CredentialLease, where: str) -> Clients:
    """Clients with a lease's credential.

    Args:
        place: Where.
        lease: For the purpose of submitting.
        where: The backend's name.

    Raises:
        Denied: The lease holds no secret, has ended, or has another purpose.
        InputError: The secret is no AWS credential.
    """
    import boto3
    import botocore.session
    from botocore.config import Config

    # Every session would read the services' models anew, a fifth of a second; they hold nothing of anybody's.
    core = botocore.session.Session()
    core.register_component("data_loader", _models())
    session = boto3.Session(botocore_session=core, region_name=place.region, **_credential(lease, where))
    # Without the packages' names the service tells older clients' capabilities, which have no OpenQASM.
    agent = f"BraketSdk/{version('amazon-braket-sdk')} BraketSchemas/{version('amazon-braket-schemas')}"
    read = Config(user_agent_extra=agent, connect_timeout=5, read_timeout=place.call_seconds, retries={"mode": "standard", "total_max_attempts": 3})
    single = read.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    return Clients(
        braket=session.client("braket", config=read, endpoint_url=place.endpoint),
        once=session.client("braket", config=single, endpoint_url=place.endpoint),
        s3=session.client("s3", config=read, endpoint_url=place.endpoint),
    )


@cache
def _models() -> Any:
    import botocore.session

    return botocore.session.Session().get_component("data_loader")


@cache
def service_model() -> str:
    """Digest of what this SDK knows of the service: its operations with their members and errors."""
    return digest(json.loads(json.dumps(_models().load_service_model("braket", "service-2"))))


def _credential(lease: CredentialLease, where: str) -> dict[str, str]:
    """Key, secret and session token of a secret in JSON, by the names that STS, the AWS profile and Vault's AWS engine give them."""
    text = lease.sign_in()
    try:
        held = json.loads(text)
        found = {name: next((held[each] for each in spellings if held.get(each)), "") for name, spellings in _NAMES.items()}
    except (ValueError, AttributeError):
        found = {}
    if not found.get("aws_access_key_id") or not found.get("aws_secret_access_key"):
        advice = 'store JSON with AccessKeyId, SecretAccessKey and, of a session, SessionToken; name the block without "#field"'
        raise InputError("the secret for submit is no AWS credential", where=where, advice=advice)
    return {name: str(value) for name, value in found.items() if value}
