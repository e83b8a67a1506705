"""The peers' side of ``benchmarks/tokens.py``: one job for each line of standard input, answered with its CPU seconds.

Runs in the peers' environment. Every job starts from an Arrow column in memory and ends with an Arrow column in memory, as ours does; what a
library takes natively without a copy (polars, pandas) is made beforehand. Keys are made beforehand, too.
"""

from __future__ import annotations

import hmac
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import fastfpe
import ff3
import pandas as pd
import polars as pl
import polars_hash  # noqa: F401  registers the expressions
import pyarrow as pa
import pyffx
import tink
from presidio_anonymizer.operators import Hash
from pyarrow import feather
from tink import daead

KEY = bytes(range(32))
DIGITS = "0123456789"


def hmac_strings(column: pa.Array) -> pa.Array:
    return pa.array([hmac.digest(KEY, value.encode(), "sha256").hex() for value in column.to_pylist()], pa.string())


def hmac_text(column: pa.Array) -> pa.Array:
    return pa.array([hmac.digest(KEY, b"%d" % value, "sha256").hex() for value in column.to_pylist()], pa.string())


def hmac_binary(column: pa.Array) -> pa.Array:
    return pa.array([hmac.digest(KEY, b"%d" % value, "sha256") for value in column.to_pylist()], pa.binary(32))


def polars_hmac(column: pl.DataFrame) -> pa.Array:
    return column.select(pl.col("value").chash.hmac_sha256(key=KEY.hex())).to_arrow().column(0)  # type: ignore[attr-defined]


def presidio(column: pa.Array) -> pa.Array:
    operator, parameters = Hash(), {"hash_type": "sha256", "salt": KEY}
    return pa.array([operator.operate(value, parameters) for value in column.to_pylist()], pa.string())


def tink_siv(column: pa.Array) -> pa.Array:
    seal = PRIMITIVE.encrypt_deterministically
    return pa.array([seal(value.encode(), b"patients") for value in column.to_pylist()], pa.binary())


def fastfpe_ff1(column: pa.Array) -> pa.Array:
    encrypt, key = fastfpe.ff1.encrypt, KEY.hex()
    return pa.array([encrypt(key, "", DIGITS, value) for value in column.to_pylist()], pa.string())


def pyffx_digits(column: pa.Array) -> pa.Array:
    cipher = pyffx.String(KEY, alphabet=DIGITS, length=16)
    return pa.array([cipher.encrypt(value) for value in column.to_pylist()], pa.string())


def ff3_digits(column: pa.Array) -> pa.Array:
    cipher = ff3.FF3Cipher(KEY.hex(), "d8e7920afa330a73")
    return pa.array([cipher.encrypt(value) for value in column.to_pylist()], pa.string())


def factorized(column: pd.Series) -> pa.Array:
    codes, distinct = pd.factorize(column)
    return pa.array([hmac.digest(KEY, value.encode(), "sha256").hex() for value in distinct], pa.string()).take(pa.array(codes))


def as_polars(column: pa.Array) -> pl.DataFrame:
    return pl.DataFrame({"value": pl.from_arrow(column)})


def as_pandas(column: pa.Array) -> pd.Series:
    return pa.table({"value": column}).to_pandas()["value"]


JOBS: dict[str, tuple[str, Callable[[pa.Array], Any], Callable[[Any], pa.Array]]] = {
    "hmac loop": ("strings", lambda column: column, hmac_strings),
    "polars-hash": ("strings", as_polars, polars_hmac),
    "presidio": ("strings", lambda column: column, presidio),
    "tink": ("strings", lambda column: column, tink_siv),
    "fastfpe": ("digits", lambda column: column, fastfpe_ff1),
    "pyffx": ("digits", lambda column: column, pyffx_digits),
    "ff3": ("digits", lambda column: column, ff3_digits),
    "hmac loop, text": ("numbers", lambda column: column, hmac_text),
    "hmac loop, binary": ("numbers", lambda column: column, hmac_binary),
    "pandas factorize + hmac": ("categories", as_pandas, factorized),
}


def main(path: str) -> None:
    """Answers jobs until standard input ends.

    Args:
        path: A Feather file with the columns ``strings``, ``digits``, ``numbers`` and ``categories``.
    """
    columns = feather.read_table(path)
    ready: dict[tuple[str, int], Any] = {}
    for line in sys.stdin:
        name, rows = json.loads(line)
        column, prepare, work = JOBS[name]
        if (name, rows) not in ready:
            ready[name, rows] = prepare(columns[column].slice(0, rows).combine_chunks())
        started = time.process_time()
        result = work(ready[name, rows])
        seconds = time.process_time() - started
        if len(result) != rows:
            raise SystemExit(f"{name} gave {len(result)} of {rows} values")
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    daead.register()
    PRIMITIVE = tink.new_keyset_handle(daead.deterministic_aead_key_templates.AES256_SIV).primitive(daead.DeterministicAead)
    main(sys.argv[1])
