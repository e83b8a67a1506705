"""The record of a rehearsal: what a workload did on simulated counts before anybody was asked, free of values."""

from __future__ import annotations

from pydantic import Field

from prefect_gatehouse.plurals import counted
from prefect_gatehouse.value import Value

_SHOWN = 5  # doubts in one line of the plan; the ledger has all of them


class Rehearsal(Value):
    """What was rehearsed, and what only the real counts decide."""

    rehearsed: bool = False
    because: str = Field("", description="Why nobody rehearsed.")
    rounds: int = Field(0, description="Rounds that the workload was given counts of.")
    shots: int = Field(0, description="Of each circuit; fewer than the run will take.")
    simulated: int = Field(0, description="Circuits whose counts came from a simulator.")
    borrowed: int = Field(0, description="Circuits beyond a rehearsal's bounds, which were given the counts of one with the same gates.")
    uniform: int = Field(0, description="Circuits beyond the simulator, or with no such other, for which every result was as frequent.")
    rows: int | None = Field(None, description="Of the frame that was accepted; None where the rehearsal did not come to its end.")
    doubts: tuple[str, ...] = Field((), description="What did not hold with these counts, and may with others.")
    seconds: float = Field(0.0, description="How long it took.")

    def in_words(self) -> str:
        """One line for those who decide."""
        if not self.rehearsed:
            return f"not rehearsed: {self.because or 'nobody did'}"
        kinds = (
            (self.simulated, "simulated"),
            (self.borrowed, "given the counts of one with the same gates"),
            (self.uniform, "given uniform counts"),
        )
        circuits = ", ".join(f"{number:,} {'circuit' if number == 1 else 'circuits'} {how}" for number, how in kinds if number)
        end = f"frame of {counted(self.rows, 'row')} accepted" if self.rows is not None else "it did not come to its end"
        more = len(self.doubts) - _SHOWN
        doubts = [*self.doubts[:_SHOWN], *([f"{more} more"] if more > 0 else [])]
        tail = f"; only the real counts decide: {', '.join(doubts)}" if doubts else ""
        return (
            f"{counted(self.rounds, 'round')}, {circuits or 'no circuits'}, {counted(self.shots, 'shot')} each, in {self.seconds:.1f} s; {end}{tail}"
        )
