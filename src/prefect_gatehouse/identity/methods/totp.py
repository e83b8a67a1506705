"""One-time codes (RFC 6238): they bind to no plan and prove nothing later, so that only the prototype tier takes them."""

from __future__ import annotations

from prefect_gatehouse.identity.methods.interface import Claim, Proven, refuse
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.totp import DIGITS, matching_step

SPENT = "this one-time code has been used; wait for the next one"


class OneTimeCode:
    """A code of an authenticator app."""

    def prove(self, claim: Claim, people: People) -> Proven:
        """See ``SignIn``."""
        if not claim.named.strip():
            refuse("a one-time code needs the approver's identifier", "answer again, with --as and your identifier, or the form's field Approver")
        person, code = people.get(claim.named), claim.proof.strip()
        if person is None:
            refuse("this approver is not in the registry of people", "look who is: gatehouse people list")
        secret = people.totp_secret(person.person)
        if secret is None:
            refuse(
                "this approver has no one-time codes; sign with SSH",
                f"sign, or have codes made: gatehouse people add {person.person} --role approver --totp",
            )
        step = matching_step(secret, code, claim.at) if len(code) == DIGITS else None
        if step is None:
            refuse("the one-time code is wrong or too old")
        if (person.person, step) in claim.spent:
            refuse(SPENT, "answer again with the next code")
        return Proven(person, "totp", totp_step=step)
