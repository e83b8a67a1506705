"""A provider of a few lines on loopback, which misbehaves as a test says: publishes other keys, drips, and signs without asking anybody."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SmallProvider:
    """What it publishes, and what it was asked.

    Attributes:
        keys: Its JSON Web Keys.
        token: What it gives for a code.
        drips: Seconds between two bytes of its keys; 0 for at once.
        asked: Paths, in order.
    """

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.keys: list[dict[str, Any]] = []
        self.token = ""
        self.drips = 0.0
        self.asked: list[str] = []

    def answer(self, path: str) -> dict[str, Any]:
        """What is at a path."""
        self.asked.append(path)
        if path == "/keys":
            return {"keys": self.keys}
        if path == "/token":
            return {"id_token": self.token}
        ends = {"jwks_uri": "keys", "authorization_endpoint": "authorize", "token_endpoint": "token"}
        return {"issuer": self.issuer, **{name: f"{self.issuer}/{end}" for name, end in ends.items()}}


@contextlib.contextmanager
def small_provider() -> Iterator[SmallProvider]:
    """Serves one while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(provider.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # nobody reads it to the end
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(provider.drips if self.path == "/keys" else 0)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        provider = SmallProvider(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield provider
        server.shutdown()
