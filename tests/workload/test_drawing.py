"""Drawings of templates: well-formed, self-contained, bounded, and without a word of the workload's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping

from prefect_gatehouse.workload.batch import CircuitBatch, Template, joined
from prefect_gatehouse.workload.circuits import read_circuit
from prefect_gatehouse.workload.drawing import _COLUMNS, _WORK, TemplateDrawing, draw
from prefect_gatehouse.workload.gates import gate_shapes

SVG = "{http://www.w3.org/2000/svg}"


def batch(*templates: Template, settings: int = 1) -> CircuitBatch:
    return joined([(each, np.zeros((settings, each.angles))) for each in templates])


def chain(qubits: int, gates: int) -> Template:
    """So many rotations, one after the other round the qubits."""
    return Template(qubits, qubits, tuple(("ry", (place % qubits,), ()) for place in range(gates)))


SMALL = Template(3, 2, (("h", (0,), ()), ("ry", (1,), ()), ("rzz", (0, 2), ()), ("cx", (0, 1), ()), ("measure", (0,), (0,)), ("measure", (1,), (1,))))


def rows(drawing: TemplateDrawing) -> list[str]:
    """What the image shows, put back on its grid."""
    texts = list(ElementTree.fromstring(drawing.svg).iter(f"{SVG}text"))
    width = int(texts[0].attrib["textLength"]) // len(texts[0].text or "")
    heights = sorted({int(each.attrib["y"]) for each in texts})
    grid = {height: [" "] * 200 for height in heights}
    for each in texts:
        at, off = divmod(int(each.attrib["x"]) - width, width)
        words = each.text or ""
        assert (off, int(each.attrib["textLength"])) == (0, len(words) * width)
        grid[int(each.attrib["y"])][at : at + len(words)] = words
    return ["".join(cells).rstrip() for cells in grid.values()]


def test_a_template_is_drawn_with_its_settings() -> None:
    """Text and image say the same, each cell in its place; the heading says how many settings it stands for."""
    (one,) = draw(batch(SMALL, settings=4544)).first
    assert one.heading == "template 1: 3 qubits, 6 gates, 4,544 settings of its 2 angles"
    assert "Ry(θ[0])" in one.text and "ZZ(θ[1])" in one.text and one.text.count("M") == 2
    assert rows(one) == [line for line in one.lines if line]


def test_the_image_stands_alone() -> None:
    """Well-formed, with title and description, light and dark, and nothing that loads or acts: no script, link, font, number of a data set."""
    (one,) = draw(batch(SMALL)).first
    root = ElementTree.fromstring(one.svg)
    assert (root.tag, root.attrib["role"]) == (f"{SVG}svg", "img")
    assert [each.tag.removeprefix(SVG) for each in root][:2] == ["title", "desc"]
    assert root.findtext(f"{SVG}desc") == "Gates: 1 h, 1 ry, 1 rzz, 1 cx, 2 measure."
    assert {each.tag.removeprefix(SVG) for each in root.iter()} == {"svg", "title", "desc", "style", "rect", "g", "text"}
    assert not any(name.startswith("on") or name.endswith(("href", "src")) for each in root.iter() for name in each.attrib)
    assert one.svg.count("http") == 1  # the namespace
    style = root.findtext(f"{SVG}style") or ""
    assert "prefers-color-scheme:dark" in style and not {"url", "@import", "@font-face"} & set(style.replace("(", " ").split())


def test_every_gate_that_may_leave_can_be_drawn() -> None:
    """Qiskit's drawing of each standard gate fits its width and the image's grid."""
    for name, (qubits, clbits, _) in gate_shapes().items():
        template = Template(max(qubits, 1), clbits, ((name, tuple(range(qubits)), tuple(range(clbits))),))
        (one,) = draw(batch(template)).first
        assert one.lines and max(map(len, one.lines)) <= _COLUMNS, name
        assert rows(one) == [line for line in one.lines if line], name


@pytest.mark.parametrize(("qubits", "gates"), [(120, 5000), (41, 1), (1, 401), (40, 400)])
def test_what_is_too_large_is_told(qubits: int, gates: int) -> None:
    """Its size stands in place of a drawing; the next template is drawn all the same."""
    large, small = draw(batch(chain(qubits, gates), SMALL)).first
    assert large.heading == f"template 1: {qubits} qubit{'s' * (qubits > 1)}, {gates:,} gate{'s' * (gates > 1)}: too large to draw"
    assert large.lines == ()
    assert small.lines


def test_three_of_many_templates_are_drawn() -> None:
    """And how many there are more; together they stay within the work that one may make."""
    made = draw(batch(*(chain(2, gates) for gates in range(1, 101))))
    assert [each.number for each in made.first] == [1, 2, 3]
    assert made.rest == "and 97 more"
    assert draw(batch(SMALL)).rest == ""
    half = _WORK // 2 // 4
    tight = draw(batch(*(chain(4, half - less) for less in range(5))))
    assert (len(tight.first), tight.rest) == (2, "and 3 more")
    assert all(each.lines for each in tight.first)


def test_nothing_of_the_workload_can_be_in_it() -> None:
    """Names of circuits, registers, parameters and gates, labels, metadata and angles: whatever a workload writes there, no drawing has it."""
    canary = "CANARY<script>"
    inner = QuantumCircuit(1, name=canary)
    inner.ry(0.424242, 0)
    circuit = QuantumCircuit(QuantumRegister(2, "CANARYq"), ClassicalRegister(2, "CANARYc"), name=canary, metadata={canary: canary})
    circuit.append(inner.to_gate(label=canary), [0])
    circuit.append(Gate.control(get_standard_gate_name_mapping()["h"].base_class(label=canary), 1, label=canary), [0, 1])
    circuit.rx(Parameter("CANARYp"), 1)
    circuit.barrier(label=canary)
    circuit.measure([0, 1], [0, 1])
    template, _ = read_circuit(circuit.assign_parameters([0.424242]))
    (one,) = draw(batch(template)).first
    assert one.lines
    for shown in (one.text, one.svg, repr(one)):
        assert "CANARY" not in shown and "script" not in shown and "0.42" not in shown


def test_neither_the_terminal_nor_qiskits_settings_change_it(tmp_path: Path) -> None:
    """A worker has no terminal, perhaps no UTF-8, and a person's own settings of Qiskit: the drawing is the same."""
    (tmp_path / "settings.conf").write_text(
        "[default]\ncircuit_drawer = latex_source\ncircuit_reverse_bits = True\ncircuit_idle_wires = False\ncircuit_measure_arrows = False\n"
    )
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from prefect_gatehouse.workload.batch import Template, joined\n"
        "from prefect_gatehouse.workload.drawing import draw\n"
        f"(one,) = draw(joined([({SMALL!r}, np.zeros((1, 2)))])).first\n"
        "sys.stdout.buffer.write(one.svg.encode())\n"
    )
    settings = {"QISKIT_SETTINGS": str(tmp_path / "settings.conf"), "PYTHONIOENCODING": "ascii", "COLUMNS": "20"}
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, check=True)
    (here,) = draw(batch(SMALL)).first
    assert done.stdout.decode() == here.svg
