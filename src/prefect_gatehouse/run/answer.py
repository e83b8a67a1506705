"""Whether an answer to an asking is authentic, and from somebody who may give it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NoReturn

from pydantic import Field, ValidationError

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.methods.choose import METHODS
from prefect_gatehouse.identity.methods.interface import Claim, Proven
from prefect_gatehouse.identity.methods.oidc import is_token
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.statement import Statement
from prefect_gatehouse.policy.rules import RunClasses, TierRules
from prefect_gatehouse.policy.tiers import is_like_a_file, refuse_long_lived
from prefect_gatehouse.value import Value
from prefect_gatehouse.vocabulary import Method, ProofKind, Role

_STRENGTH: dict[Method, int] = {"totp": 0, "ssh": 1, "ssh-certificate": 2, "oidc": 2, "ssh-fido": 3}
MEANS: dict[Method, str] = {
    "totp": "a one-time code",
    "ssh": "an SSH signature",
    "ssh-certificate": "an SSH signature with a certificate",
    "oidc": "an ID token of your identity provider",
    "ssh-fido": "a FIDO key that asks for a PIN and a touch",
}
"""What each method is called where people are asked for it."""
_ARMOUR = "-----BEGIN SSH SIGNATURE-----"
_SKEW = timedelta(minutes=5)  # authorities let a certificate begin a little before it is made, for clocks that are slow


class Answer(Value):
    """What somebody answered: a claim until it has been checked."""

    decision: Literal["approve", "reject"]
    approver: str = Field("", max_length=200)
    proof: str = Field("", max_length=20_000)
    reason: str = Field("", max_length=500)


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
    life: timedelta | None = None
    key: str = ""
    roles: tuple[Role, ...] = ()
    """By the registry and, where the proof names roles, by the proof as well."""


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
        _no("a proof is missing: type your one-time code, or paste the SSH signature of the statement or your ID token")
    if is_code(answer):
        require_strength("totp", tier)


def is_code(answer: Answer) -> bool:
    """Whether the proof is a one-time code: of all proofs the only one that somebody could guess."""
    return kind_of(answer) == "code"


def kind_of(answer: Answer) -> ProofKind:
    """What was given as proof: signature and token have a form of their own, and what has none is judged as the one proof that needs none."""
    if is_token(answer.proof):
        return "token"
    return "signature" if _ARMOUR in " ".join(answer.proof.split()) else "code"


def authenticate(answer: Answer, statement: Statement, people: People, used_totp_steps: Collection[tuple[str, int]], now: datetime) -> CheckedAnswer:
    """Whose answer it is.

    Raises:
        Denied: The proof proves nobody who may approve.
    """
    kind = kind_of(answer)
    if kind == "code" and (named := people.get(answer.approver)) is not None:
        require_role(named, named.may("approver"))  # nobody else is told whether a code is right
    claim = Claim(answer.approver, answer.proof, statement.message(), answer.decision, now, used_totp_steps)
    proven = proven_approver(kind, claim, people)
    roles = tuple(role for role in sorted(proven.person.roles) if proven.may(role))
    return CheckedAnswer(proven.person.person, proven.method, answer.decision, proven.fingerprint, proven.totp_step, proven.life, proven.key, roles)


def proven_approver(kind: ProofKind, claim: Claim, people: People) -> Proven:
    """Which approver a proof proves.

    Raises:
        Denied: It proves nobody who may approve.
    """
    proven = METHODS[kind].prove(claim, people)
    require_role(proven.person, proven.may("approver"))
    return proven


def in_tier(method: Method, fingerprint: str, people: People, tier: TierRules) -> Method:
    """What a method is worth in a tier: a FIDO key that nobody has attested may be a file, and counts as one where the tier asks for it."""
    return "ssh" if is_like_a_file(method, people.is_attested(fingerprint), tier) else method


def require_allowed(checked: CheckedAnswer, *, requester: Requester, tier: TierRules, classes: RunClasses, people: People) -> None:
    """Stops an authentic answer of somebody who may not give it.

    Raises:
        Denied: It is the requester's own, its method is too weak, or its person is not cleared.
    """
    if checked.person == requester.person:
        _no("the requester can't approve or reject the own run; another person has to", "have an approver answer: gatehouse people list")
    if checked.fingerprint and checked.fingerprint == requester.fingerprint:
        _no("the key is the requester's, whoever its certificate names", "have an approver answer with their own key")
    require_strength(checked.method, tier)
    require_short_lived(checked.life, tier)
    refuse_long_lived(checked.method, tier, "approval")
    require_cleared(people.get(checked.person), classes)


def require_strength(method: Method, tier: TierRules) -> None:
    """Stops a method that is weaker than the tier's weakest.

    Raises:
        Denied: It is.
    """
    if _STRENGTH[method] < _STRENGTH[tier.weakest_method]:
        attested = " that was attested when it was entered" if tier.weakest_method == "ssh-fido" and tier.attested_keys == "required" else ""
        _no(f"the tier {tier.name} needs {tier.weakest_method}, this proof is {method}", f"answer with {MEANS[tier.weakest_method]}{attested}")


def require_short_lived(life: timedelta | None, tier: TierRules) -> None:
    """Stops a certificate that is good for longer than the tier lets one be.

    Args:
        life: How long it is; None for a proof that has no end, of which the tier speaks elsewhere.
        tier: The tier.

    Raises:
        Denied: It is good for longer.
    """
    longest = timedelta(seconds=tier.proof_life_seconds)
    if life is not None and life > longest + _SKEW:
        hours = f"{longest.total_seconds() / 3600:g} h"
        _no(f"the proof is good for longer than the {hours} of the tier {tier.name}", "have a certificate made that ends sooner, and answer again")


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


def require_role(person: Person, has: bool) -> None:
    """Stops somebody who may not decide.

    Args:
        person: Who would.
        has: Whether they have the role approver, by the registry and by what proves them.

    Raises:
        Denied: They have not, or are a service.
    """
    if has:
        return
    if person.service is not None:
        _no("this is a service, and only people approve or reject", "have an approver answer: gatehouse people list")
    if "approver" in person.roles:  # by the registry, and not by what proved the person
        _no("this person has not the role approver in any group of this proof", "be put into such a group where the proof is made, and answer again")
    command = f"gatehouse people add {person.person} --role approver"
    _no("this person has not the role approver", f"have an approver answer, or the registry's keeper run: {command}")
