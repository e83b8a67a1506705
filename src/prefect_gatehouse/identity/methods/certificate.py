"""SSH signatures with a certificate (OpenSSH's PROTOCOL.certkeys) of an authority that the registry names: a proof that ends by itself.

What ``ssh-keygen -Y verify`` asks of a certificate is asked here, and more: it has a principal that is one person of the registry and no more
than one, no critical option (none is understood), no signature with SHA-1, and its key is nobody else's.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization.ssh import SSHCertificate, SSHCertificateType, load_ssh_public_identity

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity.allowed_signers import matches
from prefect_gatehouse.identity.authorities import Authority, authorities
from prefect_gatehouse.identity.keys import fingerprint, public_line
from prefect_gatehouse.identity.methods.interface import Claim, Proven, refuse
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.identity.sshsig import VerifiedKey, certified_key, fingerprint_of, read_public

_AGAIN = "have a new certificate made for your key, as KEY-cert.pub beside it, and answer again"
_LAST = datetime(9999, 12, 31, tzinfo=UTC)  # what ssh-keygen calls forever is beyond any date


@dataclass(frozen=True)
class Certificate:
    """What a certificate says that its authority has signed; whether that authority counts is the registry's to say.

    Attributes:
        authority: Fingerprint of the key that signed it.
        fingerprint: Of the key that it is of.
        serial: Its number.
        principals: Whom and which groups it names.
        valid_after: From then on.
        valid_before: Not any more from then on.
    """

    authority: str
    fingerprint: str
    serial: int
    principals: tuple[str, ...]
    valid_after: datetime
    valid_before: datetime

    @property
    def life(self) -> timedelta:
        """From when to when it is good."""
        return self.valid_before - self.valid_after


def read_certificate(blob: bytes) -> Certificate:
    """Reads a certificate and checks its authority's signature.

    Raises:
        Denied: It is malformed, forged, weak, a host's, or has a critical option.
    """
    try:
        found = _loaded(blob)
        key, authority = certified_key(blob), _blob_of(found)
        read_public(authority)  # as strong as any key of the registry
        _refuse_sha1(found, blob)
        found.verify_cert_signature()
        principals = tuple(each.decode() for each in found.valid_principals)
        after, before = _moment(found.valid_after), _moment(found.valid_before)
    except (ValueError, TypeError, AssertionError, InvalidSignature, UnsupportedAlgorithm, struct.error):
        refuse("the certificate is malformed, or not what its authority signed", _AGAIN)
    if found.type is not SSHCertificateType.USER:
        refuse("the certificate is a host's, not a person's", _AGAIN)
    if found.critical_options:
        refuse("the certificate has a critical option, and none is understood here", _AGAIN)
    return Certificate(fingerprint_of(authority), fingerprint_of(key), found.serial, principals, after, before)


def by_certificate(key: VerifiedKey, claim: Claim, people: People) -> Proven:
    """Whose a signature with a certificate is.

    Args:
        key: Whose signature has been verified.
        claim: What it was given for.
        people: The registry.

    Raises:
        Denied: It proves nobody of the registry.
    """
    found = read_certificate(key.certificate)
    authority = _authority(found, people, claim.at)
    if claim.at < found.valid_after:
        refuse("the certificate is not valid yet", _AGAIN)
    if claim.at >= found.valid_before:
        refuse("the certificate has expired", _AGAIN)
    if found.serial in authority.revoked_serials or found.fingerprint in authority.revoked_keys | people.revoked_keys():
        refuse("the certificate, or its key, has been revoked", _AGAIN)
    person = _person(found, authority, people)
    if not claim.is_named(person.person):
        refuse("the certificate is not the named approver's")
    return Proven(person, "ssh-certificate", found.fingerprint, life=found.life, roles=authority.roles_of(found.principals))


def person_of(blob: bytes, people: People, at: datetime) -> Person | None:
    """Whom a certificate names, None where it would prove nobody: what somebody who holds it is told, not a proof."""
    try:
        found = read_certificate(blob)
        if not found.valid_after <= at < found.valid_before:
            return None
        return _person(found, _authority(found, people, at), people)
    except Denied:
        return None


def own_certificate(private_key_path: Path, at: datetime) -> bytes:
    """The certificate beside a private key, ``KEY-cert.pub`` as ssh has it; empty where there is none.

    Raises:
        InputError: It is none, of another key, or not valid now: a key that would sign instead of it is said, not guessed.
    """
    path = private_key_path.with_name(f"{private_key_path.name}-cert.pub")
    if not path.exists():
        return b""
    try:
        blob = base64.b64decode(path.read_text().split()[1], validate=True)
        found = read_certificate(blob)
        mine = fingerprint(public_line(private_key_path))
    except (OSError, ValueError, IndexError, Denied):
        raise InputError("this is no certificate that is taken here", where=str(path), advice="have a new one made for your key") from None
    if found.fingerprint != mine:
        raise InputError("the certificate is of another key than the one beside it", where=str(path), advice="have one made for this key")
    if not found.valid_after <= at < found.valid_before:
        advice = "have a new one made, or take the file away to sign with the key alone"
        raise InputError("the certificate is not valid now", where=str(path), advice=advice)
    return blob


def _authority(found: Certificate, people: People, at: datetime) -> Authority:
    authority = next((each for each in authorities(people) if each.fingerprint == found.authority), None)
    if authority is None or not authority.valid_at(at):
        advice = "the registry's keeper adds an authority with: gatehouse people authority add, and lists them with: gatehouse people authority list"
        refuse("the certificate's authority is not in the registry of people", advice)
    return authority


def _person(found: Certificate, authority: Authority, people: People) -> Person:
    """The one person whom it names: with two, one key would be two approvers."""
    known = {each.person: each for each in people.all()}
    named = [known[principal] for principal in dict.fromkeys(found.principals) if principal in known]
    if len(named) != 1 or not matches(authority.names, named[0].person):
        why = "names more than one person" if len(named) > 1 else "names nobody"
        advice = "principals are compared letter by letter: gatehouse people list"
        refuse(f"the certificate {why} of the registry whom its authority may name", advice)
    if any(key.fingerprint == found.fingerprint for each in known.values() if each != named[0] for key in each.keys):
        refuse("the certificate is of a key that is another person's", _AGAIN)
    return named[0]


def _loaded(blob: bytes) -> SSHCertificate:
    kind = blob[4 : 4 + struct.unpack(">I", blob[:4])[0]]
    found = load_ssh_public_identity(kind + b" " + base64.b64encode(blob))
    if not isinstance(found, SSHCertificate):
        raise ValueError("no certificate")
    return found


def _blob_of(found: SSHCertificate) -> bytes:
    """The blob of the authority's key."""
    line = found.signature_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def _refuse_sha1(found: SSHCertificate, blob: bytes) -> None:
    """An RSA signature ends the certificate: length and name of its algorithm, length and number."""
    key = found.signature_key()
    if isinstance(key, rsa.RSAPublicKey):
        end = len(blob) - key.key_size // 8 - 4
        if not any(blob[:end].endswith(struct.pack(">I", len(name)) + name) for name in (b"rsa-sha2-256", b"rsa-sha2-512")):
            raise ValueError("weak hash")


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC) if seconds < _LAST.timestamp() else _LAST
