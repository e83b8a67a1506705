"""The column rules of a manifest: what becomes of each column that may leave its source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from prefect_gatehouse.manifest.fields import ColumnName, DataClass, Line, Name, Strict


class _Column(Strict):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    data_class: DataClass = Field(DataClass.RESTRICTED, alias="class", description="Restricted unless declared.")


class _Leaving(_Column):
    nulls: Literal["keep", "refuse"] = Field("keep", description="Missing values stay missing, or refuse the data.")


class Drop(_Column):
    """The column does not leave the source; also the rule of every column that is not named."""

    rule: Literal["drop"]


class Keep(_Leaving):
    """The column is kept; numbers may be scaled to 0..1 by bounds that the manifest declares (not by the data)."""

    rule: Literal["keep"]
    scale: tuple[float, float] | None = Field(None, description="Bounds mapped to 0 and 1; values outside are clipped.")

    @model_validator(mode="after")
    def _bounds(self) -> Keep:
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError("the first bound of scale must be below the second")
        return self


Scheme = Literal["cmac", "siv", "ff1", "permute", "codes"]
REVERSIBLE: frozenset[Scheme] = frozenset({"siv", "ff1", "permute"})
"""Schemes whose tokens the holder of the key can turn back."""

Alphabet = Literal["digits", "lower", "upper", "letters", "alphanumeric"]


class Tokenise(_Leaving):
    """Each value becomes a keyed token.

    ``cmac`` can't be reversed; ``siv`` can by whoever holds the key; ``ff1`` too, and keeps the form of digits or letters; ``permute``
    maps whole numbers of 64 bits to such numbers or to text, reversibly; ``codes`` gives random numbers to fewer than 1,000 distinct
    values, anew in every run.
    """

    rule: Literal["tokenise"]
    scheme: Scheme = "cmac"
    join_domain: Name | None = Field(None, description="Columns with the same join domain get the same tokens; the column's own name unless set.")
    alphabet: Alphabet | None = Field(
        None, description="Characters of the values, for scheme ff1; digits unless set. Spaces and punctuation stay in place, others are refused."
    )
    padding: bool | None = Field(None, description="For scheme siv: hide the length of a value up to 16 bytes; true unless set.")
    form: Literal["number", "text"] | None = Field(
        None,
        description="For scheme permute: tokens are whole numbers, or text that says its key's version and opens under no other; number unless set.",
    )
    canonical: Literal["text", "email"] | None = Field(
        None,
        description="What counts as the same value, for schemes cmac and siv: the same text, or the same address whatever its case; text unless set.",
    )

    @model_validator(mode="after")
    def _of_the_scheme(self) -> Tokenise:
        if self.alphabet is not None and self.scheme != "ff1":
            raise ValueError("alphabet belongs to scheme ff1")
        if self.padding is not None and self.scheme != "siv":
            raise ValueError("padding belongs to scheme siv")
        if self.form is not None and self.scheme != "permute":
            raise ValueError("form belongs to scheme permute")
        if self.canonical is not None and self.scheme not in {"cmac", "siv"}:
            raise ValueError("canonical belongs to schemes cmac and siv")
        if self.join_domain is not None and self.scheme == "codes":
            raise ValueError("codes are random in every run and join nothing; remove join_domain")
        return self

    @property
    def authentic(self) -> bool:
        """Whether a token says which version of the key made it and opens under no other, so that one which somebody made up is found out."""
        return self.scheme == "siv" or (self.scheme == "permute" and self.form == "text")


class Generalise(_Leaving):
    """Values become coarser; exactly one way is named."""

    rule: Literal["generalise"]
    to: Literal["decade", "year", "quarter", "month", "week", "day"] | None = Field(None, description="Dates and times: what is kept of them.")
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


class ShiftDates(_Leaving):
    """Dates move by a keyed number of days that is the same for one subject, so intervals within a subject stay."""

    rule: Literal["shift_dates"]
    subject: ColumnName = Field(description="Column of the source that says whose date it is; it need not leave.")
    days: Annotated[int, Field(ge=7, le=3650)] = Field(183, description="Dates move by up to this many days, back or forth, never by 0.")


class Constant(_Column):
    """Every value becomes the same one; the column stays where a schema needs it."""

    rule: Literal["constant"]
    value: Line | int | float | bool | None


Column = Annotated[Drop | Keep | Tokenise | Generalise | ShiftDates | Constant, Field(discriminator="rule")]


def needs_key(column: Column) -> bool:
    """Whether the rule of a column takes the root key of the tokens; random codes take none."""
    return isinstance(column, ShiftDates) or (isinstance(column, Tokenise) and column.scheme != "codes")
