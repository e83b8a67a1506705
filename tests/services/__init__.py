"""Real servers for the tests: Vault, Secrets Manager, PostgreSQL. Where one can't be had, the test skips, or fails in CI."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest


def unavailable(what: str) -> NoReturn:
    """Skips the test for want of a server; with ``GATEHOUSE_REQUIRE_SERVICES=1`` it fails instead."""
    if os.environ.get("GATEHOUSE_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what}, and GATEHOUSE_REQUIRE_SERVICES=1", pytrace=False)
    pytest.skip(what)


def cache() -> Path:
    """Where what takes minutes to build is kept, outside the tree."""
    root = os.environ.get("GATEHOUSE_TEST_CACHE") or str(Path.home() / ".cache" / "gatehouse-tests")
    folder = Path(root)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until(up: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Polls until the server answers.

    Raises:
        TimeoutError: It never did.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if up():
            return
        time.sleep(0.1)
    raise TimeoutError(f"{what} did not answer within {seconds:.0f} s")


def clean_environment() -> dict[str, str]:
    """This process's environment for a server, without anybody's keys, profiles and settings."""
    private = ("AWS_", "PG", "VAULT_", "GATEHOUSE_", "PREFECT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(private)}
