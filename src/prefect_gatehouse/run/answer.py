"""Whether an answer to an asking is authentic, and from somebody who may give it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NoReturn

from pydantic import Field, ValidationError

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.people import People, Person
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.statement import Statement
from prefect_gatehouse.identity.totp import DIGITS, matching_step
from prefect_gatehouse.policy.rules import RunClasses, TierRules
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import Method

_STRENGTH: dict[Method, int] = {"totp": 0, "ssh": 1, "ssh-fido": 2}
_MEANS: dict[Method, str] = {"totp": "a one-time code", "ssh": "an SSH signature", "ssh-fido": "a FIDO key that asks for a PIN and a touch"}


class Answer(Value):
    """What somebody answered: a claim until it has been checked."""

    decision: Literal["approve", "reject"]
    approver: str = Field("", max_length=200)
    proof: str = Field("", max_length=20_000)
    reason: str = Field("", max_length=500)


SPENT = "this one-time code has been used; wait for the next one"
LARGEST_ANSWER = 128 * 1024
"""Characters; four times what the fields may hold, so that escapes fit."""
_WRONG = {
    "missing": "is missing",
    "extra_forbidden": "is none of the form's",
    "literal_error": "is none of those offered",
    "string_type": "is no text",
    "string_unicode": "is no text",
    "string_too_long": "is too long",
}


def read_answer(text: str | None) -> Answer:
    """The answer in what somebody wrote into Prefect, whose API asks nobody who they are and takes any text.

    Args:
        text: What is there; None if nothing is.

    Raises:
        Denied: It is none; the reason repeats nothing of it.
    """
    if text is None:
        _no("there is no answer, whatever the run's state says; fill in the form")
    if len(text) > LARGEST_ANSWER:
        _no("the answer is larger than the form; fill in the form again")
    try:
        return Answer.model_validate_json(text, strict=True)
    except ValidationError as error:
        reason = f"the answer could not be read: {_wrong(error)}; fill in the form again"
        raise Denied(reason, where="approval", advice="answer again") from None


def _wrong(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if not first["loc"]:
        return "it is no form"
    # Only the form's own names are repeated.
    field = first["loc"][0] if first["loc"][0] in Answer.model_fields else "a field"
    return f"{field} {_WRONG.get(first['type'], 'is wrong')}"


@dataclass(frozen=True)
class CheckedAnswer:
    """An authentic answer."""

    person: str
    method: Method
    decision: Literal["approve", "reject"]
    fingerprint: str
    totp_step: int | None


def _no(reason: str, advice: str = "answer again") -> NoReturn:
    raise Denied(reason, where="approval", advice=advice)


def refuse_unproven(answer: Answer, statement: Statement, tier: TierRules, now: datetime) -> None:
    """Stops an answer of which no proof need be looked at.

    Raises:
        Denied: It comes too late, has no proof, or one of a method that the tier does not take: nobody is told whether such a code is right.
    """
    if statement.expired(now):
        _no("the approval window has passed", "start a new run")
    if not answer.proof.strip():
        _no("a proof is missing: type your one-time code, or paste the SSH signature of the statement")
    if is_code(answer):
        require_strength("totp", tier)


def is_code(answer: Answer) -> bool:
    """Whether the proof is a one-time code: of all proofs the only one that somebody could guess."""
    return answer.proof.strip().isdigit()


def authenticate(answer: Answer, statement: Statement, people: People, used_totp_steps: Collection[tuple[str, int]], now: datetime) -> CheckedAnswer:
    """Whose answer it is.

    Raises:
        Denied: The proof proves nobody who may approve.
    """
    proof = answer.proof.strip()
    return _by_code(answer, proof, people, used_totp_steps, now) if is_code(answer) else _by_signature(answer, proof, statement, people)


def require_allowed(checked: CheckedAnswer, *, requester: Requester, tier: TierRules, classes: RunClasses, people: People) -> None:
    """Stops an authentic answer of somebody who may not give it.

    Raises:
        Denied: It is the requester's own, its method is too weak, or its person is not cleared.
    """
    if checked.person == requester.person:
        _no("the requester can't approve or reject the own run; another person has to", "have an approver answer: gatehouse people list")
    require_strength(checked.method, tier)
    require_cleared(people.get(checked.person), classes)


def require_strength(method: Method, tier: TierRules) -> None:
    """Stops a method that is weaker than the tier's weakest.

    Raises:
        Denied: It is.
    """
    if _STRENGTH[method] < _STRENGTH[tier.weakest_method]:
        _no(f"the tier {tier.name} needs {tier.weakest_method}, this proof is {method}", f"answer with {_MEANS[tier.weakest_method]}")


def require_cleared(approver: Person | None, classes: RunClasses) -> None:
    """Stops an approver who may not read data of the output's class.

    Raises:
        Denied: The class is not for approvers, or this one is not cleared for it.
    """
    if "approver" not in classes.rules.readers:
        _no(f"data of class {classes.output_class} is not for approvers to read", "the owner of GATEHOUSE_CLASSES names who may read it")
    if approver is None or approver.clearance.rank < classes.output_class.rank:
        name = approver.person if approver is not None else "PERSON"
        command = f"gatehouse people add {name} --role approver --clearance {classes.output_class}"
        _no(f"this approver is not cleared for data of class {classes.output_class}", f"have the registry's keeper run: {command}; then answer again")


def method_of(key: sshsig.VerifiedKey) -> Method:
    """What a valid signature is worth.

    Raises:
        Denied: The key lives in an authenticator that nobody touched.
    """
    if key.fido and not key.user_present:
        _no("the FIDO key was not touched")
    return "ssh-fido" if key.fido and key.user_verified else "ssh"


def _approver(person: Person | None) -> Person:
    if person is None:
        _no("this approver is not in the registry of people", "look who is: gatehouse people list")
    if "approver" not in person.roles:
        command = f"gatehouse people add {person.person} --role approver"
        _no("this person has not the role approver", f"have an approver answer, or the registry's keeper run: {command}")
    return person


def _by_code(answer: Answer, code: str, people: People, used: Collection[tuple[str, int]], now: datetime) -> CheckedAnswer:
    if not answer.approver.strip():
        _no("a one-time code needs the approver's identifier", "answer again, with --as and your identifier, or the form's field Approver")
    person = _approver(people.get(answer.approver))
    secret = people.totp_secret(person.person)
    if secret is None:
        _no(
            "this approver has no one-time codes; sign with SSH",
            f"sign, or have codes made: gatehouse people add {person.person} --role approver --totp",
        )
    step = matching_step(secret, code, now) if len(code) == DIGITS else None
    if step is None:
        _no("the one-time code is wrong or too old")
    if (person.person, step) in used:
        _no(SPENT, "answer again with the next code")
    return CheckedAnswer(person.person, "totp", answer.decision, "", step)


def _by_signature(answer: Answer, proof: str, statement: Statement, people: People) -> CheckedAnswer:
    try:
        key = sshsig.verify(proof, statement.message())
    except Denied:
        _no(f"the SSH signature is not one of the statement to {answer.decision} exactly this plan")
    owner = people.owner_of(key.fingerprint)
    if owner is None:
        _no(
            "the signature's key belongs to nobody in the registry of people",
            "is GATEHOUSE_IDENTITY your key? a new key is added with: gatehouse people add, --role approver and --key with its .pub file",
        )
    if answer.approver.strip() and answer.approver.strip().casefold() != owner.person:
        _no("the signature's key is not the named approver's")
    method = method_of(key)
    return CheckedAnswer(_approver(owner).person, method, answer.decision, key.fingerprint, None)
