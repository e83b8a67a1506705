"""A small pipeline with canaries in every source column, and the hands that drive it: start, run a process, approve, look."""

from __future__ import annotations

import base64
import csv
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, Self

from prefect_gatehouse.evidence.questions import recorded_plan
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.warrant import obtain_worker_key, sign_warrant
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.operate import runs as control
from prefect_gatehouse.run.approvals import standing
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.hashing import SEED
from tests.support.bundles import sign_bundle
from tests.support.installed import know_packages
from tests.support.leaks import long_number

REQUESTER, APPROVER, OTHER = "requester@example.org", "approver@example.org", "second-approver@example.org"
ROWS = 40
GATES = (
    "admit",
    "minimise",
    "validate_input",
    "plan",
    "await_approval",
    "submit",
    "collect",
    "conclude",
    "validate_output",
    "fetch_credential",
    "write_back",
    "clean_up",
)
"""Every gate in the order in which a run comes to it; behind the approval the first secret is that of the write-back."""

MANIFEST = """
gatehouse: 1
name: canary
owner: test-owner
tenant: test-tenant
billing_code: T-1
ticket: CHG-7
purpose: Prove the pipeline
environment: local
tier: {tier}
data:
  source: source.csv
  suite: suites/input.json
  columns:
    subject: {{class: restricted, rule: tokenise, scheme: siv}}
    account: {{class: restricted, rule: tokenise}}
    city: {{class: restricted, rule: generalise, prefix: 1}}
    born: {{class: restricted, rule: generalise, to: year}}
    x: {{class: confidential, rule: keep, scale: [17, 1300000000000021]}}
    y: {{class: confidential, rule: keep, scale: [17, 1300000000000021]}}
  quasi_identifiers: [city, born]
  k: 5
systems:
  - {{name: target, kind: database, endpoint: "sqlite:///target.sqlite", highest_class: restricted}}
workload:
  entrypoint: workload.py:solve
  parameters: {{rounds: {rounds}}}
execution:
  backends: [{backends}]
  shots: 64
  rehearsal: {rehearsal}
  envelope: {{rounds: {rounds}, jobs: 200, cost: 0, deadline: 1h}}
credentials:
  tokenise: {tokenise}
  re_identify: {tokenise}
  write_back: {write_back}
output:
  suite: suites/output.json
  target: {{system: target, table: results}}
  key: subject
  columns: [score]
"""

TICKETS = """
kind: file
tickets:
  CHG-7: {tenant: test-tenant, pipelines: [canary], state: open, approved: true, start: "2026-01-01T00:00:00Z", end: "2126-01-01T00:00:00Z"}
"""

WORKLOAD = """
import pandas as pd


def solve(features, parameters):
    from qiskit import QuantumCircuit

    features = features.sort_values("subject", ignore_index=True)
    print(features)  # a workload that talks: nothing of it may get out
    total = 0
    for turn in range(parameters["rounds"]):
        circuits = []
        for x, y in zip(features["x"][:4], features["y"][:4]):
            circuit = QuantumCircuit(2, 2)
            circuit.ry(float(x) + total / 1000, 0)
            circuit.ry(float(y) + turn, 1)
            circuit.cx(0, 1)
            circuit.measure([0, 1], [0, 1])
            circuits.append(circuit)
        counts = yield circuits
        total += sum(result.get("00", 0) for result in counts)
    return pd.DataFrame({"subject": features["subject"], "score": features["x"] + total})
"""

INPUT = [
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 10, "max_value": 1000}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "subject"}},
    {"type": "expect_column_values_to_be_between", "kwargs": {"column": "x", "min_value": 0, "max_value": 1}},
]
OUTPUT = [
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 10, "max_value": 1000}},
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "score"}},
]


class Zygote:
    """The warm process that forks a child for each run."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote"],
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": SEED},
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def run(self, **order: Any) -> dict[str, int]:
        """One child; blocks until it has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer

    def stop(self) -> None:
        """Ends the warm process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class Pipeline:
    """One pipeline in a folder of its own, with its own ``GATEHOUSE_HOME`` and target database.

    Args:
        folder: Where everything is.
        zygote: Runs its processes.
        deployment: Name of a deployment that no worker takes up.
        blocks: References of the blocks for tokenise and write_back; Prefect Secret blocks are made where none are given.
        workload: Its source.
        rehearsal: ``skip`` where a test is about what happens to a fault that only the jobs show.
        home: ``GATEHOUSE_HOME``, where a worker's is to be used.
    """

    def __init__(
        self,
        folder: Path,
        zygote: Zygote | None,
        deployment: str,
        *,
        tier: str = "prototype",
        rounds: int = 2,
        backends: str = "aer",
        blocks: tuple[str | None, str | None] = (None, None),
        environment: dict[str, str] | None = None,
        workload: str = WORKLOAD,
        rehearsal: str = "required",
        home: Path | None = None,
    ) -> None:
        self.folder, self.zygote, self.deployment = folder, zygote, deployment
        self.worker = "process" if tier == "prototype" else "gatehouse"  # the weakest that the tier accepts
        self.environment = dict(environment or {})
        self.home, self.zone = home or folder / "home", folder / "trust-zone"
        self.target = self.zone / "target.sqlite"
        self.log = folder / "process.log"
        self.zone.mkdir(parents=True)
        self.settings = Settings(home=self.home, environment="local")
        if tier != "prototype" and "GATEHOUSE_TIERS" not in self.environment:
            # What a workload did in the tier below, and whose word the classes are: tests/tasks/test_promotions.py, test_classifications.py.
            tiers = folder / "tiers.yaml"
            tiers.write_text(self.settings.tiers.read_text().replace("ion: required", "ion: optional"))
            self.settings = self.settings.model_copy(update={"tiers": tiers})
            self.environment["GATEHOUSE_TIERS"] = str(tiers)
        self.settings.folder("")
        know_packages(self.home)
        if tier != "prototype":  # whose tickets are as they are typed
            self.settings.tickets_file().write_text(TICKETS)
        self.canaries = self._write_source()
        name = f"t{uuid.uuid4().hex[:10]}"
        # The file is no secret, the manifest names it; what a block adds to it might be one.
        self.address = f"sqlite:///{self.target}?timeout=60.{10**15 + secrets.randbelow(10**15)}"
        self.token_key = base64.b64encode(secrets.token_bytes(32)).decode()
        tokenise, write_back = blocks
        if tokenise is None or write_back is None:
            from prefect.blocks.system import Secret

            if tokenise is None:
                Secret(value=self.token_key).save(f"{name}-key")  # type: ignore[arg-type]
                tokenise = f"secret/{name}-key"
            if write_back is None:
                Secret(value=self.address).save(f"{name}-url")  # type: ignore[arg-type]
                write_back = f"secret/{name}-url"
        self.manifest = self.zone / "gatehouse.yaml"
        said = {"tier": tier, "rounds": rounds, "backends": backends, "rehearsal": rehearsal}
        self.manifest.write_text(MANIFEST.format(**said, tokenise=tokenise, write_back=write_back))
        (self.zone / "workload.py").write_text(workload)
        (self.zone / "suites").mkdir()
        (self.zone / "suites" / "input.json").write_text(json.dumps({"name": "input", "expectations": INPUT}))
        (self.zone / "suites" / "output.json").write_text(json.dumps({"name": "output", "expectations": OUTPUT}))
        self.keys = {person: folder / "keys" / person.partition("@")[0] for person in (REQUESTER, APPROVER, OTHER)}
        self.people = People(self.settings.people_folder())
        for person, key in self.keys.items():
            role = "requester" if person == REQUESTER else "approver"
            self.people.add(
                person,
                key=generate_key(key, person),
                roles=frozenset({role}),  # type: ignore[arg-type]
                totp=role == "approver",
                clearance=DataClass.RESTRICTED,
            )
        self.ledger = Ledger(self._ledger_url())
        if tier != "prototype":
            sign_bundle(self.settings, self.ledger)

    def _ledger_url(self) -> str:
        self.settings.folder("")
        return self.settings.ledger()

    def _write_source(self) -> list[str]:
        """Every cell is a canary: the random mark in each text, each whole date, and numbers too long to turn up by chance."""
        found: list[str] = []
        with (self.zone / "source.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["subject", "account", "city", "born", "name", "x", "y"])
            for row in range(ROWS):
                mark = secrets.token_hex(6)
                cells = [
                    f"SUBJ-{mark}",
                    f"ACCT-{mark}",
                    f"{'AB'[row % 2]}city{mark}",
                    f"{1950 + row % 4}-0{1 + row % 9}-1{row % 9}",
                    f"NAME-{mark}",
                    long_number(),
                    long_number(),
                ]
                found += [mark, cells[3], cells[5], cells[6]]
                writer.writerow(cells)
        return found

    def start(self, *, signed: bool = True) -> str:
        """Creates a run, as ``gatehouse run`` does."""
        settings = self.settings.model_copy(update={"identity": self.keys[REQUESTER]})
        return control.start(settings, self.manifest, signed=signed, deployment=self.deployment)

    def process(self, run_id: str, **order: Any) -> dict[str, int]:
        """One process that drives the run until it suspends, ends or dies."""
        assert self.zygote is not None
        environment = {"GATEHOUSE_HOME": str(self.home), "GATEHOUSE_LINGER_SECONDS": "0", **self.environment, **order.pop("env", {})}
        if self.worker == "gatehouse":
            key = self.settings.worker_key_file()
            obtain_worker_key(key)
            order.setdefault("warrant", sign_warrant(key, run_id, "local").model_dump_json())
        return self.zygote.run(run=run_id, env=environment, log=str(self.log), text=" ".join(self.canaries), **order)

    def answer(self, run_id: str, decision: str = "approve", who: str = APPROVER, **more: str) -> None:
        """Answers the form as a person, by SSH unless a proof is given."""
        self.wait_paused(run_id)
        settings = self.settings.model_copy(update={"identity": self.keys[who]})
        proof = more.pop("proof", None) or control.sign_answer(settings, self.ledger, run_id, decision)  # type: ignore[arg-type]
        control.answer(run_id, decision, proof=proof, **more)  # type: ignore[arg-type]

    def wait_paused(self, run_id: str, seconds: float = 30) -> None:
        """Until Prefect has the run as suspended."""
        with control.server() as client:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                state = control.flow_run(client, run_id).state
                if state is not None and state.is_paused():
                    return
                time.sleep(0.1)
        raise AssertionError(f"not suspended but {state}")

    def approved(self, run_id: str) -> None:
        """To the form, and an approval of it."""
        self.process(run_id)
        self.answer(run_id)

    def complete(self, **order: Any) -> str:
        """A whole run; returns its identifier."""
        run_id = self.start()
        self.approved(run_id)
        self.process(run_id, **order)
        return run_id

    def restart(self, run_id: str) -> None:
        """Schedules a dead or failed run again.

        Like ``gatehouse resume`` without its wait for the runner's late CRASHED, which only a worker sends.
        """
        from prefect.client.orchestration import get_client
        from prefect.states import Scheduled

        with get_client(sync_client=True) as client:
            client.set_flow_run_state(uuid.UUID(run_id), Scheduled(), force=True)

    def rows(self) -> list[tuple[Any, ...]]:
        """What is in the target, without the run's mark."""
        connection = sqlite3.connect(self.target)
        try:
            return connection.execute("SELECT subject, score, _gatehouse_label FROM results ORDER BY subject").fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            connection.close()

    def source_subjects(self) -> set[str]:
        """The identifiers in the source."""
        with (self.zone / "source.csv").open() as stream:
            return {row["subject"] for row in csv.DictReader(stream)}

    def state(self, run_id: str) -> Any:
        """The run's state in Prefect."""
        with control.server() as client:
            return control.flow_run(client, run_id).state

    def standing_plan(self, run_id: str) -> Any:
        """The run's plan."""
        plan = recorded_plan(self.ledger, run_id)
        assert plan is not None
        return plan

    def standing(self, run_id: str) -> Any:
        """Where the run's plan stands."""
        return standing(self.ledger, self.standing_plan(run_id))

    def left_behind(self) -> list[str]:
        """Artifacts, keys, spooled jobs and staging that a run has left."""
        files = [str(path) for name in ("artifacts", "run-keys", "providers") for path in (self.home / name).rglob("*") if path.is_file()]
        if self.target.exists():
            connection = sqlite3.connect(self.target)
            files += [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '_gatehouse_stage%'")]
            connection.close()
        return files

    def digest(self) -> str:
        """The manifest's digest."""
        return load_manifest(self.manifest).digest

    def sign(self, who: str = REQUESTER) -> Any:
        """A signed request."""
        return control.signed_for(self.settings.model_copy(update={"identity": self.keys[who]}), self.manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder, ignore_errors=True)
