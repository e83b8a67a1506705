"""What goes in: the source, the columns that may leave, and how many people each of them must hide among."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from prefect_gatehouse.manifest.columns import Column, Drop, ShiftDates
from prefect_gatehouse.manifest.csv_form import STANDARD, CsvForm
from prefect_gatehouse.manifest.fields import ColumnName, Inconsistent, Name, RelativePath, Strict


class S3Objects(Strict):
    """CSV or Parquet objects in the bucket of the block that ``credentials.read_source`` names."""

    s3: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        description="Key of an object, or a pattern such as patients/2026/*.parquet."
    )


class SqlQuery(Strict):
    """Rows of a query on a declared system; ``credentials.read_source`` names the block with its address."""

    sql: Annotated[str, Field(min_length=1, max_length=10_000)] = Field(description="One SELECT statement.")
    system: Name = Field(description="Name of a declared system.")


def _kind(source: object) -> str | None:
    if isinstance(source, str):
        return "file"
    keys = source if isinstance(source, dict) else getattr(type(source), "model_fields", {})
    return next((kind for kind in ("s3", "sql") if kind in keys), None)


SourcePlace = Annotated[
    Annotated[RelativePath, Tag("file")] | Annotated[S3Objects, Tag("s3")] | Annotated[SqlQuery, Tag("sql")], Discriminator(_kind)
]
_Group = Annotated[int, Field(ge=2, le=1000)]


class Data(Strict):
    """What goes in."""

    source: SourcePlace = Field(
        description="CSV (or compressed CSV) or Parquet file, or a pattern, relative to the manifest; or {s3: key}; or {sql: query, system: name}."
    )
    csv: CsvForm = Field(STANDARD, description="How CSV files are written, where that is not UTF-8, commas and a header row.")
    columns: dict[ColumnName, Column] = Field(min_length=1, description="Every column that may leave, and how; all others are dropped.")
    quasi_identifiers: tuple[ColumnName, ...] = Field((), description="Columns that identify somebody only together.")
    k: _Group | None = Field(None, description="Smallest group that the quasi-identifiers may form.")
    suppression_limit: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        None,
        description="Largest share of the rows that may be left out because their group has fewer than k rows, or fewer than l values of a "
        "sensitive column; such rows refuse the data unless it is set.",
    )
    sensitive: tuple[ColumnName, ...] = Field((), description="Columns that nobody may learn about a person whose group is known.")
    l: _Group | None = Field(None, description="Fewest distinct values of each sensitive column within a group.")  # noqa: E741 the field's own letter
    suite: RelativePath = Field(description="Great Expectations suite of the minimised data.")
    malformed: Literal["refuse", "quarantine"] = Field(
        "refuse", description="What becomes of rows that can't be read or treated: the data is refused, or the rows are set aside, encrypted."
    )
    quarantine_limit: Annotated[int, Field(ge=1, le=1_000_000)] = Field(1000, description="Most rows that may be set aside.")

    @model_validator(mode="after")
    def _consistent(self) -> Data:
        found = [*self._about_groups(), *self._about_suppression(), *self._about_subjects(), *self._about_csv()]
        if found:
            raise Inconsistent(found)
        return self

    def _about_groups(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for field, what, names in (
            ("quasi_identifiers", "quasi-identifier", self.quasi_identifiers),
            ("sensitive", "sensitive column", self.sensitive),
        ):
            for name in names:
                if name not in self.columns or isinstance(self.columns[name], Drop):
                    yield (field,), f"{what} '{name}' is not among the columns that leave"
            if len(set(names)) != len(names):
                yield (field,), f"a {what} is named twice"
        if bool(self.quasi_identifiers) != (self.k is not None):
            place = ("quasi_identifiers",) if self.quasi_identifiers else ("k",)
            yield place, "quasi_identifiers and k go together: name both or neither"
        if bool(self.sensitive) != (self.l is not None):
            yield ("sensitive",) if self.sensitive else ("l",), "sensitive and l go together: name both or neither"
        if self.l is not None and not self.quasi_identifiers:
            yield ("l",), "l counts within the groups of the quasi-identifiers: name them and k"
        if self.k is not None and self.l is not None and self.l > self.k:
            yield ("l",), "a group of k rows has at most k distinct values: l must not be above k"
        both = set(self.quasi_identifiers) & set(self.sensitive)
        if both:
            yield ("sensitive",), f"'{min(both)}' is a quasi-identifier and can't be sensitive as well"

    def _about_suppression(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if self.suppression_limit is not None and self.k is None:
            yield ("suppression_limit",), "suppression_limit counts rows in groups that are too small: name quasi_identifiers and k"

    def _about_subjects(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for name, column in self.columns.items():
            if isinstance(column, ShiftDates) and column.subject == name:
                yield ("columns", name), "a date can't be its own subject; name the column that says whose date it is"

    def _about_csv(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if isinstance(self.source, SqlQuery) and self.csv != STANDARD:
            yield ("csv",), "a query is no CSV: remove csv"
        declared = {*self.columns, *(column.subject for column in self.columns.values() if isinstance(column, ShiftDates))}
        if self.csv.names:
            for name in sorted(declared - set(self.csv.names)):
                yield ("csv", "names"), f"column '{name}' is not among the names"
