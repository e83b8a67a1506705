"""What a provider's own record of a job says of the run, so that its log joins the ledger: identifiers, and nobody's name.

The same for every job of a run, whatever process makes it: a provider that compares a repeated request compares its labels too.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.run_keys import RunKeys

_LONGEST = 128
_FORM = re.compile(r"[^A-Za-z0-9 _.:/=+@-]")


def labels_of(settings: Settings, chain: Chain) -> dict[str, str]:
    """The labels of a run's jobs, by name; values of at most 128 characters, letters, digits, blanks and ``_.:/=+@-``.

    Raises:
        Tampered: The run was never admitted.
        StorageError: The installation's key of pseudonyms can't be used.
    """
    admitted = chain.read(AdmittedRun.gate, AdmittedRun)
    if admitted is None:
        raise Tampered("the run was never admitted", where="labels", advice="run: gatehouse verify")
    manifest = admitted.manifest
    named = {
        "run": admitted.run_id,
        "tenant": manifest.tenant,
        "environment": manifest.environment,
        "billing-code": manifest.billing_code,
        "ticket": manifest.ticket,
        "requester": pseudonym(settings, "requester", admitted.requester.person),
        "service": pseudonym(settings, "service", manifest.credentials.submit or ""),
    }
    return {name: _FORM.sub("_", value)[:_LONGEST] for name, value in named.items() if value}


def pseudonym(settings: Settings, kind: str, name: str) -> str:
    """What stands for a name at a provider: 32 hexadecimal digits, HMAC-SHA-256 under a key of the installation; empty for an empty name.

    Raises:
        StorageError: The key can't be used.
    """
    if not name:
        return ""
    key = RunKeys(settings.folder("pseudonyms")).obtain("providers").names_key()
    return hmac.new(key, f"{kind}\0{name}".encode(), hashlib.sha256).hexdigest()[:32]
