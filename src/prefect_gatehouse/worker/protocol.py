"""What passes between the worker and the warm process: one JSON object a line, over a socket that nobody else has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from prefect_gatehouse.identity.warrant import SignedWarrant
from prefect_gatehouse.value import Value
from prefect_gatehouse.worker.configuration import WorkerConfiguration


class Drive(Value):
    """Fork a process that drives a run until it waits or ends."""

    do: Literal["drive"] = "drive"
    number: int
    run_id: str
    warrant: SignedWarrant
    plain_pool: bool = Field(description="Whether the work pool's template is without placeholders.")


class NoteCrash(Value):
    """Fork a process that tells the ledger of the death of one that drove a run."""

    do: Literal["note-crash"] = "note-crash"
    number: int
    run_id: str
    at: float = Field(description="When it died, seconds since the epoch.")


class Stop(Value):
    """Signal the process of an order, if it still lives."""

    do: Literal["stop"] = "stop"
    number: int
    hard: bool = False


class Setup(Value):
    """The first line: what the worker was told at its start."""

    do: Literal["setup"] = "setup"
    configuration: WorkerConfiguration


Order = Annotated[Drive | NoteCrash | Stop | Setup, Field(discriminator="do")]
ORDER: TypeAdapter[Drive | NoteCrash | Stop | Setup] = TypeAdapter(Order)


class Answer(Value):
    """What became of an order: its process, and later how that ended."""

    number: int
    pid: int
    ended: int | None = Field(None, description="The exit code, or the signal as a negative number; None while it lives.")
