"""What gate 2 costs: a Parquet file of six columns, five of them tokenised, minimised in one process and in two.

The columns: ``patient`` (cmac; text of 10 characters), ``email`` (cmac, case folded; 20 to 26 characters), ``card`` (ff1; 16 digits as text),
``account`` (permute; int64), ``city`` (cmac; 500 names of 4 to 16 letters) and ``amount`` (kept; double). But for the cities, nearly every
value is unlike the others, so that no column gets small by repeating.

Every figure comes from a process of its own, which has minimised a small file before, so that compiled functions are there. CPU time is
that of the process and its children; memory is the largest resident set of any of them. Each is taken three times, in turn, and the least time
counts: whoever is the first to use memory that a virtual machine had given back pays its host for it, up to a third more. The speed-up is wall
time of the in-process engine over that of two processes, on the larger file; it says something on an idle machine only. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FULL = (10_000_000, 30_000_000)
QUICK = (1_000_000, 3_000_000)
GOAL_ROWS, GOAL_MB, GOAL_SPEEDUP = 1_000_000, 350, 1.7
ROUNDS = 3
CITIES = 500
_GROUP = 1 << 18
_KEY = bytes(range(1, 33))
_RUN_KEY = bytes(range(32, 64))


def make(path: Path, rows: int) -> None:
    """Writes the source."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(rows)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz0123456789", np.uint8)

    def text(lengths: np.ndarray, alphabet: np.ndarray, tail: bytes = b"") -> pa.Array:
        ends = np.cumsum(lengths + len(tail))
        characters = alphabet[random.integers(0, len(alphabet), int(ends[-1]))]
        if tail:
            characters[(ends[:, None] + np.arange(-len(tail), 0)).reshape(-1)] = np.tile(np.frombuffer(tail, np.uint8), len(lengths))
        offsets = np.concatenate([[0], ends]).astype(np.int32)
        return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(characters))

    cities = text(random.integers(4, 17, CITIES), letters[:26])

    def columns(count: int) -> dict[str, pa.Array]:
        return {
            "patient": text(np.full(count, 10), letters),
            "email": text(random.integers(8, 15, count), letters, b"@example.org"),
            "card": text(np.full(count, 16), letters[26:]),
            "account": pa.array(random.integers(-(2**62), 2**62, count)),
            "city": cities.take(pa.array(random.integers(0, CITIES, count))),
            "amount": pa.array(random.random(count)),
        }

    schema = pa.table(columns(1)).schema
    with pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=["city"]) as writer:
        for first in range(0, rows, _GROUP):
            writer.write_table(pa.table(columns(min(_GROUP, rows - first))), row_group_size=_GROUP)


class RootReader:
    """The key as a worker of this benchmark reads it: from a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self) -> object:
        """The key."""
        from prefect_gatehouse.secrets.lease import SecretText

        return SecretText(Path(self._path).read_text())


def measure(path: Path, warm: Path, processes: int) -> dict[str, float]:
    """Minimises a file in this process (0) or in so many others; seconds and megabytes."""
    import resource
    import time
    from contextlib import ExitStack

    importlib.import_module("prefect_gatehouse.data")  # before pyarrow: it says which allocator Arrow is to use

    import pyarrow as pa

    from prefect_gatehouse.data.engine.processes import Processes
    from prefect_gatehouse.data.minimise import Workers, minimise
    from prefect_gatehouse.data.sources import FilesPlace
    from prefect_gatehouse.manifest.data import Data
    from prefect_gatehouse.store.artifacts import ArtifactStore
    from prefect_gatehouse.store.run_keys import RunKeys
    from prefect_gatehouse.tokens.keys import RootKey

    pa.set_cpu_count(1)  # a process is a core here
    settings = {"patient": {}, "email": {"canonical": "email"}, "card": {"scheme": "ff1"}, "account": {"scheme": "permute"}, "city": {}}
    tokenised = {name: {"rule": "tokenise", **more} for name, more in settings.items()}
    data = Data.model_validate({"source": "x.parquet", "suite": "s.json", "columns": {**tokenised, "amount": {"rule": "keep"}}})
    home = path.parent / f"home-{os.getpid()}"
    keys = RunKeys(home / "keys")
    run_key = keys.obtain("run")
    secret = home / "root"
    secret.write_text(base64.b64encode(_KEY).decode())

    def spent() -> float:
        return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))

    def run(source: Path, count: int) -> int:
        with ExitStack() as open_:
            workers = None
            if count:
                workers = Workers(open_.enter_context(Processes(count)), home / "keys", RootReader(str(secret)))
            result = minimise(
                data,
                FilesPlace(source.parent, (source.name,)),
                RootKey(_KEY),
                tenant="acme",
                run_id="run",
                store=ArtifactStore(home / "artifacts"),
                key=run_key,
                workers=workers,
            )
        return result.artifact.rows

    run(warm, 0)
    began, cpu = time.perf_counter(), spent()
    rows = run(path, processes)
    seconds, cpu = time.perf_counter() - began, spent() - cpu
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    shutil.rmtree(home)
    return {"rows": rows, "seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak / 1024}


def child(*arguments: object) -> dict[str, float]:
    """One measurement in a process of its own; its parent stays small, because Linux lets a child begin with its parent's peak."""
    # Compiled functions from the first row on, not from the row on that repays the loading; no threads that wait for linear algebra.
    compiled = {**os.environ, "GATEHOUSE_TOKEN_TIER": "fused", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True, env=compiled)
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}


def main() -> None:
    """Makes the files, measures and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 and 3 million rows instead of 10 and 30")
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder unless set")
    parser.add_argument("--make", nargs=2, metavar=("FILE", "ROWS"), help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=3, metavar=("FILE", "WARM", "PROCESSES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        make(Path(given.make[0]), int(given.make[1]))
        return
    if given.measure:
        print(json.dumps(measure(Path(given.measure[0]), Path(given.measure[1]), int(given.measure[2]))))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        small, large = QUICK if given.quick else FULL
        files = {rows: Path(folder) / f"{rows}.parquet" for rows in (100_000, small, large)}
        for rows, path in files.items():
            child("--make", path, rows)
        print(f"{'rows':>12} {'processes':>9} {'wall s':>8} {'cpu s':>8} {'rows per cpu s':>15} {'peak MB':>8}", flush=True)
        found: dict[tuple[int, int], dict[str, float]] = {}
        for rows, processes in ((small, 0), (large, 0), (large, 2)) * ROUNDS:
            one = child("--measure", files[rows], files[100_000], processes)
            rate = one["rows"] / one["cpu_seconds"]
            label = processes or 1
            print(f"{rows:>12,} {label:>9} {one['seconds']:>8.1f} {one['cpu_seconds']:>8.1f} {rate:>15,.0f} {one['peak_mb']:>8.0f}", flush=True)
            other = found.get((rows, processes), one)
            least = {name: min(one[name], other[name]) for name in ("seconds", "cpu_seconds")}
            found[rows, processes] = {**one, **least, "peak_mb": max(one["peak_mb"], other["peak_mb"])}
    figures = {
        "rows_per_cpu_s": round(found[large, 0]["rows"] / found[large, 0]["cpu_seconds"]),
        "peak_mb_10m": round(found[small, 0]["peak_mb"]),
        "peak_mb_30m": round(found[large, 0]["peak_mb"]),
        "two_process_speedup": round(found[large, 0]["seconds"] / found[large, 2]["seconds"], 2),
    }
    print(f"goals: {GOAL_ROWS:,} rows per CPU second, {GOAL_MB} MB at both sizes, {GOAL_SPEEDUP} times as fast with two processes on an idle machine")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
