"""A round's first templates as people see circuits: Qiskit's text drawing, and the same laid into an SVG 1.1 image.

A drawing is made from a template, never from the workload's circuit, so no name, label or number of the workload's own can be in it: angles
are θ[0], θ[1], ... in the template's order. docs/adr/0017 says why it is text, and what bounds it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np

from prefect_gatehouse.workload import plain_form
from prefect_gatehouse.workload.batch import CircuitBatch, Template

_SHOWN = 3  # templates
_WIDEST = 40  # qubits
_LONGEST = 400  # gates
# Every gate makes a column of all wires, so Qiskit takes some 25 microseconds for each gate and qubit; all drawings together share this: 30 ms.
_WORK = 1_100
_COLUMNS = 78  # a terminal of 80 shows it whole

# In pixels. A cell is 0.6 of the size wide and 1.125 high, as in the usual monospaced fonts, whose lines then meet.
_CELL, _LINE, _SIZE, _MARGIN = 8, 15, 13.33, 8
# Lines of the drawing, and everything else: two fonts may have to serve, each run is fitted to its cells by itself.
_JOINED = {chr(code) for code in range(0x2500, 0x2580)}
_STRETCHED = ' lengthAdjust="spacingAndGlyphs"'
_RUNS = re.compile("[\u2500-\u257f]+|[^\u2500-\u257f ]+")
_STYLE = (
    "<style>.circuit{color:#1a1f26}.circuit .ground{fill:#fff}"
    "@media (prefers-color-scheme:dark){.circuit{color:#e6edf3}.circuit .ground{fill:#14181d}}</style>"
)


@dataclass(frozen=True)
class TemplateDrawing:
    """One template, drawn unless it is too large.

    Attributes:
        number: From 1, in the batch's order.
        settings: How many circuits of the round it stands for.
        angles: Angles of one setting.
        qubits: Width.
        gates: How often each gate comes, measurements among them, by its standard name.
        lines: The drawing, at most 78 columns wide but for a single gate that is wider; none where it is too large.
    """

    number: int
    settings: int
    angles: int
    qubits: int
    gates: tuple[tuple[str, int], ...]
    lines: tuple[str, ...]

    @property
    def heading(self) -> str:
        """What it is, in one line."""
        count = sum(number for _, number in self.gates)
        size = f"template {self.number}: {_count(self.qubits, 'qubit')}, {_count(count, 'gate')}"
        if not self.lines:
            return f"{size}: too large to draw"
        return f"{size}, {_count(self.settings, 'setting')} of its {_count(self.angles, 'angle')}" if self.angles else f"{size}, no angles"

    @property
    def text(self) -> str:
        """The drawing as text."""
        return "\n".join(self.lines)

    @cached_property
    def svg(self) -> str:
        """The drawing as an SVG element without script, link or font of its own; light or dark as the reader's page is."""
        columns = max(map(len, self.lines), default=0)
        width, height = columns * _CELL + 2 * _MARGIN, len(self.lines) * _LINE + 2 * _MARGIN
        words = ", ".join(f"{number} {name}" for name, number in self.gates)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="circuit" role="img" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}"><title>{escape(self.heading)}</title><desc>Gates: {escape(words)}.</desc>{_STYLE}'
            f'<rect class="ground" width="100%" height="100%"/><g fill="currentColor" font-family="ui-monospace, monospace" font-size="{_SIZE}">'
            f"{''.join(_line(row, text) for row, text in enumerate(self.lines, 1))}</g></svg>"
        )


@dataclass(frozen=True)
class Drawings:
    """A round's first templates.

    Attributes:
        first: At most three, and no more than can be drawn in some 30 ms.
        left_out: How many templates more there are.
    """

    first: tuple[TemplateDrawing, ...] = ()
    left_out: int = 0

    @property
    def rest(self) -> str:
        """What is not shown, in words; empty where everything is."""
        return f"and {self.left_out:,} more" if self.left_out else ""


def draw(batch: CircuitBatch, answer: bytes | None = None) -> Drawings:
    """Draws a round's first templates.

    Args:
        batch: The round.
        answer: What ``fulfil`` gave for its ``order``; None, or something else, where they are drawn here.
    """
    shown = _shown(batch)
    asked = [template for template, drawn in shown if drawn]
    found = _answered(answer, len(asked))
    drawings = iter(found if found is not None else map(_lines, asked))
    first = [
        TemplateDrawing(
            number,
            len(table),
            template.angles,
            template.qubits,
            tuple(Counter(name for name, _, _ in template.gates).items()),
            next(drawings) if drawn else (),
        )
        for number, ((template, drawn), table) in enumerate(zip(shown, batch.angles, strict=False), 1)
    ]
    return Drawings(tuple(first), len(batch.templates) - len(first))


def order(batch: CircuitBatch) -> bytes | None:
    """What is to be drawn of a round, for a process that has imported Qiskit; None where nothing is."""
    asked = tuple(template for template, drawn in _shown(batch) if drawn)
    if not asked:
        return None
    tables = tuple(np.zeros((1, template.angles)) for template in asked)
    return plain_form.write(CircuitBatch(asked, np.arange(len(asked), dtype=np.int32), tables), 1)


def fulfil(order: bytes) -> bytes:
    """Draws what was ordered."""
    batch, _ = plain_form.read(order)
    return json.dumps([_lines(template) for template in batch.templates]).encode()


def _answered(answer: bytes | None, number: int) -> list[tuple[str, ...]] | None:
    """The lines of so many drawings; None where the answer is something else."""
    try:
        found = json.loads(answer or b"null")
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or len(found) != number:
        return None
    whole = all(isinstance(lines, list) and lines and all(isinstance(line, str) for line in lines) for lines in found)
    return [tuple(lines) for lines in found] if whole else None


def _shown(batch: CircuitBatch) -> list[tuple[Template, bool]]:
    """The first templates, and whether each is drawn."""
    work, shown = _WORK, []
    for template in batch.templates[:_SHOWN]:
        needs = template.qubits * len(template.gates)
        drawn = template.qubits <= _WIDEST and len(template.gates) <= _LONGEST and needs <= _WORK
        if drawn and needs > work:
            break
        work -= needs if drawn else 0
        shown.append((template, drawn))
    return shown


def _lines(template: Template) -> tuple[str, ...]:
    from qiskit.circuit import ParameterVector

    from prefect_gatehouse.workload.circuits import build_circuit

    circuit = build_circuit(template, ParameterVector("θ", template.angles))
    # Everything that a settings file of Qiskit's or the terminal could decide is said, and the lines are taken before any encoding.
    drawing = circuit.draw("text", reverse_bits=False, idle_wires=True, initial_state=False, cregbundle=True, measure_arrows=True, fold=_COLUMNS)
    return tuple(line.rstrip() for line in drawing.lines(_COLUMNS))


def _line(row: int, text: str) -> str:
    """A line's runs, each fitted to its cells; what joins is stretched for that, letters are only moved."""
    y = _MARGIN + row * _LINE - 3
    return "".join(
        f'<text x="{_MARGIN + run.start() * _CELL}" y="{y}" textLength="{len(run[0]) * _CELL}"'
        f"{_STRETCHED if run[0][0] in _JOINED else ''}>{escape(run[0])}</text>"
        for run in _RUNS.finditer(text)
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
