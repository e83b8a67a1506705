"""One-time codes: TOTP as RFC 6238 over RFC 4226, SHA-1, 30 seconds, six digits, as authenticator apps have it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime
from urllib.parse import quote

STEP_SECONDS = 30
DIGITS = 6
_SKEW = 1  # steps to either side: RFC 6238 section 5.2 recommends one for network delay


def new_secret() -> str:
    """A new shared secret of 160 bits (RFC 4226 section 4, R6), base32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code_at(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """The HOTP value of a time step, RFC 4226 section 5.3."""
    mac = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)
    offset = mac[-1] & 0x0F
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def matching_step(secret: str, code: str, at: datetime) -> int | None:
    """The time step that a code belongs to, within one step of now; None if it belongs to none.

    Args:
        secret: Shared secret, base32.
        code: What was typed.
        at: Aware time of checking.
    """
    try:
        raw = base64.b32decode(secret)
    except (binascii.Error, ValueError):
        return None
    if not code.isascii():
        return None
    now = int(at.timestamp()) // STEP_SECONDS
    found = None
    for step in range(max(now - _SKEW, 0), now + _SKEW + 1):
        # No early exit: the time must not tell which step matched.
        if hmac.compare_digest(code_at(raw, step).encode(), code.encode()):
            found = step
    return found


def provisioning_uri(person: str, secret: str) -> str:
    """The otpauth URI that an authenticator app scans."""
    label = quote(f"Gatehouse:{person}")
    return f"otpauth://totp/{label}?secret={secret}&issuer=Gatehouse&digits={DIGITS}&period={STEP_SECONDS}"
