"""A query is one SELECT, told from its text alone, before any database is asked."""

from __future__ import annotations

import pytest

from prefect_gatehouse.data.sources.query import select_statement
from prefect_gatehouse.errors import InputError


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("SELECT a FROM t", "SELECT a FROM t"),
        ("  select a from t ; ", "select a from t"),
        ("WITH x AS (SELECT 1 AS a) SELECT a FROM x", "WITH x AS (SELECT 1 AS a) SELECT a FROM x"),
        ("SELECT a -- the key; not DELETE\nFROM t /* ; */ ;", "SELECT a  \nFROM t"),
        ("SELECT 'x;y', 'it''s' FROM t WHERE b LIKE 'a%'", "SELECT 'x;y', 'it''s' FROM t WHERE b LIKE 'a%'"),
        ('SELECT "update", "a;b" FROM t', 'SELECT "update", "a;b" FROM t'),
        ("SELECT $tag$ ; ' ( $tag$ AS a", "SELECT $tag$ ; ' ( $tag$ AS a"),
        ("SELECT a::text, b[1], replace(c, '(', ')') FROM t", "SELECT a::text, b[1], replace(c, '(', ')') FROM t"),
    ],
)
def test_a_select_passes_as_it_is(query: str, sent: str) -> None:
    """Only comments and the semicolon at the end go; what stands in strings and quoted names is not looked at."""
    assert select_statement(query).split() == sent.split()


REFUSED: dict[str, tuple[str, str]] = {
    "delete": ("DELETE FROM canary", "no SELECT"),
    "empty": ("  -- canary\n", "no SELECT"),
    "pragma": ("PRAGMA canary", "no SELECT"),
    "values": ("VALUES ('canary')", "no SELECT"),
    "two-statements": ("SELECT 1; DROP TABLE canary", "more than one"),
    "two-semicolons": ("SELECT 'canary';;", "more than one"),
    "out-of-the-brackets": ("SELECT 1) AS x; DROP TABLE canary; --", "more than one"),
    "closing-bracket": ("SELECT 1) AS x, (SELECT 'canary'", "closes nothing"),
    "open-bracket": ("SELECT (('canary')", "never closed"),
    "open-string": ("SELECT 'canary", "never closed"),
    "open-name": ('SELECT "canary', "never closed"),
    "open-comment": ("SELECT 1 /* canary", "never closed"),
    "open-dollar": ("SELECT $a$ canary", "never closed"),
    "backslash-quote": (r"SELECT 'canary\'; DROP TABLE t; --'", "backslash"),
    "nested-comment": ("SELECT 1 /* /* */ , 'canary' -- */", "comment"),
    "mysql-comment": ("SELECT 1 /*! INTO OUTFILE 'canary' */", "comment"),
    "select-into": ("SELECT * INTO canary FROM t", "INTO"),
    "writing-cte": ("WITH x AS (DELETE FROM canary RETURNING *) SELECT * FROM x", "DELETE"),
    "locking": ("SELECT * FROM canary FOR UPDATE", "UPDATE"),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_anything_else_is_refused_without_repeating_it(attack: str) -> None:
    """One sentence with the place in the manifest and advice; nothing of the text."""
    query, message = REFUSED[attack]
    with pytest.raises(InputError, match=message) as refused:
        select_statement(query)
    assert "canary" not in str(refused.value)
    assert refused.value.where == "data.source.sql"
    assert refused.value.advice
