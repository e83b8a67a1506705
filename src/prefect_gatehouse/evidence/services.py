"""As which services a run was served, from the ledger: who submitted, retrieved and archived, beside who asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prefect_gatehouse.identity.duties import DUTY_OF
from prefect_gatehouse.ledger.events import GatePassed
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.secrets.lease_record import LeaseRecord
from prefect_gatehouse.vocabulary import Duty


@dataclass(frozen=True)
class Served:
    """A service that fetched a credential for a run.

    Attributes:
        duty: What it is named for.
        service: Its name in the registry.
        purpose: What the credential was for.
        block: The credential's.
        event: Number of the event of the first time.
    """

    duty: Duty
    service: str
    purpose: str
    block: str
    event: int

    def in_words(self) -> str:
        """One line for a table."""
        return f"{self.service}, {self.duty}: {self.purpose} with {self.block} [{self.event}]"

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def served_by(ledger: Ledger, run_id: str) -> tuple[Served, ...]:
    """The services of a run in the order in which they first fetched; none where the installation names none."""
    found: dict[tuple[str, str], Served] = {}
    for event in ledger.facts(GatePassed, run_id=run_id):
        if event.fact.gate == CredentialLease.gate:
            record = LeaseRecord.model_validate(event.fact.value)
            if record.service:
                served = Served(DUTY_OF[record.purpose], record.service, record.purpose.value, record.block or "", event.seq)
                found.setdefault((record.service, record.purpose.value), served)
    return tuple(found.values())
