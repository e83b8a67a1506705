"""Sending a few words through one of Prefect's notification blocks: Slack, e-mail, a webhook, or whichever there is."""

from __future__ import annotations

import inspect

from prefect.blocks.abstract import NotificationBlock
from prefect.utilities.asyncutils import run_coro_as_sync

from prefect_gatehouse.blocks.stores import load_block
from prefect_gatehouse.errors import InputError, Unavailable


def notify(place: str, subject: str, body: str) -> None:
    """Sends it.

    Args:
        place: The block, ``type/name``.
        subject: One line.
        body: The rest.

    Raises:
        InputError: The block sends nothing.
        Unavailable: It is missing, or what it sends to did not take it.
    """
    block = load_block(place)
    if not isinstance(block, NotificationBlock):
        raise InputError(
            "the block is none for notifications", where=place, advice="name one of Prefect's: slack-webhook, sendgrid-email, custom-webhook"
        )
    try:
        with block.raise_on_failure():
            sent = block.notify(body, subject)
            if inspect.isawaitable(sent):
                run_coro_as_sync(sent)
    except Exception:  # noqa: BLE001 - the services' errors have many types, and quote addresses that are secrets
        raise Unavailable("the notification was not sent", where=place, advice="check the block and what it sends to", retry=True) from None
