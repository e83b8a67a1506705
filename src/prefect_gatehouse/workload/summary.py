"""What a round's circuits amount to, and how much they could carry, for the plan."""

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


class Capacity(Value):
    """How much a round's circuits could carry at most, in bits (``workload/capacity.py``)."""

    angles: int = Field(ge=0, description="Numbers in all their tables.")
    angle_bits: int = Field(ge=1, description="Of each of them: of the grid that they are on, or of a double.")
    gates: int = Field(ge=0, description="Bits of widths, gates and places.")
    order: int = Field(ge=0, description="Bits of how many circuits there are and in what order.")

    @property
    def bits(self) -> int:
        """In all."""
        return self.angles * self.angle_bits + self.gates + self.order
