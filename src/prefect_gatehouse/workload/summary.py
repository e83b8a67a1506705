"""What a round's circuits amount to, for the plan."""

from __future__ import annotations

from pydantic import Field

from prefect_gatehouse.value import Digest, Value


class CircuitsSummary(Value):
    """What a round's circuits amount to."""

    count: int = Field(ge=1)
    templates: int = Field(ge=1, description="Different circuits among them, their angles left aside.")
    digest: Digest = Field(description="SHA-256 over the circuits' plain form, shots left aside.")
    qubits: int = Field(description="Of the widest circuit.")
    depth: int = Field(description="Of the deepest circuit, over standard gates.")
    angles: int = Field(description="Numbers in all their tables.")
    shots: int = Field(description="Per circuit.")
