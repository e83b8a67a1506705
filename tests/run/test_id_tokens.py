"""Approvals proven by an ID token: real ones of Vault's OpenID provider by the code flow, and each attack with a provider whose key the test has."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from prefect_gatehouse.errors import Denied, InputError, Unavailable
from prefect_gatehouse.identity import authorities, providers
from prefect_gatehouse.identity.methods import bounded, oidc, published
from prefect_gatehouse.identity.methods.oidc import nonce_of
from prefect_gatehouse.ledger.answers import AnswerRefused, ApprovalGiven, PlanAnswer
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.sign_in import obtain_token, provider_of
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, asking, judge, standing, statements
from prefect_gatehouse.run.expected import NOTHING, expected
from prefect_gatehouse.run.form import as_markdown
from prefect_gatehouse.run.proven import problem_of
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.vocabulary import Role
from tests.identity.certificates import Authority
from tests.run.test_approvals import Desk as Waiting
from tests.services.small_oidc import SmallProvider, small_provider
from tests.services.vault_oidc import OpenIdProvider
from tests.services.vault_server import VaultServer
from tests.support.plans import RUN, tier_rules

ISSUER, CLIENT = "https://login.example.org", "gatehouse-client"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def jwk(key: Any, name: str) -> dict[str, Any]:
    algorithm = {"r": jwt.algorithms.RSAAlgorithm, "e": jwt.algorithms.ECAlgorithm, "d": jwt.algorithms.OKPAlgorithm}[name[0]]
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": name, "use": "sig"}


JWKS = json.dumps({"keys": [jwk(RSA, "r"), jwk(EC, "e"), jwk(ED, "d"), jwk(WEAK, "r-weak")]})
KEYS: dict[str, tuple[Any, str]] = {"r": (RSA, "RS256"), "e": (EC, "ES256"), "d": (ED, "EdDSA"), "r-weak": (WEAK, "RS256")}


class Desk(Waiting):
    """A run that waits; Dora and Emil are subjects of a provider whose keys are in the registry."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name in ("dora", "emil"):
            self.people.add(name, roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED)
        providers.add_provider(self.people, ISSUER, audience=CLIENT, jwks=JWKS, groups={})
        for name in ("dora", "emil"):
            providers.link(self.people, name, ISSUER, f"sub-{name}")

    def message(self, plan: Plan) -> tuple[str, bytes]:
        """Asks under a new key."""
        self.asked += 1
        name = f"t{self.asked}"
        return name, ask(self.attempt, plan, name)[0].message()

    def answer_with(self, plan: Plan, name: str, token: str, approver: str = "") -> str:
        """Answers; why it did not count, empty where it did."""
        judge(self.attempt, plan, name, Answer(decision="approve", approver=approver, proof=token))
        found = self.ledger.find(f"{RUN}:answer:{name}", PlanAnswer)
        assert found is not None
        return found.fact.reason if isinstance(found.fact, AnswerRefused) else ""

    def approve(self, plan: Plan, key: str = "r", *, approver: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
        name, message = self.message(plan)
        return self.answer_with(plan, name, token(message, key, header, **claims), approver)


def claims_for(message: bytes, **changed: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "sub-dora", "nonce": nonce_of(message), "auth_time": int(now.timestamp())}
    claims |= {"iat": now, "exp": now + timedelta(minutes=5)}
    return {name: value for name, value in (claims | changed).items() if value is not None}


def token(message: bytes, key: str = "r", header: dict[str, Any] | None = None, **changed: Any) -> str:
    private, algorithm = KEYS[key]
    return jwt.encode(claims_for(message, **changed), private, algorithm, headers={"kid": key, **(header or {})})


def part(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk."""
    made = Desk(tmp_path)
    with contextlib.closing(made.ledger):
        yield made


@pytest.mark.parametrize("key", ["r", "e", "d"])
def test_a_token_approves(desk: Desk, key: str) -> None:
    """With each kind of key; whoever it is comes out of the token, and naming oneself is allowed."""
    plan = desk.plan(tier_rules(weakest_method="oidc"))
    assert desk.approve(plan, key, approver="DORA") == ""
    assert desk.require(plan) == ["dora"]
    (given,) = desk.ledger.facts(ApprovalGiven, run_id=RUN)
    assert (given.fact.method, problem_of(desk.ledger, plan, given)) == ("oidc", "")


SOON, LATER = timedelta(hours=1), timedelta(hours=2)
ATTACKS: dict[str, tuple[dict[str, Any], str]] = {
    "other_audience": ({"aud": "another-client"}, "another client"),
    "two_audiences": ({"aud": [CLIENT, "another-client"]}, "another client"),
    "other_authorized_party": ({"azp": "another-client"}, "another client"),
    "no_audience": ({"aud": None}, "another client"),
    "other_nonce": ({"nonce": "0" * 64}, "not one of the statement"),
    "no_nonce": ({"nonce": None}, "not one of the statement"),
    "other_issuer": ({"iss": "https://evil.example.org"}, "no identity provider of the registry"),
    "no_issuer": ({"iss": None}, "no identity provider of the registry"),
    "expired": ({"exp": datetime.now(UTC) - SOON, "iat": datetime.now(UTC) - LATER}, "has expired"),
    "not_yet": ({"nbf": datetime.now(UTC) + SOON, "exp": datetime.now(UTC) + LATER}, "not valid yet"),
    "made_tomorrow": ({"iat": datetime.now(UTC) + SOON, "exp": datetime.now(UTC) + LATER}, "not valid yet"),
    "open_session": ({"auth_time": int((datetime.now(UTC) - SOON).timestamp())}, "a session that was open already"),
    "signed_in_tomorrow": ({"auth_time": int((datetime.now(UTC) + SOON).timestamp())}, "a session that was open already"),
    "no_sign_in": ({"auth_time": None}, "has no auth_time"),
    "sign_in_is_no_time": ({"auth_time": "now"}, "has no auth_time"),
    "no_end": ({"exp": None}, "has no exp"),
    "end_is_no_time": ({"exp": 1e30}, "has no exp"),
    "for_a_year": ({"exp": datetime.now(UTC) + timedelta(days=365)}, "longer than the 24 h"),
    "subject_of_nobody": ({"sub": "sub-mallory"}, "subject is nobody"),
    "name_as_subject": ({"sub": "dora"}, "subject is nobody"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_token(desk: Desk, attack: str) -> None:
    """Refused and recorded with its reason, without the token or what it says."""
    changed, reason = ATTACKS[attack]
    plan = desk.plan()
    assert reason in desk.approve(plan, **changed)
    assert not standing(desk.ledger, plan).approvals
    told = str([event.data for event in desk.ledger.events(RUN, "answer-refused")])
    assert "eyJ" not in told
    assert "mallory" not in told
    assert "another-client" not in told


HEADERS = {
    "without_its_algorithm": {"kid": "r", "alg": None},
    "key_that_is_not_published": {"kid": "x"},
    "key_of_another_kind": {"kid": "e"},
    "access_token": {"typ": "at+jwt"},
    "critical_header": {"crit": ["exp"]},
}


@pytest.mark.parametrize("attack", HEADERS)
def test_header(desk: Desk, attack: str) -> None:
    """What the header says chooses among the provider's keys, and nothing else."""
    name, message = desk.message(plan := desk.plan())
    header = {"alg": "RS256", "typ": "JWT", "kid": "r", **HEADERS[attack]}
    whole = f"{part(header)}.{token(message).split('.')[1]}"
    raw = RSA.sign(whole.encode(), jwt.algorithms.padding.PKCS1v15(), jwt.algorithms.hashes.SHA256())
    forged = f"{whole}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"
    assert "ID token is" in desk.answer_with(plan, name, forged)


def test_alg_none(desk: Desk) -> None:
    """Unsigned, in any spelling and with any of the keys' names, is refused before a key is looked for."""
    for spelling in ("none", "None", "NONE", ""):
        name, message = desk.message(plan := desk.plan())
        body = token(message).split(".")[1]
        for signature in ("", token(message).split(".")[2]):
            forged = f"{part({'alg': spelling, 'kid': 'r'})}.{body}.{signature}"
            with pytest.raises(Denied, match=r"malformed|way that is not taken"):
                oidc.IdToken().prove(oidc.Claim("", forged, message, "approve", datetime.now(UTC)), desk.people)
        assert "ID token" in desk.answer_with(plan, name, forged)


@pytest.mark.parametrize("secret", [PEM, JWKS.encode(), RSA.public_key().public_numbers().n.to_bytes(256, "big")])
def test_hs256_with_the_public_key_as_the_secret(desk: Desk, secret: bytes) -> None:
    """Key confusion: the public key, which everybody has, is no secret of an HMAC."""
    name, message = desk.message(plan := desk.plan())
    whole = f"{part({'alg': 'HS256', 'kid': 'r'})}.{token(message).split('.')[1]}"
    forged = f"{whole}.{base64.urlsafe_b64encode(hmac.digest(secret, whole.encode(), hashlib.sha256)).rstrip(b'=').decode()}"
    assert "way that is not taken" in desk.answer_with(plan, name, forged)


def test_signed_with_another_key_under_the_provider_s_name(desk: Desk) -> None:
    """Whoever has no key of the provider signs nothing, and one that is too short to be safe is none."""
    name, message = desk.message(plan := desk.plan())
    forged = jwt.encode(claims_for(message), OTHER, "RS256", headers={"kid": "r", "jwk": jwk(OTHER, "r"), "jku": "https://evil.example.org"})
    assert "not what the identity provider signed" in desk.answer_with(plan, name, forged)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        assert "not what the identity provider signed" in desk.approve(desk.plan(), "r-weak")


def test_two_approvers_with_one_token(desk: Desk) -> None:
    """A token is one person: in another's name it is refused, and twice it is once."""
    plan = desk.plan(tier_rules(approvers=2))
    name, message = desk.message(plan)
    one = token(message)
    assert desk.answer_with(plan, name, one) == ""
    again, _ = desk.message(plan)
    assert "not one of the statement" in desk.answer_with(plan, again, one)  # every asking has a nonce of its own
    assert "not the named approver's" in desk.approve(plan, approver="emil")
    assert "approved already" in desk.approve(plan)
    assert desk.approve(plan, sub="sub-emil") == ""
    assert desk.require(plan) == ["dora", "emil"]


def test_replay_on_another_plan(desk: Desk) -> None:
    """A captured token, put before another plan or written into the ledger for it, approves nothing."""
    _, message = desk.message(desk.plan())
    captured = token(message)
    other = desk.plan(tier_rules(approval_age_seconds=7200))
    name, _ = desk.message(other)
    assert "not one of the statement" in desk.answer_with(other, name, captured)
    desk.forge(other, person="dora", method="oidc", signature=captured, signer=json.dumps(jwk(RSA, "r")))
    with pytest.raises(Denied, match="no longer stands"):
        desk.require(other)
    (forged,) = desk.ledger.facts(ApprovalGiven, run_id=RUN)
    assert "not proven by its ID token" in problem_of(desk.ledger, other, forged)


def test_forged_in_the_ledger_with_a_key_of_one_s_own(desk: Desk) -> None:
    """Who can write into the database has no key of the provider, and naming one in the event makes it none."""
    plan = desk.plan()
    message = ask(desk.attempt, plan, "forged")[0].message()
    made = jwt.encode(claims_for(message), OTHER, "RS256", headers={"kid": "r"})
    desk.forge(plan, person="dora", method="oidc", signature=made, signer=json.dumps(jwk(OTHER, "r")))
    with pytest.raises(Denied, match="no longer stands"):
        desk.require(plan)


@pytest.mark.parametrize("how", ["unlinked", "provider", "person", "group", "keys"])
def test_revoked_while_the_run_waits(desk: Desk, how: str) -> None:
    """The link, the provider, the person, the group's role or the provider's key is gone: so is the approval."""
    plan = desk.plan()
    assert desk.approve(plan, groups=["staff"]) == ""
    assert desk.require(plan) == ["dora"]
    if how == "unlinked":
        providers.unlink(desk.people, "dora")
    elif how == "provider":
        providers.remove_provider(desk.people, ISSUER)
    elif how == "person":
        desk.people.revoke("dora")
        desk.people.add("dora", roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED)  # whose link does not come back
    elif how == "group":
        providers.add_provider(desk.people, ISSUER, audience=CLIENT, jwks=JWKS, groups={"approvers": ("approver",)})
    else:
        providers.add_provider(desk.people, ISSUER, audience=CLIENT, jwks=json.dumps({"keys": [jwk(OTHER, "r")]}), groups={})
    with pytest.raises(Denied, match="no longer stands"):
        desk.require(plan)


def test_roles_come_from_the_groups_too(desk: Desk) -> None:
    """Where the provider has groups a role counts if the registry gives it and the token names a group that has it; no list is no group."""
    providers.add_provider(desk.people, ISSUER, audience=CLIENT, jwks=JWKS, groups={"approvers": ("approver",)})
    for groups in (None, [], ["staff"], "approvers", {"approvers": True}, [["approvers"]]):
        assert "not the role approver" in desk.approve(desk.plan(), groups=groups)
    assert desk.approve(desk.plan(), groups=["staff", "approvers"]) == ""


@pytest.mark.parametrize(
    "text", ["e30.e30.", "..", "a.b.c", f"{part({'alg': 'RS256'})}.{part([])}.AA", f"{part({'alg': 'RS256'})}.{part({'iss': 7})}.AA"]
)
def test_what_is_no_token(desk: Desk, text: str) -> None:
    """Anything of a token's form is refused with a reason, never with somebody else's exception."""
    name, _ = desk.message(plan := desk.plan())
    assert "ID token is" in desk.answer_with(plan, name, text) or text == ".."


def test_what_the_registry_does_not_take(desk: Desk) -> None:
    """An issuer without TLS, private keys, one subject for two persons."""
    for issuer in ("http://login.example.org", "ftp://x", "https://a@b", "login"):
        with pytest.raises(InputError, match="no issuer's address"):
            providers.add_provider(desk.people, issuer, audience=CLIENT, groups={})
    for keys in ("{}", "[]", '{"keys": []}', json.dumps({"keys": [{"kty": "oct", "k": "AA"}]}), json.dumps({"keys": [{"kty": "RSA", "d": "AA"}]})):
        with pytest.raises(InputError, match="no public keys"):
            providers.add_provider(desk.people, ISSUER, audience=CLIENT, jwks=keys, groups={})
    with pytest.raises(InputError, match="another person"):
        providers.link(desk.people, "emil", ISSUER, "sub-dora")
    with pytest.raises(InputError, match="which identity provider"):
        provider_of(desk.people, "https://other.example.org")


def test_a_provider_that_does_not_answer(desk: Desk) -> None:
    """The answer is neither right nor wrong: the form comes back; what was approved waits, and the run is not denied."""
    providers.add_provider(desk.people, "http://127.0.0.1:9/", audience=CLIENT, groups={})
    providers.link(desk.people, "dora", "http://127.0.0.1:9/", "sub-dora")
    plan = desk.plan()
    assert "can't be read" in desk.approve(plan, iss="http://127.0.0.1:9/")
    (refused,) = desk.ledger.facts(AnswerRefused, run_id=RUN)
    assert not refused.fact.wrong
    message = ask(desk.attempt, plan, "forged")[0].message()
    desk.forge(plan, person="dora", method="oidc", signature=token(message, iss="http://127.0.0.1:9/"))
    with pytest.raises(Unavailable, match="can't be read"):
        desk.require(plan)


@pytest.fixture
def small(desk: Desk) -> Iterator[SmallProvider]:
    """A provider that is asked for its keys, where Dora has the same subject."""
    with small_provider() as provider:
        provider.keys = [jwk(RSA, "r")]
        providers.add_provider(desk.people, provider.issuer, audience=CLIENT, groups={})
        providers.link(desk.people, "dora", provider.issuer, "sub-dora")
        yield provider


def test_a_provider_that_drips(desk: Desk, small: SmallProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes a byte at a time is no answer: the time of the whole is bounded, and the form comes back."""
    monkeypatch.setattr(bounded, "_ALL", 1.0)
    small.drips = 0.1
    plan, before = desk.plan(), time.monotonic()
    assert "can't be read" in desk.approve(plan, iss=small.issuer)
    assert time.monotonic() - before < 5
    small.drips, small.keys = 0.0, [{"kid": "x" * 600_000}]
    assert "can't be read" in desk.approve(plan, iss=small.issuer)


def test_keys_are_read_before_the_transaction_alone(desk: Desk, small: SmallProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the cache runs out in between nothing is read inside; and what was not read is neither right nor wrong."""
    plan, real = desk.plan(), oidc.prefetch

    def then_old(token: str, people: Any) -> None:
        real(token, people)
        monkeypatch.setattr(published, "_FRESH_SECONDS", -1.0)
        monkeypatch.setattr(published, "read_json", lambda _: pytest.fail("read inside the transaction"))

    monkeypatch.setattr("prefect_gatehouse.run.approvals.prefetch", then_old)
    assert desk.approve(plan, iss=small.issuer) == ""
    published._known.pop(small.issuer)
    with pytest.raises(Unavailable, match="can't be read"):
        oidc.IdToken().prove(oidc.Claim("", token(b"x", iss=small.issuer), b"x", "approve", datetime.now(UTC)), desk.people)


def test_a_key_newer_than_the_cache(desk: Desk, small: SmallProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is read for at once, but once a minute: whoever names keys that nobody has makes nobody ask."""
    plan = desk.plan(tier_rules(approvers=2))
    assert "not signed with a key" in desk.approve(plan, "r", header={"kid": "made-up"}, iss=small.issuer)
    small.keys.append(jwk(EC, "e"))
    for _ in range(3):
        assert "not signed with a key" in desk.approve(plan, "e", iss=small.issuer)
    assert small.asked.count("/keys") == 1
    monkeypatch.setattr(published, "_AGAIN_SECONDS", 0.0)
    assert desk.approve(plan, "e", iss=small.issuer) == ""
    assert small.asked.count("/keys") == 2


def test_this_machine_is_not_asked_through_a_proxy(desk: Desk, small: SmallProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the description nor for the keys nor with the code, which a proxy would learn."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert desk.approve(desk.plan(), iss=small.issuer) == ""
    answer = bounded.exchange(f"{small.issuer}/token", {"code": "c"})
    assert (answer.status, answer.body) == (200, b'{"id_token": ""}')


def test_a_provider_that_does_not_say_when_somebody_signed_in(desk: Desk) -> None:
    """Is taken where the registry says so; what it does say has to be right even then."""
    providers.add_provider(desk.people, ISSUER, audience=CLIENT, jwks=JWKS, groups={}, without_auth_time=True)
    assert "open already" in desk.approve(desk.plan(), auth_time=1_000_000_000)
    assert desk.approve(desk.plan(), auth_time=None) == ""


@pytest.mark.parametrize(("iss", "says"), [("right", ""), ("https://evil.example.org", "not of the identity provider that was asked"), (None, "")])
def test_the_person_is_asked_to_sign_in(desk: Desk, small: SmallProvider, iss: str | None, says: str) -> None:
    """For this plan, whatever session is open; and an answer that names another provider is none of this one."""
    import threading
    from urllib.parse import parse_qs, urlsplit

    import httpx

    name, message = desk.message(plan := desk.plan())
    small.token, asked = token(message, iss=small.issuer), {}

    def browser(url: str) -> None:
        asked.update({each: value[0] for each, value in parse_qs(urlsplit(url).query).items()})
        back = {"code": "c", "state": asked["state"], **({"iss": small.issuer if iss == "right" else iss} if iss else {})}
        threading.Thread(target=httpx.get, args=(asked["redirect_uri"],), kwargs={"params": back}, daemon=True).start()

    entry = provider_of(desk.people, small.issuer)[1]
    if says:
        with pytest.raises(Denied, match=says):
            obtain_token(small.issuer, entry, message, browser, wait=10)
        assert "/token" not in small.asked
    else:
        assert desk.answer_with(plan, name, obtain_token(small.issuer, entry, message, browser, wait=10)) == ""
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_real_provider(desk: Desk, vault: VaultServer, algorithm: str) -> None:
    """Dora signs in at Vault by the code flow with PKCE, for this plan: keys, issuer, groups and nonce are the provider's own."""
    provider = OpenIdProvider(vault, algorithm)
    groups: dict[str, tuple[Role, ...]] = {f"{provider.name}-approvers": ("approver",)}
    providers.add_provider(desk.people, provider.issuer, audience=provider.client, groups=groups, without_auth_time=True)
    providers.link(desk.people, "dora", provider.issuer, provider.person("dora", f"{provider.name}-approvers"))
    providers.link(desk.people, "emil", provider.issuer, provider.person("emil"))
    plan = desk.plan(tier_rules(weakest_method="oidc"))
    entry = provider_of(desk.people, provider.issuer)[1]
    for who, reason in (("emil", "not the role approver"), ("dora", "")):
        name, message = desk.message(plan)
        given = obtain_token(provider.issuer, entry, message, lambda url, who=who: provider.open_later(who, url), wait=30)  # type: ignore[misc]
        assert reason in desk.answer_with(plan, name, given)
    assert desk.require(plan) == ["dora"]
    (given_event,) = desk.ledger.facts(ApprovalGiven, run_id=RUN)
    assert problem_of(desk.ledger, plan, given_event) == ""


def test_nobody_signs_in_or_somebody_else_calls(desk: Desk, vault: VaultServer) -> None:
    """A page that guesses the way back without the state is passed over, a no is a no, and nobody waits for ever."""
    import httpx

    provider = OpenIdProvider(vault)
    providers.add_provider(desk.people, provider.issuer, audience=provider.client, groups={}, without_auth_time=True)
    entry = provider_of(desk.people, provider.issuer)[1]

    def attack(url: str) -> None:
        import threading
        from urllib.parse import parse_qs, urlsplit

        back = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        threading.Thread(target=httpx.get, args=(back,), kwargs={"params": {"code": "stolen", "state": "guessed"}}, daemon=True).start()

    with pytest.raises(Unavailable, match="nobody has signed in") as late:
        obtain_token(provider.issuer, entry, b"x", attack, wait=1.5)
    assert "--token-file" in late.value.advice


def test_of_each_person_the_form_says_which_proof_is_expected(desk: Desk) -> None:
    """The strongest first, of what the tier takes and the person has; not the requester, nobody without clearance; as it was when it was asked."""
    desk.people.add("carl", roles=frozenset({"approver"}))
    desk.people.add("emil", roles=frozenset(), clearance=DataClass.PUBLIC)
    authorities.add_authority(desk.people, Authority(desk.folder).line, names="dora", groups={})
    plan = desk.plan()
    fact = asking(desk.attempt, plan, "k")
    key_or_code = "an SSH signature, or a one-time code"
    token = "an ID token of your identity provider, or an SSH signature with a certificate"
    assert fact.expects == {"bob": key_or_code, "eve": key_or_code, "dora": token}
    shown = as_markdown(plan, standing(desk.ledger, plan), *statements(plan, fact), fact.expects)
    assert f"- `dora`: {token}\n" in shown
    assert nonce_of(statements(plan, fact)[0].message()) in shown
    desk.people.revoke("dora")
    assert asking(desk.attempt, plan, "k") == fact
    stricter = desk.plan(tier_rules(weakest_method="oidc"))
    assert expected(desk.people, stricter) == {"bob": NOTHING, "eve": NOTHING}


@pytest.mark.parametrize("ends", [None, timedelta(hours=1), timedelta(hours=-1)])
def test_a_certificate_is_expected_while_its_authority_counts(desk: Desk, ends: timedelta | None) -> None:
    """An authority that has ended makes nobody a certificate that is taken: none is asked for."""
    now = datetime.now(UTC)
    before = None if ends is None else now + ends
    authorities.add_authority(desk.people, Authority(desk.folder).line, names="dora", groups={}, valid_after=now - LATER, valid_before=before)
    assert ("with a certificate" in expected(desk.people, desk.plan())["dora"]) == (before is None or before > now)
