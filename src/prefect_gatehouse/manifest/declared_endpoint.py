"""The address of a system as a manifest names it: where it is, and nothing that lets anybody in.

A manifest stands in clear in the ledger, on the approval form and in Prefect. So an endpoint has neither user, password nor options: those
are the secret block's.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from prefect_gatehouse.manifest.fields import Line

# SQLAlchemy's URL without user, driver and options; the tests hold it against ``write_back.endpoints``, which makes one of an address.
_PORTS = "(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
_HOST = rf"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])?(?::{_PORTS})?"
_FORM = rf"(?:sqlite:///(?!file:|:memory:)[^?#\s](?:[^?#]*[^?#\s])?|(?!sqlite:)[a-z][a-z0-9]*://{_HOST}/[^?#@\s](?:[^?#@]*[^?#@\s])?)"
_FORMED = re.compile(_FORM)
_PORT = re.compile(r"[a-z][a-z0-9]*://[^/]*:([0-9]{1,9})/")
LAST_PORT = 65_535
"""TCP has 16 bits for a port (RFC 9293, section 3.1)."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9]*)(\+[A-Za-z0-9_.-]*)?:")
_OTHER_NAMES = {"postgres": "postgresql", "pgsql": "postgresql", "sqlite3": "sqlite"}
_NO_DATABASES = frozenset({"http", "https", "ftp", "sftp", "file", "s3", "gs", "jdbc", "odbc", "ldap", "redis", "amqp"})
_WANTED = "write dialect://host[:port]/database, or sqlite:///file-name"


def _endpoint(text: str) -> str:
    problem = _problem(text)
    if problem is not None:
        raise ValueError(problem)
    return text


Endpoint = Annotated[Line, AfterValidator(_endpoint), Field(json_schema_extra={"pattern": f"^{_FORM}$"})]
"""``dialect://host[:port]/database``, or ``sqlite:///file-name``."""


def is_endpoint(text: str) -> bool:
    """Whether a text has the form of one."""
    return _problem(text) is None


def dialect_of(endpoint: str) -> str:
    """The dialect of an endpoint."""
    return endpoint.partition(":")[0]


def _problem(text: str) -> str | None:
    """What is wrong with an endpoint; the sentence holds nothing of it."""
    scheme = _SCHEME.match(text)
    name = scheme[1].lower() if scheme else ""
    if text != text.strip():
        return "there is a blank or a line break at its start or end; remove it"
    if _names_somebody(text):
        return "an endpoint holds no user and no password; keep them in the secret block and write dialect://host[:port]/database"
    if scheme is None or "://" not in text:
        return f"this is no URL; {_WANTED}"
    if name in _NO_DATABASES:
        return f"this is no database; {_WANTED}"
    if "?" in text or "#" in text:
        return "an endpoint has no options; keep them in the secret block, passwords and tokens above all"
    if scheme[2] is not None:
        return "an endpoint names no driver; leave out what follows the + before the colon"
    if name in _OTHER_NAMES:
        return f"SQLAlchemy knows no such dialect; write {_OTHER_NAMES[name]}://"
    if name == "sqlite" and (":memory:" in text or text.startswith("sqlite:///file:")):
        return "this names no file; write sqlite:///file-name"
    return None if _FORMED.fullmatch(text) else _unformed(text)


def _unformed(text: str) -> str:
    port = _PORT.match(text)
    if port is not None and not 1 <= int(port[1]) <= LAST_PORT:
        return f"a port is a number from 1 to {LAST_PORT}"
    return f"this is no endpoint; {_WANTED}"


def _names_somebody(text: str) -> bool:
    """Whether there is something before an @; the name of a file may have one, but not after a colon, where a password would be."""
    scheme, _, rest = text.partition("://")
    if scheme.startswith("sqlite") and rest.startswith("/"):
        return "@" in rest.partition(":")[2]
    return "@" in text
