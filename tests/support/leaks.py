"""Looks for canaries in every byte below some folders, in the forms in which a value gets about."""

from __future__ import annotations

import base64
import contextlib
import secrets
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


def long_number() -> str:
    """A number that does not turn up by chance, and that a float holds.

    A hundred thousand different runs of nine digits stand in Prefect's database: one such number in ten thousand was found there, and a test has a
    hundred.
    """
    return str(10**14 + secrets.randbelow(8 * 10**14))


def forms(canary: str) -> dict[str, bytes]:
    """A canary as text, UTF-16, hexadecimal, and base64 at each of the three alignments."""
    assert not (canary.isdigit() and len(canary) < 12), "so few digits turn up by chance: take long_number()"
    raw = canary.encode()
    found = {"text": raw.lower(), "utf-16": canary.encode("utf-16-le"), "hex": raw.hex().encode()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        # The characters at either end depend on what stands beside them.
        found[f"base64+{shift}"] = coded[-(-shift * 8 // 6) : -4 if len(coded) > 8 else None]
    return found


def _views(path: Path) -> Iterator[tuple[str, bytes]]:
    data = _bytes_of(path)
    yield "", data
    yield " (lower case)", data.lower()
    if data.startswith(b"SQLite format 3\0"):
        # A value may lie across two pages of the file; the dump has it in one piece, with what is only in the log so far.
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("latin-1")
            yield " (dump)", "\n".join(connection.iterdump()).encode("latin-1", "replace").lower()


def _bytes_of(path: Path) -> bytes:
    """A file's bytes; those of a database are read by another process.

    Whoever closes one of a database's files ends every lock that his own process has on it
    (https://www.sqlite.org/howtocorrupt.html, section 2.2), and the test holds a connection to the ledger.
    """
    if ".sqlite" not in path.name and ".db" not in path.name:
        return path.read_bytes()
    done = subprocess.run(["cat", str(path)], capture_output=True, check=False)
    if done.returncode:
        raise FileNotFoundError(path)
    return done.stdout


def leaks(canaries: Iterable[str], *roots: Path) -> list[str]:
    """Each place where a canary was found, with the form."""
    wanted = _Wanted({(canary, name): form for canary in set(canaries) for name, form in forms(canary).items()})
    found = []
    for root in roots:
        for path in [root] if root.is_file() else sorted(item for item in root.rglob("*") if item.is_file()):
            try:
                views = list(_views(path))
            except FileNotFoundError:
                continue  # a database's side file that has just been folded in
            found += [f"{path}{view}: {canary} as {form}" for view, data in views for canary, form in wanted.within(data)]
    return found


class _Wanted:
    """Texts of 8 bytes and more, searched for all at once: by their first 8 bytes, hashed to 16 bits, then compared in full."""

    def __init__(self, texts: dict[tuple[str, str], bytes]) -> None:
        self._texts: dict[int, list[tuple[tuple[str, str], bytes]]] = {}
        for name, text in texts.items():
            assert len(text) >= 8, "a canary this short is found anywhere, or nowhere"
            self._texts.setdefault(int.from_bytes(text[:8], "little"), []).append((name, text))
        self._heads = np.array(sorted(self._texts), np.uint64)
        self._marked = np.zeros(1 << 16, np.bool_)
        self._marked[_hashed(self._heads)] = True

    def within(self, data: bytes) -> list[tuple[str, str]]:
        """Which of them are in some bytes."""
        found = set()
        for start in range(0, max(0, len(data) - 7), _PIECE):
            words = np.ndarray((min(_PIECE, len(data) - 7 - start),), "<u8", data, start, (1,))
            places = np.flatnonzero(self._marked[_hashed(words)])
            places = places[np.isin(words[places], self._heads)]
            for place in places.tolist():
                for name, text in self._texts[int(words[place])]:
                    if data.startswith(text, start + place):
                        found.add(name)
        return sorted(found)


_PIECE = 1 << 20


def _hashed(words: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48)
