"""A leased credential as clients of AWS, and what their errors mean.

Four things are told apart, because what may be done next differs: *refused* (no job exists), *busy* (none exists, and trying again later is free),
*absent* (what was asked for is not there) and *unknown* (a job may exist).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect_gatehouse.errors import InputError, Unavailable
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.braket.place import Place
from prefect_gatehouse.secrets.lease import CredentialLease

if TYPE_CHECKING:
    import boto3
    from braket.aws import AwsSession

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


class Refusal(Exception):
    """The service says no: nothing was made."""


class Busy(Exception):
    """Nothing was made, and the same call may be repeated."""


class Absent(Exception):
    """What was asked for is not there."""


class NotAllowed(Exception):
    """The credential is not valid, or no longer."""


class Unknown(Exception):
    """Nobody can tell what the service did."""


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


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Around calls that change nothing.

    Raises:
        Unavailable: The service does not answer, or does not let us ask.
    """
    try:
        with understood():
            yield
    except NotAllowed:
        raise Unavailable("the credential is not valid", where=where, advice="check the secret, then resume the run") from None
    except (Busy, Unknown) as error:
        raise Unavailable(f"Amazon Braket does not answer ({error})", where=where, advice="resume the run later", retry=True) from None
    except Absent as error:
        raise Unavailable(f"Amazon Braket does not have what was asked for ({error})", where=where, advice="check the backend's block") from None
    except Refusal as error:
        advice = "check the backend's block and what its credential may do"
        raise Unavailable(f"Amazon Braket refuses to tell ({error})", where=where, advice=advice) from None


@dataclass(frozen=True)
class Clients:
    """Clients of one lease.

    Attributes:
        braket: For reading, which is tried again.
        once: For what must not be repeated unseen: no retries.
        s3: For what is sent and for results.
    """

    braket: Any
    once: AwsSession
    s3: Any


def connect(place: Place, lease: CredentialLease, where: str, token: Callable[[], str]) -> Clients:
    """Clients with a lease's credential.

    Args:
        place: Where.
        lease: For the purpose of submitting.
        where: The backend's name.
        token: The client token of the task that is being made.

    Raises:
        Denied: The lease holds no secret, has ended, or has another purpose.
        InputError: The secret is no AWS credential.
    """
    import boto3
    from botocore.config import Config
    from braket.aws import AwsSession

    session = boto3.Session(region_name=place.region, **_credential(lease, where))
    _send_token(session, token)
    # Read before the session is made: the SDK takes the endpoint from its own clients only.
    read = Config(connect_timeout=5, read_timeout=place.call_seconds, retries={"mode": "standard", "total_max_attempts": 3})
    single = read.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
    once = session.client("braket", config=single, endpoint_url=place.endpoint)
    return Clients(
        braket=session.client("braket", config=read, endpoint_url=place.endpoint),
        once=AwsSession(boto_session=session, braket_client=once),
        s3=session.client("s3", config=read, endpoint_url=place.endpoint),
    )


def _send_token(session: boto3.Session, token: Callable[[], str]) -> None:
    """The SDK sends a random token and drops a chosen one; the session's event takes its place before the request is made."""

    def inject(params: dict[str, Any], **_: object) -> dict[str, Any]:
        return {**params, "clientToken": token()}

    session.events.register("provide-client-params.braket.CreateQuantumTask", inject)


def _credential(lease: CredentialLease, where: str) -> dict[str, str]:
    """Key, secret and session token of a secret in JSON, by the names that STS, the AWS profile and Vault's AWS engine give them."""
    text = lease.reveal(Purpose.SUBMIT)
    try:
        held = json.loads(text)
        found = {name: next((held[each] for each in spellings if held.get(each)), "") for name, spellings in _NAMES.items()}
    except (ValueError, AttributeError):
        found = {}
    if not found.get("aws_access_key_id") or not found.get("aws_secret_access_key"):
        advice = 'store JSON with AccessKeyId, SecretAccessKey and, of a session, SessionToken; name the block without "#field"'
        raise InputError("the secret for submit is no AWS credential", where=where, advice=advice)
    return {name: str(value) for name, value in found.items() if value}
