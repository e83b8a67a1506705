"""A run of a small project under its gates, without a Prefect server: what a dry run does, and on to its end."""

from __future__ import annotations

import base64
from pathlib import Path

import pandas as pd

from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import ApprovedPlan, Plan, RawOutcome
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.await_approval import await_approval
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


class Desk:
    """A run over a small project, approved, and what drives it."""

    def __init__(self, folder: Path, body: str = TWO_ROUNDS, rounds: int = 2, jobs: int = 10, backends: str = "aer, braket-local") -> None:
        self.folder = folder / "project"
        write_project(self.folder)
        manifest = MANIFEST.replace("envelope: {rounds: 2, jobs: 10,", f"envelope: {{rounds: {rounds}, jobs: {jobs},")
        (self.folder / "gatehouse.yaml").write_text(manifest.replace("backends: [aer, braket-local]", f"backends: [{backends}]"))
        (self.folder / "source.csv").write_text("subject,x\nann,0.1\nbob,0.2\ncid,0.3\n")
        self.write(body)
        # Nobody signs here, and the data is restricted: a tier that admits that.
        tiers = folder / "tiers.yaml"
        tiers.write_text(Settings().tiers.read_text().replace("unverified_class: internal", "unverified_class: restricted"))
        self.settings = Settings(home=folder / "home", tiers=tiers)
        self.settings.folder("")
        self.ledger = Ledger(self.settings.ledger())
        self.attempt = self.next_attempt()

    def write(self, body: str) -> None:
        (self.folder / "workload.py").write_text(HEAD + body)

    def next_attempt(self) -> Attempt:
        key = base64.b64encode(bytes(range(32))).decode()
        return Attempt(self.settings, self.ledger, RUN, lambda block: SecretText(key))

    def planned(self) -> Plan:
        return up_to_the_plan(self.attempt, str(self.folder / "gatehouse.yaml"), None)

    def approved(self) -> ApprovedPlan:
        made = self.planned()
        people = People(self.settings.people_folder())
        key = self.folder.parent / "bob"
        people.add("bob", key=generate_key(key, ""), roles=frozenset({"approver"}), totp=False, clearance=DataClass.RESTRICTED)
        approve, _ = ask(self.attempt, made, "k")
        judge(self.attempt, made, "k", Answer(decision="approve", approver="bob", proof=sshsig.sign(key, approve.message())))
        return await_approval(self.attempt, made)

    def entries(self) -> list[tuple[int, int, str, str]]:
        return [(entry.round, entry.fallback, entry.backend, entry.state) for entry in journal.entries(self.attempt)]

    def frame(self, outcome: RawOutcome) -> pd.DataFrame:
        made: pd.DataFrame = self.attempt.store.read(outcome.frame, self.attempt.key).to_pandas()
        return made
