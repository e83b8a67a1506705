"""Passwords and tokens in the text of a manifest, which stands in clear in the ledger, on the approval form and in Prefect."""

from __future__ import annotations

import re

_NAMES = (
    r"pass(?:word|wd|phrase|code)?|pwd|ssl_?password|secret|client_?secret|token|(?:access|auth|refresh|id|sas|security)_?token|api_?key|"
    r"access_?key(?:_?id)?|account_?key|private_?key|sig|signature|x-amz-(?:signature|credential|security-token)|credentials?"
)
# user:password@ of RFC 3986, section 3.2.1.
_USER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]{0,200}:[^\s/@]{1,400}@")
_OPTION = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://\S*?[?&;#](?:{_NAMES})=[^\s&;]", re.IGNORECASE)
# The other form of an address, as libpq and ODBC have it: host=... user=... password=...
_WORDS = re.compile(r"(?:password|passwd|pwd)\s*=\s*[^\s=;]", re.IGNORECASE)
_ADDRESS = re.compile(r"\b(?:host|hostaddr|server|data source|user|uid|user id|dbname|database|driver|dsn)\s*=", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'")
_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
# What issues tokens gives them a form: AWS, GitHub, Slack, Vault, many an API, and JSON Web Tokens (RFC 7519).
_TOKEN = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|hv[sbr]\.[A-Za-z0-9_-]{20,}|"
    r"sk-[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"
)
_NAMED = re.compile(rf"(?:.*[_-])?(?:{_NAMES})", re.IGNORECASE)


def holds_secret(text: str, *, sql: bool = False) -> bool:
    """Whether a text holds a password or a token where an address has one, or a private key.

    Args:
        text: The text.
        sql: It is SQL, where ``password = ...`` alone compares a column; only what stands in quotes can be an address.
    """
    if any(form.search(text) for form in (_USER, _OPTION, _KEY, _TOKEN)):
        return True
    parts = _QUOTED.findall(text) if sql else [text]
    return any(_WORDS.search(part) and _ADDRESS.search(part) for part in parts)


def names_secret(name: str) -> bool:
    """Whether a name that people give to a value says that it lets somebody in, such as ``password`` or ``db_api_key``."""
    return _NAMED.fullmatch(name) is not None
