"""Who asks: a request is signed with the requester's own key, over manifest, folder and workload, and is worth one run."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import Field

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.methods.certificate import by_certificate, own_certificate
from prefect_gatehouse.identity.methods.interface import Claim
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.statement import Statement
from prefect_gatehouse.value import Value

LIFETIME = timedelta(minutes=10)
"""From signing to admission: long enough for a busy worker, short enough that a copied request is soon worth nothing."""
_SKEW = timedelta(minutes=1)  # between the signer's clock and this one
_CLOCKS = timedelta(minutes=5)  # authorities let a certificate begin a little before it is made, for clocks that are slow


class SignedRequest(Value):
    """A request and its signature; nothing in it is secret."""

    statement: Statement
    signature: str = Field(max_length=16 * 1024)


def subject_of(manifest_digest: str, folder: str, workload_digest: str) -> str:
    """What a request is about: a copy of its manifest in another folder, or beside another workload, is something else.

    Args:
        manifest_digest: Of the manifest.
        folder: Where it lies, as the worker sees it.
        workload_digest: Of the workload's files, and so of what the request is made to run.
    """
    return digest({"manifest": manifest_digest, "folder": folder, "workload": workload_digest})


def sign_request(key_path: Path, subject_digest: str, environment: str, lifetime: timedelta = LIFETIME) -> SignedRequest:
    """Signs a request with the caller's key, and with its certificate where one lies beside it.

    Args:
        key_path: The key.
        subject_digest: Of ``subject_of``.
        environment: Where it is to run.
        lifetime: How long it is to be good for.

    Raises:
        InputError: There is no usable key, or its certificate is not usable.
    """
    now = datetime.now(UTC)
    statement = Statement(
        action="request",
        subject_digest=subject_digest,
        environment=environment,
        request_id=str(uuid.uuid4()),
        nonce=secrets.token_hex(16),
        expires=now + lifetime,
    )
    return SignedRequest(statement=statement, signature=sshsig.sign(key_path, statement.message(), certificate=own_certificate(key_path, now)))


def verify_request(
    request: SignedRequest | None,
    people: People,
    *,
    subject_digest: str,
    environment: str,
    now: datetime,
    longest: timedelta = LIFETIME,
    proof_life: timedelta = timedelta(days=1),
) -> Requester:
    """Who made a request; nobody signed means unverified, and the tier says whether that is enough.

    Args:
        request: The request, None where nobody signed.
        people: The registry.
        subject_digest: What it has to be about.
        environment: Where this process runs.
        now: Time of checking.
        longest: How long it may still be good for: the signer writes the end, and a copy is worth something until then.
        proof_life: How long a certificate may be good for that it is signed with.

    Raises:
        Denied: A signature is there and is not good for this request.
    """
    if request is None:
        return Requester(person="unverified", method="unverified")
    statement = request.statement
    if statement.action != "request" or statement.subject_digest != subject_digest:
        raise Denied("the request was signed for another manifest, folder or workload", where="request", advice="sign again: gatehouse run")
    if statement.environment != environment:
        raise Denied("the request was signed for another environment", where="request", advice="sign it for this environment")
    if statement.expired(now):
        raise Denied("the request has expired", where="request", advice="sign again: gatehouse run")
    key = sshsig.verify(request.signature, statement.message(), certified=True)
    if key.untouched:
        raise Denied("the FIDO key was not touched", where="request", advice="sign the request again, and touch the key when it blinks")
    if statement.expires > now + longest + _SKEW:
        allowed = f"{longest.total_seconds() / 60:g} minutes"
        raise Denied(f"the request would be good for longer than the {allowed} of its tier", where="request", advice="sign again: gatehouse run")
    if key.certificate:
        return _by_certificate(key, request, people, now, proof_life)
    owner = people.owner_of(key.fingerprint)
    if owner is None:
        advice = f"have the registry's keeper add the owner of {key.fingerprint}: gatehouse people add, --role requester and --key with its .pub file"
        raise Denied("the request's key belongs to nobody in the registry", where="request", advice=advice)
    if not owner.may("requester"):
        command = "people add" if owner.service is None else "people service add"
        advice = f"have the registry's keeper run: gatehouse {command} {owner.person} --role requester"
        raise Denied("the person who signed has not the role requester", where="request", advice=advice)
    return Requester(
        person=owner.person,
        method="ssh-fido" if key.fido and key.user_verified else "ssh",
        fingerprint=key.fingerprint,
        request_id=statement.request_id,
        service=owner.service is not None,
    )


def _by_certificate(key: sshsig.VerifiedKey, request: SignedRequest, people: People, now: datetime, longest: timedelta) -> Requester:
    statement = request.statement
    try:
        proven = by_certificate(key, Claim("", request.signature, statement.message(), "request", now), people)
    except Denied as denied:
        raise Denied(denied.message, where="request", advice="sign again with a certificate that counts: gatehouse run") from None
    if proven.life is not None and proven.life > longest + _CLOCKS:
        hours = f"{longest.total_seconds() / 3600:g} h"
        raise Denied(f"the certificate is good for longer than the {hours} of its tier", where="request", advice="have one made that ends sooner")
    if not proven.may("requester"):
        advice = f"the registry's keeper gives it, and so does a group of the certificate's authority: gatehouse people add {proven.person.person}"
        raise Denied("the person who signed has not the role requester", where="request", advice=f"{advice} --role requester")
    return Requester(
        person=proven.person.person,
        method="ssh-certificate",
        fingerprint=proven.fingerprint,
        request_id=statement.request_id,
        service=proven.person.service is not None,
    )
