"""Draws the packages on the floors that import-linter holds them to, with the imports between them: ``make docs`` writes docs/images/packages.svg.

The floors come from ``pyproject.toml``, the arrows from the imports as they are (those that a longer way
stands for are left out, and those of the two lowest floors, which anybody may import), so the drawing can't differ from the code for long: a test
compares the two.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "images" / "packages.svg"
PACKAGE = "prefect_gatehouse"
WORDS = {
    "cli": "the command",
    "operate": "start, answer, resume, check, dry run",
    "flows": "compositions",
    "tasks": "a gate a module",
    "blocks": "what operators edit in Prefect",
    "evidence": "answers, outbox, lineage",
    "run": "values, attempt, journal, approvals, plan",
    "errors": "the one tree",
}
_WIDTH, _FLOOR, _BOX, _HEIGHT, _LEFT = 900, 62, 118, 34, 20


def floors() -> list[list[str]]:
    """Packages by floor, from the roof to the ground."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract.get("containers") == [PACKAGE])
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def imports() -> set[tuple[str, str]]:
    """Pairs of packages of which the first imports the second."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    pairs = set()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            one, two = (name.split(".")[1] if "." in name else "" for name in (module, other))
            if one and two and one != two:
                pairs.add((one, two))
    return pairs


def drawn(pairs: set[tuple[str, str]], ground: set[str]) -> set[tuple[str, str]]:
    """The imports that no longer way stands for; the ground is everybody's, so nothing is drawn to it."""
    below: dict[str, set[str]] = {}

    def reached(name: str) -> set[str]:
        if name not in below:
            direct = {two for one, two in pairs if one == name}
            below[name] = direct | {each for two in direct for each in reached(two)}
        return below[name]

    return {
        (one, two)
        for one, two in pairs
        if two not in ground and not any(two in reached(other) for first, other in pairs if first == one and other != two)
    }


def drawing() -> str:
    """The SVG."""
    rows = floors()
    places: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        step = (_WIDTH - 2 * _LEFT) / len(row)
        for position, name in enumerate(row):
            places[name] = (_LEFT + step * (position + 0.5), 30 + number * _FLOOR)
    height = 30 + len(rows) * _FLOOR
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for one, two in sorted(drawn(imports(), {name for row in rows[-2:] for name in row})):
        if one in places and two in places:
            (x1, y1), (x2, y2) = places[one], places[two]
            lines.append(
                f'<path d="M{x1:.0f} {y1 + _HEIGHT / 2:.0f} C{x1:.0f} {y1 + 60:.0f} {x2:.0f} {y2 - 60:.0f} {x2:.0f} {y2 - _HEIGHT / 2:.0f}" '
                'fill="none" stroke="#9db4c9" stroke-width="0.7"/>'
            )
    for name, (x, y) in places.items():
        lines.append(
            f'<rect x="{x - _BOX / 2:.0f}" y="{y - _HEIGHT / 2:.0f}" width="{_BOX}" height="{_HEIGHT}" rx="5" fill="#eef4fa" stroke="#39678f"/>'
        )
        lines.append(f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle" fill="#12324f">{name}</text>')
        if name in WORDS and len([row for row in rows if name in row][0]) == 1:
            lines.append(f'<text x="{x + _BOX / 2 + 12:.0f}" y="{y + 4:.0f}" fill="#5a6b7a">{WORDS[name]}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    TARGET.write_text(drawing())
    print(TARGET.relative_to(ROOT))
