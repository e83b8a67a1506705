"""An installation in a folder, and one call that synthesises a table there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.synthetic.synthesise import Synthesised, synthesise


class Desk:
    """Settings, ledger and files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(home=folder / "home")
        self.settings.folder("")
        self.ledger = Ledger(self.settings.ledger())

    def run(self, table: pa.Table, name: str = "source", **options: Any) -> tuple[Synthesised, pa.Table]:
        """The result for a table, and what is in the new file."""
        source, out = self.folder / f"{name}.parquet", self.folder / f"{name}-made.parquet"
        if not source.exists():
            pq.write_table(table, source)
        made = synthesise(self.settings, self.ledger, source, out, **({"seed": 5} | options))
        return made, pq.read_table(out)
