"""Lines of OpenSSH's ``allowed_signers`` (ssh-keygen(1), ALLOWED SIGNERS): who signs with which key, and from when until when.

The whole grammar is understood: blanks and quotes, options in any order and case, lists of namespaces, times with and without Z, comments, CRLF.
Of what it allows, a registry of people takes what names one person and our namespace: no patterns and no lists of people. Only the line of a
certificate authority may name several, since each certificate names its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.keys import parse_public
from prefect_gatehouse.identity.sshsig import NAMESPACE

_BLANKS = " \t\r\n"
_OPTION = re.compile(r'(?P<name>[A-Za-z-]+)(?:="(?P<value>(?:[^"\\]|\\.)*)")?(?:,|$)')
_TIME = re.compile(r"(\d{8})(\d{4})?(\d{2})?(Z?)", re.ASCII | re.IGNORECASE)
_VALUED = {"namespaces", "valid-after", "valid-before"}


class NotUnderstood(Exception):
    """A line is none, or says something that a registry of people does not take; the text says which, and repeats nothing of the line."""


@dataclass(frozen=True)
class Signer:
    """A line.

    Attributes:
        person: Whose the key is; of an authority the patterns of those whom its certificates may name.
        kind: Type of the key.
        blob: The key, base64.
        fingerprint: OpenSSH's SHA-256 fingerprint.
        valid_after: Before this time the key signs nothing; None for always.
        valid_before: After this time neither; None for ever.
        authority: Whether the key signs certificates, and nothing else.
    """

    person: str
    kind: str
    blob: str
    fingerprint: str
    valid_after: datetime | None = None
    valid_before: datetime | None = None
    authority: bool = False

    def line(self) -> str:
        """As the registry writes it; a comment is not kept."""
        times = (("valid-after", self.valid_after), ("valid-before", self.valid_before))
        options = [f'namespaces="{NAMESPACE}"', *(f'{name}="{when.astimezone(UTC):%Y%m%d%H%M%S}Z"' for name, when in times if when is not None)]
        if self.authority:
            options.insert(0, "cert-authority")
        return f"{self.person} {','.join(options)} {self.kind} {self.blob}"


def is_blank(line: str) -> bool:
    """Whether a line says nothing: empty, or a comment."""
    text = line.lstrip(_BLANKS)
    return not text or text.startswith("#")


def read_line(line: str) -> Signer:
    """What a line says.

    Raises:
        NotUnderstood: It is no such line, or names not our namespace, or, where it is no authority's, patterns or several people.
    """
    person, rest = _word(line.strip(_BLANKS))
    options, rest = _options(rest)
    authority = "cert-authority" in options
    if not person or set(person) & set("*?!," if not authority else _BLANKS):
        raise NotUnderstood("names no single person; patterns and lists are not taken")
    if NAMESPACE not in options.get("namespaces", "").split(","):
        raise NotUnderstood(f"is not for the namespace {NAMESPACE}")
    try:
        kind, blob, fingerprint = parse_public(rest)
    except InputError:
        raise NotUnderstood("holds no public key that is accepted") from None
    after, before = (_time(options[name]) if name in options else None for name in ("valid-after", "valid-before"))
    if after is not None and before is not None and before <= after:
        raise NotUnderstood("has valid-before no later than valid-after")
    return Signer(person, kind, blob, fingerprint, after, before, authority)


def matches(patterns: str, person: str) -> bool:
    """Whether a list of patterns names somebody (ssh_config(5), PATTERNS): ``*`` and ``?`` stand for any text and any character, ``!`` takes out."""
    found = False
    for each in patterns.split(","):
        wanted = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in each.removeprefix("!"))
        if re.fullmatch(wanted, person, re.DOTALL):
            if each.startswith("!"):
                return False
            found = True
    return found


def _word(text: str) -> tuple[str, str]:
    """The first word, which may be in quotes, and what is behind it."""
    if text.startswith('"'):
        word, quote, rest = text[1:].partition('"')
        if not quote or (rest and rest[0] not in _BLANKS):
            raise NotUnderstood("has a quote that does not end")
        return word, rest.lstrip(_BLANKS)
    word = re.split(f"[{_BLANKS}]", text, maxsplit=1)[0]
    return word, text[len(word) :].lstrip(_BLANKS)


def _options(text: str) -> tuple[dict[str, str], str]:
    """The options, and what is behind them; none where the key follows at once."""
    end = _end_of_options(text)
    found: dict[str, str] = {}
    for name, value in _each(text[:end]):
        if name in found:
            raise NotUnderstood(f"has {name} twice")
        if (name not in _VALUED and name != "cert-authority") or (value is None) == (name in _VALUED):
            raise NotUnderstood("has an option that ssh-keygen does not know")
        found[name] = value or ""
    return found, text[end:].lstrip(_BLANKS)


def _end_of_options(text: str) -> int:
    """Where the first blank outside quotes is; nowhere where the first word is a key's type."""
    if re.match(r"(ssh|ecdsa|sk)-[^\s\",=]+[ \t]", text):
        return 0
    quoted = False
    place = 0
    while place < len(text) and (quoted or text[place] not in _BLANKS):
        if text[place] == "\\" and text[place + 1 : place + 2] == '"':
            place += 1
        elif text[place] == '"':
            quoted = not quoted
        place += 1
    return place


def _each(text: str) -> Iterator[tuple[str, str | None]]:
    place = 0
    while place < len(text):
        match = _OPTION.match(text, place)
        if match is None:
            raise NotUnderstood("has an option that can't be read")
        value = match["value"]
        yield match["name"].lower(), None if value is None else value.replace('\\"', '"')
        place = match.end()
    if text.endswith(","):
        raise NotUnderstood("has an option that can't be read")


def _time(text: str) -> datetime:
    """A time as ssh-keygen writes it: a day, or a day with hour and minute, and second; of this machine's zone unless it ends with Z."""
    match = _TIME.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise NotUnderstood("has a time that is none: YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, and Z for UTC")
    digits = f"{match[1]}{match[2] or '0000'}{match[3] or '00'}"
    try:
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S")
        return moment.replace(tzinfo=UTC) if match[4] else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise NotUnderstood("has a time that is none") from None


def read_time(text: str) -> datetime:
    """A time as the option is written.

    Raises:
        InputError: It is none.
    """
    try:
        return _time(text)
    except NotUnderstood as error:
        raise InputError(f"this {str(error).removeprefix('has ')}", where="time", advice="for example 20271231Z") from None
