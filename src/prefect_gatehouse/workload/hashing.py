"""The order of sets: the same in every process that runs a workload, or a replay would yield other circuits than were approved.

Python salts the hashes of texts anew in every process. Only the start of an interpreter can fix that, so whoever starts the processes of
runs does (``deployments/prefect.yaml``), and a run in another process stops before its first gate. ``gatehouse plan`` compares its
circuits with nothing and needs no fixed order.
"""

from __future__ import annotations

import sys

from prefect_gatehouse.errors import Interrupted

SEED = "0"
"""What ``PYTHONHASHSEED`` has to be: with 0 Python hashes texts without a random key. Only the interpreter's start can set it."""


def require_fixed_hashing() -> None:
    """Stops a process in which ``for x in {"a", "b"}`` goes another way than in the next one.

    Raises:
        Interrupted: Says what to set; the run can be resumed.
    """
    if sys.flags.hash_randomization:
        raise Interrupted(
            "this process orders sets at random, so a workload would not yield the same circuits again",
            where="PYTHONHASHSEED",
            advice=f"set PYTHONHASHSEED={SEED} for the processes that run flows: deploy again, or name it in the work pool's environment",
        )
