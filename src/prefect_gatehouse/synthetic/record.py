"""Which files count as synthetic: those whose SHA-256 the ledger holds under ``synthetic-recorded``, and no other.

A name, a flag in a manifest or a comment never counts. The record is signed by the maker's key where there is one (OpenSSH's
PROTOCOL.sshsig over the RFC 8785 form), and sealed with the ledger like every event.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.errors import Denied, Tampered
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.ledger.events import SyntheticRecorded
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.policy.rules import TierRules

# What the ledger calls an event that belongs to no run.
_NO_RUN = "ledger"
# Told apart from every other statement that the same key signs.
_ACTION = "record-synthetic"


class SyntheticRecord(SyntheticRecorded):
    """What is known of a synthetic file."""

    def message(self) -> bytes:
        """The bytes that are signed."""
        body = self.model_dump(mode="json", exclude={"fingerprint", "signature"})
        return canonical({"action": _ACTION, **cast(dict[str, Json], body)})


def make_record(*, sha256: str, rows: int, source_sha256: str, report_sha256: str, generator: str, key: Path | None) -> SyntheticRecord:
    """The record of a new file, signed if there is a signing key.

    Raises:
        InputError: There is a key, and it can't sign.
    """
    record = SyntheticRecord(
        sha256=sha256, rows=rows, source_sha256=source_sha256, report_sha256=report_sha256, generator=generator, made_at=datetime.now(UTC)
    )
    if key is None:
        return record
    signature = sshsig.sign(key, record.message())
    fingerprint = sshsig.verify(signature, record.message()).fingerprint
    return record.model_copy(update={"signature": signature, "fingerprint": fingerprint})


def write_record(ledger: Ledger, record: SyntheticRecord) -> bool:
    """Records a file's digest; False where it is recorded already."""
    with ledger.transaction() as tx:
        return tx.append(_event_id(record.sha256), _NO_RUN, SyntheticRecorded.model_validate(record.model_dump()))


def record_of(ledger: Ledger, sha256: str) -> SyntheticRecord | None:
    """The record of a file by the SHA-256 of its bytes; None where there is none.

    Raises:
        Tampered: The record is not what was signed.
    """
    event = ledger.find(_event_id(sha256), SyntheticRecorded)
    if event is None or event.run_id != _NO_RUN:
        return None
    return _read(event, sha256)


def _read(event: Event[SyntheticRecorded], sha256: str) -> SyntheticRecord:
    try:
        record = SyntheticRecord.model_validate(event.fact.model_dump())
        if record.signature and sshsig.verify(record.signature, record.message()).fingerprint != record.fingerprint:
            raise Denied("another key")
    except (ValidationError, Denied):
        record = None
    if record is None or record.sha256 != sha256:
        raise Tampered("the record of a synthetic file is not what was signed", where=f"ledger event {event.seq}", advice="run: gatehouse verify")
    return record


def is_synthetic(ledger: Ledger, sha256: str) -> bool:
    """Whether the file with this SHA-256 is recorded as synthetic.

    Raises:
        Tampered: Its record is not what was signed.
    """
    return record_of(ledger, sha256) is not None


def require_synthetic(ledger: Ledger, sha256: str, tier: TierRules) -> bool:
    """Whether a source is recorded as synthetic; refused where the tier takes nothing else. The policy asks again before a job is made.

    Raises:
        Denied: The tier takes synthetic data only, and this file is not recorded.
        Tampered: The file's record is not what was signed.
    """
    synthetic = is_synthetic(ledger, sha256)
    if tier.synthetic_only and not synthetic:
        raise Denied(
            "the tier takes synthetic data only, and this file's digest is not recorded as synthetic",
            where="data.source",
            advice="make one from the source with gatehouse synthesise, and name the new file as the source",
        )
    return synthetic


def carry_records(source: Ledger, target: Ledger) -> int:
    """Copies every record into another ledger, for a dry run in a throw-away home; returns how many there are."""
    found = [_read(event, event.event_id.removeprefix(_event_id(""))) for event in source.facts(SyntheticRecorded, run_id=_NO_RUN)]
    return sum(write_record(target, record) for record in found)


def _event_id(sha256: str) -> str:
    return f"synthetic:{sha256}"
