"""Signing in at an identity provider for one plan: the authorization code flow of a public client (RFC 8252 with a loopback redirect, RFC 7636).

The code goes from the browser to this machine alone, and is worth nothing without the verifier that never left this process.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from prefect_gatehouse.errors import Denied, InputError, Unavailable
from prefect_gatehouse.identity.methods.bounded import exchange
from prefect_gatehouse.identity.methods.oidc import nonce_of
from prefect_gatehouse.identity.methods.published import discovery
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.registry_files import ProviderEntry

_WAIT_SECONDS = 300.0  # for a password and a second factor
_PATH = "/callback"


def provider_of(people: People, issuer: str) -> tuple[str, ProviderEntry]:
    """The provider that is meant, with its issuer; the only one unless it is named.

    Raises:
        InputError: There is none, or several and none is named.
    """
    known = people.provider_entries()
    if issuer not in known and (issuer or len(known) != 1):
        advice = "name one of: gatehouse people provider list" if known else "have one added: gatehouse people provider add"
        raise InputError("which identity provider is meant?", where="--issuer", advice=advice)
    chosen = issuer or next(iter(known))
    return chosen, known[chosen]


def obtain_token(issuer: str, provider: ProviderEntry, message: bytes, show: Callable[[str], None], wait: float = _WAIT_SECONDS) -> str:
    """An ID token that the person at the browser signs in for, bound to a statement.

    Args:
        issuer: The provider.
        provider: What the registry says of it.
        message: The statement.
        show: Is handed the address that the person opens.
        wait: Seconds until nobody waits any more.

    Raises:
        Denied: The person or the provider said no.
        Unavailable: Nobody signed in in time, or the provider does not answer.
    """
    known = discovery(issuer)
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    with HTTPServer(("127.0.0.1", 0), _Callback) as server:
        redirect = f"http://127.0.0.1:{server.server_port}{_PATH}"
        asked = {
            "response_type": "code",
            "client_id": provider.audience,
            "redirect_uri": redirect,
            "scope": _scope(known.get("scopes_supported"), provider),
            "state": state,
            "nonce": nonce_of(message),
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            # A session that is open would answer without the person; the age makes the provider say when they signed in.
            "prompt": "login",
            **({} if provider.without_auth_time else {"max_age": "0"}),
        }
        show(f"{known['authorization_endpoint']}?{urlencode(asked)}")
        given_back = _given_back(server, state, wait)
    code = _code(given_back, issuer, known.get("authorization_response_iss_parameter_supported") is True)
    given = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "client_id": provider.audience, "code_verifier": verifier}
    try:
        answer = exchange(str(known["token_endpoint"]), given)
        token = json.loads(answer.body).get("id_token") if answer.status == HTTPStatus.OK else None
    except (Unavailable, ValueError, AttributeError, RecursionError):
        raise Unavailable("the identity provider did not answer with a token", where=issuer, advice="sign in again") from None
    if not isinstance(token, str):
        raise Denied("the identity provider gave no ID token", where=issuer, advice="sign in again, or ask its operator about this client")
    return token


def _scope(supported: object, provider: ProviderEntry) -> str:
    """What is asked for: who it is, and the groups where a role depends on them and the provider gives them by a scope of that name."""
    named = provider.groups and isinstance(supported, list) and provider.groups_claim in supported
    return f"openid {provider.groups_claim}" if named else "openid"


class _Callback(BaseHTTPRequestHandler):
    """Takes the browser's way back; whatever else calls is answered and forgotten."""

    timeout = 5
    server: HTTPServer

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == _PATH:
            self.server.given = parse_qs(asked.query)  # type: ignore[attr-defined]
        self.send_response(200 if asked.path == _PATH else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"Gatehouse has your answer; go back to the terminal.\n")

    def log_message(self, *_: object) -> None:
        """Nothing: the code is in the line."""


def _given_back(server: HTTPServer, state: str, wait: float) -> dict[str, list[str]]:
    """What the browser brings back for this sign-in."""
    until = time.monotonic() + wait
    while (left := until - time.monotonic()) > 0:
        server.timeout, given = left, None
        server.handle_request()
        given = server.__dict__.pop("given", None)
        if given is None or not secrets.compare_digest(given.get("state", [""])[0].encode(), state.encode()):
            continue  # somebody else's page called: the person's answer may still come
        return dict(given)
    advice = "approve again; where the browser is on another machine, have a token made for the nonce that --token-file tells, and give it there"
    raise Unavailable("nobody has signed in in time", where="approval", advice=advice)


def _code(given: dict[str, list[str]], issuer: str, names_itself: bool) -> str:
    """The code; the answer names the provider that was asked (RFC 9207), or none where that provider does not name itself."""
    if given.get("iss", [] if names_itself else [issuer]) != [issuer]:
        raise Denied("the answer is not of the identity provider that was asked", where=issuer, advice="sign in again, in a fresh browser window")
    if given.get("code"):
        return given["code"][0]
    raise Denied("the identity provider did not let you sign in for this", where="approval", advice="ask its operator about this client")
