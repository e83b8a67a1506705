"""Attacks on the approval of runs that wait on a real server, one after the other on the same two: each is refused, told, and the runs go on waiting.

Three people have to approve, so that what one of them said can be captured, and nothing is decided before the last test.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.identity.certificates import Authority
from tests.identity.ssh_signatures import sk_blob, sk_signature
from tests.services.vault_oidc import OpenIdProvider
from tests.services.vault_server import VaultServer
from tests.support.pipeline import APPROVER, OTHER, REQUESTER, ROWS, Pipeline
from tests.support.sieges import Siege, verified

from prefect_gatehouse.identity import authorities, providers, sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
from prefect_gatehouse.identity.methods.certificate import own_certificate
from prefect_gatehouse.identity.totp import STEP_SECONDS, code_at
from prefect_gatehouse.ledger.answers import ApprovalGiven
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.registry import Registrar
from prefect_gatehouse.operate.sign_in import obtain_token, provider_of
from prefect_gatehouse.settings import Settings

pytestmark = pytest.mark.timeout(400)
FIDO = Ed25519PrivateKey.generate()
DAY = timedelta(days=1)


class Place:
    """The pipeline, its people, and two runs of it that wait.

    Attributes:
        first: The run whose approvals are captured.
        second: The run that is attacked with them.
    """

    def __init__(self, pipeline: Pipeline, vault: VaultServer) -> None:
        self.pipeline = pipeline
        now = datetime.now(UTC)
        self._add(REQUESTER)  # may approve, though not what is asked for in that name
        for name, times in (
            ("rita", {}),
            ("gone", {}),
            ("late", {"valid_before": now - DAY}),
            ("early", {"valid_after": now + DAY}),
        ):
            pipeline.keys[name] = pipeline.folder / "keys" / name
            self._add(name, key=generate_key(pipeline.keys[name], ""), **times)
        self._add("fay", key=f"sk-ssh-ed25519@openssh.com {base64.b64encode(sk_blob(FIDO)).decode()}")
        for name in ("carol", "dora"):
            self._add(name)
        self.authority = Authority(pipeline.folder)
        authorities.add_authority(pipeline.people, self.authority.line, names="*", groups={})
        self.provider = OpenIdProvider(vault)
        providers.add_provider(pipeline.people, self.provider.issuer, audience=self.provider.client, groups={}, without_auth_time=True)
        providers.link(pipeline.people, "dora", self.provider.issuer, self.provider.person("dora"))
        self.another = OpenIdProvider(vault)  # which the registry does not know, for the same person
        self.another.person("dora")
        self.first, self.second = Siege(pipeline), Siege(pipeline)

    def _add(self, name: str, **key: Any) -> None:
        self.pipeline.people.add(name, roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED, **key)

    def certified(self, own: Path, name: str) -> str:
        """A signature with a key, in a certificate that names somebody."""
        key = shutil.copy(own, own.with_name(f"{own.name}-as-{name}"))
        shutil.copy(f"{own}.pub", f"{key}.pub")
        self.authority.certify(key, name)
        return sshsig.sign(key, self.second.message(), certificate=own_certificate(key, datetime.now(UTC)))

    def token(self, message: bytes, provider: OpenIdProvider | None = None, audience: str = "") -> str:
        """An ID token that Dora signs in for at the real provider."""
        asked = provider or self.provider
        entry = provider_of(self.pipeline.people, self.provider.issuer)[1].model_copy(update={"audience": audience or asked.client})
        return obtain_token(asked.issuer, entry, message, lambda url: asked.open_later("dora", url), wait=30)

    def all_but_one(self, siege: Siege) -> str:
        """Has a run approved by all but the last of those who have to; the proof of that one."""
        approved = {each.person for each in self.pipeline.standing(siege.run_id).approvals}
        ways = {
            APPROVER: siege.signed,
            OTHER: lambda: siege.signed(OTHER),
            "fay": lambda: sk_signature(5, message=siege.message(), key=FIDO),
            "dora": lambda: self.token(siege.message()),
        }
        *others, last = [way for name, way in ways.items() if name not in approved][: 3 - len(approved)]
        for way in others:
            siege.counted(way())
        return last()

    def registrar(self) -> Registrar:
        return Registrar(self.pipeline.settings, self.pipeline.ledger, "has left")

    def code(self, who: str, ahead: int = 0) -> str:
        secret = self.pipeline.people.totp_secret(who)
        assert secret is not None
        return code_at(base64.b32decode(secret), int(time.time()) // STEP_SECONDS + ahead)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, zygote: Any, by_hand: str, vault: VaultServer) -> Iterator[Place]:
    """In the prototype tier, with three approvers, and two wrong codes of each."""
    folder = tmp_path_factory.mktemp("attacks")
    tiers = folder / "tiers.yaml"
    tiers.write_text(Settings().tiers.read_text().replace("approvers: 1", "approvers: 3", 1).replace("wrong_per_person: 5", "wrong_per_person: 2", 1))
    with Pipeline(folder / "p", zygote, by_hand, rounds=1, environment={"GATEHOUSE_TIERS": str(tiers)}) as pipeline:
        yield Place(pipeline, vault)


def test_one_code_raced_by_two_processes(place: Place) -> None:
    """Two runs are answered with one code, two processes have read it and judge at once: it counts in one of them, and then nowhere any more."""
    code, sieges = place.code(OTHER, ahead=1), (place.first, place.second)
    for siege in sieges:
        siege.answer(code, OTHER)
    stopped = [place.pipeline.process(siege.run_id, kill={"judging": "STOP"})["stopped"] for siege in sieges]
    for process in stopped:
        os.kill(process, signal.SIGCONT)
    for process in stopped:
        assert place.pipeline.zygote is not None
        place.pipeline.zygote.run(thaw=process)
    for siege in sieges:
        siege.stands()
    (given,) = place.pipeline.ledger.facts(ApprovalGiven)
    (loser,) = [siege for siege in sieges if siege.run_id != given.run_id]
    for refusal in (*loser.refusals(), loser.refused(code, OTHER)):
        assert "has been used" in refusal.reason


def test_codes_guessed(place: Place) -> None:
    """Behind as many wrong ones as the tier takes the right one is not looked at, in another run neither, and the ledger has the name."""
    right = {place.code(APPROVER, step) for step in (-1, 0, 1, 2)}
    wrong = [each for each in ("000000", "111111", "222222", "333333", "444444", "555555") if each not in right]
    # Where the code of the race was wrong twice, the run's own limit holds already.
    least = min((place.first, place.second), key=lambda siege: len(siege.refusals()))
    guessed = [least.refused(code, APPROVER) for code in wrong[:2]]
    held = [siege.refused(place.code(APPROVER), APPROVER) for siege in (place.first, place.second)]
    assert {each.claimed for each in (*guessed, *held)} == {APPROVER}
    assert ([each.wrong for each in guessed], [each.wrong for each in held]) == ([True] * 2, [False] * 2)
    assert all("this code was not looked at" in each.reason for each in held)


def captured(place: Place) -> str:
    """An approval of the first run, which counted."""
    given = [event.fact for event in place.pipeline.ledger.facts(ApprovalGiven, place.first.run_id) if event.fact.person == APPROVER]
    if not given:
        place.first.counted(place.first.signed())
        return captured(place)
    return given[0].signature


def elsewhere(place: Place, **change: Any) -> str:
    """Signed by an approver for something else than the second run as it is."""
    return sshsig.sign(place.pipeline.keys[APPROVER], place.second.asked()[0].model_copy(update=change).message())


def removed(place: Place) -> str:
    """By an approver who is taken out of the registry behind the answer, and before it is judged."""
    proof = place.second.signed("rita")
    place.registrar().revoke("rita", None)
    return proof


def revoked(place: Place) -> str:
    """With a key that was revoked while the run waits, by a person who stays."""
    proof = place.second.signed("gone")
    place.registrar().revoke("gone", fingerprint(public_line(place.pipeline.keys["gone"])))
    return proof


def software_as_fido(place: Place) -> str:
    """An authenticator's signature, touched and all, made with the private key of an approver's file."""
    key = serialization.load_ssh_private_key(place.pipeline.keys[APPROVER].read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return sk_signature(5, message=place.second.message(), key=key)


def part(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def unsigned(place: Place) -> str:
    """The provider's own token, of this statement, and who signed it is nobody."""
    return f"{part({'alg': 'none'})}.{place.token(place.second.message()).split('.')[1]}."


def confused(place: Place) -> str:
    """The same words with the provider's public key as a shared secret, and its key's name."""
    header, body, _ = place.token(place.second.message()).split(".")
    name = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    (published,) = [each for each in httpx.get(f"{place.provider.issuer}/.well-known/keys").json()["keys"] if each["kid"] == name]
    public: Any = jwt.PyJWK(published, algorithm="RS256").key
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part({'alg': 'HS256', 'kid': name})}.{body}"
    return f"{signed}.{base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), hashlib.sha256)).rstrip(b'=').decode()}"


def edited(place: Place) -> str:
    """A captured token of the first run, put right for this one."""
    header, body, signature = place.token(place.first.message()).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return f"{header}.{part({**claims, 'nonce': hashlib.sha256(place.second.message()).hexdigest()})}.{signature}"


OTHER_STATEMENT = "not one of the statement to approve exactly this plan"
ATTACKS: dict[str, tuple[Callable[[Place], str], str]] = {
    "an approval of another run": (captured, OTHER_STATEMENT),
    "an approval of another plan": (lambda place: elsewhere(place, subject_digest="0" * 64), OTHER_STATEMENT),
    "an approval in another environment": (lambda place: elsewhere(place, environment="production"), OTHER_STATEMENT),
    "a rejection as an approval": (lambda place: sshsig.sign(place.pipeline.keys[APPROVER], place.second.asked()[1].message()), OTHER_STATEMENT),
    "an approval of an earlier asking": (lambda place: elsewhere(place, nonce="0" * 32), OTHER_STATEMENT),
    "the requester": (lambda place: place.second.signed(REQUESTER), "the requester can't approve"),
    "the requester under a second name": (
        lambda place: place.certified(place.pipeline.keys[REQUESTER], "carol"),
        "of a key that is another person's",
    ),
    "a key that has expired": (lambda place: place.second.signed("late"), "belongs to nobody"),
    "a key that is not valid yet": (lambda place: place.second.signed("early"), "belongs to nobody"),
    "a key that was revoked": (revoked, "belongs to nobody"),
    "an approver who was removed": (removed, "belongs to nobody"),
    "fido without touch": (lambda place: sk_signature(4, message=place.second.message(), key=FIDO), "was not touched"),
    "fido that claims a touch": (lambda place: sk_signature(4, message=place.second.message(), key=FIDO, stated=5), "not one of the statement"),
    "a software key as fido": (software_as_fido, "belongs to nobody"),
    "a token for another audience": (lambda place: place.token(place.second.message(), audience=place.another.client), "another client"),
    "a token with another nonce": (lambda place: place.token(place.first.message()), OTHER_STATEMENT),
    "a token of another issuer": (lambda place: place.token(place.second.message(), place.another), "no identity provider of the registry"),
    "a token that nobody signed": (unsigned, "signed in a way that is not taken"),
    "a token signed with the public key": (confused, "signed in a way that is not taken"),
    "a token that was edited": (edited, "not what the identity provider signed"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_answer(place: Place, attack: str) -> None:
    """Refused with its reason, in the ledger, which has nothing of the proof; the form comes back."""
    make, reason = ATTACKS[attack]
    proof = make(place)
    assert reason in place.second.refused(proof).reason
    events = json.dumps([event.data for event in place.pipeline.ledger.events(place.second.run_id, "answer-refused")])
    assert not any(line in events for line in proof.split() if len(line) > 40)


@pytest.mark.parametrize("written", [None, "17", json.dumps({"decision": "approve"})], ids=["nothing", "a number", "an approval"])
def test_a_state_forced_to_scheduled(place: Place, written: str | None) -> None:
    """Nobody answers, or somebody writes what the run would read as the answer; then the run is scheduled as if one had been given."""
    place.second.write("response", written)
    place.pipeline.restart(place.second.run_id)
    reason = place.second.judged_wrong().reason
    assert {None: "there is no answer, whatever the run's state says", "17": "could not be read"}.get(written, "a proof is missing") in reason


def test_two_approvers_with_one_key(place: Place) -> None:
    """A certificate of a key that has approved, in another person's name, counts for nothing."""
    shared = place.pipeline.folder / "keys" / "shared"
    generate_key(shared, "")
    place.second.counted(place.certified(shared, "carol"))
    refused = place.second.refused(place.certified(shared, "dora"))
    assert (refused.reason, refused.claimed) == ("this key has approved already in another person's name", "dora")
    assert "this person has approved already" in place.second.refused(place.certified(shared, "carol")).reason


def test_a_removed_approver_of_two_runs(place: Place) -> None:
    """The run that three of the registry approved completes; the one whose third comes behind another's removal ends; the ledger verifies."""
    captured(place)
    last = place.all_but_one(place.second)
    place.second.answer(last)
    place.pipeline.process(place.second.run_id)
    assert place.pipeline.ledger.run(place.second.run_id).ending == "completed", place.pipeline.log.read_text()[-3000:]  # type: ignore[union-attr]
    assert len(place.pipeline.rows()) == ROWS
    last = place.all_but_one(place.first)
    place.registrar().revoke(APPROVER, None)
    place.first.answer(last)
    assert "an approver has been revoked since" in place.first.denied()
    verified(place.pipeline)
