"""A dry run up to the plan: the real gates over the real data, in a throw-away home; nothing leaves.

Only the credentials that open the source, look at the target, ask the provider and look up the ticket are read; every other secret is a
throw-away key. What the gates write is encrypted under one that exists in this process only: a dry run that is killed leaves nothing that anybody
can read.
"""

from __future__ import annotations

import base64
import secrets
import shutil
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from prefect_gatehouse.blocks.devices import read_settings
from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.data.scratch import scratch_home
from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.ledger.opening import has_ledger, open_ledger
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.providers.interface import Progress
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.ticketing import credential_of
from prefect_gatehouse.run.under import packages_cache
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.secrets.lease import Checkout, SecretText
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.run_keys import RunKeys, RunKeysInMemory
from prefect_gatehouse.synthetic.record import carry_records
from prefect_gatehouse.workload.drawing import Drawings


def _unseen(_: Drawings) -> None:
    return


def dry_run_plan(
    settings: Settings, manifest: Path, progress: Callable[[str], Progress], *, signed: bool = True, drawn: Callable[[Drawings], None] = _unseen
) -> Plan:
    """The plan that a run of this manifest would ask approval for; tokens are made with a random key.

    Args:
        settings: The installation's.
        manifest: The manifest's file.
        progress: Makes progress reporters.
        signed: Sign the request as a run's is signed; most tiers deny one that is not.
        drawn: Told what the first round's templates look like.

    Raises:
        GatehouseError: A gate said no or failed.
    """
    manifest = manifest.resolve()
    request = signed_for(settings, manifest) if signed else None
    with scratch_home() as home:
        rules = {"people": settings.people_folder(), "bundle": settings.bundle_file(), "tickets": settings.tickets_file()}
        rules["image_statements"] = settings.image_folder()
        dry = settings.model_copy(update={"home": home, "ledger_url": "", "identity": settings.identity_key(), **rules})
        ledger = open_ledger(dry)
        _know_synthetic(settings, ledger)
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        credentials = load_manifest(manifest).manifest.credentials

        # A device is asked what it is, nothing is sent to it.
        asked = (credentials.read_source, credentials.preflight, credentials.submit, credential_of(dry.tickets_file()))

        def read(block: str) -> Checkout:
            return read_secret(block) if block in asked else SecretText(key)

        with suppress(OSError):  # what is installed need not be read again; where nobody has kept it, it is
            shutil.copyfile(packages_cache(settings), packages_cache(dry))
        try:
            with ExitStack() as open_:
                attempt = _DryAttempt(dry, ledger, str(uuid.uuid4()), read, progress, read_settings=read_settings)
                open_.callback(attempt.release)
                if has_ledger(settings):
                    attempt.history = open_.enter_context(open_ledger(settings))
                plan = up_to_the_plan(attempt, str(manifest), request)
                drawn(attempt.drawings)
                return plan
        finally:
            ledger.close()


class _DryAttempt(Attempt):
    goes_on: ClassVar[bool] = False

    @cached_property
    def run_keys(self) -> RunKeys:
        return RunKeysInMemory()


def _know_synthetic(settings: Settings, ledger: Ledger) -> None:
    """Tells the throw-away ledger which files the installation's ledger has as synthetic; a ledger that is not there is not made."""
    if not has_ledger(settings):
        return
    with open_ledger(settings) as installed:
        carry_records(installed, ledger)
