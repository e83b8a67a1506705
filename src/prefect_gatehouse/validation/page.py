"""A suite's report for people: a page of HTML and a table in Markdown, both made from the value-free projection and nothing else.

A page of evidence is one file without script, link or image (HTML 5, WCAG 2.1 AA contrast): it opens anywhere, and nothing in it can call home.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from prefect_gatehouse.plurals import counted
from prefect_gatehouse.validation.report import CheckResult, SuiteReport

_ENGINES = {"arrow": "record batches", "great-expectations": "Great Expectations", "gatehouse": "Gatehouse"}

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1a1f26; --quiet: #57606a; --line: #d8dee4; --pass: #116329; --fail: #a40e26; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181d; --text: #e6edf3; --quiet: #9da7b3; --line: #30363d; --pass: #56d364; --fail: #ff7b72; }
}
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }
.verdict { font-size: 1.15rem; font-weight: 600; margin: 0 0 1.25rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; margin: 0; }
dt, .quiet { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--quiet); font-weight: 500; }
td:first-child { overflow-wrap: anywhere; }
code { font: .875rem/1.4 ui-monospace, monospace; }
.pass { color: var(--pass); } .fail { color: var(--fail); font-weight: 600; }
"""
_COLUMNS = """
th:nth-child(2), td:nth-child(2) { width: 9rem; }
th:nth-child(3), td:nth-child(3) { width: 12rem; }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A page of evidence.

    Args:
        title: As text.
        body: As HTML.
        style: Rules of this kind of page.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )


def page(report: SuiteReport, *, gate: str, run: str) -> str:
    """The page.

    Args:
        report: What to show.
        gate: Which gate the report is of.
        run: The run.
    """
    failed = sum(not each.success for each in report.results)
    facts = {
        "Suite": report.suite,
        "SHA-256 of the suite": report.suite_sha256,
        "Run": run,
        "Gate": gate,
        "Rows": f"{report.rows:,}",
        "Expectations": f"{report.declared:,} declared, {report.loaded:,} loaded",
        "Computed by": ", ".join(f"{_ENGINES[name]} ({number})" for name, number in engines(report).items()),
    }
    verdict = "Every check passed" if report.success else f"{failed} of {len(report.results)} checks failed"
    kind = "pass" if report.success else "fail"
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    sections = "".join(_section(name, results) for name, results in by_column(report.results).items())
    return document(
        f"{report.suite}: {verdict}",
        f'<h1>Validation of {escape(report.suite)}</h1><p class="verdict {kind}">{escape(verdict)}</p><dl>{listed}</dl>'
        f'{sections}<p class="quiet">This page holds names, verdicts and counts. It was made without any value of the data.</p>',
        _COLUMNS,
    )


def markdown(report: SuiteReport, *, page_at: str) -> str:
    """The report as a table for the Prefect UI.

    Args:
        report: What to show.
        page_at: Where the page lies, on the host that ran the gate.
    """
    verdict = "Every check passed" if report.success else "**Checks failed**"
    lines = [
        f"# {_cell(report.suite)}",
        f"{verdict}: {report.rows:,} row{'s' * (report.rows != 1)}, {counted(report.declared, 'expectation')}, suite `{report.suite_sha256[:12]}`.",
        "",
        "| Column | Check | Result | Computed by |",
        "|---|---|---|---|",
        *(f"| {_cell(each.column or 'table')} | {_cell(each.type)} | {outcome(each)} | {_ENGINES[each.engine]} |" for each in report.results),
        "",
        f"As a page: `{page_at.replace('`', '')}`",
    ]
    return "\n".join(lines)


def outcome(result: CheckResult) -> str:
    """A result in words and a mark: colour alone would leave some readers without it."""
    return "\u2713 passed" if result.success else "\u2717 errored" if result.errored else "\u2717 failed"


def engines(report: SuiteReport) -> dict[str, int]:
    """How many results each engine has computed, the most first."""
    names = [each.engine for each in report.results]
    return {name: names.count(name) for name in sorted(dict.fromkeys(names), key=lambda each: -names.count(each))}


def by_column(results: Iterable[CheckResult]) -> dict[str, list[CheckResult]]:
    """Results under their columns, the table's own first, failed ones before passed ones."""
    grouped: dict[str, list[CheckResult]] = {"The table": []}
    for each in results:
        grouped.setdefault(each.column or "The table", []).append(each)
    return {name: sorted(found, key=lambda each: each.success) for name, found in grouped.items() if found}


def _section(name: str, results: list[CheckResult]) -> str:
    rows = "".join(
        f'<tr><td><code>{escape(each.type)}</code></td><td class="{"pass" if each.success else "fail"}">{outcome(each)}</td>'
        f'<td class="quiet">{_ENGINES[each.engine]}</td></tr>'
        for each in results
    )
    head = '<tr><th scope="col">Check</th><th scope="col">Result</th><th scope="col">Computed by</th></tr>'
    return f"<section><h2>{escape(name)}</h2><table><thead>{head}</thead><tbody>{rows}</tbody></table></section>"


def _cell(text: str) -> str:
    """A name in a cell: as HTML it is text, and it neither ends the cell nor makes a link, an image or code."""
    kept = "".join(letter if letter.isprintable() else " " for letter in escape(text))
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+!|~" else letter for letter in kept)
