"""ID tokens of an identity provider that the registry names (OpenID Connect Core 1.0, section 3.1.3.7): the nonce is the digest of the statement.

So a token is a proof of one answer about one plan. What the token's own header says decides nothing but which of the provider's keys is meant: the
algorithms are those below, each of which needs a key of its own kind, so that neither ``none`` nor an HMAC with a public key is ever looked at.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.methods.interface import Claim, Proven, refuse
from prefect_gatehouse.identity.methods.published import Keys, known_keys, read_keys
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.identity.registry_files import ProviderEntry
from prefect_gatehouse.vocabulary import Role

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_ALGORITHMS = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "ES384": "EC", "EdDSA": "OKP"}
_RSA_BITS = 2048  # what providers use; a signature is looked at for days, not kept secret for decades
_SKEW = timedelta(minutes=1)  # between the provider's clock and this one
_ACTIVE = timedelta(minutes=2)  # from the password, or the second factor, to the token; both times are of the provider's clock
_AGAIN = "sign in again for exactly this plan: gatehouse approve"
_NO_SIGN_IN = f"{_AGAIN}; a provider that can't say it is added with: gatehouse people provider add --no-auth-time"


def is_token(text: str) -> bool:
    """Whether a text has the form of a signed token."""
    return _FORM.fullmatch(text.strip()) is not None


def nonce_of(message: bytes) -> str:
    """What a token's nonce has to be for a statement."""
    return hashlib.sha256(message).hexdigest()


class IdToken:
    """An ID token."""

    def prove(self, claim: Claim, people: People) -> Proven:
        """See ``SignIn``.

        Raises:
            Unavailable: The provider's keys have not been read by ``prefetch``; the answer is neither right nor wrong.
        """
        token = claim.proof.strip()
        issuer, provider = _provider(token, people)
        key = _key(token, known_keys(issuer, provider))
        claims = _claims(token, key)
        life = _require_this(claims, issuer, provider, claim)
        person = _person(claims, provider, people)
        if not claim.is_named(person.person):
            refuse("the ID token is not the named approver's")
        return Proven(person, "oidc", life=life, roles=_roles(claims, provider), key=json.dumps(key, sort_keys=True))


def prefetch(token: str, people: People) -> None:
    """Reads the keys that a token will be judged by, outside any transaction.

    Raises:
        Denied: No provider of the registry is meant.
        Unavailable: They can't be read.
    """
    import jwt

    issuer, provider = _provider(token.strip(), people)
    try:
        name = jwt.get_unverified_header(token.strip()).get("kid")
    except (jwt.PyJWTError, ValueError):
        refuse("the ID token is malformed", _AGAIN)
    read_keys(issuer, provider, name)


def is_signed(token: str, key: str, message: bytes) -> bool:
    """Whether a recorded token is of a recorded key and of this statement: what can be looked at years later, without the provider."""
    try:
        claims = _claims(token.strip(), json.loads(key))
    except (ValueError, Denied):
        return False
    return claims.get("nonce") == nonce_of(message)


def _provider(token: str, people: People) -> tuple[str, ProviderEntry]:
    """The provider that a token says it is of; nothing else of what it says is believed before it is verified."""
    import jwt

    try:
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, RecursionError):
        refuse("the ID token is malformed", _AGAIN)
    provider = people.provider_entries().get(issuer) if isinstance(issuer, str) else None
    if provider is None:
        refuse("the ID token is of no identity provider of the registry", "look which are: gatehouse people provider list")
    return str(issuer), provider


def _key(token: str, keys: Keys) -> Mapping[str, Any]:
    """Which of the provider's keys is meant."""
    import jwt

    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError):
        refuse("the ID token is malformed", _AGAIN)
    if header.get("alg") not in _ALGORITHMS or "crit" in header or header.get("typ", "JWT") != "JWT":
        refuse("the ID token is signed in a way that is not taken", "have the provider sign with RS256, PS256, ES256, ES384 or EdDSA")
    kind, name = _ALGORITHMS[header["alg"]], header.get("kid")
    fits = [key for key in keys if key.get("kty") == kind and key.get("use", "sig") == "sig" and key.get("alg", header["alg"]) == header["alg"]]
    meant = [key for key in fits if name is None or key.get("kid") == name]
    if len(meant) != 1:
        refuse("the ID token is not signed with a key that the identity provider publishes", _AGAIN)
    return meant[0]


def _claims(token: str, key: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a token says, once its signature is right; times are judged for when it was given, not for now."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False, "verify_iss": False}
    try:
        algorithms = [name for name, kind in _ALGORITHMS.items() if kind == key.get("kty")]
        alg = jwt.get_unverified_header(token)["alg"]
        public = jwt.PyJWK(dict(key), algorithm=alg).key if alg in algorithms else None
        if public is None or (isinstance(public, RSAPublicKey) and public.key_size < _RSA_BITS):
            raise ValueError
        found = jwt.decode(token, public, algorithms=algorithms, options=cast(Any, options))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError):
        refuse("the ID token is not what the identity provider signed", _AGAIN)
    return cast(Mapping[str, Any], found)


def _require_this(claims: Mapping[str, Any], issuer: str, provider: ProviderEntry, claim: Claim) -> timedelta:
    """Stops a token that was made for something else; how long it is good for, otherwise."""
    if claims.get("iss") != issuer or claims.get("aud") not in (provider.audience, [provider.audience]):
        refuse("the ID token was made for another client than Gatehouse", _AGAIN)
    if claims.get("azp", provider.audience) != provider.audience:
        refuse("the ID token was made for another client than Gatehouse", _AGAIN)
    if claims.get("nonce") != nonce_of(claim.message):
        refuse(f"the ID token is not one of the statement to {claim.act} exactly this plan", _AGAIN)
    made, ends = _moment(claims, "iat"), _moment(claims, "exp")
    begins = _moment(claims, "nbf") if "nbf" in claims else made
    if claim.at < max(made, begins) - _SKEW:
        refuse("the ID token is not valid yet", _AGAIN)
    if claim.at >= ends:
        refuse("the ID token has expired", _AGAIN)
    if not provider.without_auth_time or "auth_time" in claims:
        _require_signed_in(_moment(claims, "auth_time", _NO_SIGN_IN), made)
    return ends - made


def _require_signed_in(when: datetime, made: datetime) -> None:
    """Stops a token of a session that was open: any program of that person's machine can have one, for a plan of its own.

    The nonce is of one asking, so the token is younger than that; this says that the person signed in for it.
    """
    if not -_SKEW <= made - when <= _ACTIVE:
        advice = f"{_AGAIN}; or have the provider take prompt=login and max_age=0"
        refuse("the ID token is of a session that was open already: nobody signed in for it", advice)


def _moment(claims: Mapping[str, Any], name: str, advice: str = _AGAIN) -> datetime:
    value = claims.get(name)
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        refuse(f"the ID token has no {name}, or none that is a time", advice)


def _person(claims: Mapping[str, Any], provider: ProviderEntry, people: People) -> Person:
    subject = claims.get("sub")
    name = provider.subjects.get(subject) if isinstance(subject, str) else None
    person = people.get(name) if name is not None else None
    if person is None:
        refuse("the ID token's subject is nobody of the registry", "the registry's keeper links it: gatehouse people provider link")
    return person


def _roles(claims: Mapping[str, Any], provider: ProviderEntry) -> frozenset[Role] | None:
    if not provider.groups:
        return None
    groups = claims.get(provider.groups_claim, [])
    names = [each for each in groups if isinstance(each, str)] if isinstance(groups, list) else []
    return frozenset(role for name in names for role in provider.groups.get(name, ()))
