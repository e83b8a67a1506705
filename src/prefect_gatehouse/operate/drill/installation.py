"""An installation of its own for a drill: home, people, and a small project for each run, whose result is known beforehand."""

from __future__ import annotations

import base64
import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.drill.outages import Outage
from prefect_gatehouse.operate.drill.service import Account
from prefect_gatehouse.run.answer import Answer
from prefect_gatehouse.run.approvals import ask, judge
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.values import ApprovedPlan
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.await_approval import await_approval

FALLBACK = "aer"
SHOTS = 20
_APPROVER = "approver@example.org"
_BLOCK = "drill"
# A key that keeps nothing: of rows that are in this file, in a home that is deleted.
_ROOT_KEY = base64.b64encode(bytes(range(32))).decode()
_SOURCE = "subject,x\na,0.1\nb,0.2\nc,0.3\n"
_WORKLOAD = f"""
import pandas as pd
from qiskit import QuantumCircuit


def solve(features, parameters):
    circuit = QuantumCircuit(3, 3)
    circuit.x([1, 2])
    circuit.measure(range(3), range(3))
    counts = yield [circuit]
    return pd.DataFrame({{"subject": features["subject"], "score": counts[0].get("110", 0) / {SHOTS}}})
"""
_SUITE = [
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 3, "max_value": 3}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "subject"}},
]


def embedded(home: Path, tiers: Path) -> Settings:
    """The settings that an installation has by itself: whatever the caller's environment says, a drill writes into nobody's ledger."""
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    # Our own workload, which is in this file, needs no cell; nobody is told of a drill outside.
    return Settings(**defaults | {"home": home, "tiers": tiers, "cell": "none", "lineage": "none"})


class Installation:
    """A home below a folder.

    Args:
        folder: The folder.
        account: With the machine that its runs are for.
    """

    def __init__(self, folder: Path, account: Account) -> None:
        self.folder, self.account = folder, account
        self.settings = embedded(folder / "home", folder / "tiers.yaml")
        self._key = folder / "approver"
        if not self.settings.tiers.exists():
            self._make()
        self.ledger = open_ledger(self.settings)

    def _make(self) -> None:
        """Tiers that admit the machine, and somebody who may approve."""
        shipped = yaml.safe_load(Path(Settings.model_fields["tiers"].default).read_text())
        shipped["prototype"]["backends"] = [FALLBACK, self.account.backend]
        self.settings.tiers.write_text(yaml.safe_dump(shipped))
        line = generate_key(self._key, _APPROVER)
        roles = frozenset({"approver"})
        people = People(self.settings.people_folder())
        people.add(_APPROVER, key=line, roles=roles, totp=False, clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]

    def close(self) -> None:
        """Closes the ledger."""
        self.ledger.close()

    @property
    def _target(self) -> Path:
        return self.folder / "target.sqlite"

    def secret(self, block: str) -> SecretText:
        """What an operator would have in blocks."""
        held = {f"secret/{_BLOCK}-submit": self.account.credential, f"secret/{_BLOCK}-target": f"sqlite:///{self._target}"}
        return SecretText(held.get(block, _ROOT_KEY))

    def attempt(self, run_id: str) -> Attempt:
        """A process's attempt at a run."""
        return Attempt(self.settings, self.ledger, run_id, self.secret, read_settings=lambda _: dict(self.account.settings))

    def approved(self, outage: Outage) -> tuple[Attempt, ApprovedPlan]:
        """A new run that has passed gates 1 to 5, approval by a second identity included."""
        manifest = self._write(outage)
        attempt = self.attempt(str(uuid.uuid4()))
        plan = up_to_the_plan(attempt, str(manifest), None)
        statement, _ = ask(attempt, plan, "drill")
        proof = sshsig.sign(self._key, statement.message())
        judge(attempt, plan, "drill", Answer(decision="approve", approver=_APPROVER, proof=proof))
        return attempt, await_approval(attempt, plan)

    def known(self, run_id: str) -> tuple[Attempt, ApprovedPlan]:
        """An approved run, taken over by this process."""
        attempt = self.attempt(run_id)
        approved = attempt.chain.read(ApprovedPlan.gate, ApprovedPlan)
        assert approved is not None  # whoever names it has approved it
        return attempt, approved

    def is_right(self, outage: Outage) -> bool:
        """Whether the target has the rows that the run should have written, and no others."""
        with closing(sqlite3.connect(self._target)) as target:
            rows = target.execute(f"SELECT subject, score FROM {_table(outage)} ORDER BY subject").fetchall()  # noqa: S608 - our own name
        return rows == [("a", 1.0), ("b", 1.0), ("c", 1.0)]

    def _write(self, outage: Outage) -> Path:
        project = self.folder / outage.name
        (project / "suites").mkdir(parents=True)
        for name in ("input", "output"):
            (project / "suites" / f"{name}.json").write_text(json.dumps({"name": name, "expectations": _SUITE}))
        texts = {"source.csv": _SOURCE, "workload.py": _WORKLOAD, "requirements.lock": "# nothing\n"}
        for name, text in texts.items():
            (project / name).write_text(text)
        path = project / "gatehouse.yaml"
        path.write_text(yaml.safe_dump(self._manifest(outage), sort_keys=False))
        return path

    def _manifest(self, outage: Outage) -> dict[str, Any]:
        return {
            "gatehouse": 1,
            "name": f"drill-{outage.name}",
            "owner": "drill",
            "tenant": "drill",
            "billing_code": "DRILL",
            "ticket": "DRILL-1",
            "purpose": "An outage drill on an emulator",
            "environment": self.settings.environment,
            "tier": "prototype",
            "data": {
                "source": "source.csv",
                "suite": "suites/input.json",
                "columns": {
                    "subject": {"class": "internal", "rule": "tokenise", "scheme": "siv"},
                    "x": {"class": "internal", "rule": "keep"},
                },
            },
            "systems": [{"name": "target", "kind": "database", "endpoint": f"sqlite:///{self._target}", "highest_class": "restricted"}],
            "workload": {"entrypoint": "workload.py:solve"},
            "execution": {
                "backends": [self.account.backend, *([FALLBACK] if outage.fallback else [])],
                "shots": SHOTS,
                "queue_wait": outage.queue_wait,
                "envelope": {"rounds": 1, "jobs": 4, "cost": 1000, "deadline": "24h"},
            },
            "credentials": {
                "tokenise": f"secret/{_BLOCK}-key",
                "re_identify": f"secret/{_BLOCK}-key",
                "write_back": f"secret/{_BLOCK}-target",
                "submit": f"secret/{_BLOCK}-submit",
            },
            "output": {
                "suite": "suites/output.json",
                "target": {"system": "target", "table": _table(outage)},
                "key": "subject",
                "columns": ["score"],
            },
        }


def _table(outage: Outage) -> str:
    return outage.name.replace("-", "_")
