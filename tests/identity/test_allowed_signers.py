"""Lines of ``allowed_signers``: what ssh-keygen takes for our namespace is taken, what it refuses is refused, at the same times."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.identity.ssh_signatures import keygen

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity.allowed_signers import NotUnderstood, Signer, is_blank, read_line, read_time
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.sshsig import sign

ANN = "ann@example.org"
OURS = 'namespaces="gatehouse"'
NOON = datetime(2027, 6, 1, 12, tzinfo=UTC)
APPROVER = frozenset({"approver"})


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; its public line is beside it."""
    path = tmp_path_factory.mktemp("keys") / "id"
    generate_key(path, "laptop of Ann")
    return path


def ours(line: str, when: datetime) -> bool:
    """Whether a key signs by this line, at a time."""
    if is_blank(line):
        return False
    try:
        found = read_line(line)
    except NotUnderstood:
        return False
    after, before = found.valid_after or when, found.valid_before or when
    return found.person == ANN and after <= when <= before


def theirs(line: str, when: datetime, key: Path, folder: Path) -> bool:
    """Whether the real ssh-keygen says so."""
    (folder / "allowed").write_text(line + "\n", newline="")
    (folder / "sig").write_text(sign(key, b"message"))
    words = ["-Y", "verify", "-f", str(folder / "allowed"), "-I", ANN, "-n", "gatehouse", "-s", str(folder / "sig")]
    return keygen(*words, f"-Overify-time={when:%Y%m%d%H%M%SZ}", data=b"message").returncode == 0


LINES = {
    "plain": f"{ANN} {OURS} KEY",
    "comment_behind": f"{ANN} {OURS} KEY a laptop",
    "blanks_and_tabs": f" \t{ANN}\t \t{OURS}  \t KEY",
    "crlf": f"{ANN} {OURS} KEY\r",
    "quoted_person": f'"{ANN}" {OURS} KEY',
    "options_in_capitals": f'{ANN} NameSpaces="gatehouse" KEY',
    "one_of_our_namespaces": f'{ANN} namespaces="git,gatehouse,file" KEY',
    "other_namespace": f'{ANN} namespaces="git" KEY',
    "namespace_that_begins_like_ours": f'{ANN} namespaces="gatehouse-worker" KEY',
    "comment": f"# {ANN} {OURS} KEY",
    "blank": "  \t ",
    "valid": f'{ANN} {OURS},valid-after="20270101",valid-before="20280101Z" KEY',
    "options_in_another_order": f'{ANN} valid-before="20280101Z",{OURS},valid-after="202701010000" KEY',
    "not_yet": f'{ANN} {OURS},valid-after="20270601120001Z" KEY',
    "from_this_second": f'{ANN} {OURS},valid-after="20270601120000Z" KEY',
    "expired": f'{ANN} {OURS},valid-before="20270601115959Z" KEY',
    "until_this_second": f'{ANN} {OURS},valid-before="20270601120000Z" KEY',
    "local_time": f'{ANN} {OURS},valid-after="202706011400" KEY',
    "local_time_too_late": f'{ANN} {OURS},valid-after="202706011401" KEY',
    "never_valid": f'{ANN} {OURS},valid-after="20270101Z",valid-before="20260101Z" KEY',
    "empty_interval": f'{ANN} {OURS},valid-after="20270101Z",valid-before="20270101Z" KEY',
    "twice": f"{ANN} {OURS},{OURS} KEY",
    "unknown_option": f"{ANN} {OURS},touch-required KEY",
    "no_value": f"{ANN} namespaces KEY",
    "no_quotes": f"{ANN} namespaces=gatehouse KEY",
    "open_quote": f'{ANN} namespaces="gatehouse KEY',
    "no_comma": f'{ANN} {OURS}valid-after="20270101" KEY',
    "comma_at_the_end": f"{ANN} {OURS}, KEY",
    "no_time": f'{ANN} {OURS},valid-before="tomorrow" KEY',
    "seconds_only": f'{ANN} {OURS},valid-before="2028010112" KEY',
    "nobody": f"{OURS} KEY",
    "no_key": f"{ANN} {OURS}",
    "broken_key": f"{ANN} {OURS} ssh-ed25519 AAAA",
}


@pytest.mark.parametrize("name", LINES)
def test_each_line_as_ssh_keygen_has_it(name: str, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines of one person and one namespace, valid at the same moments; local times are two hours ahead."""
    monkeypatch.setitem(os.environ, "TZ", "UTC-2")
    import time

    time.tzset()
    try:
        line = LINES[name].replace("KEY", " ".join(key.with_suffix(".pub").read_text().split()[:2]))
        assert ours(line, NOON) == theirs(line, NOON, key, tmp_path)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"*@example.org {OURS} KEY", "no single person"),
        (f"{ANN},bob@example.org {OURS} KEY", "no single person"),
        (f"!{ANN} {OURS} KEY", "no single person"),
        (f"{ANN} cert-authority KEY", "namespace"),
        (f'"{ANN} bob" cert-authority,{OURS} KEY', "no single person"),
        (f"{ANN} KEY", "namespace"),
        (f'{ANN} namespaces="gate*" KEY', "namespace"),
        (f'{ANN} {OURS},,valid-after="20270101" KEY', "can't be read"),
        (f'{ANN} {OURS},valid-after="20270230Z" KEY', "time that is none"),
    ],
)
def test_what_a_registry_of_people_does_not_take(line: str, says: str, key: Path) -> None:
    """What ssh-keygen would take for several people, or for any namespace, and what it guesses at, is told and refused."""
    with pytest.raises(NotUnderstood, match=says):
        read_line(line.replace("KEY", " ".join(key.with_suffix(".pub").read_text().split()[:2])))


@given(st.text(st.sampled_from('ab@.,="\\ \t#*!-KZ0129'), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_line_or_is_refused(text: str) -> None:
    """Nothing else ever comes out of reading one."""
    try:
        found = read_line(text)
    except NotUnderstood:
        return
    assert found.person


def test_what_is_written_is_read_again(key: Path) -> None:
    """With both times, to the second."""
    kind, blob = key.with_suffix(".pub").read_text().split()[:2]
    mark = fingerprint(f"{kind} {blob}")
    written = Signer(ANN, kind, blob, mark, NOON, NOON.replace(year=2030))
    assert read_line(written.line()) == written
    assert read_line(Signer(ANN, kind, blob, mark).line()) == Signer(ANN, kind, blob, mark)


@pytest.mark.parametrize("text", ["", "2027", "20271301Z", "tomorrow", "20270101T00Z", "\uff12\uff10\uff12\uff17\uff10\uff11\uff10\uff11"])
def test_a_time_that_is_none(text: str) -> None:
    with pytest.raises(InputError, match="time that is none"):
        read_time(text)


def test_a_key_is_its_owner_s_while_it_is_valid(key: Path, tmp_path: Path) -> None:
    """Before and after, it is nobody's; giving new times changes them, and comments in the file stay."""
    people = People(tmp_path / "people")
    line = key.with_suffix(".pub").read_text()
    people.add(ANN, key=line, roles=APPROVER, valid_after=NOON, valid_before=NOON.replace(year=2028))
    mark = fingerprint(line)
    assert people.owner_of(mark, NOON.replace(hour=11)) is None
    assert people.owner_of(mark, NOON.replace(year=2029)) is None
    owner = people.owner_of(mark, NOON)
    assert owner is not None and owner.person == ANN
    path = tmp_path / "people" / "allowed_signers"
    path.write_text("# keys of Ann\n" + path.read_text())
    people.add(ANN, key=line, roles=APPROVER, valid_before=NOON.replace(year=2030))
    assert people.owner_of(mark, NOON.replace(year=2029)) is not None
    assert path.read_text().startswith("# keys of Ann\n")
    assert people.owner_of(mark, NOON.replace(hour=11)) is None
    with pytest.raises(InputError, match="never be valid"):
        people.add(ANN, key=line, roles=APPROVER, valid_after=NOON, valid_before=NOON)
    with pytest.raises(InputError, match="a time is a key's"):
        people.add(ANN, roles=APPROVER, valid_before=NOON)


def test_times_that_would_make_the_registry_unreadable(key: Path, tmp_path: Path) -> None:
    """An end that is there and a new beginning behind it, and the other way round; a year that is written with three digits."""
    people = People(tmp_path / "people")
    line = key.with_suffix(".pub").read_text()
    people.add(ANN, key=line, roles=APPROVER, valid_before=NOON)
    for times in ({"valid_after": NOON.replace(year=2028)}, {"valid_after": datetime(999, 1, 1, tzinfo=UTC)}):
        with pytest.raises(InputError):
            people.add(ANN, key=line, roles=APPROVER, **times)
    people.add(ANN, key=line, roles=APPROVER, valid_after=NOON.replace(hour=1))
    with pytest.raises(InputError):
        people.add(ANN, key=line, roles=APPROVER, valid_before=NOON.replace(hour=0))
    assert people.owner_of(fingerprint(line), NOON.replace(hour=5)) is not None
