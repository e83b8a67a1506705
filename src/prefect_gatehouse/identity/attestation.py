"""Attestations of FIDO keys, as ``ssh-keygen -O write-attestation`` keeps them (OpenSSH's PROTOCOL.u2f; WebAuthn Level 2, section 8.2).

An authenticator signs, with a key that its vendor has certified, that it made a key for a challenge just now. Without that, whoever has a key in a
file can write it down as a FIDO key, and set the flags of touch and PIN on every signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.keys import parse_public
from prefect_gatehouse.identity.sshsig import PublicKey, Reader, read_public

_MAGIC = b"ssh-sk-attest-v01"
_OLD = b"ssh-sk-attest-v00"
_LIMIT = 64 * 1024  # bytes of a file; those that are seen have 1,500
_SHORTEST = 16  # bytes of a challenge: one that can be guessed could be answered before it was asked
_MOST = 4  # certificates from the authenticator's own to the root, both counted
_AAGUID = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")  # id-fido-gen-ce-aaguid
_PRESENT, _HAS_KEY, _HAS_EXTENSIONS = 0x01, 0x40, 0x80
_AGAIN = "make a new key, and give both files that were written: ssh-keygen -t ed25519-sk -O challenge=FILE -O write-attestation=FILE"
_NO_CERTIFICATE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)
_NO_EXTENSION = (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What cryptography raises where bytes are no certificate, and where what is asked of one is not there or is malformed."""


@dataclass(frozen=True)
class Attested:
    """What an attestation proves of a key.

    Attributes:
        root: SHA-256 of the root certificate, hexadecimal.
        aaguid: Which model of authenticator made the key.
    """

    root: str
    aaguid: str


def read_roots(pem: bytes) -> list[x509.Certificate]:
    """Vendors' certificates of a PEM file: roots, and those between them and their authenticators.

    Raises:
        InputError: It holds none, or one that may not issue.
    """
    try:
        with _unmoved():
            listed = x509.load_pem_x509_certificates(pem)
        found = [_certificate(each.public_bytes(serialization.Encoding.DER)) for each in listed]
        if not found or not all(_may_issue(each) for each in found):
            raise ValueError
    except _NO_CERTIFICATE:
        advice = "a PEM file of the vendor's root, and of what it has issued in between"
        raise InputError("these are no certificates that issue others", where="FILE", advice=advice) from None
    return found


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def pem_of(certificate: x509.Certificate) -> str:
    """A certificate as the registry keeps it."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def check_attestation(key: str, attestation: bytes, challenge: bytes, roots: Sequence[x509.Certificate], at: datetime) -> Attested:
    """What an attestation proves of a public key.

    Args:
        key: Public line of the key.
        attestation: What ``-O write-attestation`` wrote.
        challenge: What ``-O challenge`` was given.
        roots: The vendors' certificates that the installation names.
        at: Aware time at which certificates have to be valid.

    Raises:
        InputError: It proves nothing of this key, or not to these roots; says which.
    """
    public = read_public(base64.b64decode(parse_public(key)[1]))
    if public.application is None or not public.application.startswith(b"ssh:"):
        _no("the key is no FIDO key of SSH")
    if len(challenge) < _SHORTEST:
        _no(f"the challenge is shorter than {_SHORTEST} bytes")
    leaf, signature, signed = _parts(attestation)
    aaguid = _credential(signed, public)
    _refuse_other_leaf(leaf, aaguid)
    try:
        key_of_leaf = leaf.public_key()
        if not isinstance(key_of_leaf, ec.EllipticCurvePublicKey):
            raise ValueError
        key_of_leaf.verify(signature, signed + hashlib.sha256(challenge).digest(), ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        _no("the attestation is not of this challenge, or its signature is not its certificate's")
    return Attested(fingerprint_of(_root_of(leaf, roots, at)), str(aaguid))


def _no(why: str, advice: str = _AGAIN) -> NoReturn:
    raise InputError(why, where="attestation", advice=advice)


def _parts(data: bytes) -> tuple[x509.Certificate, bytes, bytes]:
    """Certificate, signature and authenticator data of a file."""
    try:
        if len(data) > _LIMIT:
            raise ValueError
        reader = Reader(data)
        magic = reader.string()
        if magic == _OLD:
            _no("the attestation has no authenticator data: it is of an OpenSSH before 8.4")
        certificate, signature, wrapped, flags, reserved = reader.string(), reader.string(), reader.string(), reader.take(4), reader.string()
        reader.end()
        if magic != _MAGIC or flags != bytes(4) or reserved:
            raise ValueError
        signed, rest = _item(wrapped)
        if not isinstance(signed, bytes) or rest:
            raise ValueError
        if not certificate:
            _no("the attestation has no certificate: the authenticator vouches for itself alone")
        return _certificate(certificate), signature, signed
    except (*_NO_CERTIFICATE, IndexError, struct.error):
        _no("this is no attestation that ssh-keygen wrote")


@contextmanager
def _unmoved() -> Iterator[None]:
    """Without warnings of a serial number or a country that RFC 5280 would not have: whoever signed the certificate let them pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _certificate(der: bytes) -> x509.Certificate:
    """A certificate, of which everything has been read that cryptography reads only when it is asked.

    Raises:
        Exception: One of those that stand for no certificate.
    """
    with _unmoved():
        found = x509.load_der_x509_certificate(der)
        lazily = (found.subject, found.issuer, found.not_valid_before_utc, found.not_valid_after_utc)
    if not all(lazily) or not der.endswith(b"\0" + found.signature):  # a signature has whole bytes, and nothing stands behind it
        raise ValueError("no certificate")
    return found


def _item(data: bytes, depth: int = 0) -> tuple[int | bytes | dict[int, object], bytes]:
    """One item of CBOR (RFC 8949) and what is behind it: the numbers, byte strings and map that CTAP2 writes keys with, in their short forms."""
    major, low = data[0] >> 5, data[0] & 0x1F
    data = data[1:]
    if low >= 24:
        width = {24: 1, 25: 2}.get(low)
        if width is None or len(data) < width:
            raise ValueError("not a form that is read")
        low, data = int.from_bytes(data[:width], "big"), data[width:]
    if major == 0:
        return low, data
    if major == 1:
        return -1 - low, data
    if major == 2:
        if low > len(data):
            raise ValueError("truncated")
        return data[:low], data[low:]
    if major != 5 or depth:
        raise ValueError("not a form that is read")
    found: dict[int, object] = {}
    for _ in range(low):
        name, data = _item(data, depth + 1)
        value, data = _item(data, depth + 1)
        if not isinstance(name, int) or name in found:
            raise ValueError("no key")
        found[name] = value
    return found, data


def _credential(signed: bytes, public: PublicKey) -> uuid.UUID:
    """The authenticator's model, once the authenticator data (WebAuthn, section 6.1) is of the key that is enrolled."""
    try:
        flags, (size,) = signed[32], struct.unpack(">H", signed[53:55])
        made, rest = _item(signed[55 + size :])
        whole = len(signed) > 55 + size and (not rest or flags & _HAS_EXTENSIONS)
        if not whole or not isinstance(made, dict) or not flags & _HAS_KEY:
            raise ValueError
    except (ValueError, IndexError, struct.error):
        _no("the attestation's authenticator data is malformed")
    if signed[:32] != hashlib.sha256(public.application or b"").digest():
        _no("the attestation is of a key for another application")
    if not flags & _PRESENT:
        _no("nobody touched the authenticator")
    if made != _cose(public):
        _no("the attestation is of another key")
    return uuid.UUID(bytes=signed[37:53])


def _cose(public: PublicKey) -> Mapping[int, object]:
    """A key as COSE has it (RFC 9053, sections 7.1 and 7.2)."""
    if isinstance(public.key, ed25519.Ed25519PublicKey):
        return {1: 1, 3: -8, -1: 6, -2: public.key.public_bytes_raw()}
    if isinstance(public.key, ec.EllipticCurvePublicKey):
        numbers = public.key.public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    _no("the key is no FIDO key of SSH")


def _refuse_other_leaf(leaf: x509.Certificate, aaguid: uuid.UUID) -> None:
    """What WebAuthn demands of an attestation certificate (section 8.2.1): a vendor's other certificates attest nothing."""
    try:
        units = [each.value for each in leaf.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)]
        authority = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        right = leaf.version is x509.Version.v3 and units == ["Authenticator Attestation"] and not authority
        named = [each.value for each in leaf.extensions if each.oid == _AAGUID]
    except _NO_EXTENSION:
        right, named = False, []
    if not right:
        _no("the attestation's certificate is not one of an authenticator")
    if any(getattr(each, "value", b"") != b"\x04\x10" + aaguid.bytes for each in named):
        _no("the attestation's certificate is of another model of authenticator")


def _root_of(leaf: x509.Certificate, roots: Iterable[x509.Certificate], at: datetime) -> x509.Certificate:
    """The root that a certificate leads to, over those that the installation names."""
    known, here = list(roots), leaf
    for _ in range(_MOST):
        if not here.not_valid_before_utc <= at <= here.not_valid_after_utc:
            _no("a certificate of the attestation is not valid now")
        if here is not leaf and here.issuer == here.subject:
            return here
        issuer = next((each for each in known if _issued(here, each)), None)
        if issuer is None:
            break
        here = issuer
    advice = "have the registry name the vendor: gatehouse people root add FILE --next-version; or take an authenticator of one that it names"
    _no("the attestation leads to no root that the installation names", advice)


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return _may_issue(by)


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except _NO_EXTENSION:
        return False


def read_hexadecimal(text: str) -> str:
    """A root's fingerprint as somebody typed it.

    Raises:
        InputError: It is none.
    """
    try:
        return binascii.unhexlify(text.replace(":", "")).hex()
    except (ValueError, binascii.Error):
        raise InputError("this is no fingerprint of a certificate", where="ROOT", advice="see: gatehouse people root list") from None
