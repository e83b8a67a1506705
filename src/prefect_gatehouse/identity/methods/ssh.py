"""SSH signatures with a key that the registry holds: of a file, or of a FIDO authenticator."""

from __future__ import annotations

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.methods.certificate import by_certificate
from prefect_gatehouse.identity.methods.interface import Claim, Proven, refuse
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.vocabulary import Method


class SSHSignature:
    """A signature of the statement; the key in it says whether it came by itself or within a certificate."""

    def prove(self, claim: Claim, people: People) -> Proven:
        """See ``SignIn``."""
        try:
            key = sshsig.verify(claim.proof, claim.message, certified=True)
        except Denied:
            refuse(f"the SSH signature is not one of the statement to {claim.act} exactly this plan")
        return by_certificate(key, claim, people) if key.certificate else _by_key(key, claim, people)


def method_of(key: sshsig.VerifiedKey) -> Method:
    """What a valid signature is worth.

    Raises:
        Denied: The key lives in an authenticator that nobody touched.
    """
    if key.certificate:
        return "ssh-certificate"
    if key.untouched:
        refuse("the FIDO key was not touched")
    return "ssh-fido" if key.fido and key.user_verified else "ssh"


def _by_key(key: sshsig.VerifiedKey, claim: Claim, people: People) -> Proven:
    owner = people.owner_of(key.fingerprint, claim.at)
    if owner is None:
        refuse(
            "the signature's key belongs to nobody in the registry of people",
            "is GATEHOUSE_IDENTITY your key? a new key is added with: gatehouse people add, --role approver and --key with its .pub file",
        )
    if not claim.is_named(owner.person):
        refuse("the signature's key is not the named approver's")
    return Proven(owner, method_of(key), key.fingerprint)
