"""A device's calibration as it is now, for a run that has ended: under the policy and with the credential that submitted its jobs."""

from __future__ import annotations

import secrets

from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.interface import Connection
from prefect_gatehouse.providers.registry import connect
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.policy_questions import ask_secret
from prefect_gatehouse.run.reproducible import KeptJob
from prefect_gatehouse.run.services import required_service
from prefect_gatehouse.run.started import Started
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.sealer import NoKey


class DeviceNow:
    """Asks the devices of one run.

    Args:
        settings: The installation's.
        ledger: The open ledger, which gets the policy's decision before the credential is read.
        run_id: The run.
    """

    def __init__(self, settings: Settings, ledger: Ledger, run_id: str) -> None:
        self._settings, self._ledger, self._run_id = settings, ledger, run_id

    def __call__(self, job: KeptJob) -> bytes:
        """The raw calibration of a job's device now; empty where it has none.

        Raises:
            Denied: The policy says no, or is not the one that was signed.
            Unavailable: The provider does not answer, or tells no calibration.
            Tampered: The run has no plan.
        """
        plan = Chain(self._ledger, self._run_id).read(Plan.gate, Plan)
        if plan is None:
            raise Tampered("the run has jobs and no plan", where=self._run_id, advice="run: gatehouse verify")
        backend = connect(
            job.backend, Connection(self._settings.folder("providers"), NoKey(), plan.body.settings_of(job.backend), prices=self._settings.prices)
        )
        with self._lease(plan) as lease:
            return backend.state(lease).calibration

    def _lease(self, plan: Plan) -> CredentialLease:
        admitted, environment = plan.admitted, self._settings.environment
        block = admitted.manifest.credentials.submit
        rules = policy_that_counts(self._settings, self._ledger, admitted.tier.name)
        decision = ask_secret(rules(), admitted, Purpose.SUBMIT, environment, Started("process", plan.body.cell))
        with self._ledger.transaction() as tx:
            tx.append(f"{self._run_id}:decided-again:{secrets.token_hex(4)}", self._run_id, decision.fact())
        people = People(self._settings.people_folder())
        service = required_service(people, self._ledger, admitted.manifest, admitted.tier, Purpose.SUBMIT, block) if block is not None else ""
        if service:
            holding(self._settings, self._ledger).refuse_person(service)
        secret = read_secret(block) if block is not None else None
        return CredentialLease(Purpose.SUBMIT, block, secret, environment=environment, tenant=admitted.manifest.tenant, service=service)
