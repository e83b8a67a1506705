"""The governed side: one approved run of as many rounds as there are pieces of work, and its gates 6, 7 and 8 for one of them.

``prepare`` takes a small run through gates 1 to 5, approval by a second identity included, in an installation of its own; then a warm process forks
one for each attempt at a round, as if the worker had died and somebody had resumed the run: a new attempt in the ledger, policy and approvals asked
again, the credential fetched again, the journal asked what it knows.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from once.warm import serve, write_answer
from once.work import QUBITS, SHOTS, bits_of

RUN = "3f0d5a3e-0000-4000-8000-000000000014"
BACKEND = "braket/garnet-eu"
_MANIFEST = f"""
gatehouse: 1
name: exactly-once
owner: benchmark
tenant: benchmark
billing_code: B-1
ticket: CHG-1
purpose: Every piece of work is paid once
environment: local
tier: prototype
data:
  source: source.csv
  suite: suites/input.json
  columns:
    subject: {{class: internal, rule: tokenise, scheme: siv}}
    x: {{class: internal, rule: keep}}
systems:
  - {{name: target, kind: database, endpoint: "sqlite:///target.sqlite", highest_class: restricted}}
workload:
  entrypoint: workload.py:solve
execution:
  backends: [{BACKEND}]
  shots: {SHOTS}
  envelope: {{rounds: 10000, jobs: 10000, cost: 10000, deadline: 24h}}
credentials:
  tokenise: secret/key
  re_identify: secret/key
  write_back: secret/url
  submit: secret/aws
output:
  suite: suites/output.json
  target: {{system: target, table: results}}
  key: subject
  columns: [score]
"""
# The rehearsal goes to the end of what the workload does by itself, one round: piece 0, which has to be the one that was approved. The rounds
# behind it are that one with other angles.
_WORKLOAD = f"""
import math

import pandas as pd
from qiskit import QuantumCircuit


def solve(features, parameters):
    circuit = QuantumCircuit({QUBITS}, {QUBITS})
    for qubit in range({QUBITS}):
        circuit.rx(math.pi * int("{bits_of(0)}"[qubit]), qubit)
    circuit.measure(range({QUBITS}), range({QUBITS}))
    yield [circuit]
    return pd.DataFrame({{"subject": features["subject"], "score": 1.0}})
"""
_SUITE = [
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1, "max_value": 10}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "subject"}},
]


class Installation:
    """A home and a project below a folder.

    Args:
        folder: The folder.
        block: What the backend's block holds.
        credential: What signs in at the service.
    """

    def __init__(self, folder: Path, block: dict[str, Any], credential: str) -> None:
        from prefect_gatehouse.settings import Settings

        self.project, tiers = folder / "project", folder / "tiers.yaml"
        self._block, self._credential = block, credential
        if not tiers.exists():
            tiers.write_text(Settings().tiers.read_text().replace("backends: [aer, braket-local]", f"backends: [{BACKEND}]"))
        self.settings = Settings(home=folder / "home", tiers=tiers, cell="none")
        self.settings.folder("")
        self.key = folder / "approver"

    def attempt(self) -> Any:
        """A new attempt at the run, with a ledger of its own."""
        from prefect_gatehouse.ledger.store import Ledger
        from prefect_gatehouse.run.attempt import Attempt
        from prefect_gatehouse.secrets.lease import SecretText

        held = {"secret/aws": self._credential, "secret/url": f"sqlite:///{self.project / 'target.sqlite'}"}
        key = base64.b64encode(bytes(range(32))).decode()
        return Attempt(
            self.settings,
            Ledger(self.settings.ledger()),
            RUN,
            lambda block: SecretText(held.get(block, key)),
            read_settings=lambda block: dict(self._block),
        )

    def approve(self) -> None:
        """Gates 1 to 5."""
        from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
        from prefect_gatehouse.identity import sshsig
        from prefect_gatehouse.identity.keys import generate_key
        from prefect_gatehouse.identity.people import People
        from prefect_gatehouse.manifest.fields import DataClass
        from prefect_gatehouse.run.answer import Answer
        from prefect_gatehouse.run.approvals import ask, judge
        from prefect_gatehouse.tasks.await_approval import await_approval

        (self.project / "suites").mkdir(parents=True)
        for name, text in (("gatehouse.yaml", _MANIFEST), ("workload.py", _WORKLOAD), ("source.csv", "subject,x\na,0.1\nb,0.2\nc,0.3\n")):
            (self.project / name).write_text(text)
        (self.project / "requirements.lock").write_text("# nothing\n")
        for name in ("input", "output"):
            (self.project / "suites" / f"{name}.json").write_text(json.dumps({"name": name, "expectations": _SUITE}))
        attempt = self.attempt()
        plan = up_to_the_plan(attempt, str(self.project / "gatehouse.yaml"), None)
        line = generate_key(self.key, "")
        People(self.settings.people_folder()).add("approver", key=line, roles=frozenset({"approver"}), totp=False, clearance=DataClass.RESTRICTED)
        statement, _ = ask(attempt, plan, "form")
        judge(attempt, plan, "form", Answer(decision="approve", approver="approver", proof=sshsig.sign(self.key, statement.message())))
        await_approval(attempt, plan)
        attempt.release()
        attempt.ledger.close()


def act(order: dict[str, Any]) -> None:
    """One attempt at a round: gates 6, 7 and 8 as they are."""
    from prefect_gatehouse.run.counts import counts_of
    from prefect_gatehouse.run.values import ApprovedPlan
    from prefect_gatehouse.tasks.collect import collect
    from prefect_gatehouse.tasks.fetch_credential import fetch_credential
    from prefect_gatehouse.tasks.submit import submit
    from prefect_gatehouse.workload.plain_form import summarise

    piece = order["piece"]
    attempt = Installation(Path(order["folder"]), order["block"], order["credential"]).attempt()
    approved = attempt.chain.read(ApprovedPlan.gate, ApprovedPlan)
    batch = _batch(piece)
    submission = submit.in_round(piece, attempt, approved, batch, summarise(batch, SHOTS), piece, fetch_credential)
    outcome = collect.in_round(piece, attempt, submission, fetch_credential)
    (counts,) = counts_of(attempt, outcome)
    write_answer(
        Path(order["answers"]) / f"{piece}.json",
        # Qiskit's order, bit 0 rightmost; the other sides count from the left.
        {"handles": [job.handle for job in submission.jobs], "counts": {bits[::-1]: number for bits, number in counts.items()}},
    )
    attempt.release()
    attempt.ledger.close()


def _batch(piece: int) -> Any:
    import math

    from qiskit import QuantumCircuit

    from prefect_gatehouse.workload.pubs import read_round

    circuit = QuantumCircuit(QUBITS, QUBITS)
    for qubit, bit in enumerate(bits_of(piece)):
        circuit.rx(math.pi * int(bit), qubit)
    circuit.measure(range(QUBITS), range(QUBITS))
    return read_round([circuit]).batch


def prepare(order: dict[str, Any], environment: dict[str, str]) -> None:
    """Makes the approved run, in a process of its own.

    Raises:
        SystemExit: It does not come to be.
    """
    done = subprocess.run([sys.executable, __file__, json.dumps(order)], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the governed run can't be prepared: {done.stderr[-2000:]}")


def known(folder: Path, pieces: int) -> dict[int, set[str]]:
    """The handles that the journal holds, round by round."""
    from sqlalchemy import select

    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.ledger.tables import submissions
    from prefect_gatehouse.settings import Settings

    ledger = Ledger(Settings(home=folder / "home").ledger())
    found: dict[int, set[str]] = {piece: set() for piece in range(pieces)}
    with ledger.reading() as connection:
        for row in connection.execute(select(submissions.c.round, submissions.c.handle)):
            if row.handle:
                found[row.round].add(row.handle)
    ledger.close()
    return found


def spent(folder: Path) -> Decimal:
    """USD that the journal has settled."""
    from prefect_gatehouse.ledger.store import Ledger
    from prefect_gatehouse.run import journal
    from prefect_gatehouse.settings import Settings

    ledger = Ledger(Settings(home=folder / "home").ledger())
    with ledger.transaction() as tx:
        total = journal.spent(tx, RUN)
    ledger.close()
    return total


def main() -> None:
    """``prepare`` makes the approved run; without it the process gets warm and serves."""
    if len(sys.argv) > 1:
        order = json.loads(sys.argv[1])
        Installation(Path(order["folder"]), order["block"], order["credential"]).approve()
        return
    import prefect_gatehouse.flows.rounds
    import prefect_gatehouse.providers.braket.backend  # noqa: F401

    serve(act, first_here=True)


if __name__ == "__main__":
    main()
