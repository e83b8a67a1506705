"""Proposes a rule, a class and a reason for each observed column; what nothing explains is dropped.

A proposal starts from what was found in the values, then from the column's name. It errs on the side of less: a person who knows the
data reads it before it is used, and names of people, for one, can't be told from other words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from prefect_gatehouse.data.identifiers import told
from prefect_gatehouse.manifest.columns import Column, Drop, Generalise, Keep, ShiftDates, Tokenise
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.profile.statistics import MOST_DIFFERENT, Observed

# Share of different values from which a column tells rows apart, and share and number up to which it is a list of categories.
_KEY = 0.9
_CATEGORY_SHARE, _CATEGORIES = 0.2, 50
_ZIP_PREFIX = 2
_AGE_STEP = 10.0


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words of a column's name, in the languages of the sources seen most: what it holds.
HINTS: dict[str, frozenset[str]] = {
    "people's names": _words(
        "name names surname lastname firstname forename middlename fullname nachname vorname nom prenom apellido apellidos cognome nome"
    ),
    "contacts or addresses": _words(
        "email mail phone telephone tel mobile fax address street strasse adresse rue calle house url ip mac login username user"
    ),
    "account or state numbers": _words("iban bic card pan account konto ssn nhs nino dni nif passport licence license tax steuer insurance"),
    "free text": _words("note notes comment comments remark remarks text description freetext message history narrative"),
    "keys": _words("id key mrn pid patient subject customer client member person case record uuid guid number no nr"),
    "dates of birth": _words("birth born dob birthday birthdate dateofbirth geburtsdatum naissance nacimiento nascita"),
    "postal codes": _words("zip zipcode postal postcode plz cap"),
    "ages": _words("age alter edad eta"),
    "what narrows people down": _words(
        "sex gender city town region county state country nationality ethnicity race religion occupation job profession marital education"
    ),
    "what nobody may learn": _words("diagnosis diagnoses icd disease condition salary income score result outcome label status hiv"),
}


@dataclass(frozen=True)
class Proposal:
    """What is proposed for one column.

    Attributes:
        observed: The column.
        column: The rule with its class.
        reason: Why, without a value.
        quasi: Whether it is a quasi-identifier.
        sensitive: Whether it is what nobody may learn of a person whose group is known.
    """

    observed: Observed
    column: Column
    reason: str
    quasi: bool = False
    sensitive: bool = False


def propose(columns: Iterable[Observed]) -> tuple[Proposal, ...]:
    """A proposal for each column, in order."""
    seen = tuple(columns)
    key = next((column.name for column in seen if _is_key(column)), None)
    return tuple(_for(column, key) for column in seen)


def hinted(name: str, what: str) -> bool:
    """Whether a word of a column's name says what it holds."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    return bool(HINTS[what] & {*words, "".join(words)})


def _is_key(column: Observed) -> bool:
    telling = column.kind in ("text", "whole numbers") and not column.spaced and column.share_different >= _KEY and not column.missing
    other = any(hinted(column.name, what) for what in ("people's names", "contacts or addresses", "free text"))
    return telling and not other and (hinted(column.name, "keys") or not column.identifiers)


def _for(column: Observed, key: str | None) -> Proposal:
    proposal = _nothing(column) or _identifying(column, key) or _dated(column, key) or _telling_apart(column) or _narrowing(column)
    return proposal or _measured(column)


def _drop(column: Observed, reason: str) -> Proposal:
    return Proposal(column, Drop(rule="drop", data_class=DataClass.RESTRICTED), reason)


def _nothing(column: Observed) -> Proposal | None:
    if column.kind == "nothing":
        return _drop(column, "no value in the rows that were read")
    if column.kind == "something else":
        return _drop(column, "its type holds no flat text, numbers or dates")
    return None


def _identifying(column: Observed, key: str | None) -> Proposal | None:
    if column.name == key:
        how = f"; the values look like {told(column.identifiers)}" if column.identifiers else ""
        rule = Tokenise(rule="tokenise", scheme="siv", data_class=DataClass.RESTRICTED)
        return Proposal(column, rule, f"tells rows apart, so it can be the key of the result: reversible token{how}")
    if column.identifiers:
        kinds = told(column.identifiers)
        if column.share_different >= _KEY and not column.spaced and column.kind in ("text", "whole numbers"):
            mail = "email" if set(column.identifiers) == {"e-mail address"} else None
            rule = Tokenise(rule="tokenise", canonical=mail, data_class=DataClass.RESTRICTED)
            return Proposal(column, rule, f"identifiers: {kinds}; a token joins as well as they do, or drop it")
        return _drop(column, f"identifiers: {kinds}")
    for what in ("people's names", "contacts or addresses", "account or state numbers", "free text"):
        if column.kind not in ("numbers", "true or false", "dates") and hinted(column.name, what) and not hinted(column.name, "postal codes"):
            return _drop(column, f"its name says that it holds {what}")
    return None


def _dated(column: Observed, key: str | None) -> Proposal | None:
    if column.other_dates:
        return _drop(column, "dates in a form that rules don't read; write them as YYYY-MM-DD at the source")
    if column.kind != "dates":
        return None
    if hinted(column.name, "dates of birth"):
        rule = Generalise(rule="generalise", to="year", data_class=DataClass.CONFIDENTIAL)
        return Proposal(column, rule, "dates of birth: the year is left", quasi=True)
    if key is not None:
        shift = ShiftDates(rule="shift_dates", subject=key, data_class=DataClass.CONFIDENTIAL)
        return Proposal(column, shift, "dates: moved by a secret number of days for each key, so intervals stay")
    return Proposal(column, Generalise(rule="generalise", to="quarter", data_class=DataClass.CONFIDENTIAL), "dates: the quarter is left", quasi=True)


def _telling_apart(column: Observed) -> Proposal | None:
    if column.kind == "text" and column.spaced and column.different > _CATEGORIES:
        return _drop(column, "free text: names and stories can't be found in it")
    if hinted(column.name, "postal codes"):
        return None
    if (
        column.kind in ("text", "whole numbers")
        and (column.share_different >= _KEY or hinted(column.name, "keys"))
        and column.different > _CATEGORIES
    ):
        rule = Tokenise(rule="tokenise", data_class=DataClass.RESTRICTED)
        return Proposal(column, rule, "almost every value is another, or it is a key of something: a token joins as well")
    return None


def _narrowing(column: Observed) -> Proposal | None:
    if hinted(column.name, "postal codes") and column.kind in ("text", "whole numbers"):
        rule = Generalise(rule="generalise", prefix=_ZIP_PREFIX, data_class=DataClass.CONFIDENTIAL)
        return Proposal(column, rule, f"postal codes: the first {_ZIP_PREFIX} characters are left", quasi=True)
    if hinted(column.name, "ages") and column.kind in ("numbers", "whole numbers"):
        return Proposal(
            column, Generalise(rule="generalise", round_to=_AGE_STEP, data_class=DataClass.CONFIDENTIAL), "ages: to the nearest ten", quasi=True
        )
    if hinted(column.name, "what narrows people down"):
        if _few(column):
            return Proposal(column, Keep(rule="keep", data_class=DataClass.CONFIDENTIAL), "narrows people down: kept, counted for k", quasi=True)
        return _drop(column, "narrows people down, and has too many different values")
    return None


def _measured(column: Observed) -> Proposal:
    sensitive = hinted(column.name, "what nobody may learn") and column.different > 1
    if column.kind == "true or false":
        return Proposal(column, Keep(rule="keep", data_class=DataClass.CONFIDENTIAL), "true or false", sensitive=sensitive)
    if column.kind in ("numbers", "whole numbers"):
        reason = "numbers, no identifier among them; scale or round them if the exact value tells too much"
        return Proposal(column, Keep(rule="keep", data_class=DataClass.CONFIDENTIAL), reason, sensitive=sensitive and _few(column))
    if _few(column):
        return Proposal(column, Keep(rule="keep", data_class=DataClass.CONFIDENTIAL), "a few categories", sensitive=sensitive)
    return _drop(column, "nothing explains what it holds")


def _few(column: Observed) -> bool:
    return column.different <= min(_CATEGORIES, MOST_DIFFERENT) and column.share_different <= _CATEGORY_SHARE
