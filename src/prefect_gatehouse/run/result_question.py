"""May this person see what came of this run? Asked wherever a command opens what a run sealed, for whoever's key lies in the caller's installation.

Nobody signs anything to look, so the person is a claim, and the policy is told so. Whoever can read the run's key can
open what it sealed with other tools, too.
"""

from __future__ import annotations

from typing import Literal

from prefect_gatehouse.identity.caller import caller_of
from prefect_gatehouse.identity.person import Person
from prefect_gatehouse.identity.requester import NOBODY
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.act_questions import IN_WORDS, question_of, refuse_act
from prefect_gatehouse.policy.interface import Fact
from prefect_gatehouse.run.bundle import policy_that_counts
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.settings import Settings


def refuse_reading(settings: Settings, ledger: Ledger, chain: Chain, act: Literal["show", "reproduce"]) -> None:
    """Stops a look at what a run sealed that the policy of now does not permit.

    Args:
        settings: The installation; its identity is the caller's.
        ledger: That knows which policies were signed.
        chain: The run's.
        act: The command.

    Raises:
        Denied: The policy says no; names the rule. Or, above the prototype tier, the policies are not those that were signed.
        InputError: The policies can't be loaded, or the caller names a key that is not there.
        Tampered: The registry can't be read.
    """
    admitted = chain.read(AdmittedRun.gate, AdmittedRun)
    if admitted is None:
        return  # nothing was sealed yet
    manifest, reader = admitted.manifest, caller_of(settings).person or Person(person=NOBODY, roles=frozenset())
    context: dict[str, Fact] = {"act": act, "requester": admitted.requester.person, "output_class": admitted.classes.output_class.rank}
    policy = policy_that_counts(settings, ledger, manifest.tier)()
    asked = question_of("read_result", reader, manifest.name, manifest.tenant, manifest.environment, manifest.tier, context)
    refuse_act(policy, policy.ask(asked), IN_WORDS["read_result"], reader.person)
