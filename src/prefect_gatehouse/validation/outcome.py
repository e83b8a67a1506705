"""Quantum-shaped checks: counts that do not belong to the circuits that were sent never reach anybody."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_gatehouse.validation.report import CheckResult
from prefect_gatehouse.workload.counts import Counts


def check_counts(counts: Sequence[Counts], widths: Sequence[int], shots: int) -> tuple[CheckResult, ...]:
    """Right number of results, full-width binary strings, positive whole counts that add up to the shots.

    Args:
        counts: One mapping per circuit, Qiskit bit order.
        widths: Classical bits of each circuit that was sent.
        shots: Per circuit.
    """
    pairs = list(zip(counts, widths, strict=False))
    outcomes = {
        "quantum_one_result_per_circuit": len(counts) == len(widths) > 0,
        "quantum_strings_have_register_width": all({*map(len, result)} <= {width} and not "".join(result).strip("01") for result, width in pairs),
        "quantum_counts_are_positive": all({*map(type, result.values())} <= {int} and min(result.values(), default=1) > 0 for result, _ in pairs),
        "quantum_shots_add_up": all(sum(result.values()) == shots for result, _ in pairs),
    }
    return tuple(CheckResult(type=name, column=None, success=success, errored=False) for name, success in outcomes.items())
