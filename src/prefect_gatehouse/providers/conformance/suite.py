"""The checks by name, and running them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prefect_gatehouse.errors import GatehouseError, InputError
from prefect_gatehouse.providers.conformance import counting, jobs
from prefect_gatehouse.providers.conformance.bench import Bench, Nonconformant

Check = Callable[[Bench], None]
"""Raises ``Nonconformant``, or whatever the backend raises, where the backend fails it."""

CHECKS: dict[str, Check] = {
    "facts": jobs.facts,
    "price": jobs.price,
    "state": jobs.state,
    "payload": jobs.payload,
    "refusals": jobs.refusals,
    "bit-order": counting.bit_order,
    "asymmetric-circuits": counting.asymmetric_circuits,
    "prepared-circuits": counting.prepared_circuits,
    "subsets-of-qubits": counting.subsets_of_qubits,
    "sparse-bits": counting.sparse_bits,
    "several-registers": counting.several_registers,
    "wide-registers": counting.wide_registers,
    "zero-angles": counting.zero_angles,
    "mixed-templates": counting.mixed_templates,
    "every-gate": counting.every_gate,
    "own-noise": counting.own_noise,
    "one-circuit": counting.one_circuit,
    "many-circuits": counting.many_circuits,
    "same-key": jobs.same_key,
    "many-statuses": jobs.many_statuses,
    "other-bytes": jobs.other_bytes,
    "unknown-handle": jobs.unknown_handle,
    "cancel": jobs.cancel,
    "delete": jobs.delete,
}
"""In the order in which they are run: what costs nothing first, what is sent in thousands late."""


@dataclass(frozen=True)
class Verdict:
    """What came of a check.

    Attributes:
        check: Its name.
        passed: Whether the backend does as it should.
        told: Why not; of a check that was passed what it shows.
        seconds: It took.
    """

    check: str
    passed: bool
    told: str
    seconds: float


def run(bench: Bench, names: Sequence[str] = ()) -> Iterator[Verdict]:
    """Runs checks, all of them unless some are named; each is told as it ends.

    Raises:
        InputError: There is no such check.
    """
    unknown = sorted(set(names) - CHECKS.keys())
    if unknown:
        raise InputError(f"there is no check {unknown[0]}", where="--check", advice=f"there are {', '.join(CHECKS)}")
    for name, check in CHECKS.items():
        if not names or name in names:
            yield _verdict(name, check, bench)


def _verdict(name: str, check: Check, bench: Bench) -> Verdict:
    begun = time.monotonic()
    try:
        check(bench)
        told, passed = shown_by(check), True
    except Nonconformant as found:
        told, passed = str(found), False
    except GatehouseError as error:
        told, passed = str(error), False
    except Exception as error:  # noqa: BLE001 - a backend lets nothing foreign out, and that it did is what is told
        told, passed = f"{type(error).__name__} comes out of the backend; it has to raise the library's errors", False
    return Verdict(name, passed, told, time.monotonic() - begun)


def shown_by(check: Check) -> str:
    """What a check shows, in a sentence."""
    return (check.__doc__ or "").strip().splitlines()[0].rstrip(".")
