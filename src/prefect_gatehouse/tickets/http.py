"""One GET to a ticket system: TLS, no redirect followed, bounded in size and time, tried a little again, its answer validated.

An answer that is anything else than JSON of the expected form is no answer. Nothing of it, and nothing of a foreign error, is in a message.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Annotated, TypeVar

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from prefect_gatehouse.errors import Unavailable

LARGEST = 256 * 1024
"""Bytes of an answer: the few fields that are asked for fit in a thousandth of it."""
_TRIES, _PAUSE = 3, 0.3
_LATER = 10  # seconds that all waits may take which the system asks for
_CALL, _ALL = 5, 15  # seconds: between two bytes, and for all tries together; a run waits for this inside a gate
_WITH_BODY = {httpx.codes.OK, httpx.codes.NOT_FOUND}
_AGAIN = {429, 500, 502, 503, 504}
M = TypeVar("M", bound=BaseModel)


class Object(BaseModel):
    """Any JSON object, of which nothing is read."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


def _address(text: str) -> str:
    """An address that a credential may be sent to."""
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
    # A sync client bounds the time between two bytes, not that of an answer. The loop has a thread of its own: the caller's may have one.
    with ThreadPoolExecutor(1) as thread:
        status, body = thread.submit(asyncio.run, _in_time(url, dict(params), dict(headers))).result()
    return _read(status, body, form)


async def _in_time(url: str, params: dict[str, str], headers: dict[str, str]) -> tuple[int, bytes]:
    try:
        async with asyncio.timeout(_ALL):
            return await _tried(url, params, headers)
    except TimeoutError:
        raise _no_answer(f"it gives no answer within {_ALL} s") from None


async def _tried(url: str, params: dict[str, str], headers: dict[str, str]) -> tuple[int, bytes]:
    why, pause, left = "", 0.0, float(_LATER)
    # Without TLS it stays on this machine: a proxy of the environment would be told the credential. With it, the environment names authorities too.
    with_tls = httpx.URL(url).scheme == "https"
    async with httpx.AsyncClient(timeout=_CALL, follow_redirects=False, trust_env=with_tls) as client:
        for turn in range(_TRIES):
            await asyncio.sleep(pause)
            pause = _PAUSE * (turn + 1)
            try:
                status, body, later = await _once(client, url, params, headers)
            except httpx.TransportError:
                why = "it does not answer"
            except httpx.HTTPError:
                raise _no_answer("it does not speak HTTP as it should") from None
            else:
                if status not in _AGAIN:
                    return status, body
                why = f"it answers {status}"
                if later > left:
                    break
                left -= later
                pause = max(pause, later)
    raise _no_answer(why)


async def _once(client: httpx.AsyncClient, url: str, params: dict[str, str], headers: dict[str, str]) -> tuple[int, bytes, float]:
    # As it is: what a few bytes on the wire unfold to is bounded by nobody.
    asked = {**headers, "Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, params=params, headers=asked) as answer:
        if answer.status_code not in _WITH_BODY:
            return answer.status_code, b"", _seconds(answer.headers.get("retry-after", ""))
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise _no_answer("its answer is compressed, which nobody asked for")
        if answer.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _no_answer("its answer is no JSON")
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > LARGEST:
                raise _no_answer(f"its answer is larger than {LARGEST // 1024} kB")
        return answer.status_code, bytes(body), 0


def _seconds(later: str) -> float:
    """From now on, of a ``Retry-After``, which has a number or a date; 0 where it has neither."""
    if later.isascii() and later.isdigit():
        return float(later[:9])
    try:
        return max(0.0, parsedate_to_datetime(later).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0


def _read(status: int, body: bytes, form: type[M]) -> M | None:
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise _no_answer(f"it does not take the credential ({status})")
    if httpx.codes.is_redirect(status):
        raise _no_answer("it sends elsewhere, where nobody follows")
    if status not in _WITH_BODY:
        raise _no_answer(f"it answers {status}")
    try:
        if status == httpx.codes.NOT_FOUND:
            Object.model_validate_json(body)
            return None
        return form.model_validate_json(body)
    except ValidationError:
        raise malformed() from None


def malformed() -> Unavailable:
    """The answer has not the fields that were asked for."""
    return _no_answer("its answer is not of the form that was asked for")


def _no_answer(why: str) -> Unavailable:
    return Unavailable(why, where="tickets", advice="look at the ticket system, and at the file GATEHOUSE_TICKETS", retry=True)
