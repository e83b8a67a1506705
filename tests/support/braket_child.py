"""The warm process (``tests/support/child.py``) for Amazon Braket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.child import serve


def make_desk(order: dict[str, Any]) -> Any:
    """A desk in the bucket that the order names."""
    from prefect_gatehouse.testing import BraketEmulator
    from tests.support.braket_desk import BraketDesk

    return BraketDesk(Path(order["folder"]), BraketEmulator(order["url"], order["environment"]), order["settings"])


def warm() -> None:
    """Imports, and the models of the services."""
    from prefect_gatehouse.providers.braket.jobs import action_of
    from prefect_gatehouse.providers.braket.place import read_place
    from prefect_gatehouse.providers.braket.session import connect
    from prefect_gatehouse.testing.braket import MACHINE, REGION
    from tests.providers.circuits import flipped
    from tests.support.braket_desk import lease_of
    from tests.support.circuit_lists import batch_of

    action_of(batch_of([flipped(3, 0), flipped(3, 2)])).json()
    place = read_place("warm", {"device_arn": MACHINE, "region": REGION, "bucket": "none"})
    lease = lease_of(json.dumps({"AccessKeyId": "a", "SecretAccessKey": "b"}))
    connect(place, lease, "warm")


if __name__ == "__main__":
    serve(make_desk, warm)
