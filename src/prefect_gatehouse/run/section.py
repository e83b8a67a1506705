"""What people read before they decide, as tables: the same in the form, in the terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """One table with its heading and, where there is one, a sentence between them."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    summary: str = ""


def printable(text: str) -> str:
    """What hides or reorders text must not stand in what people approve; the manifest has the whole of it."""
    return "".join(each if each.isprintable() else "?" for each in text)


def cell(text: str) -> str:
    """What names of files, parameters and places say is text: no column, no element, and no link or picture of anybody's server."""
    return text.replace("[", "\\[").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def as_tables(sections: Iterable[Section]) -> list[str]:
    """Sections as lines of Markdown."""
    lines = []
    for section in sections:
        lines += [f"## {cell(section.title)}", "", *([cell(section.summary) + ".", ""] if section.summary else [])]
        lines += ["| " + " | ".join(header or " " for header in section.headers) + " |", "|" + " --- |" * len(section.headers)]
        lines += ["| " + " | ".join(cell(each) for each in row) + " |" for row in section.rows]
        lines.append("")
    return lines
