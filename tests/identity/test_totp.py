"""One-time codes, against the vectors of RFC 4226 and RFC 6238."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.identity.totp import STEP_SECONDS, code_at, matching_step, new_secret, provisioning_uri

SECRET = b"12345678901234567890"
TEXT = base64.b32encode(SECRET).decode()
NOW = datetime(2026, 11, 5, 12, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("counter", "code"),
    list(enumerate(["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"])),
)
def test_rfc_4226_appendix_d(counter: int, code: str) -> None:
    """The ten values of HOTP's own table."""
    assert code_at(SECRET, counter) == code


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    """The SHA-1 column with eight digits; six digits are its last six, and they match at that time."""
    assert code_at(SECRET, seconds // STEP_SECONDS, 8) == code
    assert matching_step(TEXT, code[-6:], datetime.fromtimestamp(seconds, UTC)) == seconds // STEP_SECONDS


@pytest.mark.parametrize("skew", range(-4, 5))
def test_drift_window(skew: int) -> None:
    """A code of one step before or after is accepted and says which step it was; further away it is not."""
    step = int(NOW.timestamp()) // STEP_SECONDS
    assert matching_step(TEXT, code_at(SECRET, step + skew), NOW) == (step + skew if abs(skew) <= 1 else None)


def test_the_edges_of_a_step() -> None:
    """A code lives from 30 s before its step to 30 s after it, to the second."""
    step = int(NOW.timestamp()) // STEP_SECONDS
    begin = datetime.fromtimestamp(step * STEP_SECONDS, UTC)
    code = code_at(SECRET, step)
    for offset, expected in ((-31, None), (-30, step), (0, step), (29, step), (59, step), (60, None)):
        assert matching_step(TEXT, code, begin + timedelta(seconds=offset)) == expected, offset


def test_the_first_step_of_all() -> None:
    """At the epoch there is no step before, and nothing breaks."""
    assert matching_step(TEXT, "755224", datetime.fromtimestamp(0, UTC)) == 0


@settings(max_examples=200, deadline=None)
@given(secret=st.one_of(st.just(TEXT), st.text(max_size=40)), code=st.text(max_size=10))
def test_nothing_typed_raises(secret: str, code: str) -> None:
    """Any code and any damaged secret give a step or None."""
    step = int(NOW.timestamp()) // STEP_SECONDS
    assert matching_step(secret, code, NOW) in {None, step - 1, step, step + 1}


@pytest.mark.parametrize("code", ["", "75522", "7552240", " 755224", "\N{ARABIC-INDIC DIGIT SEVEN}55224", "755224\n", "-55224", "7.5e22", "\0" * 6])
def test_what_only_resembles_a_code(code: str) -> None:
    """Blanks, other scripts' digits, signs and other lengths do not match."""
    assert matching_step(TEXT, code, datetime.fromtimestamp(0, UTC)) is None


def test_new_secrets_are_fresh_and_long_enough() -> None:
    """160 bits each (RFC 4226 R6), none twice."""
    made = {new_secret() for _ in range(50)}
    assert len(made) == 50
    assert all(len(base64.b32decode(secret)) == 20 for secret in made)


def test_provisioning_uri() -> None:
    """What an authenticator scans names issuer, person, secret, digits and period, with a person's odd characters escaped."""
    parts = urlsplit(provisioning_uri("zoë+ops@example.org", TEXT))
    assert (parts.scheme, parts.netloc, unquote(parts.path)) == ("otpauth", "totp", "/Gatehouse:zoë+ops@example.org")
    assert parse_qs(parts.query) == {"secret": [TEXT], "issuer": ["Gatehouse"], "digits": ["6"], "period": ["30"]}
