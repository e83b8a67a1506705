"""The plan as a page of evidence: the tables that people are asked about, and the drawings of the first templates.

It is made when the plan is, before anybody is asked, and names the digest that approvals are given to.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape

from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.section import Section, as_tables
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.validation.page import document
from prefect_gatehouse.workload.drawing import Drawings

STYLE = """
section { overflow-x: auto; }
th[scope=row] { color: var(--quiet); font-weight: 400; width: 14rem; }
td { overflow-wrap: anywhere; }
svg { display: block; max-width: 100%; height: auto; }
"""
_TITLE = "What the circuits look like"
_WHY = "Gates and their places in the first round, as Qiskit draws them. Each θ stands for an angle; angles and names are not shown."


def page(plan: Plan, drawings: Drawings) -> str:
    """The page.

    Args:
        plan: What it shows.
        drawings: Of the first round's templates.
    """
    name = plan.admitted.manifest.name
    parts = [f'<h1>Plan of {escape(name)}</h1><p class="verdict">Digest <code>{plan.digest}</code></p>', *map(section_as_html, sections(plan))]
    return document(f"Plan of {name}", "".join([*parts, *_circuits(drawings)]), STYLE)


def markdown(plan: Plan, drawings: Drawings, *, page_at: str) -> str:
    """The plan with its drawings for the Prefect UI.

    Args:
        plan: What it shows.
        drawings: Of the first round's templates.
        page_at: Where the page lies, on the host that ran the gate.
    """
    lines = ["# Plan", "", *as_tables(sections(plan)), f"## {_TITLE}", "", _WHY, ""]
    for each in drawings.first:
        # As an image, which both of Prefect's pages show; in a block of code they set lines apart, and nothing joins.
        image = f"![{each.heading}](data:image/svg+xml;base64,{b64encode(each.svg.encode()).decode()})"
        lines += [f"{each.heading.capitalize()}.", "", *([image, ""] if each.lines else [])]
    lines += [f"{drawings.rest.capitalize()}.", ""] if drawings.rest else []
    return "\n".join([*lines, f"As a page: `{page_at.replace('`', '')}`"])


def section_as_html(section: Section) -> str:
    """One table with its heading."""
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in section.headers)
    named = any(section.headers)
    rows = "".join(f"<tr>{''.join(_cells(row, named))}</tr>" for row in section.rows)
    return (
        f"<section><h2>{escape(section.title)}</h2>{f'<p>{escape(section.summary)}.</p>' if section.summary else ''}"
        f"<table>{f'<thead><tr>{head}</tr></thead>' if named else ''}<tbody>{rows}</tbody></table></section>"
    )


def _cells(row: tuple[str, ...], named: bool) -> Iterator[str]:
    """A row's cells; in a table without headers the first is its row's name."""
    for place, text in enumerate(row):
        yield f"<td>{escape(text)}</td>" if named or place else f'<th scope="row">{escape(text)}</th>'


def _circuits(drawings: Drawings) -> Iterator[str]:
    yield f'<section><h2>{_TITLE}</h2><p class="quiet">{_WHY}</p>'
    for each in drawings.first:
        yield f"<p>{escape(each.heading.capitalize())}.</p>{each.svg if each.lines else ''}"
    yield f"<p>{drawings.rest.capitalize()}.</p></section>" if drawings.rest else "</section>"
