"""The plan as a page of evidence and as an artifact: all that people are asked about, with the drawing, and nothing that acts."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from prefect_gatehouse.run import plan_page
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.workload.batch import Template, joined
from prefect_gatehouse.workload.drawing import Drawings, draw
from tests.run.project import Project
from tests.support.pages import StrictPage

HOSTILE = "</h2><script>alert(1)</script> | [x](javascript:1) <img src=x>"
TEMPLATES = [Template(2, 1, (*(("ry", (0,), ()),) * (place + 1), ("cx", (0, 1), ()), ("measure", (1,), (0,)))) for place in range(4)]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The small project's plan."""
    return Project(tmp_path).plan


@pytest.fixture
def drawings() -> Drawings:
    """Of four templates, of which three are drawn."""
    return draw(joined([(each, np.zeros((7, each.angles))) for each in TEMPLATES]))


def test_the_page_shows_all_that_the_view_has(plan: Plan, drawings: Drawings) -> None:
    """Every heading, summary and cell, the digest that is approved, and each drawing beside how many settings it stands for."""
    html = plan_page.page(plan, drawings)
    found = StrictPage(html)
    for section in sections(plan):
        assert all(words in found.text for words in (section.title, section.summary, *section.headers))
        assert all(cell in found.text for row in section.rows for cell in row)
    assert plan.digest in found.text
    assert found.tags.count("svg") == 3
    assert "Template 2: 2 qubits, 4 gates, 7 settings of its 2 angles." in found.text
    assert "And 1 more." in found.text
    assert "default-src 'none'" in html


def test_the_artifact_shows_the_same(plan: Plan, drawings: Drawings) -> None:
    """Tables and drawings as Markdown, and where the page lies."""
    text = plan_page.markdown(plan, drawings, page_at="/somewhere/plan.html")
    assert all(f"| {' | '.join(row)} |" in text for section in sections(plan) for row in section.rows)
    images = re.findall(r"!\[(.*?)\]\(data:image/svg\+xml;base64,([\w+/=]+)\)", text)
    assert [(words, b64decode(image).decode()) for words, image in images] == [(each.heading, each.svg) for each in drawings.first]
    assert "And 1 more." in text
    assert text.endswith("As a page: `/somewhere/plan.html`")


def test_hostile_names_stay_text(plan: Plan, drawings: Drawings) -> None:
    """A manifest's words that are HTML or Markdown are shown as written."""
    manifest = plan.admitted.manifest.model_copy(update={"purpose": HOSTILE, "name": HOSTILE})
    minimised = plan.validated.minimised
    admitted = plan.admitted.model_copy(update={"manifest": manifest})
    validated = plan.validated.model_copy(update={"minimised": minimised.model_copy(update={"admitted": admitted})})
    hostile = plan.model_copy(update={"validated": validated})
    assert HOSTILE in StrictPage(plan_page.page(hostile, drawings)).text
    assert "<script" not in plan_page.markdown(hostile, drawings, page_at="p")


def test_what_is_too_large_has_its_line_and_no_drawing(plan: Plan) -> None:
    """The size stands where the drawing would."""
    large = Template(120, 1, (("h", (0,), ()),) * 5000)
    drawings = draw(joined([(large, np.zeros((1, 0)))]))
    for shown in (plan_page.page(plan, drawings), plan_page.markdown(plan, drawings, page_at="p")):
        assert "Template 1: 120 qubits, 5,000 gates: too large to draw." in shown
        assert "<svg" not in shown and "data:image" not in shown
