"""pyarrow without pandas until somebody imports it, and with all of it from then on: in processes of their own, which have imported neither."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = "import sys; from prefect_gatehouse.run.pandas_later import pandas_later; pandas_later(); import pyarrow as pa\n"
ARRAYS = """
assert pa.array([1, None, 3]).to_pylist() == [1, None, 3]
assert pa.array(['a', None], pa.large_string()).to_pylist() == ['a', None]
import numpy as np
assert pa.array(np.array([0.5, float('nan')]), from_pandas=True).null_count == 1
assert pa.scalar(3).as_py() == 3
assert pa.table({'x': [1, 2]}).column('x').to_numpy().tolist() == [1, 2]
import pyarrow.compute as pc
assert pc.sum(pa.array([1, 2])).as_py() == 3
assert 'pandas' not in sys.modules, 'imported for nobody'
"""
FRAMES = """
import pandas as pd
series = pd.Series([1.0, float('nan')], index=[7, 8])
assert pa.array(series, from_pandas=True).to_pylist() == [1.0, None]
assert str(pa.array(pd.Series(['a', 'b'], dtype='category')).type).startswith('dictionary<values=large_string')
assert pa.table(pd.DataFrame({'x': [1, 2]})).schema.names == ['x']
assert type(pa.scalar(1, pa.timestamp('ns')).as_py()) is pd.Timestamp
assert pa.table({'x': [1, 2]}).to_pandas()['x'].tolist() == [1, 2]
assert pd.__spec__.loader is pd.__loader__ and type(pd.__loader__).__name__ == 'SourceFileLoader', pd.__loader__
assert not any(type(finder).__name__ == '_Awaited' for finder in sys.meta_path)
"""
CASES = {
    "no-frames": LATER + ARRAYS,
    "imported-later": LATER + ARRAYS + FRAMES,
    "imported-at-once": LATER + FRAMES,
    "by-pyarrow": LATER + ARRAYS + "assert pa.table({'x': [1]}).to_pandas().shape == (1, 1)\n" + FRAMES,
    "asked-for-twice": LATER + LATER + ARRAYS + FRAMES,
    "imported-before": "import pandas\n" + LATER + FRAMES,
    "arrays-before": "import pyarrow as pa; pa.array([0])\n" + LATER + FRAMES,
}


@pytest.mark.parametrize("name", CASES)
def test_pandas_later(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"{CASES[name]}print('to the end')"], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("to the end", "")


def test_pyarrow_asks_with_its_first_array() -> None:
    """The day it does not any more there is nothing left to do here."""
    plain = "import sys; import pyarrow as pa; pa.array([0]); assert 'pandas' in sys.modules"
    assert subprocess.run([sys.executable, "-c", plain], check=False).returncode == 0
