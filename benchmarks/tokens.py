"""Tokens beside their peers: values a CPU second on one core, same columns, same run, in turn (ours, theirs, ours, theirs).

Every side starts from an Arrow column in memory and ends with one. The peers run in an environment of their own, which the first run makes
(benchmarks/peers). The compiled tier is warmed first: its compilation, some seconds once on a machine and kept on disk, is not counted.
The last line is one JSON object: medians of the pairs' ratios, ours over theirs; higher is better. ``--quick`` takes smaller columns and
fewer turns, and leaves docs/images/tokens.svg and docs/benchmarks/tokens.md alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from peers.chart import Bar, chart, short
from peers.environment import Peers
from pyarrow import feather
from rich.console import Console
from rich.table import Table

from prefect_gatehouse.tokens import cmac, ff1, permute, permute_blocks, siv
from prefect_gatehouse.tokens.keys import RootKey

DOCS = Path(__file__).parent.parent / "docs"
ROWS = 4_000_000
ROOT = RootKey(bytes(range(1, 33)))
WHO = {"tenant": "bench", "join_domain": "patients"}
TIERS = ("fused", "numpy") if importlib.util.find_spec("numba") else ("numpy",)
NAMES = {"fused": "Gatehouse", "numpy": "Gatehouse, numpy tier", "only": "Gatehouse, one tier"}
ONLY = ("only",)


@dataclass
class Contest:
    """One kind of token.

    Attributes:
        title: What is made of what.
        column: Of which column.
        scheme: What ours is called.
        make: Our tokeniser.
        rows: How many values ours takes in one turn.
        peers: For each peer's job how many values it takes in one turn.
        tiers: Which tiers there are, the one that is compared first.
        rates: Values a CPU second of all turns, by name.
        ratios: Ours over theirs, turn by turn, by the peer's name.
    """

    title: str
    column: str
    scheme: str
    make: Callable[[], Callable[[pa.Array], pa.Array]]
    rows: int
    peers: dict[str, int]
    tiers: tuple[str, ...] = TIERS
    rates: dict[str, list[float]] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)

    def turn(self, ours: dict[str, Callable[[pa.Array], pa.Array]], array: pa.Array, theirs: Peers) -> None:
        """One turn: each tier of ours, then before each peer ours again."""
        for tier, tokenise in ours.items():
            self._keep(NAMES[tier], len(array), seconds(tokenise, array))
        for peer, rows in self.peers.items():
            mine = self._keep(NAMES[self.tiers[0]], len(array), seconds(ours[self.tiers[0]], array))
            other = self._keep(peer, rows, theirs.seconds(peer, rows))
            self.ratios.setdefault(peer, []).append(mine / other)

    def warm(self, theirs: Peers) -> None:
        """One call of each peer that does not count, as ours had one: the first ones fetch memory that the later ones have."""
        for peer, rows in self.peers.items():
            theirs.seconds(peer, rows)

    def _keep(self, name: str, rows: int, spent: float) -> float:
        self.rates.setdefault(name, []).append(rows / spent)
        return rows / spent

    def rate(self, name: str) -> float:
        """Median of the turns."""
        return statistics.median(self.rates[name])

    def ratio(self, peer: str) -> float:
        """Median of the turns."""
        return statistics.median(self.ratios[peer])


CONTESTS = [
    Contest(
        "Strings of 8 to 36 characters, mostly distinct: keyed hash",
        "strings",
        "cmac",
        lambda: cmac.Tokeniser(ROOT, **WHO),
        2_000_000,
        {"polars-hash": 400_000, "presidio": 60_000, "hmac loop": 100_000},
    ),
    Contest(
        "The same strings: reversible tokens (AES-SIV)",
        "strings",
        "siv",
        lambda: siv.Tokeniser(ROOT, **WHO),
        1_000_000,
        {"tink": 100_000},
    ),
    Contest(
        "16 digits: reversible, format kept",
        "digits",
        "ff1",
        lambda: ff1.Tokeniser(ROOT, **WHO),
        2_000_000,
        {"fastfpe": 60_000, "pyffx": 2_000, "ff3": 2_000},
    ),
    Contest(
        "64-bit whole numbers to 16 bytes",
        "numbers",
        "permute, binary",
        lambda: permute_blocks.Tokeniser(ROOT, **WHO).binary,
        ROWS,
        {"hmac loop, binary": 150_000},
        ONLY,
    ),
    Contest(
        "64-bit whole numbers to text",
        "numbers",
        "permute, text",
        lambda: permute_blocks.Tokeniser(ROOT, **WHO).text,
        ROWS,
        {"hmac loop, text": 150_000},
    ),
    Contest(
        "64-bit whole numbers to numbers", "numbers", "permute", lambda: permute.Tokeniser(ROOT, **WHO), ROWS, {"hmac loop, binary": 150_000}, ONLY
    ),
    Contest("50 categories as strings", "categories", "cmac", lambda: cmac.Tokeniser(ROOT, **WHO), ROWS, {"pandas factorize + hmac": ROWS}),
]


def seconds(tokenise: Callable[[pa.Array], pa.Array], array: pa.Array) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    result = tokenise(array)
    spent = time.process_time() - started
    if len(result) != len(array) or result.null_count:
        raise SystemExit("a tokeniser lost values")
    return spent


def columns(rows: int) -> pa.Table:
    """Synthetic columns, the same in every run."""
    draw = np.random.default_rng(4)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz0123456789.-@ ", np.uint8)
    lengths = draw.integers(8, 37, rows)
    edges = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    text = letters[draw.integers(0, len(letters), edges[-1])]
    categories = pa.array([f"category {number:02d}" for number in range(50)])
    return pa.table(
        {
            "strings": pa.StringArray.from_buffers(rows, pa.py_buffer(edges), pa.py_buffer(text)),
            "digits": pa.array(draw.integers(10**15, 10**16, rows)).cast(pa.string()),
            "numbers": draw.integers(-(2**63), 2**63, rows),
            "categories": categories.take(pa.array(draw.integers(0, 50, rows))),
        }
    )


def run(turns: int, share: float) -> None:
    """Runs all contests.

    Args:
        turns: How often each.
        share: Of the full number of values.
    """
    table = columns(round(ROWS * share))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "columns.feather"
        feather.write_feather(table, str(path), compression="uncompressed")
        theirs = Peers(path)
        for contest in CONTESTS:
            contest.peers = {peer: max(1000, round(rows * share)) for peer, rows in contest.peers.items()}
            array = table[contest.column].slice(0, round(contest.rows * share)).combine_chunks()
            ours = {}
            for tier in contest.tiers:
                os.environ["GATEHOUSE_TOKEN_TIER"] = "auto" if tier == "only" else tier
                ours[tier] = contest.make()
                seconds(ours[tier], array.slice(0, 100_000))
            contest.warm(theirs)
            for _ in range(turns):
                contest.turn(ours, array, theirs)
        theirs.close()


def report() -> Table:
    """What was measured, as a table for the terminal."""
    table = Table(title="values per CPU second, one core, median", title_justify="left")
    for name, right in (("token", False), ("of", False), ("by", False), ("values/s", True), ("ours is", True)):
        table.add_column(name, justify="right" if right else "left")
    for contest in CONTESTS:
        for name in contest.rates:
            ours = name in NAMES.values()
            factor = "" if ours else f"{contest.ratio(name):.3g} x"
            table.add_row(
                contest.scheme if ours else "", contest.title if name == NAMES[contest.tiers[0]] else "", name, short(contest.rate(name)), factor
            )
        table.add_section()
    return table


def markdown() -> str:
    """The same as Markdown."""
    lines = ["| what | Gatehouse | numpy tier | peers (ours is faster by) |", "|---|---|---|---|"]
    for contest in CONTESTS:
        peers = "; ".join(f"{peer} {short(contest.rate(peer))}/s ({contest.ratio(peer):.3g} x)" for peer in contest.peers)
        rates = [f"{short(contest.rate(NAMES[tier]))}/s" for tier in (contest.tiers[0], contest.tiers[-1])]
        lines.append(f"| {contest.title} (`{contest.scheme}`) | {rates[0]} | {rates[1]} | {peers} |")
    note = "Values per CPU second on one core, medians; Arrow column in, Arrow column out; compilation (once, kept on disk) not counted."
    return "\n".join([*lines, "", note, "Written by `benchmarks/tokens.py`.", ""])


def main() -> None:
    """Runs the contests, prints and writes what they gave."""
    parser = argparse.ArgumentParser(description="Tokens beside their peers.")
    parser.add_argument("--quick", action="store_true", help="smaller columns and fewer turns; files in docs stay as they are")
    quick = parser.parse_args().quick
    run(turns=3 if quick else 9, share=0.2 if quick else 1.0)
    Console(width=150).print(report())
    if not quick:
        groups = [
            (contest.title, [Bar(name, contest.rate(name), name in NAMES.values()) for name in sorted(contest.rates, key=contest.rate, reverse=True)])
            for contest in CONTESTS
        ]
        (DOCS / "images" / "tokens.svg").write_text(chart("Keyed tokens beside their peers", groups))
        (DOCS / "benchmarks").mkdir(exist_ok=True)
        (DOCS / "benchmarks" / "tokens.md").write_text(markdown())
    strings, sealed, digits, numbers, _, _, categories = CONTESTS
    figures = {
        "strings_vs_polars_hash": strings.ratio("polars-hash"),
        "strings_vs_hmac_loop": strings.ratio("hmac loop"),
        "ff1_vs_fastfpe": digits.ratio("fastfpe"),
        "siv_vs_tink": sealed.ratio("tink"),
        "int64_vs_hmac_loop": numbers.ratio("hmac loop, binary"),
        "categories_vs_factorize": categories.ratio("pandas factorize + hmac"),
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
