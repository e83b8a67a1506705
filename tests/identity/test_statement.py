"""What people sign, and signed requests."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.identity.ssh_signatures import sk_blob, sk_signature

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.request import LIFETIME, SignedRequest, sign_request, verify_request
from prefect_gatehouse.identity.statement import Statement, plain_line

NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
DIGEST, OTHER = "a" * 64, "b" * 64
FIELDS = {"action": "approve", "subject_digest": DIGEST, "environment": "local", "request_id": "run-1", "nonce": "0" * 32, "expires": NOW}


def test_the_signed_bytes() -> None:
    """RFC 8785: sorted, without blanks or line end; this very text is what signatures were made over since 0.3."""
    assert Statement.model_validate(FIELDS).message() == (
        b'{"action":"approve","environment":"local","expires":"2026-11-05T12:00:00Z","nonce":"00000000000000000000000000000000",'
        b'"request_id":"run-1","subject_digest":"' + DIGEST.encode() + b'"}'
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "reject"),
        ("subject_digest", OTHER),
        ("environment", "production"),
        ("request_id", "run-2"),
        ("nonce", "1" * 32),
        ("expires", NOW + timedelta(seconds=1)),
    ],
)
def test_every_field_is_signed(field: str, value: object) -> None:
    """Another value in any field gives other bytes."""
    assert Statement.model_validate(FIELDS | {field: value}).message() != Statement.model_validate(FIELDS).message()


@given(st.integers(-14 * 60, 14 * 60))
def test_one_moment_has_one_spelling(minutes: int) -> None:
    """The same moment in another time zone gives the same bytes."""
    there = NOW.astimezone(timezone(timedelta(minutes=minutes)))
    assert Statement.model_validate(FIELDS | {"expires": there}).message() == Statement.model_validate(FIELDS).message()


@given(st.text(max_size=80), st.text(max_size=80), st.datetimes(timezones=st.just(UTC)))
def test_round_trip(environment: str, request_id: str, expires: datetime) -> None:
    """What was signed can be read back and gives the same bytes."""
    statement = Statement.model_validate(FIELDS | {"environment": environment, "request_id": request_id, "expires": expires})
    assert Statement.model_validate_json(statement.message()).message() == statement.message()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "submit"),
        ("subject_digest", "A" * 64),
        ("subject_digest", "a" * 63),
        ("subject_digest", "a" * 64 + "\n"),
        ("nonce", "0" * 31),
        ("nonce", "0" * 32 + "\n"),
        ("expires", datetime(2026, 11, 5, 12)),
        ("extra", 1),
        ("environment", "x" * 81),
    ],
)
def test_malformed_statements(field: str, value: object) -> None:
    """Unknown actions and fields, digests of another shape and times without a zone are no statements."""
    with pytest.raises(ValidationError):
        Statement.model_validate(FIELDS | {field: value})


WORDS = (("Pipeline", "small, tier prototype"), ("Rows", "3"))


def test_of_a_plan_people_sign_words() -> None:
    """A line for each thing, then what binds it; this very text is what approvals of this release are made over."""
    statement = Statement.model_validate(FIELDS | {"words": WORDS})
    assert statement.message().decode() == (
        "I approve this run of Gatehouse.\nPipeline: small, tier prototype\nRows: 3\nEnvironment: local\nRun: run-1\n"
        f"Plan digest: {DIGEST}\nOpen until: 2026-11-05T12:00:00Z\nNonce: {'0' * 32}"
    )
    rejection = Statement.model_validate(FIELDS | {"words": WORDS, "action": "reject"})
    assert rejection.message().decode().startswith("I reject this run of Gatehouse.\n")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "reject"),
        ("subject_digest", OTHER),
        ("environment", "production"),
        ("request_id", "run-2"),
        ("nonce", "1" * 32),
        ("expires", NOW + timedelta(seconds=1)),
        ("words", (("Pipeline", "small, tier prototype"), ("Rows", "4"))),
        ("words", WORDS[:1]),
        ("words", ()),
    ],
)
def test_every_field_is_signed_in_words(field: str, value: object) -> None:
    """Another value in any field, and another word, gives other bytes; so does the form of a request."""
    assert Statement.model_validate(FIELDS | {"words": WORDS} | {field: value}).message() != (
        Statement.model_validate(FIELDS | {"words": WORDS}).message()
    )


@pytest.mark.parametrize("text", ["a\nRows: 1", "a'; id #", "a\u202eb", "a\x1b[2K", "```", "a\u2028b"])
def test_no_word_ends_its_line(text: str) -> None:
    """A name that would add a line, end the quotation or turn the text round is no word; made plain it is one, on one line."""
    with pytest.raises(ValidationError):
        Statement.model_validate(FIELDS | {"words": (("Pipeline", text),)})
    message = Statement.model_validate(FIELDS | {"words": (("Pipeline", plain_line(text)),)}).message().decode()
    assert message.count("\n") == 6 and message.isprintable() is False and all(line.isprintable() for line in message.split("\n"))


def test_expiry_is_exclusive() -> None:
    """At the very moment it is over."""
    statement = Statement.model_validate(FIELDS)
    assert not statement.expired(NOW - timedelta(microseconds=1))
    assert statement.expired(NOW)


@pytest.fixture
def people(tmp_path: Path) -> People:
    """A requester, and an approver who may not ask."""
    registry = People(tmp_path / "people")
    registry.add("ann", key=generate_key(tmp_path / "ann", ""), roles=frozenset({"requester"}))
    registry.add("bob", key=generate_key(tmp_path / "bob", ""), roles=frozenset({"approver"}))
    generate_key(tmp_path / "mallory", "")
    return registry


def verified(request: SignedRequest | None, people: People, **change: object) -> object:
    """Verifies a request for the usual manifest here and now."""
    given_: dict[str, object] = {"subject_digest": DIGEST, "environment": "local", "now": datetime.now(UTC)} | change
    return verify_request(request, people, **given_)  # type: ignore[arg-type]


def test_who_signed_is_the_requester(people: People, tmp_path: Path) -> None:
    """Person, method, key and request come out of the signature; the request survives JSON on its way through Prefect."""
    request = sign_request(tmp_path / "ann", DIGEST, "local")
    requester = verify_request(
        SignedRequest.model_validate_json(request.model_dump_json()), people, subject_digest=DIGEST, environment="local", now=datetime.now(UTC)
    )
    assert (requester.person, requester.method, requester.request_id) == ("ann", "ssh", request.statement.request_id)
    assert requester.fingerprint == fingerprint((tmp_path / "ann.pub").read_text())


def test_nobody_signed(people: People) -> None:
    """Without a signature the requester is nobody; whether that is enough is the tier's to say."""
    requester = verify_request(None, people, subject_digest=DIGEST, environment="local", now=NOW)
    assert (requester.person, requester.method, requester.fingerprint) == ("unverified", "unverified", "")


def edited(request: SignedRequest, **change: object) -> SignedRequest:
    """The signature stays, the statement becomes another."""
    statement = Statement.model_validate(json.loads(request.statement.model_dump_json()) | change)
    return request.model_copy(update={"statement": statement})


def test_attacks_on_requests(people: People, tmp_path: Path) -> None:
    """A request for another manifest or place, an old, edited or stolen one, and one of somebody who may not ask: all no."""
    good = sign_request(tmp_path / "ann", DIGEST, "local")
    assert verified(good, people)
    approval = Statement.model_validate(FIELDS | {"expires": datetime.now(UTC) + LIFETIME})
    approved = SignedRequest(statement=approval, signature=sshsig.sign(tmp_path / "ann", approval.message()))
    attacks: list[tuple[SignedRequest, dict[str, object], str]] = [
        (good, {"subject_digest": OTHER}, "another manifest"),
        (good, {"environment": "production"}, "another environment"),
        (good, {"now": good.statement.expires}, "expired"),
        (sign_request(tmp_path / "ann", OTHER, "local"), {}, "another manifest"),
        (edited(sign_request(tmp_path / "ann", OTHER, "local"), subject_digest=DIGEST), {}, "not a valid signature"),
        (edited(good, expires="2099-01-01T00:00:00Z"), {"now": datetime(2098, 1, 1, tzinfo=UTC)}, "not a valid signature"),
        (edited(good, request_id="another"), {}, "not a valid signature"),
        (good.model_copy(update={"signature": sign_request(tmp_path / "ann", DIGEST, "local").signature}), {}, "not a valid signature"),
        (good.model_copy(update={"signature": ""}), {}, "not a valid signature"),
        (sign_request(tmp_path / "mallory", DIGEST, "local"), {}, "belongs to nobody"),
        (sign_request(tmp_path / "bob", DIGEST, "local"), {}, "role requester"),
        (approved, {}, "another manifest"),
        (sign_request(tmp_path / "ann", DIGEST, "local", timedelta(days=365)), {}, "longer than the 10 minutes of its tier"),
        (good, {"longest": timedelta(minutes=5)}, "longer than the 5 minutes of its tier"),
    ]
    for request, change, reason in attacks:
        with pytest.raises(Denied, match=reason):
            verified(request, people, **change)
    people.revoke("ann", fingerprint((tmp_path / "ann.pub").read_text()))
    with pytest.raises(Denied, match="belongs to nobody"):
        verified(good, people)


@pytest.mark.parametrize(("flags", "counts"), [(5, True), (1, True), (4, False), (0, False)])
def test_a_request_of_an_authenticator(people: People, tmp_path: Path, flags: int, counts: bool) -> None:
    """Of one that nobody touched it is nobody's: a program of that machine could have asked it."""
    people.add("ann", key=f"sk-ssh-ed25519@openssh.com {base64.b64encode(sk_blob()).decode()}", roles=frozenset({"requester"}))
    statement = sign_request(tmp_path / "ann", DIGEST, "local").statement
    request = SignedRequest(statement=statement, signature=sk_signature(flags, message=statement.message()))
    if counts:
        requester = verify_request(request, people, subject_digest=DIGEST, environment="local", now=datetime.now(UTC))
        assert requester.method == ("ssh-fido" if flags == 5 else "ssh")
    else:
        with pytest.raises(Denied, match="was not touched"):
            verified(request, people)


def test_signing_without_a_key(tmp_path: Path) -> None:
    """No key, no request."""
    with pytest.raises(InputError, match="no usable signing key"):
        sign_request(tmp_path / "none", DIGEST, "local")
