"""What is stored of an approval's form: one request tells it, and whoever stores more under such names hides nothing of it."""

from __future__ import annotations

from http.client import NOT_FOUND
from types import SimpleNamespace
from typing import Self
from uuid import UUID

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.input import keyset_from_paused_state
from prefect.states import Suspended
from tests.support.plans import RUN

from prefect_gatehouse.tasks import asking

KEYS = keyset_from_paused_state(Suspended(pause_key="abc-0-1"))


class Server:
    """A client of Prefect's server with a run's inputs, in the order in which they were stored."""

    def __init__(self, stored: dict[str, str]) -> None:
        self.stored = stored
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def filter_flow_run_input(self, _: UUID, prefix: str, limit: int, __: set[str]) -> list[SimpleNamespace]:
        self.asked.append(prefix)
        return [SimpleNamespace(key=key, value=text) for key, text in self.stored.items() if key.startswith(prefix)][:limit]

    def read_flow_run_input(self, _: UUID, key: str) -> str:
        self.asked.append(key)
        if key in self.stored:
            return self.stored[key]
        request = httpx.Request("GET", "http://server/")
        raise PrefectHTTPStatusError("", request=request, response=httpx.Response(NOT_FOUND, request=request))


@pytest.mark.parametrize(
    ("more", "asked"),
    [(["suspended-other-schema"], 1), (["suspended-abc-0-1-note"], 1), ([f"suspended-abc-0-1-{number}" for number in range(9)], 1 + 3)],
    ids=["another-form's", "one-more", "more-than-a-form-has"],
)
def test_what_is_stored_of_a_form(monkeypatch: pytest.MonkeyPatch, more: list[str], asked: int) -> None:
    """All of it and nothing else, also where what was stored first fills the answer."""
    form = {KEYS["schema"]: "{}", KEYS["response"]: '{"decision": "approve"}'}
    server = Server(dict.fromkeys(more, "x") | form)
    monkeypatch.setattr(asking, "get_client", lambda **_: server)
    assert asking._inputs(KEYS, UUID(RUN)) == form
    assert len(server.asked) == asked


def test_keys_of_another_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Prefect names a form's inputs otherwise, each is asked for by its name."""
    keys = KEYS | {"schema": "fields-of-abc"}
    server = Server({"fields-of-abc": "{}"})
    monkeypatch.setattr(asking, "get_client", lambda **_: server)
    assert asking._inputs(keys, UUID(RUN)) == {"fields-of-abc": "{}"}
    assert len(server.asked) == len(keys)
