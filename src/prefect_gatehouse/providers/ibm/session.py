"""A leased API key as the SDK's REST adapters, over a session of ours, and what their errors mean.

The SDK knows the addresses and the forms. What it leaves to its session is decided here: nothing that makes something is ever sent twice unseen,
an answer is waited for as long as the block says, no redirect is followed, and the API key goes to IAM only (the SDK's own session repeats a POST
after a 5xx, waits a quarter of an hour, and sends the API key itself to the service where IAM does not answer).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import requests
from requests.auth import AuthBase
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.answers import Absent, Busy, NotAllowed, Refusal, Unknown, reading_from
from prefect_gatehouse.providers.ibm.place import Place
from prefect_gatehouse.secrets.lease import CredentialLease

SERVICE = "IBM Quantum"
_CLOUD, _IAM = "https://cloud.ibm.com", "https://iam.cloud.ibm.com"
_CONNECT_SECONDS = 5.0
_READS = 3  # tries of what only reads
_PAUSE = 0.5  # seconds between two of them
_FRESH = 0.8  # of a token's life, after which another is fetched


class _Answered(Exception):
    """The service answered with an error.

    Args:
        status: HTTP's.
        code: The service's own, empty where it gives none.
    """

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"HTTP {status}, code {code}" if code else f"HTTP {status}")
        self.status = status


@contextmanager
def understood() -> Iterator[None]:
    """Turns what the adapters raise into one of the five of ``providers/answers.py``; their texts hold nothing of a request."""
    try:
        yield
    except _Answered as answer:
        raise _meaning(answer.status)(str(answer)) from None
    except requests.ConnectionError as error:
        raise (Busy("no connection") if _never_connected(error) else Unknown(type(error).__name__)) from None
    except requests.RequestException as error:
        raise Unknown(type(error).__name__) from None
    except (KeyError, TypeError, ValueError):
        raise Unknown("an answer that does not read") from None


def _meaning(status: int) -> type[Exception]:
    if status == 429:
        return Busy
    if status == 401:
        return NotAllowed
    if status == 404:
        return Absent
    # A request that the service waited for in vain (408) may have reached what stands behind it.
    return Refusal if 400 <= status < 500 and status != 408 else Unknown


def _never_connected(error: requests.ConnectionError) -> bool:
    """Whether nothing was sent, not even to a proxy's other side."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    reason = getattr(reason, "original_error", reason)  # of a proxy that is not reached
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def reading(where: str) -> AbstractContextManager[None]:
    """Around calls that change nothing.

    Raises:
        Unavailable: The service does not answer, or does not let us ask.
    """
    return reading_from(SERVICE, where, understood)


class _Bearer(AuthBase):  # type: ignore[misc]
    """Signs requests with a token that IAM gives for the API key."""

    def __init__(self, iam: str, key: str, instance: str, seconds: float) -> None:
        self._iam, self._key, self._instance, self._seconds = iam, key, instance, seconds
        self._token, self._until = "", 0.0

    def __call__(self, request: Any) -> Any:
        if time.monotonic() >= self._until:
            self._sign_in()
        request.headers.update({"Service-CRN": self._instance, "Authorization": f"Bearer {self._token}"})
        return request

    def forget(self) -> None:
        """The next request signs in anew."""
        self._until = 0.0

    def _sign_in(self) -> None:
        """Nothing of the request that waits has been sent, so an IAM that does not answer leaves nothing in doubt."""
        form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": self._key, "response_type": "cloud_iam"}
        started = time.monotonic()
        try:
            answer = requests.post(f"{self._iam}/identity/token", data=form, timeout=(_CONNECT_SECONDS, self._seconds), allow_redirects=False)
            if answer.status_code in {400, 401, 403}:
                raise NotAllowed("IAM does not know the API key")
            if answer.status_code != 200:
                raise Busy(f"IAM answers HTTP {answer.status_code}")
            found = answer.json()
            self._token, self._until = str(found["access_token"]), started + _FRESH * float(found["expires_in"])
        except (requests.RequestException, KeyError, TypeError, ValueError):
            raise Busy("IAM does not answer") from None


class _Session(requests.Session):  # type: ignore[misc]
    """What the SDK's adapters send with."""

    def __init__(self, base: str, seconds: float, bearer: _Bearer) -> None:
        super().__init__()
        self._base, self._timeout, self._bearer = base, (_CONNECT_SECONDS, seconds), bearer
        self.auth = bearer

    def request(self, method: str, url: str, **given: Any) -> Any:
        """One request; what only reads is tried again."""
        given |= {"timeout": self._timeout, "allow_redirects": False}
        tries = _READS if method.upper() == "GET" else 1
        for left in reversed(range(tries)):
            try:
                return self._once(method, url, given)
            except (_Answered, requests.RequestException) as error:
                if not left or (isinstance(error, _Answered) and error.status < 500 and error.status != 429):
                    raise
                time.sleep(_PAUSE)
        raise AssertionError("there is at least one try")

    def _once(self, method: str, url: str, given: dict[str, Any]) -> Any:
        answer = super().request(method, self._base + url, **given)
        if answer.status_code == 401:  # a token that ended early; nothing was done
            self._bearer.forget()
            answer = super().request(method, self._base + url, **given)
        if answer.status_code >= 300:
            raise _Answered(answer.status_code, _code(answer))
        return answer


def _code(answer: Any) -> str:
    """The service's number for an error; its words may repeat what was sent."""
    try:
        code = answer.json()["errors"][0]["code"]
    except (KeyError, IndexError, TypeError, ValueError):
        return ""
    return str(code) if isinstance(code, int) else ""


def connect(place: Place, lease: CredentialLease, where: str) -> Any:
    """The SDK's REST adapter (``qiskit_ibm_runtime.api.rest.runtime.Runtime``) with a lease's credential.

    Args:
        place: Where.
        lease: For the purpose of submitting.
        where: The backend's name.

    Raises:
        Denied: The lease holds no secret, has ended, or has another purpose.
        InputError: The secret is no API key.
    """
    from qiskit_ibm_runtime.api.rest.runtime import Runtime
    from qiskit_ibm_runtime.api.utils import default_runtime_url_resolver

    key = _api_key(lease, where)
    # Which server is asked, the block says, which people have approved: no variable of the environment.
    base = f"{place.endpoint.rstrip('/')}/api/v1" if place.endpoint else default_runtime_url_resolver(_CLOUD, place.instance)
    bearer = _Bearer(place.endpoint.rstrip("/") if place.endpoint else _IAM, key, place.instance, place.call_seconds)
    return Runtime(_Session(base, place.call_seconds, bearer))


def _api_key(lease: CredentialLease, where: str) -> str:
    """The key itself, or the file that IBM Cloud gives people to download."""
    text = lease.sign_in().strip()
    if text.startswith("{"):
        try:
            text = str(json.loads(text).get("apikey") or "")
        except ValueError:
            text = ""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise InputError("the secret for submit is no API key", where=where, advice="store an IBM Cloud API key, or JSON with apikey")
    return text
