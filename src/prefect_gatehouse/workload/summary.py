"""What a round's circuits amount to, for the plan."""

from __future__ import annotations

from pydantic import Field

from prefect_gatehouse.value import Digest, Value


class CircuitsSummary(Value):
    """What a round's circuits amount to."""

    count: int = Field(ge=1)
    digest: Digest = Field(description="SHA-256 over the circuits as lists of gates and numbers.")
    qubits: int = Field(description="Of the widest circuit.")
    depth: int = Field(description="Of the deepest circuit.")
    shots: int = Field(description="Per circuit.")
