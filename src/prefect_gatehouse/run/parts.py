"""What a run uses of the machine that it is on, each part compared with the plan when it is loaded.

A run that waits or failed goes on in another process, which loads workload, suites, policy and registry again, days later perhaps. Whatever is
loaded through here is what was approved, or the run ends; before there is a plan there is nothing to compare with. Gates load nothing of it
in another way (``tests/test_layout.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.errors import Denied, InputError, PlanChanged
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.policy.bundles import Accepted
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.providers.interface import SettingsReader
from prefect_gatehouse.providers.registry import block_of
from prefect_gatehouse.run.apart import find_workload_of
from prefect_gatehouse.run.bundle import as_planned, require_signed, signed_or_none
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.plan import refuse_changes, refuse_other, registry_of
from prefect_gatehouse.run.planned import SourceFile
from prefect_gatehouse.run.under import packages_of
from prefect_gatehouse.run.values import AdmittedRun, Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.validation.suite import Suite, load_suite

if TYPE_CHECKING:
    from prefect_gatehouse.policy.interface import Policy
    from prefect_gatehouse.workload.sources import FoundWorkload


class Parts:
    """The parts of one run, as one process loads them.

    Args:
        settings: The installation's settings.
        chain: The run's values; with its plan, once there is one.
        ends: Whether the run's end has been decided: cleaning up goes by the policy of the day, or a job of a run whose policy was
            replaced could not be cancelled.
        read_settings: Reads what is set in a backend's block.
    """

    def __init__(self, settings: Settings, chain: Chain, ends: Callable[[], bool], read_settings: SettingsReader) -> None:
        self._settings = settings
        self._chain = chain
        self._ends = ends
        self._read_settings = read_settings
        self._of_backends: dict[str, Mapping[str, Json]] = {}

    def _refuse_other(self, **now: object) -> None:
        """Stops at a part that is another one than the plan says.

        Raises:
            PlanChanged: Names it.
        """
        plan = self._chain.read(Plan.gate, Plan)
        if plan is not None:
            refuse_other(plan, now)

    @property
    def policy(self) -> Policy:
        """The policy as its files were when this process loaded it.

        Raises:
            InputError: It can't be loaded.
            PlanChanged: It is another one than the plan's.
        """
        if not self._ends():
            self._refuse_other(policy_digest=self._policy.digest)
        return self._policy

    @cached_property
    def _policy(self) -> Policy:
        from prefect_gatehouse.policy.cedar import load_policy

        return load_policy(self._settings.policies)

    def bundle(self, history: Ledger, tier: TierRules) -> Accepted | None:
        """The signed bundle of policies, tiers, classes and registry; None in the prototype tier where nobody has signed it.

        Raises:
            Denied: Above the prototype tier: what is here is not what was signed.
        """
        if tier.name == "prototype":
            return signed_or_none(self._settings, history)
        return require_signed(self._settings, history, lambda: self._policy.digest)

    def refuse_unsigned(self, history: Ledger, tier: TierRules) -> None:
        """Stops what goes on under other rules than were signed, above the prototype tier, or under others than the plan's.

        Raises:
            Denied: What is here is not what was signed.
            PlanChanged: Another bundle stands than when the plan was made.
        """
        if tier.name != "prototype" and not self._ends():
            self._refuse_other(bundle=as_planned(self.bundle(history, tier)))

    @cached_property
    def people(self) -> People:
        """The registry of people, which is read whenever it is asked.

        Raises:
            PlanChanged: It is another one than the plan's.
        """
        self._refuse_other(registry=registry_of(self._settings))
        return People(self._settings.people_folder())

    def workload(self, admitted: AdmittedRun) -> FoundWorkload:
        """The workload's files, compared, as what is installed is; none of its code has run, nor will it in this process unless there is no cell.

        Raises:
            InputError: It is not there.
            Denied: The tier wants reviewed commits, and it is another one than was admitted.
            PlanChanged: It is another one than the plan's, or other packages are installed.
        """
        self._refuse_other(packages_digest=packages_of(self._settings).digest)
        return self.workload_files(admitted)

    def workload_files(self, admitted: AdmittedRun) -> FoundWorkload:
        """The workload's files, compared, for whoever compares later what is installed.

        Raises:
            GatehouseError: As ``workload``.
        """
        found = find_workload_of(self._settings, admitted)
        files = tuple(SourceFile(path=path, sha256=sha256) for path, sha256 in found.sources.digests)
        self._refuse_other(workload_digest=found.sources.digest, files=files)
        # Elsewhere one that failed may be mended before there is a plan; here nobody would have read what then runs.
        if admitted.tier.reviewed_commit == "required" and found.digest != admitted.workload_digest:
            advice = "commit it signed, have that reviewed, and start a new run"
            raise Denied("the workload is another one than the reviewed one that was admitted", where="workload", advice=advice)
        return found

    def input_suite(self, admitted: AdmittedRun) -> Suite:
        """The suite of the minimised data.

        Raises:
            InputError: It can't be loaded.
            PlanChanged: It is another one than the plan's.
        """
        return self._suite(admitted, admitted.manifest.data.suite, "input_suite_sha256")

    def output_suite(self, admitted: AdmittedRun) -> Suite:
        """The suite of what comes back.

        Raises:
            InputError: It can't be loaded.
            PlanChanged: It is another one than the plan's.
        """
        return self._suite(admitted, admitted.manifest.output.suite, "output_suite_sha256")

    def _suite(self, admitted: AdmittedRun, name: str, field: str) -> Suite:
        suite = load_suite(Path(admitted.folder) / name)
        self._refuse_other(**{field: suite.sha256})
        return suite

    def backend_settings(self, name: str) -> Mapping[str, Json]:
        """What is set for a backend: the plan's, or, until there is one, its block's.

        A job is waited for, read and cancelled where it was sent, whatever has become of the block.

        Raises:
            InputError: There is no such backend.
            Unavailable: The block is missing, or its server does not answer.
        """
        plan = self._chain.read(Plan.gate, Plan)
        if plan is not None:
            return plan.body.settings_of(name)
        if name not in self._of_backends:  # the plan has what its backends were asked with, though the block be edited meanwhile
            block = block_of(name)
            self._of_backends[name] = self._read_settings(block[0]) if block is not None else {}
        return self._of_backends[name]

    def refuse_other_backends(self, plan: Plan) -> None:
        """Reads the blocks of the plan's backends again, before jobs are sent.

        Raises:
            PlanChanged: One has another setting than was approved; names backend and setting.
            Unavailable: A block is missing, or its server does not answer.
        """
        for each in plan.body.backends:
            block = block_of(each.name)
            now = self._read_settings(block[0]) if block is not None else {}
            planned = each.as_set()
            names = sorted(name for name in {*now, *planned} if canonical(now.get(name)) != canonical(planned.get(name)))
            if names:
                what = f"backend {each.name}: {', '.join(names)}"
                raise PlanChanged(f"changed since the approval: {what}", where="plan", advice="start a new run and have it approved")

    def refuse_changes(self, plan: Plan) -> None:
        """Compares everything at once, before an effect.

        Raises:
            PlanChanged: Names each part that is another one, or can't be loaded any more.
        """
        try:
            refuse_changes(self._settings, plan, self._policy.digest)
        except InputError as error:
            raise PlanChanged(
                f"changed since the approval: {error.message}", where=error.where or "plan", advice="start a new run and have it approved"
            ) from None
