"""The rounds behind the first one, as a rehearsal meets them: each is looked at as it will be when it is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack

from prefect_gatehouse.errors import UnusableAnswer
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.providers.interface import BackendFacts
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.boundary import guard_payload
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.minimised import formless_tokens
from prefect_gatehouse.run.planned import Leaving
from prefect_gatehouse.run.prepared import prepare
from prefect_gatehouse.run.values import MinimisedData
from prefect_gatehouse.secrets.lease import CredentialLease
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.capacity import capacity


class LaterRounds(AbstractContextManager["LaterRounds"]):
    """Looks at round after round; leaving ends the lease that it asks the backends with.

    Args:
        attempt: The attempt.
        minimised: What the workload is given.
        facts: The backends of the plan, by name.
        first: The first round, which was looked at when the backends were asked.
        leaving: How much a round may carry.
        fetch: Fetches the credential, once there is a round to look at.
    """

    def __init__(
        self, attempt: Attempt, minimised: MinimisedData, facts: Mapping[str, BackendFacts], first: CircuitBatch, leaving: Leaving, fetch: Fetch
    ) -> None:
        self._open = ExitStack()
        self._fetch = fetch
        self._lease: CredentialLease | None = None
        self._attempt = attempt
        self._minimised = minimised
        self._facts = facts
        self._leaving = leaving
        self._circuits = len(first)
        self._jobs = {name: _jobs(first, each) for name, each in facts.items()}

    def __call__(self, batch: CircuitBatch) -> None:
        """Stops a round that a backend would not take.

        Raises:
            UnusableAnswer: It is too wide.
            InputError: The backend can't run it.
            DataRefused: It holds something else than numbers and gates.
        """
        execution = self._minimised.admitted.manifest.execution
        for name, facts in self._facts.items():
            if batch.qubits > facts.qubits:
                raise UnusableAnswer(
                    f"{name} has {facts.qubits} qubits, the circuits need {batch.qubits}",
                    where="workload",
                    advice="mend the workload and resume the run, or start a new run with another backend",
                )
            provider = self._attempt.backend(name)
            found = prepare(provider, batch, execution.shots, execution.angle_step, self._leased(), where=name)
            job = provider.encode(next(found.batch.parts(facts.circuits_per_job)), execution.shots)
            guard_payload(job, provider, where=name, tokens=formless_tokens(self._attempt, self._minimised), step=execution.angle_step)
            self._jobs[name] += _jobs(batch, facts)
        self._circuits += len(batch)
        bits = capacity(batch, execution.angle_step).bits
        if bits > self._leaving.round_bits:
            raise UnusableAnswer(
                f"the circuits of a round could carry {bits:,} bits, {self._leaving.round_bits:,} are asked for",
                where="execution.envelope.round_bits",
                advice="name a larger envelope.round_bits in a new run, or yield fewer circuits and resume the run",
            )

    def _leased(self) -> CredentialLease:
        """One lease for all rounds: a rehearsal lasts a minute or so, and most have no second round."""
        if self._lease is None:
            self._lease = self._open.enter_context(self._fetch(self._attempt, self._minimised.admitted, Purpose.SUBMIT))
        return self._lease

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def doubts(self) -> list[str]:
        """Of what the rounds so far need more than the envelope or the tier has; with other counts there may be fewer rounds."""
        admitted = self._minimised.admitted
        most, cap = admitted.manifest.execution.envelope.jobs, admitted.tier.shots
        found = [f"whether it needs more than {most} jobs on {name}, as it did" for name, jobs in self._jobs.items() if jobs > most]
        if cap is not None and self._circuits * admitted.manifest.execution.shots > cap:
            found.append(f"whether it needs more than the tier's {cap:,} shots, as it did")
        return found


def _jobs(batch: CircuitBatch, facts: BackendFacts) -> int:
    return -(-len(batch) // facts.circuits_per_job)
