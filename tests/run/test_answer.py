"""Whether an answer counts: every reason for a no, each alone."""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.statement import Statement
from prefect_gatehouse.identity.totp import STEP_SECONDS, code_at
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.rules import RunClasses
from prefect_gatehouse.run.answer import Answer, CheckedAnswer, authenticate, refuse_unproven, require_allowed
from prefect_gatehouse.settings import Settings
from tests.support.plans import tier_rules

NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
FIELDS = {"subject_digest": "a" * 64, "environment": "local", "request_id": "run-1", "nonce": "0" * 32, "expires": NOW + timedelta(hours=1)}
APPROVE, REJECT = (Statement.model_validate(FIELDS | {"action": action}) for action in ("approve", "reject"))
RULES = load_class_rules(Settings().classes)
CLASSES = RunClasses(features=(), outputs=(), output_class=DataClass.RESTRICTED, because=("subject",), rules=RULES[DataClass.RESTRICTED])
TOKEN = Ed25519PrivateKey.from_private_bytes(b"t" * 32)


def string(data: bytes) -> bytes:
    """An RFC 4251 string."""
    return struct.pack(">I", len(data)) + data


SK_BLOB = string(b"sk-ssh-ed25519@openssh.com") + string(TOKEN.public_key().public_bytes_raw()) + string(b"ssh:")


def sk_sign(message: bytes, flags: int) -> str:
    """Signs as an authenticator with these flags does (PROTOCOL.u2f)."""
    data = b"SSHSIG" + string(b"gatehouse") + string(b"") + string(b"sha512") + string(hashlib.sha512(message).digest())
    signed = hashlib.sha256(b"ssh:").digest() + struct.pack(">BI", flags, 1) + hashlib.sha256(data).digest()
    inner = string(b"sk-ssh-ed25519@openssh.com") + string(TOKEN.sign(signed)) + struct.pack(">BI", flags, 1)
    fields = string(SK_BLOB) + string(b"gatehouse") + string(b"") + string(b"sha512") + string(inner)
    body = base64.b64encode(b"SSHSIG" + struct.pack(">I", 1) + fields).decode()
    return f"-----BEGIN SSH SIGNATURE-----\n{body}\n-----END SSH SIGNATURE-----\n"


class Desk:
    """Ann asks; Bob (SSH, codes) and Tess (FIDO) may approve; Ann has the role too; Carl is an auditor; Mallory is nobody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.people = People(folder / "people")
        approver = frozenset({"approver"})
        self.secrets = {}
        for name, roles in (("ann", {"requester", "approver"}), ("bob", {"approver"}), ("carl", {"auditor"})):
            line = generate_key(folder / name, "")
            secret = self.people.add(name, key=line, roles=frozenset(roles), totp=True, clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]
            assert secret is not None
            self.secrets[name] = secret
        self.people.add(
            "tess", key=f"sk-ssh-ed25519@openssh.com {base64.b64encode(SK_BLOB).decode()}", roles=approver, clearance=DataClass.RESTRICTED
        )
        generate_key(folder / "mallory", "")

    def sign(self, who: str, statement: Statement = APPROVE) -> str:
        return sshsig.sign(self.folder / who, statement.message())

    def code(self, who: str, steps: int = 0) -> str:
        return code_at(base64.b32decode(self.secrets[who]), int(NOW.timestamp()) // STEP_SECONDS + steps)

    def check(
        self,
        proof: str,
        *,
        decision: str = "approve",
        approver: str = "",
        weakest: str = "totp",
        requester: str = "ann",
        used: frozenset[tuple[str, int]] = frozenset(),
        now: datetime = NOW,
        classes: RunClasses = CLASSES,
    ) -> CheckedAnswer:
        answer = Answer(decision=decision, approver=approver, proof=proof)  # type: ignore[arg-type]
        statement, tier = APPROVE if decision == "approve" else REJECT, tier_rules(weakest_method=weakest)
        refuse_unproven(answer, statement, tier, now)
        checked = authenticate(answer, statement, self.people, used, now)
        require_allowed(checked, requester=Requester(person=requester, method="ssh"), tier=tier, classes=classes, people=self.people)
        return checked

    def refused(self, reason: str, proof: str, **how: object) -> None:
        with pytest.raises(Denied, match=reason):
            self.check(proof, **how)  # type: ignore[arg-type]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A registry with five people."""
    return Desk(tmp_path)


def test_a_signature_counts(desk: Desk) -> None:
    """Person, method and key come out of the signature; naming oneself is allowed, in any case and with blanks."""
    for approver in ("", "bob", " BOB "):
        found = desk.check(f"\n {desk.sign('bob')} \n", approver=approver)
        assert found == CheckedAnswer("bob", "ssh", "approve", fingerprint((desk.folder / "bob.pub").read_text()), None, roles=("approver",))
    assert desk.check(desk.sign("bob", REJECT), decision="reject").decision == "reject"


def test_a_code_counts_and_says_its_step(desk: Desk) -> None:
    """The spent time step is part of the answer, so that it can be refused the next time."""
    found = desk.check(desk.code("bob"), approver="Bob")
    assert found == CheckedAnswer("bob", "totp", "approve", "", int(NOW.timestamp()) // STEP_SECONDS, roles=("approver",))


OTHERS = {
    "wrong_digest": {"subject_digest": "b" * 64},
    "wrong_environment": {"environment": "production"},
    "wrong_run": {"request_id": "run-2"},
    "replayed_nonce": {"nonce": "1" * 32},
    "longer_life": {"expires": NOW + timedelta(hours=2)},
    "wrong_action": {"action": "request"},
    "approval_of_a_rejection": {"action": "reject"},
}


@pytest.mark.parametrize("attack", OTHERS)
def test_signature_of_another_statement(desk: Desk, attack: str) -> None:
    """A signature that differs in any field from what was asked is refused, however good it is."""
    other = Statement.model_validate(FIELDS | {"action": "approve"} | OTHERS[attack])
    desk.refused("not one of the statement to approve exactly this plan", desk.sign("bob", other))


def test_approval_passed_off_as_rejection(desk: Desk) -> None:
    """Who approved has not rejected."""
    desk.refused("to reject", desk.sign("bob"), decision="reject")


def test_the_requester_never_approves(desk: Desk) -> None:
    """By person: not by signature, not by code, not with a second key, not under another spelling of the name."""
    desk.refused("requester can't", desk.sign("ann"))
    desk.refused("requester can't", desk.code("ann"), approver="ANN")
    desk.people.add("ann", key=generate_key(desk.folder / "second", ""), roles=frozenset())
    desk.refused("requester can't", desk.sign("second"))
    desk.refused("requester can't", desk.sign("ann", REJECT), decision="reject")
    assert desk.check(desk.sign("ann"), requester="somebody-else").person == "ann"


def test_an_unverified_requester_is_no_person(desk: Desk) -> None:
    """Where nobody signed the request, an approver is still a person from the registry."""
    assert desk.check(desk.sign("bob"), requester="unverified").person == "bob"
    desk.refused("not in the registry", desk.code("bob"), approver="unverified", requester="unverified")


def test_people_who_may_not_approve(desk: Desk) -> None:
    """Another role, an unknown key, a revoked key, a revoked person, somebody else's name over one's own signature."""
    desk.refused("role approver", desk.sign("carl"))
    desk.refused("role approver", desk.code("carl"), approver="carl")
    desk.refused("belongs to nobody", desk.sign("mallory"))
    desk.refused("not the named approver", desk.sign("bob"), approver="tess")
    desk.refused("not the named approver", desk.sign("mallory") and desk.sign("bob"), approver="nobody")
    proof = desk.sign("bob")
    desk.people.revoke("bob", fingerprint((desk.folder / "bob.pub").read_text()))
    desk.refused("belongs to nobody", proof)
    assert desk.check(desk.code("bob"), approver="bob").method == "totp"
    desk.people.revoke("bob")
    desk.refused("not in the registry", desk.code("bob"), approver="bob")


def test_expired(desk: Desk) -> None:
    """Neither signature nor code counts from the last moment on."""
    for proof, approver in ((desk.sign("bob"), ""), (desk.code("bob"), "bob")):
        desk.refused("window has passed", proof, approver=approver, now=APPROVE.expires)


def test_codes_that_do_not_count(desk: Desk) -> None:
    """Wrong, old, somebody else's, spent, without a name, of somebody without codes: each has its reason."""
    step = int(NOW.timestamp()) // STEP_SECONDS
    desk.refused("wrong or too old", desk.code("bob", -2), approver="bob")
    desk.refused("wrong or too old", desk.code("bob", 2), approver="bob")
    desk.refused("wrong or too old", desk.code("ann"), approver="bob")
    desk.refused("wrong or too old", desk.code("bob") + "0", approver="bob")
    desk.refused("has been used", desk.code("bob"), approver="bob", used=frozenset({("bob", step)}))
    assert desk.check(desk.code("bob", 1), approver="bob", used=frozenset({("bob", step), ("ann", step + 1)})).totp_step == step + 1
    desk.refused("needs the approver's identifier", desk.code("bob"))
    desk.refused("not in the registry", desk.code("bob"), approver="mallory")
    desk.refused("has no one-time codes", desk.code("bob"), approver="tess")
    desk.refused("a proof is missing", "  ", approver="bob")


@pytest.mark.parametrize(
    ("flags", "weakest", "method"),
    [(5, "ssh-fido", "ssh-fido"), (5, "totp", "ssh-fido"), (1, "ssh", "ssh"), (1, "totp", "ssh")],
)
def test_fido_signatures_that_count(desk: Desk, flags: int, weakest: str, method: str) -> None:
    """Touched and verified it is the strongest method; touched without verification it is worth a plain SSH signature."""
    assert desk.check(sk_sign(APPROVE.message(), flags), weakest=weakest).method == method


@pytest.mark.parametrize("weakest", ["totp", "ssh", "ssh-fido"])
@pytest.mark.parametrize("flags", [0, 4, 0x80])
def test_fido_untouched(desk: Desk, flags: int, weakest: str) -> None:
    """Without touch malware could have asked the authenticator: refused in every tier, verified or not."""
    desk.refused("was not touched", sk_sign(APPROVE.message(), flags), weakest=weakest)


def test_weaker_than_the_tier_wants(desk: Desk) -> None:
    """A stolen authenticator without PIN, a software key and a code are refused where the tier wants more."""
    desk.refused("needs ssh-fido, this proof is ssh", sk_sign(APPROVE.message(), 1), weakest="ssh-fido")
    desk.refused("needs ssh-fido, this proof is ssh", desk.sign("bob"), weakest="ssh-fido")
    desk.refused("needs ssh-fido, this proof is totp", desk.code("bob"), approver="bob", weakest="ssh-fido")
    desk.refused("needs ssh, this proof is totp", desk.code("bob"), approver="bob", weakest="ssh")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(proof=st.text(max_size=60), approver=st.text(max_size=30), decision=st.sampled_from(["approve", "reject"]))
def test_nothing_typed_is_more_than_a_no(desk: Desk, proof: str, approver: str, decision: str) -> None:
    """Any text in any field is Denied, never somebody else's exception."""
    with pytest.raises(Denied):
        desk.check(proof, approver=approver, decision=decision)


@pytest.mark.parametrize("output", DataClass)
@pytest.mark.parametrize("clearance", DataClass)
def test_only_the_cleared_decide(desk: Desk, output: DataClass, clearance: DataClass) -> None:
    """Over every pair: who is not cleared for the class of the output can neither approve nor reject."""
    desk.people.add("bob", roles=frozenset(), clearance=clearance)
    classes = CLASSES.model_copy(update={"output_class": output, "rules": RULES[output]})
    for decision, statement in (("approve", APPROVE), ("reject", REJECT)):
        proof = desk.sign("bob", statement)
        if clearance.rank >= output.rank:
            assert desk.check(proof, decision=decision, classes=classes).person == "bob"
        else:
            desk.refused(f"not cleared for data of class {output}", proof, decision=decision, classes=classes)


def test_a_class_that_is_not_for_approvers(desk: Desk) -> None:
    """The file of classes may keep a class from all approvers, however cleared."""
    rules = RULES[DataClass.RESTRICTED].model_copy(update={"readers": ("requester",)})
    desk.refused("not for approvers", desk.sign("bob"), classes=CLASSES.model_copy(update={"rules": rules}))
