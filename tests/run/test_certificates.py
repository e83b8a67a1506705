"""Approvals and requests signed with an SSH certificate: real ones of ``ssh-keygen -s``, judged as the gate judges them, and each attack refused."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.evidence.questions import long_lived_keys
from prefect_gatehouse.identity import authorities
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.identity.methods.certificate import own_certificate, read_certificate
from prefect_gatehouse.identity.request import sign_request, verify_request
from prefect_gatehouse.identity.sshsig import sign
from prefect_gatehouse.ledger.answers import AnswerRefused, ApprovalGiven, PlanAnswer
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.inbox import inbox
from prefect_gatehouse.operate.registry import Registrar
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge, standing
from prefect_gatehouse.run.proven import problem_of
from prefect_gatehouse.run.values import Plan
from tests.identity.certificates import Authority, span, ssh_sign, ssh_verifies
from tests.identity.ssh_signatures import keygen
from tests.run.test_approvals import Desk as Waiting
from tests.support.plans import RUN, tier_rules

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DIGEST = "c" * 64


class Desk(Waiting):
    """A run that waits; Dora and Emil have no key in the registry, and certificates of its one authority."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(folder)
        authorities.add_authority(self.people, self.authority.line, names="*", groups={})
        for name in ("dora", "emil"):
            self.people.add(name, roles=frozenset({"approver", "requester"}), clearance=DataClass.RESTRICTED)
        self.key = folder / "laptop"
        generate_key(self.key, "")

    def approve(self, plan: Plan, certificate: Path, *, approver: str = "") -> str:
        """Answers with a certificate; why it did not count, empty where it did."""
        self.asked += 1
        name = f"c{self.asked}"
        message = ask(self.attempt, plan, name)[0].message()
        judge(self.attempt, plan, name, Answer(decision="approve", approver=approver, proof=ssh_sign(certificate, message, self.folder)))
        found = self.ledger.find(f"{RUN}:answer:{name}", PlanAnswer)
        assert found is not None
        return found.fact.reason if isinstance(found.fact, AnswerRefused) else ""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk."""
    made = Desk(tmp_path)
    with contextlib.closing(made.ledger):
        yield made


def test_a_certificate_approves_and_proves_itself_later(desk: Desk) -> None:
    """Whoever has no key in the registry approves; gate, `gatehouse verify` and `ssh-keygen -Y verify` find the same in the ledger."""
    plan = desk.plan(tier_rules(weakest_method="ssh-certificate"))
    assert desk.approve(plan, desk.authority.certify(desk.key, "staff,dora"), approver="Dora") == ""
    (event,) = desk.ledger.events(RUN, "approval-given")
    assert (event.data["person"], event.data["method"]) == ("dora", "ssh-certificate")
    assert event.data["fingerprint"] == fingerprint((desk.folder / "laptop.pub").read_text())
    assert desk.require(plan) == ["dora"]
    (given,) = desk.ledger.facts(ApprovalGiven, run_id=RUN)
    assert problem_of(desk.ledger, plan, given) == ""
    registry = desk.settings.people_folder()
    assert ssh_verifies(event.data["signature"], event.data["statement"].encode(), "dora", registry, desk.folder)
    assert not ssh_verifies(event.data["signature"], event.data["statement"].encode(), "emil", registry, desk.folder)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_every_kind_of_key_and_authority(desk: Desk, kind: str) -> None:
    """What ssh-keygen certifies and signs with counts here: Ed25519, ECDSA P-256 and RSA, as key and as authority."""
    for name in ("key", "ca"):
        bits = {"ed25519": (), "ecdsa": ("-b", "256"), "rsa": ("-b", "3072")}[kind]
        assert keygen("-q", "-t", kind, *bits, "-N", "", "-f", str(desk.folder / f"{kind}-{name}")).returncode == 0
    key, authority = desk.folder / f"{kind}-key", desk.folder / f"{kind}-ca"
    authorities.add_authority(desk.people, (desk.folder / f"{kind}-ca.pub").read_text(), names="dora", groups={})
    made = keygen("-q", "-s", str(authority), "-I", "x", "-n", "dora", "-V", "-5m:+1h", f"{key}.pub")
    assert made.returncode == 0, made.stderr
    assert desk.approve(desk.plan(), key.with_name(f"{key.name}-cert.pub")) == ""


ATTACKS = {
    "expired": ("dora", span(-2 * HOUR, -HOUR), (), "has expired", False),
    "not_yet_valid": ("dora", span(HOUR, 2 * HOUR), (), "not valid yet", False),
    "other_principal": ("mallory", "-5m:+1h", (), "names nobody", False),
    "another_spelling": ("DORA", "-5m:+1h", (), "names nobody", False),
    "no_principal": ("", "-5m:+1h", (), "names nobody", False),
    "of_a_host": ("dora", "-5m:+1h", ("-h",), "is a host's", False),
    "of_two_persons": ("dora,emil", "-5m:+1h", (), "more than one person", True),
    "force_command": ("dora", "-5m:+1h", ("-O", "force-command=/bin/true"), "critical option", True),
    "unknown_critical_option": ("dora", "-5m:+1h", ("-O", "critical:unknown@example.org"), "critical option", True),
    "for_ever": ("dora", "always:forever", (), "longer than the 24 h", True),
    "for_a_year": ("dora", "-5m:+52w", (), "longer than the 24 h", True),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_certificate(desk: Desk, attack: str) -> None:
    """Refused, said, and nothing of the certificate is in the ledger; ssh-keygen agrees, or takes what is stricter here."""
    principals, valid, more, reason, theirs = ATTACKS[attack]
    certificate = desk.authority.certify(desk.key, principals, *more, valid=valid)
    plan = desk.plan()
    assert reason in desk.approve(plan, certificate)
    assert not standing(desk.ledger, plan).approvals
    signature = ssh_sign(certificate, b"x", desk.folder)
    assert ssh_verifies(signature, b"x", "dora", desk.settings.people_folder(), desk.folder) == theirs
    told = str([event.data for event in desk.ledger.events(RUN, "answer-refused")])
    assert "mallory" not in told
    assert "BEGIN SSH" not in told


def test_of_another_authority(desk: Desk) -> None:
    """One that the registry has not, and one that may not name this person."""
    other = Authority(desk.folder, "other")
    certificate = other.certify(desk.key, "dora")
    assert "authority is not in the registry" in desk.approve(desk.plan(), certificate)
    authorities.add_authority(desk.people, other.line, names="*@example.org,!dora", groups={})
    assert "whom its authority may name" in desk.approve(desk.plan(), certificate)


def test_an_authority_is_no_person(desk: Desk) -> None:
    """The line names Dora, and its key signs nothing in her name: only certificates."""
    authorities.add_authority(desk.people, desk.authority.line, names="dora", groups={})
    plan = desk.plan()
    desk.answer(plan, "authority")
    assert standing(desk.ledger, plan).refusals == ("the signature's key belongs to nobody in the registry of people",)


def test_forged(desk: Desk) -> None:
    """Each byte of the certificate changed alone: never another person, never a longer life, never an exception of somebody else."""
    blob = base64.b64decode(desk.authority.certify(desk.key, "emil").read_text().split()[1])
    for place in range(0, len(blob), 3):
        forged = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        with pytest.raises(Denied, match="malformed, or not what its authority signed"):
            read_certificate(forged)
    with pytest.raises(Denied, match="malformed"):
        read_certificate(blob[:-1])


def test_an_authority_that_signs_with_sha1(desk: Desk) -> None:
    """RSA with SHA-1, which OpenSSH's own clients refuse as well, signs no certificate."""
    assert keygen("-q", "-t", "rsa", "-b", "3072", "-N", "", "-f", str(desk.folder / "old")).returncode == 0
    made = keygen("-q", "-s", str(desk.folder / "old"), "-t", "ssh-rsa", "-I", "x", "-n", "dora", "-V", "-5m:+1h", f"{desk.key}.pub")
    assert made.returncode == 0, made.stderr
    with pytest.raises(Denied, match="malformed, or not what its authority signed"):
        read_certificate(base64.b64decode((desk.folder / "laptop-cert.pub").read_text().split()[1]))


def test_of_another_key(desk: Desk) -> None:
    """A certificate that was copied from somebody, without the key, is no proof."""
    certificate = desk.authority.certify(desk.key, "dora")
    blob = base64.b64decode(certificate.read_text().split()[1])
    generate_key(desk.folder / "thief", "")
    plan = desk.plan()
    message = ask(desk.attempt, plan, "t")[0].message()
    judge(desk.attempt, plan, "t", Answer(decision="approve", proof=sign(desk.folder / "thief", message, certificate=blob)))
    assert "not one of the statement" in standing(desk.ledger, plan).refusals[0]


def test_two_approvers_with_one_key(desk: Desk) -> None:
    """Two certificates of one key, for Dora and for Emil: the second is refused; so is one of a key that is Bob's in the registry."""
    plan = desk.plan(tier_rules(approvers=2))
    assert desk.approve(plan, desk.authority.certify(desk.key, "dora")) == ""
    assert "key has approved already" in desk.approve(plan, desk.authority.certify(desk.key, "emil"))
    assert "another person's" in desk.approve(plan, desk.authority.certify(desk.folder / "bob", "emil"))
    assert [each.person for each in standing(desk.ledger, plan).approvals] == ["dora"]


def test_the_requester_s_key_under_another_name(desk: Desk) -> None:
    """Whoever asked with a key does not approve with it, whomever its certificate names."""
    plan = desk.plan()
    mark = fingerprint((desk.folder / "laptop.pub").read_text())
    asked = plan.admitted.model_copy(update={"requester": plan.admitted.requester.model_copy(update={"fingerprint": mark})})
    minimised = plan.validated.minimised.model_copy(update={"admitted": asked})
    own = plan.model_copy(update={"validated": plan.validated.model_copy(update={"minimised": minimised})})
    assert own.admitted.requester.fingerprint == mark
    assert "key is the requester's" in desk.approve(own, desk.authority.certify(desk.key, "dora"))


@pytest.mark.parametrize("how", ["serial", "key", "authority", "person", "group"])
def test_revoked_while_the_run_waits(desk: Desk, how: str) -> None:
    """Serial, key, authority, person, or the role of the group: the approval that counted carries nothing, and a new one is refused."""
    plan = desk.plan()
    certificate = desk.authority.certify(desk.key, "dora", serial=41)
    assert desk.approve(plan, certificate) == ""
    assert desk.require(plan) == ["dora"]
    mark = desk.authority.fingerprint
    if how == "serial":
        authorities.revoke_certificates(desk.people, mark, serial=41)
    elif how == "key":
        authorities.revoke_certificates(desk.people, mark, key=fingerprint((desk.folder / "laptop.pub").read_text()))
    elif how == "authority":
        authorities.remove_authority(desk.people, mark)
    elif how == "person":
        desk.people.revoke("dora")
    else:
        authorities.add_authority(desk.people, desk.authority.line, names="*", groups={"approvers": ("approver",)})
    with pytest.raises(Denied, match=r"no longer stands|has been revoked"):
        desk.require(plan)
    assert desk.approve(desk.plan(), certificate) != ""


def test_what_was_revoked_stays_so_when_the_authority_comes_back(desk: Desk) -> None:
    """Removed and added again, an authority has no old certificate back."""
    certificate = desk.authority.certify(desk.key, "dora", serial=41)
    authorities.revoke_certificates(desk.people, desk.authority.fingerprint, serial=41)
    authorities.remove_authority(desk.people, desk.authority.fingerprint)
    authorities.add_authority(desk.people, desk.authority.line, names="*", groups={})
    assert "has been revoked" in desk.approve(desk.plan(), certificate)


def test_a_key_that_was_somebodys_and_was_revoked(desk: Desk) -> None:
    """No certificate brings it back, whichever authority has signed one; the person with a new key is as good as before."""
    line = (desk.folder / "laptop.pub").read_text()
    desk.people.add("dora", key=line, roles=frozenset({"approver"}))
    certificate = desk.authority.certify(desk.key, "dora")
    desk.people.revoke("dora", fingerprint(line))
    plan = desk.plan(tier_rules(weakest_method="ssh-certificate", approvers=2))
    assert "has been revoked" in desk.approve(plan, certificate)
    desk.people.revoke("dora")
    desk.people.add("dora", roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED)
    assert "has been revoked" in desk.approve(plan, certificate)
    generate_key(desk.folder / "phone", "")
    assert desk.approve(plan, desk.authority.certify(desk.folder / "phone", "dora")) == ""


def test_an_authority_that_was_taken_out_and_put_back(desk: Desk) -> None:
    """What was approved under it before counts no more."""
    plan = desk.plan(tier_rules(weakest_method="ssh-certificate"))
    assert desk.approve(plan, desk.authority.certify(desk.key, "dora")) == ""
    registrar = Registrar(desk.settings, desk.ledger, "moved")
    registrar.remove_authority(fingerprint(desk.authority.line))
    registrar.add_authority(desk.authority.line, names="*", groups={})
    with pytest.raises(Denied, match="taken out of the registry since"):
        desk.require(plan)


def test_roles_come_from_the_groups_too(desk: Desk) -> None:
    """Where an authority has groups, a role counts if the registry gives it and a group of the certificate has it."""
    authorities.add_authority(desk.people, desk.authority.line, names="*", groups={"approvers": ("approver",), "askers": ("requester",)})
    assert desk.approve(desk.plan(), desk.authority.certify(desk.key, "dora,approvers")) == ""
    assert "not the role approver" in desk.approve(desk.plan(), desk.authority.certify(desk.key, "dora,askers"))
    desk.people.add("carl", roles=frozenset({"auditor"}), clearance=DataClass.RESTRICTED)
    assert "not the role approver" in desk.approve(desk.plan(), desk.authority.certify(desk.key, "carl,approvers"))


def test_weaker_than_the_tier_wants(desk: Desk) -> None:
    """A certificate is stronger than a key that the registry holds, and weaker than a FIDO key."""
    plan = desk.plan(tier_rules(weakest_method="ssh-fido"))
    assert "needs ssh-fido, this proof is ssh-certificate" in desk.approve(plan, desk.authority.certify(desk.key, "dora"))
    plan = desk.plan(tier_rules(weakest_method="ssh-certificate"))
    desk.answer(plan, "bob")
    assert "needs ssh-certificate, this proof is ssh" in standing(desk.ledger, plan).refusals[-1]


def test_a_request_with_a_certificate(desk: Desk) -> None:
    """`gatehouse run` signs with the certificate beside the key; expired, too long, or without the role it is refused by name."""
    now, given = datetime.now(UTC), {"subject_digest": DIGEST, "environment": "local"}
    desk.authority.certify(desk.key, "dora")
    request = sign_request(desk.key, DIGEST, "local")
    found = verify_request(request, desk.people, now=now, **given)  # type: ignore[arg-type]
    assert (found.person, found.method) == ("dora", "ssh-certificate")
    with pytest.raises(Denied, match=r"longer than the 0\.5 h"):
        verify_request(request, desk.people, now=now, proof_life=timedelta(minutes=30), **given)  # type: ignore[arg-type]
    authorities.add_authority(desk.people, desk.authority.line, names="*", groups={"approvers": ("approver",)})
    with pytest.raises(Denied, match="not the role requester"):
        verify_request(request, desk.people, now=now, **given)  # type: ignore[arg-type]
    authorities.remove_authority(desk.people, desk.authority.fingerprint)
    with pytest.raises(Denied, match=r"^request: the certificate's authority"):
        verify_request(request, desk.people, now=now, **given)  # type: ignore[arg-type]


def test_the_certificate_beside_the_key(desk: Desk) -> None:
    """None is none; one that has expired, or of another key, is said instead of signing with the key alone."""
    now = datetime.now(UTC)
    assert own_certificate(desk.key, now) == b""
    path = desk.authority.certify(desk.key, "dora")
    assert own_certificate(desk.key, now) == base64.b64decode(path.read_text().split()[1])
    with pytest.raises(InputError, match="not valid now"):
        own_certificate(desk.key, now + DAY)
    path.rename(desk.folder / "bob-cert.pub")
    with pytest.raises(InputError, match="another key"):
        own_certificate(desk.folder / "bob", now)
    path.write_text("ssh-ed25519-cert-v01@openssh.com AAAA\n")
    with pytest.raises(InputError, match="no certificate"):
        own_certificate(desk.key, now)


@pytest.mark.parametrize("tells", ["allowed", "reported", "refused"])
def test_a_long_lived_key(desk: Desk, tells: str) -> None:
    """By the tier it counts, counts and is told as break-glass, or counts for nothing; a certificate is told nowhere."""
    plan = desk.plan(tier_rules(long_lived_keys=tells, approvers=2))
    desk.answer(plan, "bob")
    assert desk.approve(plan, desk.authority.certify(desk.key, "dora")) == ""
    now = standing(desk.ledger, plan)
    assert [each.person for each in now.approvals] == (["dora"] if tells == "refused" else ["bob", "dora"])
    mark = fingerprint((desk.folder / "bob.pub").read_text())
    told = long_lived_keys(desk.ledger, RUN)
    assert len(told) == (tells == "reported")
    assert all(each.startswith(f"bob approved it with the long-lived key {mark}") for each in told)
    if tells == "refused":
        assert now.refusals == ("the tier prototype takes no signature of a long-lived key",)


def test_a_tier_that_became_stricter(desk: Desk) -> None:
    """An approval that was written into the ledger past the gate's own judgement does not stand before a job is sent."""
    desk.answer(desk.plan(), "bob")
    plan = desk.plan(tier_rules(long_lived_keys="refused"))
    desk.forge(plan)
    with pytest.raises(Denied, match="long-lived key"):
        desk.require(plan)


def test_the_inbox_knows_who_has_a_certificate(desk: Desk) -> None:
    """By the certificate beside the key; a key that is nobody's, with a certificate that is nobody's, is nobody."""
    settings = desk.settings.model_copy(update={"identity": desk.key})
    assert inbox(settings, desk.ledger)[0].person is None
    desk.authority.certify(desk.key, "dora")
    found = inbox(settings, desk.ledger)[0].person
    assert found is not None and found.person == "dora"
    authorities.remove_authority(desk.people, desk.authority.fingerprint)
    assert inbox(settings, desk.ledger)[0].person is None
