"""A ticket system on loopback: the calls that Gatehouse makes of Jira Cloud (REST v3) and of ServiceNow (Table API), and ways to answer badly."""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

USER, TOKEN = "gatehouse@example.org", "ATATT-a-token-nobody-may-see"
SUMMARY = "canary-of-the-summary"
NOW = datetime.now(UTC).replace(microsecond=0)


_NO_ISSUE = json.dumps({"errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {}}).encode()


class TicketServer(ThreadingHTTPServer):
    """Keeps tickets by key, remembers what it was asked, and answers badly where it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reset()

    def reset(self) -> None:
        """No tickets, no faults, nothing asked."""
        self.tickets: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.fault = ""
        self.times = 10**6
        self.elsewhere = ""
        self.later = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, key: str = "CHG-7", **change: Any) -> None:
        """A ticket that is in order for small of test-tenant, changed."""
        good = {
            "state": "Implementing",
            "category": "indeterminate",
            "approved": True,
            "names": ["test-tenant/small"],
            "start": NOW - timedelta(hours=1),
            "end": NOW + timedelta(hours=1),
        }
        self.tickets[key] = good | change


class _Handler(BaseHTTPRequestHandler):
    server: TicketServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server, url = self.server, urlsplit(self.path)
        server.asked.append(self.path)
        if server.fault and server.times > 0:
            server.times -= 1
            getattr(self, f"_{server.fault}")()
        elif self.headers.get("Authorization") not in {_basic(), f"Bearer {TOKEN}"}:
            if url.path.startswith("/rest/api/3/issue/"):  # as Jira Cloud does
                self._send(404, _NO_ISSUE)
            else:
                self._send(401, b"{}")
        elif url.path == "/rest/api/3/myself":
            self._send(200, json.dumps({"accountId": "5b10a2844c20165700ede21g", "active": True}).encode())
        elif url.path.startswith("/rest/api/3/issue/"):
            self._jira(unquote(url.path.removeprefix("/rest/api/3/issue/")), parse_qs(url.query))
        elif url.path == "/api/now/table/change_request":
            self._servicenow(parse_qs(url.query))
        else:
            self._send(404, b"{}")

    def log_message(self, *_: Any) -> None:
        return

    def _jira(self, key: str, query: dict[str, list[str]]) -> None:
        ticket = self.server.tickets.get(key)
        if ticket is None:
            self._send(404, _NO_ISSUE)
            return
        category = {"self": f"{self.server.url}/rest/api/3/statuscategory/4", "id": 4, "key": ticket["category"], "name": "In Progress"}
        fields = {
            "summary": SUMMARY,
            "status": {"self": f"{self.server.url}/rest/api/3/status/3", "name": ticket["state"], "id": "3", "statusCategory": category},
            "labels": ticket["names"],
            "customfield_10100": _jira_time(ticket["start"]),
            "customfield_10101": _jira_time(ticket["end"]),
        }
        wanted = query["fields"][0].split(",")
        shown = {name: fields[name] for name in wanted if name in fields}
        body = {
            "expand": "names",
            "id": "10002",
            "self": f"{self.server.url}/rest/api/3/issue/10002",
            "key": ticket.get("answers_as", key),
            "fields": shown,
        }
        self._send(200, json.dumps(body).encode())

    def _servicenow(self, query: dict[str, list[str]]) -> None:
        clause = query["sysparm_query"][0]
        number = re.fullmatch(r"number=([^^]+)", clause)
        assert query["sysparm_display_value"] == ["false"] and number is not None
        ticket = self.server.tickets.get(number[1])
        records = []
        if ticket is not None:
            record = {
                "number": ticket.get("answers_as", number[1]),
                "state": {"Implementing": "-1", "Closed": "3"}[ticket["state"]],
                "approval": "approved" if ticket["approved"] else "requested",
                "active": "true" if ticket["category"] != "done" else "false",
                "start_date": _servicenow_time(ticket["start"]),
                "end_date": _servicenow_time(ticket["end"]),
                "short_description": SUMMARY,
                "u_pipelines": ", ".join(ticket["names"]),
            }
            records = [{name: record[name] for name in query["sysparm_fields"][0].split(",") if name in record}]
        self._send(200, json.dumps({"result": records * ticket.get("copies", 1) if ticket else []}).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json;charset=UTF-8", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _html(self) -> None:
        self._send(200, b"<html>Log in</html>", "text/html")

    def _html_as_json(self) -> None:
        self._send(200, b"<html>Log in</html>")

    def _large(self) -> None:
        try:
            self._send(200, b'{"key": "' + b"x" * (10 << 20) + b'"}')
        except OSError:
            return  # nobody reads so much

    def _redirect(self) -> None:
        self._send(302, b"", Location=self.server.elsewhere + self.path)

    def _compressed(self) -> None:
        self._send(200, gzip.compress(b" " * (1 << 20)), Content_Encoding="gzip")

    def _busy(self) -> None:
        self._send(503, b"{}")

    def _limited(self) -> None:
        self._send(429, b"{}", Retry_After=self.server.later)

    def _nothing_here(self) -> None:
        self._send(404, b"<html>Not Found</html>", "text/html")

    def _nothing_in_words(self) -> None:
        self._send(404, b"Not Found")

    def _forbidden(self) -> None:
        self._send(403, b"{}")

    def _deep(self) -> None:
        self._send(200, b"[" * 100_000)

    def _other_fields(self) -> None:
        self._send(200, b'{"key": "CHG-7", "fields": {"status": "open"}, "result": "none"}')

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _trickle(self) -> None:
        try:
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: " + b"x" * 200:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            return


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()


def _jira_time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.000+0000"


def _servicenow_time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


JIRA = """
kind: jira
url: {url}
user: gatehouse@example.org
credential: secret/tickets
approved: [Implementing]
pipelines: labels
start: customfield_10100
end: customfield_10101
"""
SERVICENOW = """
kind: servicenow
url: {url}
user: gatehouse@example.org
credential: secret/tickets
pipelines: u_pipelines
"""


@contextmanager
def ticket_server() -> Iterator[TicketServer]:
    """A server that ends with the context."""
    server = TicketServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
