"""FIDO keys where the tier asks for attestations: entered by the command, judged at the gate, and gone with their vendor's root."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied
from prefect_gatehouse.ledger.acts import PeopleChanged
from prefect_gatehouse.ledger.answers import AnswerRefused, ApprovalGiven, PlanAnswer
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge
from prefect_gatehouse.run.expected import expected
from prefect_gatehouse.run.proven import problem_of
from prefect_gatehouse.run.values import Plan
from tests.identity.attestations import AAGUID, CHALLENGE, Vendor, attestation, authenticator_data, public_line
from tests.identity.ssh_signatures import sk_signature
from tests.run.test_approvals import Desk as Waiting
from tests.support.plans import RUN, tier_rules

DEMANDED = tier_rules(weakest_method="ssh-fido", attested_keys="required")


class Desk(Waiting):
    """A run that waits; Fay has a FIDO key, which its authenticator has attested, and Sol has one in a file that says it is such a key."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.vendor, self.keys = Vendor(), {name: Ed25519PrivateKey.generate() for name in ("fay", "sol")}
        (folder / "root.pem").write_bytes(self.vendor.pem)
        (folder / "challenge").write_bytes(CHALLENGE)
        device = self.vendor.device()
        for name, key in self.keys.items():
            (folder / f"{name}.pub").write_text(public_line(key))
            (folder / f"{name}.att").write_bytes(attestation(device, authenticator_data(self.keys["fay"])))

    def people_do(self, *words: str) -> Result:
        environment = {"GATEHOUSE_HOME": str(self.settings.home)}
        return CliRunner().invoke(main, ["people", *words], prog_name="gatehouse", env=environment)

    def enter(self, name: str, *more: str) -> Result:
        return self.people_do(
            "add", name, "--role", "approver", "--clearance", "restricted", "--key", str(self.folder / f"{name}.pub"), "--reason", "x", *more
        )

    def proof(self, name: str) -> tuple[str, ...]:
        return "--attestation", str(self.folder / f"{name}.att"), "--challenge", str(self.folder / "challenge")

    def approve(self, plan: Plan, name: str) -> str:
        """Answers with a FIDO signature, touched and with a PIN; why it did not count, empty where it did."""
        self.asked += 1
        key = f"f{self.asked}"
        message = ask(self.attempt, plan, key)[0].message()
        judge(self.attempt, plan, key, Answer(decision="approve", proof=sk_signature(5, message=message, key=self.keys[name])))
        found = self.ledger.find(f"{RUN}:answer:{key}", PlanAnswer)
        assert found is not None
        return found.fact.reason if isinstance(found.fact, AnswerRefused) else ""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk."""
    made = Desk(tmp_path)
    with contextlib.closing(made.ledger):
        yield made


def test_an_attested_key_approves(desk: Desk) -> None:
    """The root is named, the key entered with its attestation, which registry and event say; then its signature is one of an authenticator."""
    assert "leads to no root" in " ".join(desk.enter("fay", *desk.proof("fay")).output.split())
    (root,) = json.loads(desk.people_do("root", "add", str(desk.folder / "root.pem"), "--json").output)["roots"]
    assert desk.enter("fay", *desk.proof("fay")).exit_code == 0
    (mark,) = (key.fingerprint for key in (desk.people.get("fay") or pytest.fail("no fay")).keys)
    fay = next(each for each in json.loads(desk.people_do("list", "--json").output) if each["person"] == "fay")
    assert fay["attested"] == {mark: "00010203-0405-0607-0809-0a0b0c0d0e0f"} and AAGUID.hex()[:8] == "00010203"
    assert json.loads(desk.people_do("root", "list", "--json").output)[0]["keys"] == 1
    (fact,) = (event.fact for event in desk.ledger.facts(PeopleChanged) if event.fact.kind == "key-attested")
    assert (fact.whom, fact.data()["root"], fact.fingerprint) == ("fay", root, mark)
    plan = desk.plan(DEMANDED)
    assert desk.approve(plan, "fay") == "" and desk.require(plan) == ["fay"]
    (given,) = desk.ledger.facts(ApprovalGiven, run_id=RUN)
    assert given.fact.method == "ssh-fido" and problem_of(desk.ledger, plan, given) == ""


def test_a_software_key_that_claims_to_be_fido(desk: Desk) -> None:
    """Its attestation is another key's; without one it is entered, and counts as what it may be: a key of a file."""
    desk.people_do("root", "add", str(desk.folder / "root.pem"))
    refused = desk.enter("sol", *desk.proof("sol"))
    assert refused.exit_code != 0 and "of another key" in refused.output and desk.people.get("sol") is None
    assert desk.enter("sol").exit_code == 0
    assert desk.approve(desk.plan(tier_rules(weakest_method="ssh-fido")), "sol") == ""  # where the tier does not ask, as it always was
    plan = desk.plan(DEMANDED)
    assert "needs ssh-fido, this proof is ssh" in desk.approve(plan, "sol")
    assert expected(desk.people, plan)["sol"].startswith("nothing")
    lenient = desk.plan(tier_rules(weakest_method="ssh", attested_keys="required"))
    assert desk.approve(lenient, "sol") == "" and desk.require(lenient) == ["sol"]
    given = desk.ledger.facts(ApprovalGiven, run_id=RUN)[-1]
    assert given.fact.method == "ssh" and problem_of(desk.ledger, lenient, given) == ""


def test_a_root_that_is_removed_while_the_run_waits(desk: Desk) -> None:
    """What led to it is attested no more, and the approval stands no more; named again it takes a new answer in a new run."""
    desk.people_do("root", "add", str(desk.folder / "root.pem"))
    desk.enter("fay", *desk.proof("fay"))
    plan = desk.plan(DEMANDED)
    assert desk.approve(plan, "fay") == ""
    (root,) = desk.people.roots()
    assert desk.people_do("root", "remove", root).exit_code == 0
    with pytest.raises(Denied, match="attestation of an approver's FIDO key was taken out"):
        desk.require(plan)
    assert "needs ssh-fido, this proof is ssh" in desk.approve(desk.plan(DEMANDED), "fay")


@pytest.mark.parametrize("missing", ["--attestation", "--challenge", "--key"])
def test_half_of_what_proves(desk: Desk, missing: str) -> None:
    """A key, its attestation and its challenge belong together."""
    options = {"--key": str(desk.folder / "fay.pub"), "--attestation": str(desk.folder / "fay.att"), "--challenge": str(desk.folder / "challenge")}
    words = [word for option, value in options.items() if option != missing for word in (option, value)]
    refused = desk.people_do("add", "fay", "--role", "approver", *words)
    assert refused.exit_code != 0 and "an attestation is of a key, for a challenge" in refused.output
