"""One exchange with an identity provider, bounded in size and in time as a whole: a run or a person waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prefect_gatehouse.errors import Unavailable

if TYPE_CHECKING:
    import httpx

_ALL = 10.0  # seconds, from the first look-up of a name to the last byte
_MOST_BYTES = 512 * 1024


def exchange(url: str, form: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """The status and the content at an address, which nobody redirects.

    Args:
        url: The address.
        form: Fields that are sent by POST; a GET without them.

    Raises:
        Unavailable: There is no answer, it is too large, or it is not there in time.
    """
    # A sync client bounds the time between two bytes, not that of an answer. The loop has a thread of its own: the caller's may have one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _in_time(url, form)).result()


def unreadable(where: str) -> Unavailable:
    """What a provider says of itself is not to be had."""
    return Unavailable("the identity provider's description or keys can't be read", where=where, advice="try again", retry=True)


async def _in_time(url: str, form: Mapping[str, str] | None) -> tuple[int, bytes]:
    import httpx

    try:
        async with asyncio.timeout(_ALL):
            # Without TLS it is this machine itself: what is said there is nothing for the environment's proxy.
            tls = urlsplit(url).scheme != "http"
            async with httpx.AsyncClient(timeout=_ALL, follow_redirects=False, trust_env=tls) as client:
                return await _once(client, url, form)
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL):
        raise unreadable(url) from None


async def _once(client: httpx.AsyncClient, url: str, form: Mapping[str, str] | None) -> tuple[int, bytes]:
    # As it is: what a few bytes on the wire unfold to is bounded by nobody.
    headers, data = {"Accept": "application/json", "Accept-Encoding": "identity"}, None if form is None else dict(form)
    async with client.stream("GET" if form is None else "POST", url, data=data, headers=headers) as answer:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise unreadable(url)
        return answer.status_code, bytes(body)
