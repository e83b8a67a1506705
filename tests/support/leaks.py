"""Looks for canaries in every byte below some folders, in the forms in which a value gets about."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path


def forms(canary: str) -> dict[str, bytes]:
    """A canary as text, UTF-16, hexadecimal, and base64 at each of the three alignments."""
    raw = canary.encode()
    found = {"text": raw.lower(), "utf-16": canary.encode("utf-16-le"), "hex": raw.hex().encode()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        # The characters at either end depend on what stands beside them.
        found[f"base64+{shift}"] = coded[-(-shift * 8 // 6) : -4 if len(coded) > 8 else None]
    return found


def _views(path: Path) -> Iterator[tuple[str, bytes]]:
    data = path.read_bytes()
    yield "", data
    yield " (lower case)", data.lower()
    if data.startswith(b"SQLite format 3\0"):
        # A value may lie across two pages of the file; the dump has it in one piece, with what is only in the log so far.
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.text_factory = lambda raw: raw.decode("latin-1")
            yield " (dump)", "\n".join(connection.iterdump()).encode("latin-1", "replace").lower()


def leaks(canaries: Iterable[str], *roots: Path) -> list[str]:
    """Each place where a canary was found, with the form."""
    wanted = {(canary, name): form for canary in set(canaries) for name, form in forms(canary).items()}
    found = []
    for root in roots:
        for path in [root] if root.is_file() else sorted(item for item in root.rglob("*") if item.is_file()):
            try:
                views = list(_views(path))
            except FileNotFoundError:
                continue  # a database's side file that has just been folded in
            found += [f"{path}{view}: {canary} as {form}" for view, data in views for (canary, form), text in wanted.items() if text in data]
    return found
