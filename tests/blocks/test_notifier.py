"""Notification blocks as they are stored on a Prefect server: what can be loaded sends, and nothing else is taken for it."""

from __future__ import annotations

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret

from prefect_gatehouse.blocks.notifier import notify
from prefect_gatehouse.errors import InputError, Unavailable

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.usefixtures("stack")]
GOT: list[Any] = []


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        GOT.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


def test_a_stored_block() -> None:
    """A webhook gets subject and body; a block of secrets sends nothing, and one that is not there is told with its name."""
    name = f"n{uuid.uuid4().hex[:8]}"
    server = HTTPServer(("127.0.0.1", 0), _Hook)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    CustomWebhookNotificationBlock(name="w", url=url, json_data={"text": "{{subject}}|{{body}}"}).save(name)
    Secret(value="x").save(name)  # type: ignore[arg-type]
    try:
        notify(f"custom-webhook/{name}", "one", "two")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert GOT == [{"text": "one|two"}]
    with pytest.raises(InputError, match="none for notifications"):
        notify(f"secret/{name}", "one", "two")
    with pytest.raises(Unavailable, match="no such block"):
        notify(f"slack-webhook/{name}", "one", "two")
    with pytest.raises(Unavailable, match="was not sent"):  # nobody is there any more
        notify(f"custom-webhook/{name}", "one", "two")
