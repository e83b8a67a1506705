"""What a gate returns and a later gate takes: in memory with the value before it, written with a reference to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

from pydantic import (
    ModelWrapValidatorHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from prefect_gatehouse.value import Value

V = TypeVar("V", bound=Value)


@dataclass(frozen=True)
class Writing:
    """Context of a value that is being written; those in it are named.

    Attributes:
        value: The value.
        run_id: The run, which the event names and a value does not repeat.
        digest_of: The digest of one that is in it.
    """

    value: Value
    run_id: str
    digest_of: Callable[[Value], str]


@dataclass(frozen=True)
class Reading:
    """Context of a value that is being read.

    Attributes:
        run_id: The run.
        follow: The value that a type, a passage and a digest name.
    """

    run_id: str
    follow: Callable[[type[Value], str, str], Value]


class GateValue(Value):
    """What a gate returns and a later gate takes.

    Attributes:
        gate: The gate that returns it.
    """

    gate: ClassVar[str]

    @property
    def passage(self) -> str:
        """The name of the event that keeps it: the gate, and the round where it has one."""
        return self.gate

    @model_serializer(mode="wrap")
    def _by_reference(self, whole: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        writing = info.context
        if isinstance(writing, Writing) and self is not writing.value:
            return {"passage": self.passage, "sha256": writing.digest_of(self)}
        written = whole(self)
        if isinstance(writing, Writing) and written.get("run_id") == writing.run_id:
            del written["run_id"]
        return written

    @model_validator(mode="wrap")
    @classmethod
    def _from_reference(cls, data: Any, whole: ModelWrapValidatorHandler[V], info: ValidationInfo) -> V:
        reading = info.context
        if isinstance(reading, Reading) and isinstance(data, dict) and data.keys() == {"passage", "sha256"}:
            return cast(V, reading.follow(cls, str(data["passage"]), str(data["sha256"])))
        if isinstance(reading, Reading) and isinstance(data, dict) and "run_id" in cls.model_fields:
            data = {"run_id": reading.run_id, **data}
        return whole(data)
