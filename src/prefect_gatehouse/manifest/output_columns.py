"""What a column that comes back may hold: a closed list of types, each of so many bits, so that a frame has a bound as well.

The bits are those of one cell, a gap among its values: the frame's bound is rows times their sum (``run/leaving.py``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from prefect_gatehouse.manifest.fields import ColumnName, Line, Strict

_WORD = 65  # every value of 64 bits, or a gap
_Whole = Annotated[int, Field(ge=-(2**53) + 1, le=2**53 - 1)]


class Number(Strict):
    """Floating-point or whole numbers, or decimals of up to 18 digits."""

    type: Literal["number"]

    @property
    def bits(self) -> int:
        """Of a cell."""
        return _WORD


class Integer(Strict):
    """Whole numbers."""

    type: Literal["integer"]
    minimum: _Whole | None = Field(None, description="Smallest; goes together with maximum.")
    maximum: _Whole | None = Field(None, description="Largest.")

    @model_validator(mode="after")
    def _a_range(self) -> Integer:
        if (self.minimum is None) != (self.maximum is None):
            raise ValueError("minimum and maximum go together: name both or neither")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is above maximum")
        return self

    @property
    def bits(self) -> int:
        """Of a cell."""
        return _WORD if self.minimum is None or self.maximum is None else (self.maximum - self.minimum + 1).bit_length()


class Boolean(Strict):
    """Truth values."""

    type: Literal["boolean"]

    @property
    def bits(self) -> int:
        """Of a cell."""
        return 2


class Category(Strict):
    """One of the texts that stand here."""

    type: Literal["category"]
    values: Annotated[tuple[Line, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _each_once(self) -> Category:
        if len(set(self.values)) != len(self.values):
            raise ValueError("a value is named twice")
        return self

    @property
    def bits(self) -> int:
        """Of a cell."""
        return len(self.values).bit_length()


class Date(Strict):
    """Days."""

    type: Literal["date"]

    @property
    def bits(self) -> int:
        """Of a cell."""
        return 33  # days as Arrow keeps them, or a gap


class Timestamp(Strict):
    """Points in time."""

    type: Literal["timestamp"]

    @property
    def bits(self) -> int:
        """Of a cell."""
        return _WORD


class Text(Strict):
    """Free text, which may say anything."""

    type: Literal["text"]
    length: Annotated[int, Field(ge=1, le=100_000)] = Field(description="Most characters of a cell.")

    @property
    def bits(self) -> int:
        """Of a cell: 21 bits tell any of Unicode's 1,112,064 characters or the text's end."""
        return 21 * self.length + 1


OutputColumn = Annotated[Number | Integer | Boolean | Category | Date | Timestamp | Text, Field(discriminator="type")]


def _form(columns: object) -> str:
    return "with types" if isinstance(columns, dict) else "names"


OutputColumns = Annotated[
    Annotated[tuple[ColumnName, ...], Field(min_length=1), Tag("names")]
    | Annotated[dict[ColumnName, OutputColumn], Field(min_length=1), Tag("with types")],
    Discriminator(_form),
]
"""A list of names, or a mapping from each name to its type."""
