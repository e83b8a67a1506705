"""What a worker hands to the process that it forks for a run: signed proof of which kind of worker started it.

Whoever may call Prefect's API can choose what a `process` worker starts, in which environment; what the workload does runs in the process itself.
Neither has the worker's private key, which the process of a run does not hold either: it is handed the signature, and checks it.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
from prefect_gatehouse.value import Value

_NAMESPACE = "gatehouse-worker"  # another one than people's, so that neither signature stands for the other
_LIFETIME = timedelta(minutes=5)
"""From the signature to the check in the forked process: long enough for a machine that is full, and no longer."""


class Warrant(Value):
    """That a worker of this installation started one process for one run."""

    worker: Literal["gatehouse"] = "gatehouse"
    run_id: str = Field(max_length=80)
    environment: str = Field(max_length=80)
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    expires: Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]

    def message(self) -> bytes:
        """The signed bytes: the RFC 8785 form."""
        return canonical(json.loads(self.model_dump_json()))


class SignedWarrant(Value):
    """A warrant and its signature; nothing in it is secret, and it is good once, for one run."""

    warrant: Warrant
    signature: str = Field(max_length=16 * 1024)


def obtain_worker_key(path: Path) -> str:
    """The public line of the worker's key, which is made when it is missing.

    Raises:
        InputError: Only one half of the key is there.
        StorageError: It can't be written.
    """
    if not path.exists():
        return generate_key(path, "gatehouse worker")
    return public_line(path)


def sign_warrant(key: Path, run_id: str, environment: str) -> SignedWarrant:
    """Signs that a process for a run is started now.

    Raises:
        InputError: There is no usable key.
    """
    warrant = Warrant(run_id=run_id, environment=environment, nonce=secrets.token_hex(16), expires=datetime.now(UTC) + _LIFETIME)
    return SignedWarrant(warrant=warrant, signature=sshsig.sign(key, warrant.message(), namespace=_NAMESPACE))


def check_warrant(signed: SignedWarrant, key: Path, *, run_id: str, environment: str, now: datetime) -> str:
    """The fingerprint of the worker's key, where the warrant is good for this run.

    Args:
        signed: What the process was handed.
        key: The worker's private key; only its public half, beside it, is read.
        run_id: The run that the process drives.
        environment: The installation's.
        now: The time.

    Raises:
        Denied: It is of another key, another run, another environment, or has expired.
    """
    warrant = signed.warrant
    advice = "start the worker again: gatehouse worker; then resume the run"
    if warrant.run_id != run_id or warrant.environment != environment:
        raise Denied("the worker's warrant is for another run", where="worker", advice=advice)
    if now >= warrant.expires:
        raise Denied("the worker's warrant has expired", where="worker", advice=advice)
    made_by = sshsig.verify(signed.signature, warrant.message(), namespace=_NAMESPACE).fingerprint
    try:
        known = fingerprint(public_line(key))
    except InputError:
        known = ""
    if made_by != known:
        raise Denied("the worker's warrant was signed with another key than this installation's worker has", where="worker", advice=advice)
    return made_by
