"""What a rule of the manifest amounts to for one column, in words."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.value import Value


class Treatment(Value):
    """How one column was treated."""

    column: str
    data_class: DataClass
    rule: Literal["drop", "keep", "tokenise", "generalise", "shift_dates", "constant"]
    detail: str = Field("", description="The rule's setting in words, such as 'siv' or 'year'.")
    declared: bool = Field(True, description="False for a column of the source that the manifest does not name.")


def undeclared(column: str) -> Treatment:
    """What becomes of a column that the manifest does not name: it is dropped, and nobody said how secret it is."""
    return Treatment(column=column, data_class=DataClass.RESTRICTED, rule="drop", declared=False)
