"""A source with everything in it, and one call that minimises it by any engine."""

from __future__ import annotations

import base64
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from prefect_gatehouse.data.engine import remote
from prefect_gatehouse.data.engine.interface import Pool
from prefect_gatehouse.data.minimise import Minimised, Workers, minimise
from prefect_gatehouse.data.sources import FilesPlace
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.store.artifacts import ArtifactStore
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.tokens.keys import RootKey

ROOT = bytes(range(1, 33))
RUN = "run-1"
ROOT_FOLDER = Path(__file__).resolve().parents[3]
COLUMNS: dict[str, dict[str, object]] = {
    "mrn": {"rule": "tokenise", "scheme": "siv", "join_domain": "patient"},
    "email": {"rule": "tokenise"},
    "born": {"rule": "generalise", "to": "year"},
    "size": {"rule": "keep"},
    "visits": {"rule": "keep"},
    "ward": {"rule": "keep"},
}


@dataclass(frozen=True)
class FileKey:
    """Reads the root key from a file, as a worker of the tests does."""

    path: str

    def __call__(self) -> SecretText:
        return SecretText(Path(self.path).read_text())


def declared(**more: object) -> Data:
    return Data.model_validate(
        {"source": "x.csv", "suite": "s.json", "columns": COLUMNS, "quasi_identifiers": ["born"], "k": 2, "sensitive": ["ward"], "l": 2, **more}
    )


def rows(count: int, seed: int = 1) -> pa.Table:
    """Rows of which one in ten comes twice, with gaps and awkward doubles."""
    draw = random.Random(seed)
    made = [
        {
            "mrn": f"{draw.randrange(10**6):06d}",
            "email": f"CANARY{draw.randrange(10**6)}@example.org" if draw.random() > 0.1 else None,
            "born": f"19{50 + draw.randrange(3)}-03-01",
            "size": draw.choice([0.0, 1.5, draw.random(), None]),
            "visits": draw.randrange(50),
            "ward": draw.choice(["north", "south", "east"]),
        }
        for _ in range(count)
    ]
    made += made[: count // 10]
    draw.shuffle(made)
    return pa.Table.from_pylist(
        made, pa.schema({**{name: pa.string() for name in ("mrn", "email", "born")}, "size": pa.float64(), "visits": pa.int64(), "ward": pa.string()})
    )


def keys_held() -> int:
    """For how much work this process holds keys."""
    return len(remote._keys)


class Home:
    """An installation in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore(folder / "artifacts")
        self.keys = RunKeys(folder / "run-keys")
        self.secret = folder / "root"
        folder.mkdir(parents=True, exist_ok=True)
        self.secret.write_text(base64.b64encode(ROOT).decode())

    def workers(self, pool: Pool) -> Workers:
        return Workers(pool, self.folder / "run-keys", FileKey(str(self.secret)))

    def minimise(
        self, source: Path, data: Data | None = None, *, pool: Pool | None = None, memory: int = 1 << 20, root: RootKey | None = None
    ) -> tuple[Minimised, pa.Table]:
        names = sorted(path.name for path in source.iterdir()) if source.is_dir() else [source.name]
        place = FilesPlace(source if source.is_dir() else source.parent, tuple(names), (data or declared()).csv)
        key = self.keys.obtain(RUN)
        result = minimise(
            data or declared(),
            place,
            root or RootKey(ROOT),
            tenant="acme",
            run_id=RUN,
            store=self.store,
            key=key,
            workers=self.workers(pool) if pool is not None else None,
            memory=memory,
        )
        return result, self.store.read(result.artifact, key)


def parquet(folder: Path, table: pa.Table, rows_a_file: int = 1000) -> Path:
    """A folder of Parquet files, each of which is a part of its own."""
    source = Path(tempfile.mkdtemp(dir=folder))
    for number, first in enumerate(range(0, table.num_rows, rows_a_file)):
        pq.write_table(table.slice(first, rows_a_file), source / f"{number:04d}.parquet")
    return source


def csv(folder: Path, table: pa.Table) -> Path:
    from pyarrow import csv as writer

    path = folder / "source.csv"
    writer.write_csv(table, path, writer.WriteOptions(quoting_style="needed"))
    return path
