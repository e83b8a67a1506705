"""What a person signs: one action on exactly one thing, in one environment, for a while; of a plan, in words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.value import Digest, Value

_SAYS = {
    "approve": "I approve this run of Gatehouse.",
    "reject": "I reject this run of Gatehouse.",
    "write_back": "I release the outcome of this run of Gatehouse: it may be written back.",
    "withhold": "I withhold the outcome of this run of Gatehouse: it is not to be written back.",
}
_OF_AN_OUTCOME = ("write_back", "withhold")


_QUOTES = "'`"  # a statement stands between single quotes in a shell, and in a block of code in the form


def _line(text: str) -> str:
    if text != plain_line(text):
        raise ValueError("a line of a statement is printable and has no quote in it")
    return text


def plain_line(text: str) -> str:
    """A text as a line of a statement may hold it; what hides or reorders text, or ends the line or a quotation, becomes a question mark."""
    return "".join(each if each.isprintable() and each not in _QUOTES else "?" for each in text)


Line = Annotated[str, AfterValidator(_line)]


class Statement(Value):
    """A statement about something that has a digest: of an approval the plan, of a request the manifest, since there is no plan yet.

    A release is about a plan and about what came of it.
    """

    action: Literal["approve", "reject", "request", "write_back", "withhold"]
    subject_digest: Digest
    environment: str = Field(max_length=80)
    request_id: str = Field(max_length=80)
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    # One moment has one spelling, so that equal statements have equal bytes.
    expires: Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
    words: tuple[tuple[Line, Line], ...] = Field((), description="Of a plan: what is approved or rejected, each line with its name.")
    outcome_digest: Digest | Literal[""] = Field("", description="Of a release: what came of the plan.")

    @model_validator(mode="after")
    def _of_an_outcome(self) -> Self:
        if (self.action in _OF_AN_OUTCOME) != bool(self.outcome_digest) or (self.outcome_digest and not self.words):
            raise ValueError("a release names an outcome and says in words what it is, and nothing else does")
        return self

    def message(self) -> bytes:
        """The signed bytes, without a line end: of a plan a line for each thing that is decided, otherwise the RFC 8785 form."""
        if not self.words:
            return canonical(json.loads(self.model_dump_json(exclude={"words", "outcome_digest"})))
        lines = (
            *self.words,
            ("Environment", plain_line(self.environment)),
            ("Run", plain_line(self.request_id)),
            ("Plan digest", self.subject_digest),
            *((("Outcome digest", self.outcome_digest),) if self.outcome_digest else ()),
            ("Open until", self.expires.isoformat().replace("+00:00", "Z")),
            ("Nonce", self.nonce),
        )
        return "\n".join((_SAYS.get(self.action, self.action), *(f"{name}: {value}" for name, value in lines))).encode()

    def expired(self, now: datetime) -> bool:
        """Whether it has run out."""
        return now >= self.expires
