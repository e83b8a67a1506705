"""One exchange with an identity provider."""

from __future__ import annotations

from collections.abc import Mapping

from prefect_gatehouse.bounded_http import Answer, TooLarge, in_time, once
from prefect_gatehouse.errors import Unavailable

_ALL = 10.0  # seconds, from the first look-up of a name to the last byte
_MOST_BYTES = 512 * 1024


def exchange(url: str, form: Mapping[str, str] | None = None) -> Answer:
    """What is at an address, which nobody redirects.

    Args:
        url: The address.
        form: Fields that are sent by POST; a GET without them.

    Raises:
        Unavailable: There is no answer, it is too large, or it is not there in time.
    """
    import httpx

    try:
        return in_time(url, _ALL, lambda client: once(client, url, _MOST_BYTES, form=form))
    except (TimeoutError, TooLarge, httpx.HTTPError, httpx.InvalidURL):
        raise unreadable(url) from None


def unreadable(where: str) -> Unavailable:
    """What a provider says of itself is not to be had."""
    return Unavailable("the identity provider's description or keys can't be read", where=where, advice="try again", retry=True)
