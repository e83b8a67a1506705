"""A run's ticket, looked up where the installation says tickets are: when it is admitted, and again before each round is sent."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from prefect_gatehouse.errors import Denied, Unavailable
from prefect_gatehouse.ledger.events import LeaseNotRevoked
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.secrets.lease import Checkout, SecretText
from prefect_gatehouse.tickets.check import TicketCheck, judged
from prefect_gatehouse.tickets.config import load_tickets
from prefect_gatehouse.tickets.file import TicketFile
from prefect_gatehouse.tickets.interface import TicketSystem


def check_ticket(attempt: Attempt, manifest: Manifest, tier: TierRules, gate: str, round_number: int | None = None) -> TicketCheck | None:
    """What the ticket is now, written down before the policy is asked; None in a tier that takes it as it is typed.

    Raises:
        InputError: The installation's file of tickets is malformed.
    """
    if tier.ticket == "none":
        return None
    now = datetime.now(UTC)
    system = load_tickets(attempt.settings.tickets_file())
    if system is None:
        found = _unchecked(manifest, now, "no ticket system is set up")
    elif tier.ticket == "system" and isinstance(system, TicketFile):
        found = _unchecked(manifest, now, f"the tier {tier.name} wants a ticket system", system.source)
    else:
        found = _found(attempt, system, manifest, now)
    attempt.record(f"ticket:{secrets.token_hex(4)}", found.fact(gate, round_number))
    return found


def credential_of(path: Path) -> str | None:
    """The block of the ticket system's credential, None where there is none.

    Raises:
        InputError: The file is malformed.
    """
    system = load_tickets(path)
    return system.block if system is not None else None


def _found(attempt: Attempt, system: TicketSystem, manifest: Manifest, now: datetime) -> TicketCheck:
    try:
        secret = attempt.read_secret(system.block) if system.block is not None else SecretText("")
    except (Denied, Unavailable) as error:
        return _unchecked(manifest, now, f"its credential can't be read: {error.message}", system.source)
    try:
        if not isinstance(secret, SecretText):
            return _unchecked(manifest, now, "the block of its credential holds no text", system.source)
        ticket = system.look_up(manifest.ticket, secret.reveal())
    except Unavailable as error:  # ours, without a word of the system's
        return _unchecked(manifest, now, error.message, system.source)
    finally:
        _revoke(attempt, system, secret)
    found = judged(ticket, manifest.ticket, system.source, manifest.tenant, manifest.name, now)
    return found.model_copy(update={"block": system.block, "credential_version": secret.version})


def _unchecked(manifest: Manifest, now: datetime, why: str, source: str = "") -> TicketCheck:
    return TicketCheck(ticket=manifest.ticket, source=source, at=now, unchecked=why)


def _revoke(attempt: Attempt, system: TicketSystem, secret: Checkout) -> None:
    try:
        secret.revoke()
    except Exception:  # noqa: BLE001 - whatever a store raises, what was read is forgotten, and that it still holds is written down
        mark = secrets.token_hex(8)
        ends = str(secret.expires_at or "")
        attempt.record(f"not-revoked:{mark}", LeaseNotRevoked(lease_id=mark, purpose="ticket", block=system.block, expires_at=ends))
