"""A piece of work on the Braket SDK as its users write it: ``AwsDevice.run(...).result()`` in a task that is tried again.

What Prefect's ``task(retries=3)`` does is four lines here, so that the SDK's side pays for no server; a restarted flow begins the task anew, because
the ARN was in the process that died. The SDK's own client tokens and botocore's retries are as they come.
"""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from once.warm import serve, write_answer
from once.work import SHOTS, bits_of

_RETRIES = 3


def act(order: dict[str, Any]) -> None:
    """Submits and waits, and does both again if something goes wrong."""
    from braket.aws import AwsDevice
    from braket.circuits import Circuit

    os.environ.update(order["environment"])
    piece = order["piece"]
    circuit = Circuit()
    for qubit, bit in enumerate(bits_of(piece)):
        circuit.rx(qubit, math.pi * int(bit))
    for tries in range(_RETRIES + 1):
        try:
            device = AwsDevice(order["device"])
            task = device.run(circuit, (order["bucket"], "bare"), shots=SHOTS, poll_interval_seconds=0.1, tags={"piece": str(piece)})
            result = task.result()
            counts = {str(bits): int(number) for bits, number in result.measurement_counts.items()}
            break
        except Exception:  # as a task with retries does, whatever it was
            if tries == _RETRIES:
                raise
            time.sleep(0.2)
    write_answer(Path(order["answers"]) / f"{piece}.json", {"handles": [task.id], "counts": counts})


def main() -> None:
    """Imports once, then serves."""
    import braket.aws
    import braket.circuits  # noqa: F401

    serve(act)


if __name__ == "__main__":
    main()
