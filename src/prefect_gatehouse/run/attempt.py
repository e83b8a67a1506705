"""The fenced right to act on a run: one process's attempt, with what that process needs to act.

Every effect and every event goes through here and is refused once a newer attempt has begun or the ledger has closed the run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from sqlalchemy import insert

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import StorageError, Superseded, Unavailable
from prefect_gatehouse.files import safe_name
from prefect_gatehouse.ledger.answers import Consent
from prefect_gatehouse.ledger.events import ArtifactStored, EndingDecided, LeaseNotRevoked, PolicyDecided
from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.projection import RunRow
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import Event, Ledger, Transaction
from prefect_gatehouse.ledger.tables import artifacts
from prefect_gatehouse.providers.interface import Backend, Connection, Progress, SettingsReader
from prefect_gatehouse.providers.registry import connect, split
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.under import ran_under, versions_of
from prefect_gatehouse.secrets.lease import CredentialLease, SecretReader
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.store.run_keys import RunKey, RunKeys
from prefect_gatehouse.store.sealer import Sealer
from prefect_gatehouse.vocabulary import LogDepth
from prefect_gatehouse.workload.drawing import Drawings

if TYPE_CHECKING:
    from prefect_gatehouse.identity.people import People
    from prefect_gatehouse.manifest.models import Manifest
    from prefect_gatehouse.policy.interface import Policy
    from prefect_gatehouse.run.ahead import Ahead
    from prefect_gatehouse.run.parts import Parts
    from prefect_gatehouse.secrets.lease_record import LeaseRecord
    from prefect_gatehouse.store.artifact import Artifact

F = TypeVar("F", bound=Fact)
ProgressOf = Callable[[str], Progress]
"""Makes a progress reporter from a few words that say what is going on."""


def _silent(_: str) -> Progress:
    return lambda done, total: None


def no_blocks(block: str) -> Mapping[str, Json]:
    """Who gave no reader has no devices with settings."""
    raise Unavailable("nobody reads the settings of backends here", where=block, advice="run it as a flow: gatehouse run")


def not_stopped() -> None:
    """Nobody can stop what no server knows of."""


class Attempt:
    """One process driving one run.

    Args:
        settings: The installation's settings.
        ledger: The open ledger.
        run_id: The run.
        read_secret: Reads a secret by its block reference.
        progress: Makes progress reporters.
        read_settings: Reads what is set in a backend's block.
        prefect_flow: Prefect's identifier of the flow.
        log_from: Told the tier's depth of logging as soon as the tier is known, by the process that is this run's own.
        after: Take the run over only if this attempt still is its last; None takes it from whichever.

    Raises:
        Superseded: The ledger has closed the run, or another attempt has begun.
    """

    goes_on: ClassVar[bool] = True
    """Whether what follows a plan may follow it, which in a dry run nothing does."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        run_id: str,
        read_secret: SecretReader,
        progress: ProgressOf = _silent,
        *,
        read_settings: SettingsReader = no_blocks,
        prefect_flow: str = "",
        log_from: Callable[[LogDepth], None] = lambda _depth: None,
        after: int | None = None,
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.history = ledger
        """The ledger that knows what people approved before; of a dry run the installation's."""
        self.run_id = run_id
        self.read_secret = read_secret
        self.read_settings = read_settings
        self.progress = progress
        self.log_from = log_from
        self.leases: list[CredentialLease] = []
        # Of this process's plan, for a dry run to show. In no value of a gate: the ledger keeps those for ever, and a page has its end.
        self.drawings = Drawings()
        self.ahead: Ahead | None = None
        """A cell that was started because a workload will want it."""
        self.asked_prefect = -math.inf
        """When Prefect was last asked whether somebody cancelled the run, by the monotonic clock."""
        self.heed: Callable[[], None] = not_stopped
        """Raises where somebody has cancelled or suspended the run; a gate that lets something out calls it right before."""
        self.number = ledger.begin_attempt(run_id, prefect_flow=prefect_flow, after=after, under=ran_under(settings), versions=versions_of(settings))

    @contextmanager
    def effect(self) -> Iterator[Transaction]:
        """A write transaction that commits only while this attempt drives the run.

        Raises:
            Superseded: A newer attempt does, or the run is closed.
        """
        with self.ledger.transaction() as tx:
            self.ledger.check_fence(tx, self.run_id, self.number)
            yield tx

    def append(self, tx: Transaction, name: str, fact: Fact) -> bool:
        """Appends an event of this run; its identifier is ``run:name``."""
        return tx.append(f"{self.run_id}:{name}", self.run_id, fact, attempt=self.number)

    def record(self, name: str, fact: Fact) -> bool:
        """Appends one event in a transaction of its own."""
        with self.effect() as tx:
            return self.append(tx, name, fact)

    def permit(self, name: str, fact: Consent | PolicyDecided) -> bool:
        """Appends an event that permits something, and signs a head over it before anybody acts on it."""
        if isinstance(fact, PolicyDecided) and fact.policy_digest == self._admitted_by:
            fact = fact.model_copy(update={"policy_digest": ""})
        new = self.record(name, fact)
        self.seal()
        return new

    @cached_property
    def _admitted_by(self) -> str | None:
        """Digest of the policy that admitted the run."""
        from prefect_gatehouse.run.values import AdmittedRun

        admitted = self.chain.read(AdmittedRun.gate, AdmittedRun)
        return admitted.decision.policy_digest if admitted is not None else None

    def seal(self) -> None:
        """Signs a head over everything that has happened."""
        seal_home(self.settings.folder(""), self.ledger)

    def find(self, name: str, kind: type[F]) -> Event[F] | None:
        """An event of this run by the name it was recorded under.

        Raises:
            Tampered: It is of another kind.
        """
        return self.ledger.find(f"{self.run_id}:{name}", kind)

    @cached_property
    def chain(self) -> Chain:
        """The values of this run's gates, as the ledger keeps them."""
        return Chain(self.ledger, self.run_id)

    def row(self) -> RunRow:
        """The run's row in the ledger."""
        row = self.ledger.run(self.run_id)
        assert row is not None  # begin_attempt made it
        return row

    @cached_property
    def run_keys(self) -> RunKeys:
        """Where data keys of runs are kept."""
        return RunKeys(self.settings.folder("run-keys"))

    @property
    def key(self) -> RunKey:
        """The run's data key, made when first asked for."""
        return self.run_keys.obtain(self.run_id)

    @property
    def sealer(self) -> Sealer:
        """Encrypts small things under the run's data key."""
        return self.key.sealer()

    @cached_property
    def store(self) -> ArtifactStore:
        """The encrypted artifacts."""
        return ArtifactStore(self.settings.folder("artifacts"))

    @cached_property
    def parts(self) -> Parts:
        """What the run uses of this machine, compared with its plan."""
        from prefect_gatehouse.run.parts import Parts

        return Parts(self.settings, self.chain, lambda: self.find("ending", EndingDecided) is not None, self.read_settings)

    @property
    def people(self) -> People:
        """The registry of people.

        Raises:
            PlanChanged: It is another one than the plan's.
            Denied: Above the prototype tier: policies, tiers, classes and registry are not the signed bundle that stands.
            Tampered: Above the prototype tier: it was changed beside `gatehouse people`.
        """
        from prefect_gatehouse.run.registry import require_as_recorded
        from prefect_gatehouse.run.values import AdmittedRun

        self.refuse_unsigned()
        people, admitted = self.parts.people, self.chain.read(AdmittedRun.gate, AdmittedRun)
        if admitted is not None and admitted.tier.name != "prototype":
            require_as_recorded(self.settings, self.history, people)
        return people

    @property
    def policy(self) -> Policy:
        """The policy that the run is under, with the exceptions that hold for it.

        Raises:
            PlanChanged: It is another one than the plan's.
            Denied: As for ``people``.
        """
        from prefect_gatehouse.run.excepted import excepting

        self.refuse_unsigned()
        return excepting(self.parts.policy, self.settings, self.history, self.chain)

    @property
    def approving_policy(self) -> Callable[[], Policy]:
        """Gives the policy of now, by which approvals and releases count: above the prototype tier the signed one, where one stands."""
        from prefect_gatehouse.run.bundle import policy_that_counts
        from prefect_gatehouse.run.values import AdmittedRun

        admitted = self.chain.read(AdmittedRun.gate, AdmittedRun)
        if admitted is not None and admitted.tier.name != "prototype":
            return lambda: self.parts.policy  # which whoever asks for the people of the run has just had compared with what was signed
        return policy_that_counts(self.settings, self.history, admitted.tier.name if admitted is not None else "")

    def refuse_unsigned(self) -> None:
        """Stops a run above the prototype tier, once it is admitted, whose rules are not the signed bundle that stands, or not its plan's.

        Cleaning up goes by the rules of the day.

        Raises:
            Denied: They are not what was signed.
            PlanChanged: Another bundle stands than when the plan was made.
        """
        from prefect_gatehouse.run.values import AdmittedRun

        admitted = self.chain.read(AdmittedRun.gate, AdmittedRun)
        if admitted is not None:
            self.parts.refuse_unsigned(self.history, admitted.tier)

    def backend(self, name: str, sealer: Sealer | None = None) -> Backend:
        """A backend by its name in the manifest, with the settings of the plan, once there is one.

        Args:
            name: The name.
            sealer: What encrypts what is kept on this side; the run's key unless given.
        """
        from prefect_gatehouse.run.labels import labels_of

        settings = self.parts.backend_settings(name)
        kept = self.kept_by(split(name)[0])
        return connect(name, Connection(kept, sealer or self.sealer, settings, lambda: labels_of(self.settings, self.chain), self.settings.prices))

    def kept_by(self, provider: str) -> Path:
        """Where a provider may keep on this side what belongs to the run."""
        return self.settings.folder("providers") / safe_name(provider, "the provider") / self.run_id

    def own(self, artifact: Artifact, manifest: Manifest) -> None:
        """Enters an artifact with its owner, and until when it stays should the run stop now; repeating changes nothing.

        It lives as long as the run's key: while the run goes on or waits, and then for as long as it can be resumed.
        """
        from prefect_gatehouse.run.resume_window import resume_window

        name = artifact.uri.removeprefix(f"artifact:{self.run_id}/")
        self.enter(artifact.uri, manifest.owner, timedelta(seconds=resume_window(self.ledger, self.run_id)), name)

    def enter(self, uri: str, owner: str, keep: timedelta, name: str) -> None:
        """Enters what is kept, under a name of this run's; repeating changes nothing."""
        with self.effect() as tx:
            stored = ArtifactStored(uri=uri, owner=owner, retain_until=time.time() + keep.total_seconds())
            if self.append(tx, f"stored:{name}", stored):
                tx.connection.execute(insert(artifacts).values(run_id=self.run_id, **stored.model_dump()))

    def release(self) -> list[LeaseRecord]:
        """Ends the cell that nobody drives and revokes what this process holds; called on every way out of it.

        Returns:
            The leases whose store did not revoke them. They are held on, so that the next call tries again, and the ledger knows them.
        """
        if self.ahead is not None:
            self.ahead.close()
            self.ahead = None
        kept: list[CredentialLease] = []
        for lease in self.leases:
            try:
                lease.revoke()
            except Exception:  # noqa: BLE001 - one store's error must not keep the other leases alive
                kept.append(lease)
        self.leases[:] = kept
        for lease in kept:
            record = lease.record
            fact = LeaseNotRevoked(lease_id=record.lease_id, purpose=record.purpose.value, block=record.block, expires_at=str(record.expires_at))
            with suppress(StorageError, Superseded):  # without a disk, or after the end, there is nowhere to write
                self.record(f"not-revoked:{record.lease_id}", fact)
        return [lease.record for lease in kept]
