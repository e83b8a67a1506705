"""The manifest: everything a pipeline says about itself before anybody lets it run.

Unknown keys are refused everywhere; what a manifest does not name is not allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from prefect_gatehouse.canonical import EXACT
from prefect_gatehouse.manifest.columns import REVERSIBLE, Drop, Tokenise, needs_key
from prefect_gatehouse.manifest.data import Data, SqlQuery
from prefect_gatehouse.manifest.declared_endpoint import Endpoint, dialect_of
from prefect_gatehouse.manifest.fields import (
    BackendName,
    BlockReference,
    ColumnName,
    DataClass,
    Duration,
    Inconsistent,
    Line,
    Name,
    RelativePath,
    Strict,
    TicketKey,
)
from prefect_gatehouse.manifest.output_columns import OutputColumn, OutputColumns
from prefect_gatehouse.manifest.reserved import about_column, alike, free_table
from prefect_gatehouse.manifest.window import Window
from prefect_gatehouse.vocabulary import TierName


class System(Strict):
    """A classical system that the run touches; one that is not declared is refused."""

    name: Name
    kind: Literal["database"]
    endpoint: Endpoint = Field(
        description="Where it is, without user, password and options: dialect://host[:port]/database; for SQLite sqlite:///FILE, "
        "relative to the manifest."
    )
    role: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=128)] | None = Field(
        None, description="Role of the database that writes rows there; the pre-flight asks what it may do."
    )
    highest_class: DataClass = Field(DataClass.PUBLIC, description="Highest class of data that may be written there; public unless declared.")


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
    round_bits: Annotated[int, Field(ge=1, le=EXACT)] | None = Field(
        None, description="Most bits that the circuits of one round may carry; as many as the first round's could, unless set."
    )


class Execution(Strict):
    """Where circuits run."""

    backends: Annotated[tuple[BackendName, ...], Field(min_length=1, max_length=10)] = Field(description="In order of preference.")
    shots: Annotated[int, Field(ge=1, le=1_000_000)]
    envelope: Envelope
    angle_step: Annotated[float, Field(ge=1e-12, le=0.1, strict=True)] | None = Field(
        None, description="Radians, such as 1.0e-6: every angle is put on the nearest multiple before it is digested and sent."
    )
    data_engine: Literal["in-process", "processes", "dask"] = Field(
        "in-process", description="Where data is minimised: in the run's process, in a pool of them, or on a Dask cluster."
    )
    data_workers: Annotated[int, Field(ge=1, le=64)] = Field(2, description="How many processes or Dask workers; the first engine takes one.")
    rehearsal: Literal["required", "skip"] = Field(
        "required", description="Whether the workload is run to its end on a simulator before anybody is asked; a tier may demand it."
    )

    # Less than a credential is held (secrets/lease.py), with time to read the results.
    queue_wait: Annotated[Duration, Field(le=timedelta(minutes=10))] = Field(
        timedelta(minutes=3), description="How long a process waits for jobs in a provider's queue before the run is suspended; 10m at most."
    )
    max_queue: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None, description="A backend in whose queue more jobs wait is passed over; no limit unless set."
    )
    reuse: Duration | None = Field(
        None,
        description="Results are kept so long, sealed, to answer identical requests of this pipeline; the class of the output says how long at most.",
    )
    window: Window | None = Field(None, description="Hours in which jobs are submitted; at any hour unless set.")

    @model_validator(mode="after")
    def _each_once(self) -> Execution:
        if len(set(self.backends)) != len(self.backends):
            raise ValueError("a backend is named twice")
        return self


class Purpose(StrEnum):
    """What a credential is for; each is fetched on its own, just before its use."""

    READ_SOURCE = "read_source"
    PREFLIGHT = "preflight"
    TOKENISE = "tokenise"
    SUBMIT = "submit"
    RETRIEVE = "retrieve"
    RE_IDENTIFY = "re_identify"
    WRITE_BACK = "write_back"


class Credentials(Strict):
    """Which secret block serves which purpose; a purpose without a block has no secret."""

    read_source: BlockReference | None = Field(None, description="SQLAlchemy URL of the source database, or the S3 bucket's block.")
    preflight: BlockReference | None = Field(
        None,
        description="SQLAlchemy URL of the target database, to look at its tables before anything is paid; its user need only read the catalogue.",
    )
    tokenise: BlockReference | None = Field(None, description="Root keys of the tokens: 32 bytes as base64 or hex, or a keyring in JSON.")
    submit: BlockReference | None = Field(None, description="Sign-in at the quantum provider; none for local simulators.")
    retrieve: BlockReference | None = Field(
        None, description="Sign-in at the quantum provider that reads results and need not be able to make jobs; submit's unless set."
    )
    re_identify: BlockReference | None = Field(None, description="Root key that turns reversible tokens back.")
    write_back: BlockReference | None = Field(None, description="SQLAlchemy URL of the target database.")

    def of(self, purpose: Purpose) -> str | None:
        """The block reference for a purpose, None where the manifest names none."""
        value: str | None = getattr(self, purpose.value)
        return value


class Target(Strict):
    """Where results go."""

    system: Name = Field(description="Name of a declared system.")
    table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"), AfterValidator(free_table)]


class Output(Strict):
    """What comes back."""

    suite: RelativePath = Field(description="Great Expectations suite of the frame that the workload returns.")
    target: Target
    key: ColumnName = Field(description="Column that identifies a row; a reversible token is turned back at the target.")
    columns: OutputColumns = Field(
        description="Every column that is written, beside the key: a list of names, or a mapping from each name to its type. Without types "
        "only the prototype tier takes text."
    )
    mode: Literal["append", "replace", "upsert"] = "upsert"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they are written: as listed; sorted where they have types, since a mapping has no order in JSON."""
        return self.columns if isinstance(self.columns, tuple) else tuple(sorted(self.columns))

    @property
    def types(self) -> Mapping[str, OutputColumn] | None:
        """What each column may hold, None where the manifest does not say it."""
        return None if isinstance(self.columns, tuple) else self.columns


class Retention(Strict):
    """How long what a run leaves behind stays."""

    artifacts: Duration = Field(
        default=timedelta(days=1),
        description="Encrypted artifacts of a run that failed, and so how long it can be resumed; no longer than the tier's resume_window.",
    )
    evidence: Duration = Field(default=timedelta(days=3650), description="Ledger entries; at least this long.")


class Reproduce(Strict):
    """What stays of each job, so that it can be run again on a model of its device: a few circuits as they left, their counts, the calibration."""

    keep: Duration = Field(
        default=timedelta(days=3), description="From the job's result, whatever becomes of the run; at most what the class of the output allows."
    )
    circuits: Annotated[int, Field(ge=1, le=20)] = Field(4, description="Of each job, evenly spread; with their angles, which the data is in.")


class Manifest(Strict):
    """One pipeline."""

    gatehouse: Literal[1] = Field(description="Version of the manifest's format.")
    name: Name
    owner: Line
    tenant: Name
    billing_code: Line
    ticket: TicketKey = Field(description="Change or request, such as CHG-1042 or CHG0031042.")
    purpose: Line
    environment: Name
    tier: TierName
    data: Data
    systems: tuple[System, ...] = ()
    workload: Workload
    execution: Execution
    credentials: Credentials = Credentials()
    output: Output
    retention: Retention = Retention()
    reproduce: Reproduce | None = Field(None, description="Nothing stays beyond the run unless this is there.")

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        found = [*self._about_systems(), *self._about_output(), *self._about_credentials()]
        if found:
            raise Inconsistent(found)
        return self

    def _about_systems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        names = [system.name for system in self.systems]
        if len(set(names)) != len(names):
            yield ("systems",), "a system is declared twice"
        if isinstance(self.data.source, SqlQuery) and self.data.source.system not in names:
            yield ("data", "source", "system"), "data.source.system is not among the declared systems"
        if self.output.target.system not in names:
            yield ("output", "target", "system"), "output.target.system is not among the declared systems"

    def _about_output(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        column = self.data.columns.get(self.output.key)
        if column is None or isinstance(column, Drop):
            yield ("output", "key"), "output.key is not among the columns that leave"
        if isinstance(column, Tokenise) and column.scheme not in REVERSIBLE:
            yield ("output", "key"), f"output.key is tokenised with a scheme that can't be reversed; use {', '.join(sorted(REVERSIBLE))}"
        if self.output.key in self.output.columns:
            yield ("output", "columns"), "output.columns repeats the key"
        if len(set(self.output.names)) != len(self.output.names):
            yield ("output", "columns"), "a column is written twice"
        yield from self._about_names()

    def _about_names(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        dialect = next((dialect_of(system.endpoint) for system in self.systems if system.name == self.output.target.system), "")
        key = about_column(self.output.key, dialect)
        if key is not None:
            yield ("output", "key"), key
        listed = self.output.types is None
        for place, name in enumerate(self.output.names):
            problem = about_column(name, dialect)
            if problem is not None:
                yield ("output", "columns", place if listed else name), problem
        names = list(dict.fromkeys((self.output.key, *self.output.names)))
        if alike(names, dialect) is not None:
            yield ("output", "columns"), "two names differ by case only, which the database does not see; rename one of them"

    def _about_credentials(self) -> Iterator[tuple[tuple[str, ...], str]]:
        keyed = next((column for column in self.data.columns.values() if needs_key(column)), None)
        if keyed is not None and self.credentials.tokenise is None:
            what = "a column is tokenised" if isinstance(keyed, Tokenise) else "dates are shifted"
            yield ("credentials",), f"{what} but credentials.tokenise names no block"
        if not isinstance(self.data.source, str) and self.credentials.read_source is None:
            yield ("credentials",), "data.source is not a file but credentials.read_source names no block"
        if isinstance(self.data.columns.get(self.output.key), Tokenise) and self.credentials.re_identify is None:
            yield ("credentials",), "output.key is a token but credentials.re_identify names no block"
        if self.credentials.retrieve is not None and self.credentials.submit is None:
            yield ("credentials", "retrieve"), "credentials.retrieve reads results of jobs, and credentials.submit names no block that makes them"
        if self.credentials.write_back is None:
            yield ("credentials",), "credentials.write_back names no block"
