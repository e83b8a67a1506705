"""One exchange with a server that nobody here runs, bounded in size and in time as a whole: a run, or a person, waits for it inside a gate.

A sync client bounds the time between two bytes, not that of an answer. Redirects are followed by nobody, and nothing is unfolded: what a few bytes on
the wire come to is bounded by nobody. Without TLS an address is this machine itself, and a proxy of the environment is told nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class TooLarge(Exception):
    """The answer has more bytes than were wanted."""


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def in_time(url: str, seconds: float, act: Callable[[httpx.AsyncClient], Awaitable[T]], *, between: float | None = None) -> T:
    """What an act with a client comes to.

    Args:
        url: Where it goes; says whether the environment's proxies and authorities are asked.
        seconds: For all of it.
        act: Uses the client.
        between: Seconds between two bytes; as long as for all of it unless given.

    Raises:
        TimeoutError: It took longer.
    """

    async def run() -> T:
        import httpx

        async with asyncio.timeout(seconds):
            tls = httpx.URL(url).scheme == "https"
            async with httpx.AsyncClient(timeout=between or seconds, follow_redirects=False, trust_env=tls) as client:
                return await act(client)

    # The loop has a thread of its own: the caller's may have one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


async def once(
    client: httpx.AsyncClient,
    url: str,
    most: int,
    *,
    params: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    bodies_of: Collection[int] | None = None,
) -> Answer:
    """One request for JSON.

    Args:
        client: Of ``in_time``.
        url: The address.
        most: Bytes of the answer.
        params: Of the query.
        form: Fields that are sent by POST; a GET without them.
        headers: More of them.
        bodies_of: The statuses whose body is read; of every one unless given.

    Raises:
        TooLarge: The answer has more bytes.
        httpx.HTTPError: There is none.
    """
    asked = {**(headers or {}), "Accept": "application/json", "Accept-Encoding": "identity"}
    method, data = ("GET", None) if form is None else ("POST", dict(form))
    async with client.stream(method, url, params=params, data=data, headers=asked) as answer:
        body = bytearray()
        if bodies_of is None or answer.status_code in bodies_of:
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > most:
                    raise TooLarge
        return Answer(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, bytes(body))
