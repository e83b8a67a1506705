"""A run of a small project under its gates, without a Prefect server: what a dry run does, and on to its end."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.cells import rounds_of
from prefect_gatehouse.run.values import AdmittedRun, ApprovedPlan, Plan, RawOutcome
from prefect_gatehouse.secrets.lease import CredentialLease, SecretText
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.await_approval import await_approval
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.workload.batch import CircuitBatch
from prefect_gatehouse.workload.rounds import Finished
from prefect_gatehouse.workload.summary import CircuitsSummary
from tests.support.circuit_lists import summarise
from tests.support.plans import MANIFEST, RUN, write_project

HEAD = "import os\nimport random\nimport sys\nimport warnings\n\nimport numpy as np\nimport pandas as pd\nfrom qiskit import QuantumCircuit\n\n\n"
# Two rounds; the second depends on the counts of the first, and on random numbers.
TWO_ROUNDS = """
def circuit(angle):
    made = QuantumCircuit(2, 2)
    made.ry(angle, 0)
    made.cx(0, 1)
    made.measure([0, 1], [0, 1])
    return made


def solve(features, parameters):
    counts = yield [circuit(float(x)) for x in sorted(features["x"])]
    share = counts[0].get("00", 0) / sum(counts[0].values())
    counts = yield [circuit(share + random.random() + np.random.random())]
    return pd.DataFrame({"subject": features["subject"], "score": counts[0].get("11", 0)})
"""


@dataclass
class Collected:
    """A run whose workload has returned."""

    desk: Desk
    outcome: RawOutcome

    def returning(self, name: str, frame: pd.DataFrame) -> RawOutcome:
        """The outcome as if the workload had returned another frame."""
        attempt = self.desk.attempt
        artifact = attempt.store.write(RUN, name, pa.Table.from_pandas(frame, preserve_index=False), attempt.key)
        return self.outcome.model_copy(update={"frame": artifact})


Cell = Literal["auto", "none", "landlock", "bubblewrap"]


class Fetching:
    """Gate 6, as a flow hands it to a gate; it remembers what it was passed for."""

    def __init__(self) -> None:
        self.purposes: list[Purpose] = []

    def __call__(self, attempt: Attempt, admitted: AdmittedRun, purpose: Purpose) -> CredentialLease:
        self.purposes.append(purpose)
        return fetch_credential(attempt, admitted, purpose)


class Desk:
    """A run over a small project, approved, and what drives it.

    Without a cell unless a test names one: most are about the gates, and a cell takes most of a second to import.
    """

    def __init__(
        self,
        folder: Path,
        body: str = TWO_ROUNDS,
        rounds: int = 2,
        jobs: int = 10,
        backends: str = "aer, braket-local",
        rehearsal: str = "required",
        cell: Cell = "none",
    ) -> None:
        self.folder = folder / "project"
        write_project(self.folder)
        manifest = MANIFEST.replace("envelope: {rounds: 2, jobs: 10,", f"rehearsal: {rehearsal}\n  envelope: {{rounds: {rounds}, jobs: {jobs},")
        self.manifest = self.folder / "gatehouse.yaml"
        self.manifest.write_text(manifest.replace("backends: [aer, braket-local]", f"backends: [{backends}]"))
        (self.folder / "source.csv").write_text("subject,x\nann,0.1\nbob,0.2\ncid,0.3\n")
        self.write(body)
        # Nobody signs here, and the data is restricted: a tier that admits that.
        tiers = folder / "tiers.yaml"
        tiers.write_text(
            Settings()
            .tiers.read_text()
            .replace("unverified_class: internal", "unverified_class: restricted")
            .replace("unverified_alone: internal", "unverified_alone: restricted")
        )
        self.settings = Settings(home=folder / "home", tiers=tiers, cell=cell)
        self.settings.folder("")
        self.secrets = {"secret/url": f"sqlite:///{self.folder / 'target.sqlite'}"}
        self.blocks: dict[str, dict[str, Any]] = {}
        self.ledger = Ledger(self.settings.ledger())
        self.attempt = self.next_attempt()

    def write(self, body: str) -> None:
        (self.folder / "workload.py").write_text(HEAD + body)

    def next_attempt(self) -> Attempt:
        key = base64.b64encode(bytes(range(32))).decode()

        def secret(block: str) -> SecretText:
            return SecretText(self.secrets.get(block, key))

        # A block as it is at that time: who edits one changes nothing of what was read.
        return Attempt(self.settings, self.ledger, RUN, secret, read_settings=lambda block: dict(self.blocks[block]))

    def change(self, old: str, new: str) -> None:
        """Writes the manifest with one text replaced."""
        text = self.manifest.read_text()
        assert old in text
        self.manifest.write_text(text.replace(old, new))

    def admitted(self) -> AdmittedRun:
        return admit(self.attempt, str(self.manifest), None)

    def gates(self, kind: str = "gate-passed") -> list[str]:
        """The gates that were passed, entered or failed, in order."""
        return [str(event.data["gate"]) for event in self.ledger.events(RUN, kind)]

    def planned(self) -> Plan:
        return up_to_the_plan(self.attempt, str(self.manifest), None)

    def approved(self) -> ApprovedPlan:
        return self.approve(self.planned())

    def approve(self, made: Plan) -> ApprovedPlan:
        self.answer(made, "approve")
        return await_approval(self.attempt, made)

    def answer(self, made: Plan, decision: Literal["approve", "reject"]) -> None:
        """Has Bob, who may, answer in his own name."""
        people = People(self.settings.people_folder())
        key = self.folder.parent / "bob"
        line = public_line(key) if key.exists() else generate_key(key, "")
        people.add("bob", key=line, roles=frozenset({"approver"}), totp=False, clearance=DataClass.RESTRICTED)
        statement = dict(zip(("approve", "reject"), ask(self.attempt, made, "k"), strict=True))[decision]
        judge(self.attempt, made, "k", Answer(decision=decision, approver="bob", proof=sshsig.sign(key, statement.message())))

    def first_round(self, made: Plan) -> tuple[CircuitBatch, CircuitsSummary]:
        """The circuits that the plan is about, and what they amount to."""
        with rounds_of(self.attempt, made.validated.minimised, made.body.cell) as rounds:
            circuits = rounds.advance(None)
        assert not isinstance(circuits, Finished)
        return circuits, summarise(circuits, made.body.circuits.shots)

    def entries(self) -> list[tuple[int, int, str, str]]:
        return [(entry.round, entry.fallback, entry.backend, entry.state) for entry in journal.entries(self.attempt)]

    def frame(self, outcome: RawOutcome) -> pd.DataFrame:
        made: pd.DataFrame = self.attempt.store.read(outcome.frame, self.attempt.key).to_pandas()
        return made
