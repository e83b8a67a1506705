"""Changes of the registry: in the ledger before they take effect, signed where there is a key, and edits by hand are noticed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_gatehouse.errors import Denied, InputError, StorageError, Tampered
from prefect_gatehouse.evidence import signed
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.ledger.acts import PeopleChanged
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.operate.budgets import set_budget
from prefect_gatehouse.operate.quarantine import impose
from prefect_gatehouse.operate.registry import Registrar
from prefect_gatehouse.run.registry import changes, is_as_recorded, require_as_recorded
from prefect_gatehouse.settings import Settings

ANN, BOB = "ann@example.org", "bob@example.org"
APPROVER = frozenset({"approver"})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that was recorded a moment ago is waited for; here none is under way."""
    monkeypatch.setattr("prefect_gatehouse.run.registry.SETTLES", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation without anybody."""
    return Settings(home=tmp_path / "home", environment="local")


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """Its ledger."""
    with open_ledger(settings) as opened:
        yield opened


def test_the_first_is_entered_by_nobody_known_and_the_next_is_signed(settings: Settings, ledger: Ledger) -> None:
    """Who, what and why, from the registry before to the registry behind; the signatures hold."""
    registrar = Registrar(settings, ledger, "the first approver")
    assert is_as_recorded(settings, ledger, registrar.people) is None
    line = generate_key(settings.identity_key(), "x")
    registrar.add(ANN, key=line, roles=APPROVER)
    Registrar(settings, ledger, "").add(BOB, key=None, roles=frozenset({"requester"}), totp=True)
    first, second = (each.fact for each in changes(settings, ledger))
    assert (first.person, first.key, first.whom, first.reason) == ("", fingerprint(line), ANN, "the first approver")
    assert (second.person, second.whom, second.roles, second.totp, second.reason) == (ANN, BOB, ("requester",), True, "")
    assert (first.after, second.after) == (second.before, registrar.people.digest())
    assert list(signed.problems(ledger)) == []
    assert is_as_recorded(settings, ledger, registrar.people) is True


def test_without_a_key_it_is_told_as_unsigned(settings: Settings, ledger: Ledger) -> None:
    Registrar(settings, ledger, "").add(ANN, key=None, roles=APPROVER)
    (change,) = changes(settings, ledger)
    assert (change.fact.person, change.fact.key, change.fact.signature) == ("", "", "")
    assert change.fact.user and list(signed.problems(ledger)) == []


@pytest.mark.parametrize("name", ["allowed_signers", "people.json"])
def test_an_edit_by_hand_is_noticed(settings: Settings, ledger: Ledger, name: str) -> None:
    """Nothing is added to it until somebody says that it is right; to take rights away is never stopped."""
    registrar = Registrar(settings, ledger, "")
    registrar.add(ANN, key=generate_key(settings.identity_key(), "x"), roles=APPROVER)
    file = settings.people_folder() / name
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(Tampered, match="not what its recorded changes"):
        require_as_recorded(settings, ledger, registrar.people)
    with pytest.raises(Tampered, match="not what its recorded changes"):
        registrar.add(BOB, key=None, roles=APPROVER)
    with pytest.raises(InputError, match="with a reason"):
        registrar.accept()
    Registrar(settings, ledger, "a comment of mine").accept()
    registrar.add(BOB, key=None, roles=APPROVER)
    file.write_bytes(file.read_bytes() + b"\n")
    registrar.revoke(BOB, None)  # which is never stopped, and makes no edit a change
    assert is_as_recorded(settings, ledger, registrar.people) is False
    Registrar(settings, ledger, "I looked").accept()
    assert is_as_recorded(settings, ledger, registrar.people) is True
    told = [each.fact.action for each in changes(settings, ledger)]
    assert told == ["add-person", "accept-registry", "add-person", "revoke-person", "accept-registry"]


def test_old_files_put_back_undo_no_revocation(settings: Settings, ledger: Ledger) -> None:
    registrar = Registrar(settings, ledger, "")
    registrar.add(ANN, key=generate_key(settings.identity_key(), "x"), roles=APPROVER)
    kept = {file: file.read_bytes() for file in settings.people_folder().iterdir() if file.is_file()}
    registrar.revoke(ANN, None)
    for file, content in kept.items():
        file.write_bytes(content)
    assert registrar.people.get(ANN) is not None
    assert is_as_recorded(settings, ledger, registrar.people) is False


def test_what_is_recorded_and_then_not_made_is_a_loud_no(settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event comes first: without a disk nobody is entered, and nothing goes by the registry until it is looked at."""
    registrar = Registrar(settings, ledger, "")
    registrar.add(ANN, key=generate_key(settings.identity_key(), "x"), roles=APPROVER)
    with monkeypatch.context() as broken:
        broken.setattr("prefect_gatehouse.identity.people.replace_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StorageError):
            registrar.add(BOB, key=None, roles=APPROVER)
    assert registrar.people.get(BOB) is None and len(changes(settings, ledger)) == 2
    assert is_as_recorded(settings, ledger, registrar.people) is False


def test_what_is_refused_is_no_event(settings: Settings, ledger: Ledger) -> None:
    registrar = Registrar(settings, ledger, "")
    with pytest.raises(InputError):
        registrar.add("a b", key=None, roles=APPROVER)
    with pytest.raises(InputError):
        registrar.revoke(ANN, None)
    with pytest.raises(InputError):
        Registrar(settings, ledger, "two\nlines")
    assert changes(settings, ledger) == []


def test_a_change_that_names_another_key_is_found(settings: Settings, ledger: Ledger) -> None:
    """By `gatehouse verify`, as every signed act; one that was signed can't pass for an unsigned one."""
    Registrar(settings, ledger, "").add(ANN, key=generate_key(settings.identity_key(), "x"), roles=APPROVER)
    (change,) = changes(settings, ledger)
    with ledger.transaction() as tx:
        tx.append(f"{PeopleChanged.kind}:forged", "ledger", change.fact.model_copy(update={"whom": BOB}))
        tx.append(f"{PeopleChanged.kind}:named", "ledger", change.fact.model_copy(update={"signature": "", "key": "", "person": ANN}))
    assert [problem.partition(": ")[2] for problem in signed.problems(ledger)] == [
        "the registry's change is not signed, or not what was signed",
        "the registry's change is not signed, or not what was signed",
    ]


def test_whoever_edited_the_registry_signs_nothing_that_lasts(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    """An approver of one's own, a budget, and the old files back: the budget is refused while the registry is not what it is said to be."""
    registrar = Registrar(settings, ledger, "")
    registrar.add(ANN, key=generate_key(settings.identity_key(), "x"), roles=APPROVER)
    mallory = settings.model_copy(update={"identity": tmp_path / "mallory"})
    registrar.people.add("mallory@example.org", key=generate_key(mallory.identity_key(), "x"), roles=APPROVER)
    with pytest.raises(Tampered):
        set_budget(mallory, ledger, tenant="clinic", month_usd="1000000", reason="x")


def test_a_change_that_is_being_made_is_waited_for(settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the event and the files a run would see another registry than the recorded one."""
    monkeypatch.setattr("prefect_gatehouse.run.registry.SETTLES", 20.0)
    registrar = Registrar(settings, ledger, "")
    registrar.add(ANN, key=generate_key(settings.identity_key(), "x"), roles=APPROVER)
    kept = {file: file.read_bytes() for file in settings.people_folder().iterdir() if file.is_file()}
    registrar.add(BOB, key=None, roles=APPROVER)
    new = {file: file.read_bytes() for file in kept}
    for file, content in kept.items():
        file.write_bytes(content)
    late = threading.Timer(0.3, lambda: [file.write_bytes(content) for file, content in new.items()])
    late.start()
    require_as_recorded(settings, ledger, registrar.people)
    late.join()


def test_registries_that_share_a_ledger(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    """Each has the changes of its own folder and environment."""
    Registrar(settings, ledger, "").add(ANN, key=generate_key(settings.identity_key(), "x"), roles=APPROVER)
    for other in ({"people": tmp_path / "other"}, {"environment": "staging", "people": tmp_path / "staging"}):
        theirs = settings.model_copy(update=other)
        registrar = Registrar(theirs, ledger, "")
        assert is_as_recorded(theirs, ledger, registrar.people) is None
        registrar.add(BOB, key=None, roles=APPROVER)
        assert is_as_recorded(theirs, ledger, registrar.people) is True
    assert is_as_recorded(settings, ledger, Registrar(settings, ledger, "").people) is True


def test_who_is_named_is_who_signed(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    """Another's .pub beside one's own key names nobody else."""
    registrar = Registrar(settings, ledger, "")
    registrar.add(ANN, key=generate_key(tmp_path / "ann", "x"), roles=APPROVER)
    generate_key(settings.identity_key(), "x")
    settings.identity_key().with_name("id_ed25519.pub").write_text((tmp_path / "ann.pub").read_text())
    registrar.add(BOB, key=None, roles=APPROVER)
    assert changes(settings, ledger)[-1].fact.person == ""
    assert list(signed.problems(ledger)) == []


def test_while_somebody_is_in_quarantine_a_change_has_a_known_author(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    """Nobody enters an alias of theirs; to revoke is always possible."""
    ann, bob = (settings.model_copy(update={"identity": tmp_path / name}) for name in ("ann", "bob"))
    for who, person in ((ann, ANN), (bob, BOB)):
        Registrar(settings, ledger, "").add(person, key=generate_key(who.identity_key(), "x"), roles=APPROVER)
    impose(ann, ledger, f"principal:{BOB}", "Incident 7")
    for who in (settings, bob):
        with pytest.raises(Denied):
            Registrar(who, ledger, "").add("alias@example.org", key=None, roles=APPROVER)
    Registrar(ann, ledger, "").add("new@example.org", key=None, roles=APPROVER)
    Registrar(settings, ledger, "").revoke(BOB, None)
    assert Registrar(settings, ledger, "").people.get("alias@example.org") is None


def test_a_key_that_is_named_and_not_there_changes_nothing(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    """Whoever names a key means to sign: the change is refused, and neither made nor recorded; so is one by a key that can't sign."""
    named = settings.model_copy(update={"identity": tmp_path / "absent"})
    with pytest.raises(InputError, match="the signing key that is named is not there") as caught:
        Registrar(named, ledger, "x").add(ANN, key=None, roles=APPROVER)
    assert caught.value.where == f"GATEHOUSE_IDENTITY={tmp_path / 'absent'}"
    settings.identity_key().parent.mkdir(parents=True)
    settings.identity_key().write_text("no key")
    with pytest.raises(InputError, match="no usable signing key"):
        Registrar(settings, ledger, "x").add(ANN, key=None, roles=APPROVER)
    assert changes(settings, ledger) == [] and not Registrar(settings, ledger, "").people.all()
