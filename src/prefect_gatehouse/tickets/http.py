"""One GET to a ticket system: TLS, no redirect followed, bounded in size and time, tried a little again, its answer validated.

An answer that is anything else than JSON of the expected form is no answer. Nothing of it, and nothing of a foreign error, is in a message.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from prefect_gatehouse.bounded_http import Answer, TooLarge, in_time, once
from prefect_gatehouse.errors import Unavailable

if TYPE_CHECKING:
    import httpx

LARGEST = 256 * 1024
"""Bytes of an answer: the few fields that are asked for fit in a thousandth of it."""
_TRIES, _PAUSE = 3, 0.3
_LATER = 10  # seconds that all waits may take which the system asks for
_CALL, _ALL = 5, 15  # seconds: between two bytes, and for all tries together; a run waits for this inside a gate
_WITH_BODY = {HTTPStatus.OK, HTTPStatus.NOT_FOUND}
_AGAIN = {429, 500, 502, 503, 504}
M = TypeVar("M", bound=BaseModel)


class Object(BaseModel):
    """Any JSON object, of which nothing is read."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


def _address(text: str) -> str:
    """An address that a credential may be sent to."""
    import httpx

    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ValueError("this is no address") from None
    if url.userinfo or url.query or url.fragment or not url.host:
        raise ValueError("an address is https://HOST, without a user, a query or a fragment")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ValueError("an address begins with https://; without TLS only on this machine itself")
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Address = Annotated[str, Field(max_length=400), AfterValidator(_address)]
"""Where a server is: https, or http on loopback."""


def host_of(address: str) -> str:
    """The host of an address, with its port where it has one."""
    import httpx

    return httpx.URL(address).netloc.decode()


def sign_in(user: str | None, credential: str) -> dict[str, str]:
    """The header that signs in: with a user as HTTP Basic, otherwise as a bearer token.

    Raises:
        Unavailable: The secret is none that fits into a header.
    """
    if not credential or not credential.isascii() or not credential.isprintable() or " " in credential:
        raise Unavailable("the ticket system's credential is no token", where="tickets", advice="look at the secret of its block")
    if user is None:
        return {"Authorization": f"Bearer {credential}"}
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{credential}'.encode()).decode()}"}


def get(url: str, params: Mapping[str, str], headers: Mapping[str, str], form: type[M]) -> M | None:
    """The answer to a GET, None where it says that there is nothing: 404 with a JSON object, which a proxy or another site does not send.

    Args:
        url: The whole address.
        params: Of the query.
        headers: More of them.
        form: What the answer has to be.

    Raises:
        Unavailable: There is no answer of this form.
    """
    try:
        answer = in_time(url, _ALL, lambda client: _tried(client, url, params, headers), between=_CALL)
    except TimeoutError:
        raise _no_answer(f"it gives no answer within {_ALL} s") from None
    return _read(answer, form)


async def _tried(client: httpx.AsyncClient, url: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    import httpx

    why, pause, left = "", 0.0, float(_LATER)
    for turn in range(_TRIES):
        await asyncio.sleep(pause)
        pause = _PAUSE * (turn + 1)
        try:
            answer = await once(client, url, LARGEST, params=params, headers=headers, bodies_of=_WITH_BODY)
        except TooLarge:
            raise _no_answer(f"its answer is larger than {LARGEST // 1024} kB") from None
        except httpx.TransportError:
            why = "it does not answer"
        except httpx.HTTPError:
            raise _no_answer("it does not speak HTTP as it should") from None
        else:
            if answer.status not in _AGAIN:
                return answer
            why, later = f"it answers {answer.status}", _seconds(answer.headers.get("retry-after", ""))
            if later > left:
                break
            left -= later
            pause = max(pause, later)
    raise _no_answer(why)


def _seconds(later: str) -> float:
    """From now on, of a ``Retry-After``, which has a number or a date; 0 where it has neither."""
    if later.isascii() and later.isdigit():
        return float(later[:9])
    try:
        return max(0.0, parsedate_to_datetime(later).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0


def _read(answer: Answer, form: type[M]) -> M | None:
    status = answer.status
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise _no_answer(f"it does not take the credential ({status})")
    if status in range(300, 400):
        raise _no_answer("it sends elsewhere, where nobody follows")
    if status not in _WITH_BODY:
        raise _no_answer(f"it answers {status}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise _no_answer("its answer is compressed, which nobody asked for")
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _no_answer("its answer is no JSON")
    try:
        if status == HTTPStatus.NOT_FOUND:
            Object.model_validate_json(answer.body)
            return None
        return form.model_validate_json(answer.body)
    except ValidationError:
        raise malformed() from None


def malformed() -> Unavailable:
    """The answer has not the fields that were asked for."""
    return _no_answer("its answer is not of the form that was asked for")


def _no_answer(why: str) -> Unavailable:
    return Unavailable(why, where="tickets", advice="look at the ticket system, and at the file GATEHOUSE_TICKETS", retry=True)
