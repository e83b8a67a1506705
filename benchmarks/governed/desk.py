"""The governed side of ``overhead.py``: manifests laid out, two identities, and runs whose approval takes nobody's time."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from governed.cost import Cost, cost_of
from workloads.table import Workload

from prefect_gatehouse.cli.demo import Desk, make_desk
from prefect_gatehouse.settings import Settings


class GovernedSide:
    """The installation that the governed runs belong to.

    Args:
        folder: Holds everything.
    """

    def __init__(self, folder: Path) -> None:
        self._desk: Desk = make_desk(folder, Settings(home=folder / "home"))
        self._targets: dict[str, Path] = {}
        self._manifests: dict[str, Path] = {}

    def save_token_key(self) -> None:
        """The tokens' root key, in a block of Prefect's; the server has to be up."""
        import base64
        import secrets

        from prefect.blocks.system import Secret

        Secret(value=base64.b64encode(secrets.token_bytes(32)).decode()).save("tumour-token-key", overwrite=True)

    def lay_out(self, name: str, workload: Workload, parameters: dict[str, Any]) -> Path:
        """Lays out a workload's project; its source is the one that all sides read.

        Args:
            name: The workload.
            workload: What it is.
            parameters: The generator's parameters, where they are not the manifest's.

        Returns:
            The source's path.
        """
        from prefect.blocks.system import Secret

        place = self._desk.folder / "trust-zone" / "projects" / name
        shutil.copytree(workload.folder, place, ignore=shutil.ignore_patterns("*.sqlite*", "__pycache__", "source.csv"))
        if not (place / workload.file.name).exists():
            shutil.copy(workload.file, place)
        if not (place / workload.source).exists():
            shutil.copy(self._desk.manifest.parent / workload.source, place)
        path, target, block = place / "gatehouse.yaml", place / "target.sqlite", f"target-{name.replace('_', '-')}"
        manifest = yaml.safe_load(path.read_text())
        if manifest["execution"]["shots"] != workload.shots:
            raise SystemExit(f"{name}: the manifest asks for other shots than the other sides take")
        manifest["workload"]["entrypoint"] = f"{workload.file.name}:solve"
        manifest["workload"]["parameters"].update({**workload.parameters, **parameters})
        (system,) = manifest["systems"]
        system["endpoint"] = f"sqlite:///{target.name}"
        manifest["credentials"].update(preflight=f"secret/{block}", write_back=f"secret/{block}")
        path.write_text(yaml.safe_dump(manifest, sort_keys=False))
        Secret(value=f"sqlite:///{target}").save(block, overwrite=True)
        self._targets[name], self._manifests[name] = target, path
        return place / workload.source

    def run(self, name: str) -> Cost:
        """One run: two processes, as a process worker starts them, because none waits for the approval between them.

        Raises:
            SystemExit: The run did not complete.
        """
        from prefect_gatehouse.ledger.store import Ledger
        from prefect_gatehouse.operate import runs as control
        from prefect_gatehouse.workload.hashing import SEED

        self._targets[name].unlink(missing_ok=True)
        run_id = control.start(self._desk.settings, self._manifests[name], signed=True)
        command = [sys.executable, "-m", "prefect.engine"]
        environment = {**os.environ, "PREFECT__FLOW_RUN_ID": run_id, "PYTHONHASHSEED": SEED}
        first = cost_of(command, environment, self._desk.folder / "logs" / f"{name}-first.log")
        ledger = Ledger(self._desk.settings.ledger())
        try:
            row = ledger.run(run_id)
            if row is None or row.status != "waiting":
                raise SystemExit(f"{name}: the governed run does not wait for its approval: {row.message if row else 'unknown'}")
            control.answer(run_id, "approve", proof=control.sign_answer(self._desk.approver, ledger, run_id, "approve"))
            both = first.then(cost_of(command, environment, self._desk.folder / "logs" / f"{name}-second.log"))
            row = ledger.run(run_id)
            if row is None or row.ending != "completed":
                raise SystemExit(f"{name}: the governed run did not complete: {row.message if row else 'unknown'}")
        finally:
            ledger.close()
        return both
