"""How much could leave: what a plan says of it, and the stops where it would be more than the tier allows or people approved.

The circuits' bound is that of ``workload/capacity.py``: of the first round when the plan is made, and of every round before it is sent. The
frame's is known when the plan is made, from the declared types and the number of rows that the workload is given::

    rows * (the sum of the columns' bits)    a cell has the bits of its type
    columns * 16                             how Arrow keeps it: width, sign, unit, scale
    ceil(log2(e * rows!))                    which keys come back, each at most once, and in what order: sum over k of rows! / (rows - k)!

The key itself adds nothing: it is one of those that the workload was given, which gate 9 checks.
"""

from __future__ import annotations

import math

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.manifest.models import Output
from prefect_gatehouse.run.planned import Leaving
from prefect_gatehouse.run.values import AdmittedRun, MinimisedData, Plan
from prefect_gatehouse.vocabulary import TierName
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.capacity import capacity

UNDECLARED_BITS = 65
"""Of a cell whose type nobody declared, where free text is refused: 64 bits, or a gap."""

_PHYSICAL_BITS = 16
_FEWER = "set execution.angle_step, yield fewer or smaller circuits, or use another tier"


def free_text(tier: TierName) -> bool:
    """Whether a column without a declared type may hold text."""
    return tier == "prototype"


def leaving_of(minimised: MinimisedData, batch: CircuitBatch) -> Leaving:
    """The bounds of a run whose first round this is.

    Raises:
        Denied: They are more than the tier, or the manifest itself, allows.
    """
    admitted = minimised.admitted
    execution = admitted.manifest.execution
    first = capacity(batch, execution.angle_step)
    declared = execution.envelope.round_bits
    found = Leaving(
        circuits=first,
        round_bits=first.bits if declared is None else declared,
        frame_bits=frame_bits(admitted.manifest.output, minimised.artifact.rows, admitted.tier.name),
    )
    _require_allowed(found, admitted)
    return found


def _require_allowed(found: Leaving, admitted: AdmittedRun) -> None:
    if found.circuits.bits > found.round_bits:
        raise Denied(
            f"the first round could carry {found.circuits.bits:,} bits, the manifest says {found.round_bits:,} at most",
            where="execution.envelope.round_bits",
            advice="ask for more bits, set execution.angle_step, or yield fewer circuits",
        )
    tier, rounds = admitted.tier, admitted.manifest.execution.envelope.rounds
    if tier.leaving_bits is None:
        if tier.name != "prototype":
            # The run was admitted before tiers had a cap.
            raise Denied(f"nobody knows how many bits the {tier.name} tier lets circuits carry", where="tier", advice="start a new run")
    elif rounds * found.round_bits > tier.leaving_bits:
        raise Denied(
            f"the circuits could carry {rounds * found.round_bits:,} bits in all, the {tier.name} tier allows {tier.leaving_bits:,}",
            where="tier: leaving_bits",
            advice=_FEWER,
        )


def require_approved_bits(plan: Plan, batch: CircuitBatch, number: int) -> int:
    """Stops a round that could carry more than people approved; gives its bits.

    Args:
        plan: The approved plan.
        batch: The round's circuits.
        number: The round, from 0.

    Raises:
        Denied: Says how many bits it could carry.
    """
    bits = capacity(batch, plan.admitted.manifest.execution.angle_step).bits
    if bits > plan.body.leaving.round_bits:
        raise Denied(
            f"round {number + 1} could carry {bits:,} bits, {plan.body.leaving.round_bits:,} are approved for a round",
            where="submit",
            advice="name execution.envelope.round_bits, or yield fewer circuits; then start a new run",
        )
    return bits


def frame_bits(output: Output, rows: int, tier: TierName) -> int | None:
    """How much the frame could carry to the target, in bits; None where nothing bounds it.

    Args:
        output: What comes back.
        rows: Rows that the workload is given.
        tier: Of the run.
    """
    types = output.types
    if types is None and free_text(tier):
        return None
    row = UNDECLARED_BITS * len(output.names) if types is None else sum(kind.bits for kind in types.values())
    keys = math.ceil((math.lgamma(rows + 1) + 1) / math.log(2) + 1e-3)
    return rows * row + _PHYSICAL_BITS * len(output.names) + keys
