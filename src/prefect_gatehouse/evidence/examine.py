"""Whether a ledger is what was signed, with all that hangs on it: approvals, signed acts, and what is kept beside it."""

from __future__ import annotations

from pathlib import Path

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.evidence import approvals, kept, signed
from prefect_gatehouse.ledger.note import VerifierKey
from prefect_gatehouse.ledger.seal import newest_copy
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.ledger.verify import Verification, verify
from prefect_gatehouse.settings import Settings


def trusted_key(settings: Settings, given: Path | None = None) -> VerifierKey:
    """The key that a ledger's heads are checked with: the one that somebody trusts, or the home's own.

    Raises:
        InputError: It can't be read or is malformed, or nothing was signed here yet.
    """
    path = given or settings.home / "ledger.vkey"
    if given is None and not path.exists():
        advice = "a head is signed when a run ends, and by: gatehouse clean-up; elsewhere give --key and GATEHOUSE_LEDGER_URL"
        raise InputError("nothing in this ledger has been signed yet", where=str(path), advice=advice)
    try:
        return VerifierKey.parse(path.read_text())
    except (OSError, UnicodeDecodeError):
        raise InputError("the ledger's key can't be read", where=str(path), advice="give the file ledger.vkey with --key") from None
    except InputError as error:
        raise InputError(error.message, where=str(path), advice=error.advice) from None


def examine(settings: Settings, ledger: Ledger, trusted: VerifierKey) -> Verification:
    """Every hash, the chain, the tree and every signature; and where these are right, what approvals and signed acts say, and what is kept."""
    found = verify(ledger, trusted, newest_copy(settings.home, trusted))
    if found.ok:  # what an approval says counts only where the events are what was written
        found.problems.extend(approvals.problems(ledger))
        found.problems.extend(signed.problems(ledger))
        found.problems.extend(signed.of_nobody(settings, ledger))
        found.problems.extend(kept.problems(settings, ledger))
    return found
