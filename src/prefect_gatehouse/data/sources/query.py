"""What of a query can be told from its text: that it is one SELECT statement, on every dialect alike.

The text is split as SQL splits it (ISO/IEC 9075-2, literals, quoted names, comments; PostgreSQL's dollar quotes), so that no semicolon
hides in what only looks like a string. Where dialects disagree about where a string or a comment ends, the query is refused. The
database has the last word: the query runs as a subquery in a transaction that can't write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prefect_gatehouse.errors import InputError

WHERE = "data.source.sql"

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|/\*(?P<inside>.*?)\*/)
      | (?P<string>'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*"|`[^`]*`)
      | (?P<dollar>\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$)
      | (?P<word>[^\W\d]\w*)
      | (?P<open>["'`]|/\*|\$(?:[A-Za-z_]\w*)?\$)
      | (?P<other>\S)""",
    re.DOTALL | re.VERBOSE,
)
# INTO makes a table, the others write or lock rows (FOR UPDATE); as names of columns they can be quoted.
_NOT_READING = frozenset({"insert", "update", "delete", "merge", "into"})


def select_statement(query: str) -> str:
    """The query without comments and the semicolon at its end.

    Raises:
        InputError: It is not one SELECT statement; the text is not repeated.
    """
    tokens = list(_TOKEN.finditer(query))
    for token in tokens:
        _refuse_ambiguous(token)
    telling = [token for token in tokens if token["comment"] is None]
    if any(token[0] == ";" for token in telling[:-1]):
        raise _refusal("the query has more than one statement", "write one SELECT statement")
    _refuse_unbalanced(token[0] for token in telling)
    words = [token[0].lower() for token in telling if token["word"] is not None]
    if not words or words[0] not in ("select", "with"):
        raise _refusal("the query is no SELECT statement", "begin it with SELECT or WITH")
    writing = sorted(_NOT_READING.intersection(words))
    if writing:
        raise _refusal(f"the query has the word {writing[0].upper()}", "only read; put a column of that name in double quotes")
    return _spaced(query, tokens)


def _refuse_ambiguous(token: re.Match[str]) -> None:
    """Refuses what ends at different places in different dialects."""
    inside = token["inside"]
    if inside is not None and (inside.startswith("!") or "/*" in inside):
        raise _refusal("a comment in the query means something to some databases", "remove the comment")
    if token["open"] is not None:
        raise _refusal("a quote or a comment in the query is never closed", "close it")
    if token["string"] is not None and "\\'" in token["string"]:
        raise _refusal("a backslash stands before a quote in the query", "double the quote instead")


def _refuse_unbalanced(texts: Iterable[str]) -> None:
    depth = 0
    for text in texts:
        depth += (text == "(") - (text == ")")
        if depth < 0:
            raise _refusal("a bracket in the query closes nothing", "balance the brackets")
    if depth:
        raise _refusal("a bracket in the query is never closed", "balance the brackets")


def _spaced(query: str, tokens: Iterable[re.Match[str]]) -> str:
    """The query's own spacing, comments as one space."""
    parts = []
    last = 0
    for token in tokens:
        if token["comment"] is not None or token[0] == ";":
            parts += [query[last : token.start()], " "]
            last = token.end()
    return "".join([*parts, query[last:]]).strip()


def _refusal(message: str, advice: str) -> InputError:
    return InputError(message, where=WHERE, advice=advice)
