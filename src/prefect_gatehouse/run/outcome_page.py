"""The outcome as a page of evidence: the tables that people are asked about before they release it; no row and no value is in them."""

from __future__ import annotations

from html import escape

from prefect_gatehouse.run.outcome import Outcome, outcome_sections
from prefect_gatehouse.run.plan_page import STYLE, section_as_html
from prefect_gatehouse.run.section import as_tables
from prefect_gatehouse.validation.page import document


def page(outcome: Outcome) -> str:
    """The page."""
    name = outcome.plan.admitted.manifest.name
    head = f'<h1>Outcome of {escape(name)}</h1><p class="verdict">Digest <code>{outcome.digest}</code></p>'
    return document(f"Outcome of {name}", "".join([head, *map(section_as_html, outcome_sections(outcome))]), STYLE)


def markdown(outcome: Outcome, *, page_at: str) -> str:
    """The outcome for the Prefect UI; ``page_at`` says where the page lies, on the host that ran the gate."""
    return "\n".join(["# Outcome", "", *as_tables(outcome_sections(outcome)), f"As a page: `{page_at.replace('`', '')}`"])
