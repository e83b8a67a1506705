"""The manifest: everything a pipeline says about itself before anybody lets it run.

Unknown keys are refused everywhere; what a manifest does not name is not allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from prefect_gatehouse.canonical import EXACT

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a duration as a whole number and one of s, m, h, d, for example 30m")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _write_duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_write_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$"}),
]
"""A duration, written ``90s``, ``30m``, ``2h`` or ``7d``."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", description="Lower case, digits, hyphens.")]
# Approvers read these in tables: no control character, no mark-up, nothing that hides or reorders text (Unicode TR 36).
_SHOWN = r"^[^\x00-\x1f\x7f-\x9f`|<>\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]+$"
ColumnName = Annotated[str, Field(min_length=1, max_length=128, pattern=_SHOWN)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=_SHOWN)]
RelativePath = Annotated[str, Field(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f]+$")]
BlockReference = Annotated[
    str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+(#[A-Za-z0-9_.-]+)?$", description="block-type/block-name, or block-type/block-name#field")
]


class Inconsistent(ValueError):
    """Parts that do not fit together: the field and a sentence for each."""

    def __init__(self, findings: list[tuple[tuple[str, ...], str]]) -> None:
        super().__init__("; ".join(message for _, message in findings))
        self.findings = findings


class DataClass(StrEnum):
    """How much harm a value can do in the wrong hands, least first."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        """0 for public up to 3 for restricted."""
        return list(DataClass).index(self)


class Strict(BaseModel):
    """Base of every part: frozen, no unknown key, no input echoed in an error, no number that JSON can't write."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class _Column(Strict):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    data_class: DataClass = Field(DataClass.RESTRICTED, alias="class", description="Restricted unless declared.")


class Drop(_Column):
    """The column does not leave the source; also the rule of every column that is not named."""

    rule: Literal["drop"]


class Keep(_Column):
    """The column is kept; numbers may be scaled to 0..1 by bounds that the manifest declares (not by the data)."""

    rule: Literal["keep"]
    scale: tuple[float, float] | None = Field(None, description="Bounds mapped to 0 and 1; values outside are clipped.")

    @model_validator(mode="after")
    def _bounds(self) -> Keep:
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError("the first bound of scale must be below the second")
        return self


class Tokenise(_Column):
    """Each value becomes a keyed token: ``cmac`` can't be reversed, ``siv`` can by whoever holds the key."""

    rule: Literal["tokenise"]
    scheme: Literal["cmac", "siv"] = "cmac"
    join_domain: Name | None = Field(None, description="Columns with the same join domain get the same tokens; the column's own name unless set.")


class Generalise(_Column):
    """Values become coarser; exactly one way is named."""

    rule: Literal["generalise"]
    to: Literal["year", "month"] | None = Field(None, description="Dates: keep the year, or year and month.")
    prefix: Annotated[int, Field(ge=1, le=32)] | None = Field(None, description="Text: keep this many characters.")
    round_to: Annotated[float, Field(gt=0)] | None = Field(None, description="Numbers: round to a multiple of this.")
    bins: Annotated[tuple[float, ...], Field(min_length=2, max_length=100)] | None = Field(
        None, description="Numbers: edges of half-open bins, ascending."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Generalise:
        if sum(way is not None for way in (self.to, self.prefix, self.round_to, self.bins)) != 1:
            raise ValueError("generalise needs exactly one of to, prefix, round_to, bins")
        if self.bins is not None and any(a >= b for a, b in zip(self.bins, self.bins[1:], strict=False)):
            raise ValueError("the edges of bins must ascend")
        return self


Column = Annotated[Drop | Keep | Tokenise | Generalise, Field(discriminator="rule")]


class Data(Strict):
    """What goes in."""

    source: RelativePath = Field(description="CSV or Parquet file, relative to the manifest.")
    columns: dict[ColumnName, Column] = Field(min_length=1, description="Every column that may leave, and how; all others are dropped.")
    quasi_identifiers: tuple[ColumnName, ...] = Field((), description="Columns that identify somebody only together.")
    k: Annotated[int, Field(ge=2, le=1000)] | None = Field(None, description="Smallest group that the quasi-identifiers may form.")
    suite: RelativePath = Field(description="Great Expectations suite of the minimised data.")

    @model_validator(mode="after")
    def _quasi_identifiers_leave(self) -> Data:
        found: list[tuple[tuple[str, ...], str]] = []
        place = ("quasi_identifiers",)
        for name in self.quasi_identifiers:
            if name not in self.columns or isinstance(self.columns[name], Drop):
                found.append((place, f"quasi-identifier '{name}' is not among the columns that leave"))
        if len(set(self.quasi_identifiers)) != len(self.quasi_identifiers):
            found.append((place, "a quasi-identifier is named twice"))
        if bool(self.quasi_identifiers) != (self.k is not None):
            found.append((place if self.quasi_identifiers else ("k",), "quasi_identifiers and k go together: name both or neither"))
        if found:
            raise Inconsistent(found)
        return self


class System(Strict):
    """A classical system that the run touches; one that is not declared is refused."""

    name: Name
    kind: Literal["database"]
    endpoint: Line = Field(description="Where it is, without user or password: dialect://host[:port]/database; for SQLite sqlite:///file-name.")


Scalar = str | int | float | bool


def _parameter(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        checked = handler(tuple(value) if isinstance(value, list) else value)
    except ValidationError:  # one sentence instead of one for each type that it could have been
        raise ValueError("a parameter is text, a finite number, true or false, or a list of these") from None
    numbers = checked if isinstance(checked, tuple) else (checked,)
    if any(isinstance(number, int) and abs(number) > EXACT for number in numbers):
        raise ValueError("a whole number of 2^53 or beyond has no exact form in JSON; write it as text")
    return checked


Parameter = Annotated[Scalar | tuple[Scalar, ...], WrapValidator(_parameter)]
"""What a workload may be told."""


class Workload(Strict):
    """The code between data and circuits."""

    entrypoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]+:[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="file.py:generator, relative to the manifest, or package.module:generator."
    )
    parameters: dict[str, Parameter] = Field(default_factory=dict)


class Envelope(Strict):
    """The most that one approval covers."""

    rounds: Annotated[int, Field(ge=1, le=10_000)]
    jobs: Annotated[int, Field(ge=1, le=1_000_000)] = Field(description="Provider jobs over all rounds.")
    cost: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=4)] = Field(description="Most the run may spend, in USD.")
    deadline: Duration = Field(description="From the approval: nothing is submitted later.")


class Execution(Strict):
    """Where circuits run."""

    backends: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10)] = Field(description="In order of preference.")
    shots: Annotated[int, Field(ge=1, le=1_000_000)]
    envelope: Envelope

    @model_validator(mode="after")
    def _each_once(self) -> Execution:
        if len(set(self.backends)) != len(self.backends):
            raise ValueError("a backend is named twice")
        return self


class Purpose(StrEnum):
    """What a credential is for; each is fetched on its own, just before its use."""

    TOKENISE = "tokenise"
    SUBMIT = "submit"
    RE_IDENTIFY = "re_identify"
    WRITE_BACK = "write_back"


class Credentials(Strict):
    """Which secret block serves which purpose; a purpose without a block has no secret."""

    tokenise: BlockReference | None = Field(None, description="Root key of the tokens, 32 bytes as base64 or hex.")
    submit: BlockReference | None = Field(None, description="Sign-in at the quantum provider; none for local simulators.")
    re_identify: BlockReference | None = Field(None, description="Root key that turns reversible tokens back.")
    write_back: BlockReference | None = Field(None, description="SQLAlchemy URL of the target database.")

    def of(self, purpose: Purpose) -> str | None:
        """The block reference for a purpose, None where the manifest names none."""
        value: str | None = getattr(self, purpose.value)
        return value


class Target(Strict):
    """Where results go."""

    system: Name = Field(description="Name of a declared system.")
    table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class Output(Strict):
    """What comes back."""

    suite: RelativePath = Field(description="Great Expectations suite of the frame that the workload returns.")
    target: Target
    key: ColumnName = Field(description="Column that identifies a row; a reversible token is turned back at the target.")
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1)] = Field(description="Every column that is written, beside the key.")
    mode: Literal["append", "replace", "upsert"] = "upsert"


class Retention(Strict):
    """How long what a run leaves behind stays."""

    artifacts: Duration = Field(default=timedelta(days=1), description="Encrypted artifacts of a run that failed and may be resumed.")
    evidence: Duration = Field(default=timedelta(days=3650), description="Ledger entries; at least this long.")


class Manifest(Strict):
    """One pipeline."""

    gatehouse: Literal[1] = Field(description="Version of the manifest's format.")
    name: Name
    owner: Line
    tenant: Name
    billing_code: Line
    ticket: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,15}-[0-9]{1,9}$")] = Field(description="Change or request, such as CHG-1042.")
    purpose: Line
    environment: Name
    tier: Literal["prototype", "integration", "business"]
    data: Data
    systems: tuple[System, ...] = ()
    workload: Workload
    execution: Execution
    credentials: Credentials = Credentials()
    output: Output
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        found = [*self._about_output(), *self._about_credentials()]
        if found:
            raise Inconsistent(found)
        return self

    def _about_output(self) -> Iterator[tuple[tuple[str, ...], str]]:
        names = [system.name for system in self.systems]
        if len(set(names)) != len(names):
            yield ("systems",), "a system is declared twice"
        if self.output.target.system not in names:
            yield ("output", "target", "system"), "output.target.system is not among the declared systems"
        column = self.data.columns.get(self.output.key)
        if column is None or isinstance(column, Drop):
            yield ("output", "key"), "output.key is not among the columns that leave"
        if isinstance(column, Tokenise) and column.scheme != "siv":
            yield ("output", "key"), "output.key is tokenised with a scheme that can't be reversed; use scheme siv"
        if self.output.key in self.output.columns:
            yield ("output", "columns"), "output.columns repeats the key"
        if len(set(self.output.columns)) != len(self.output.columns):
            yield ("output", "columns"), "a column is written twice"

    def _about_credentials(self) -> Iterator[tuple[tuple[str, ...], str]]:
        tokenised = any(isinstance(column, Tokenise) for column in self.data.columns.values())
        if tokenised and self.credentials.tokenise is None:
            yield ("credentials",), "a column is tokenised but credentials.tokenise names no block"
        if isinstance(self.data.columns.get(self.output.key), Tokenise) and self.credentials.re_identify is None:
            yield ("credentials",), "output.key is a token but credentials.re_identify names no block"
        if self.credentials.write_back is None:
            yield ("credentials",), "credentials.write_back names no block"
