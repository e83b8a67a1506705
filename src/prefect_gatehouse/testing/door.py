"""An emulator in a process of its own, and the door by which a drill is run: what every provider's emulator has."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prefect_gatehouse.errors import Unavailable


@dataclass(frozen=True)
class Door:
    """A running emulator.

    Attributes:
        url: Its endpoint.
        environment: What the SDK's environment needs to come here.
    """

    url: str
    environment: dict[str, str] = field(repr=False)

    def fault(self, operation: str, kind: str, **more: Any) -> None:
        """Makes the next calls of an operation go wrong; ``emulators/faults.py`` lists the kinds."""
        self._post("fault", {"operation": operation, "kind": kind, **more})

    def conduct(self, **more: Any) -> None:
        """Changes how the service behaves; its class ``Conduct`` lists what can be set."""
        self._post("conduct", more)

    def release(self) -> None:
        """Lets the calls go on that are held."""
        self._post("release", {})

    def forget_tokens(self) -> None:
        """As a service whose tokens have expired."""
        self._post("forget-tokens", {})

    def reset(self) -> None:
        """Nothing that was made is there, no faults, devices as they were."""
        self._post("reset", {})

    def state(self) -> dict[str, Any]:
        """What there is, calls by operation, and how many calls are held."""
        return self._ask(urllib.request.Request(f"{self.url}/_emulator/state"))  # noqa: S310 - our own server on loopback

    def wait(self, until: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        """Waits until the state is as wanted.

        Raises:
            TimeoutError: It was not in time.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.state()
            if until(state):
                return state
            time.sleep(0.02)
        raise TimeoutError("the emulator did not get there in time")

    def _post(self, what: str, body: dict[str, Any]) -> None:
        self._ask(urllib.request.Request(f"{self.url}/_emulator/{what}", data=json.dumps(body).encode(), method="POST"))  # noqa: S310 - as above

    @staticmethod
    def _ask(request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from None


@contextmanager
def running(module: str, words: list[str], extra: str) -> Iterator[dict[str, str]]:
    """Starts an emulator's module, gives its environment, and stops it at the end.

    Args:
        module: Below ``prefect_gatehouse.emulators``.
        words: Its arguments.
        extra: What has to be installed for it.

    Raises:
        Unavailable: It does not start.
    """
    command = [sys.executable, "-W", "ignore", "-m", f"prefect_gatehouse.emulators.{module}", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()  # it prints its environment once it listens, or dies and prints nothing
        if not line:
            raise Unavailable("the emulator does not start", where=f"{module} emulator", advice=f'install "prefect-gatehouse[{extra}]"')
        yield json.loads(line)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
