"""Sending a few words through one of Prefect's notification blocks: Slack, e-mail, a webhook, or whichever there is."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

from prefect.blocks.abstract import NotificationBlock
from prefect.utilities.asyncutils import run_coro_as_sync

from prefect_gatehouse.blocks.stores import load_block
from prefect_gatehouse.errors import InputError, Unavailable

SECONDS = 10.0
"""That a message may take once its process is there."""
_STARTING = 20.0  # seconds until then, in which Prefect is imported


def notify(place: str, subject: str, body: str, seconds: float = _STARTING + SECONDS) -> None:
    """Sends it, or gives up: a block's own timeout, where it has one, is that between two bytes.

    Args:
        place: The block, ``type/name``.
        subject: One line.
        body: The rest.
        seconds: For all of it, at most.

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
        sent = _sent_in_time(block, subject, body, seconds)
    except Exception:  # noqa: BLE001 - a plug-in's block may not go into another process, for whatever reason of its own
        sent = False
    if not sent:
        raise Unavailable("the notification was not sent", where=place, advice="check the block and what it sends to", retry=True)


def _sent_in_time(block: NotificationBlock, subject: str, body: str, seconds: float) -> bool:
    """Whether it was sent by a process that is ended where it takes too long.

    A thread that hangs can't be ended, and those of an executor, which some blocks send in, keep this process from its own end.
    """
    start = multiprocessing.get_context("spawn")
    ready, child = start.Pipe(duplex=False)
    process = start.Process(target=_send, args=(child, block, subject, body), daemon=True)
    with ready:
        with child:
            process.start()
        try:
            begun = ready.poll(min(_STARTING, seconds))
            process.join(min(SECONDS, seconds) if begun else 0)
            return process.exitcode == 0
        finally:
            process.kill()
            process.join()
            process.close()


def _send(ready: Connection, block: NotificationBlock, subject: str, body: str) -> None:
    """Sends it and ends the process; what a service's client would print quotes addresses that are secrets."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    ready.close()
    signal.alarm(int(SECONDS) + 5)  # ends this process where the other one was killed and ends it no more
    try:
        with block.raise_on_failure():
            sent = block.notify(body, subject)
            if inspect.isawaitable(sent):
                run_coro_as_sync(sent)
    except BaseException:  # noqa: BLE001 - the services' errors have many types
        os._exit(1)
    os._exit(0)
