"""May this person see what came of this run? Asked wherever a command opens what a run sealed, for whoever's key lies in the caller's installation.

Nobody signs anything to look, so the person is a claim, and the policy is told so. Whoever can read the run's key can
open what it sealed with other tools, too. Who looks with ours is in the ledger before anything is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from prefect_gatehouse.errors import GatehouseError, StorageError
from prefect_gatehouse.identity.caller import caller_of
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.by_hand import ActRefused, ResultRead
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.act_questions import IN_WORDS, question_of, refuse_act
from prefect_gatehouse.policy.interface import Fact
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.refused_acts import recorded_if_refused
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class Look:
    """A look that the policy of now permits.

    Attributes:
        ledger: Where it is recorded.
        run_id: The run.
        tier: The run's.
        fact: What is recorded.
    """

    ledger: Ledger
    run_id: str
    tier: str
    fact: ResultRead

    def record(self) -> None:
        """Records the look, once a day for the same run, person and command; to be called before anything is opened.

        Raises:
            StorageError: It can't be recorded, and the run's tier is above the prototype tier: so nothing is to be opened.
        """
        name = f"{self.run_id}:result-read:{self.fact.act}:{self.fact.person}:{datetime.now(UTC):%Y-%m-%d}"
        try:
            if self.ledger.event(name) is None:  # most looks are not the first one, and need no lock
                with self.ledger.transaction() as tx:
                    tx.append(name, self.run_id, self.fact)
        except Exception as error:  # noqa: BLE001 - whatever the database lets through: the tier decides what comes of it
            if self.tier == "prototype":
                return
            why = error.message if isinstance(error, GatehouseError) else type(error).__name__
            message = f"who looks at what came of the run can't be recorded, so nothing is opened: {why}"
            advice = "see to the ledger's disk, permissions and GATEHOUSE_LEDGER_URL, then look again"
            raise StorageError(message, where="ledger", advice=advice) from None


def ask_to_look(settings: Settings, ledger: Ledger, chain: Chain, act: Literal["show", "reproduce"]) -> Look | None:
    """Stops a look at what a run sealed that the policy of now does not permit, which is then in the run's events.

    Args:
        settings: The installation; its identity is the caller's.
        ledger: That knows which policies were signed.
        chain: The run's.
        act: The command.

    Returns:
        The look, to be recorded; None where nothing was sealed yet.

    Raises:
        Denied: The policy says no; names the rule. Or, above the prototype tier, the policies are not those that were signed.
        InputError: The policies can't be loaded, or the caller names a key that is not there.
        Tampered: The registry can't be read.
    """
    admitted = chain.read(AdmittedRun.gate, AdmittedRun)
    if admitted is None:
        return None
    manifest, caller = admitted.manifest, caller_of(settings)
    reader = caller.person or Person(person=NOBODY, roles=frozenset())
    tried = ActRefused(
        action="read_result",
        act=act,
        about={"pipeline": manifest.name, "tenant": manifest.tenant},
        tier=manifest.tier,
        environment=manifest.environment,
        reasons=(),
        person=reader.person,
        fingerprint=caller.fingerprint,
    )
    context: dict[str, Fact] = {"act": act, "requester": admitted.requester.person, "output_class": admitted.classes.output_class.rank}
    asked = question_of("read_result", reader, manifest.name, manifest.tenant, manifest.environment, manifest.tier, context)
    with recorded_if_refused(ledger, tried, admitted.run_id):
        policy = policy_that_counts(settings, ledger, manifest.tier)()
        decision = policy.ask(asked)
        refuse_act(policy, decision, IN_WORDS["read_result"], reader.person)
    read = ResultRead.model_validate({"act": act, "person": reader.person, "fingerprint": caller.fingerprint, **decision.permits()})
    return Look(ledger, admitted.run_id, manifest.tier, read)
