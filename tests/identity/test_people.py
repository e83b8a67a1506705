"""The registry of people: an ``allowed_signers`` file that ssh-keygen accepts, one key a person, and a no where it is damaged."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.services import unavailable
from tests.support.plans import tier_rules

from prefect_gatehouse.errors import GatehouseError, InputError, StorageError, Tampered
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import ROLES
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.identity.sshsig import NAMESPACE, sign
from prefect_gatehouse.manifest.fields import DataClass

ANN, BOB = "ann@example.org", "bob@example.org"
APPROVER = frozenset({"approver"})


@pytest.fixture
def people(tmp_path: Path) -> People:
    """An empty registry."""
    return People(tmp_path / "people")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Public lines of four keys, with comments."""
    folder = tmp_path_factory.mktemp("keys")
    return [generate_key(folder / str(number), f"comment {number}") for number in range(4)]


def test_empty_registry(people: People, tmp_path: Path) -> None:
    """Nobody is there, nothing is made by asking."""
    assert people.all() == ()
    assert people.get(ANN) is None
    assert people.owner_of("SHA256:x") is None
    assert people.totp_secret(ANN) is None
    assert not (tmp_path / "people").exists()


def test_add_and_list(people: People, lines: list[str], tmp_path: Path) -> None:
    """Keys and roles pile up, identifiers are one whatever their case, another process sees the same; files are the owner's only."""
    people.add(BOB, key=lines[0], roles=APPROVER)
    people.add(" Bob@Example.ORG ", key=lines[1], roles=frozenset({"auditor"}))
    people.add(BOB, key=lines[1], roles=APPROVER)
    people.add(ANN, roles=frozenset({"requester"}))
    ann, bob = People(tmp_path / "people").all()
    assert (ann.person, ann.roles, ann.keys) == (ANN, frozenset({"requester"}), ())
    assert (bob.person, bob.roles) == (BOB, frozenset({"approver", "auditor"}))
    assert [key.fingerprint for key in bob.keys] == [fingerprint(line) for line in lines[:2]]
    assert people.get("BOB@example.org") == bob
    assert people.owner_of(fingerprint(lines[1])) == bob
    assert people.owner_of(fingerprint(lines[2])) is None
    for name in ("people.json", "allowed_signers"):
        assert stat.S_IMODE((tmp_path / "people" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "people").stat().st_mode) == 0o700


def test_one_time_codes(people: People, tmp_path: Path) -> None:
    """The secret is made and shown once, kept with 0600, and gone with the person."""
    secret = people.add(ANN, roles=APPROVER, totp=True)
    assert secret is not None
    assert people.add(ANN, roles=APPROVER, totp=True) is None
    assert people.totp_secret("ANN@example.org") == secret
    path = tmp_path / "people" / "totp" / ANN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in (tmp_path / "people" / "people.json").read_text()
    people.revoke(ANN)
    assert not path.exists()
    assert people.totp_secret(ANN) is None


def test_ssh_keygen_reads_the_registry(people: People, tmp_path: Path) -> None:
    """The file is OpenSSH's own format: an auditor checks a signature with ssh-keygen alone, for this namespace only."""
    if shutil.which("ssh-keygen") is None:
        unavailable("no ssh-keygen")
    people.add("a+b_c.d@example.org", key=generate_key(tmp_path / "id", "x"), roles=APPROVER)
    people.add(BOB, key=generate_key(tmp_path / "other", "x"), roles=APPROVER)
    allowed = str(tmp_path / "people" / "allowed_signers")
    (tmp_path / "sig").write_text(sign(tmp_path / "id", b"message"))

    def verified(person: str, namespace: str = NAMESPACE) -> bool:
        words = ["ssh-keygen", "-Y", "verify", "-f", allowed, "-I", person, "-n", namespace, "-s", str(tmp_path / "sig")]
        return subprocess.run(words, input=b"message", capture_output=True, check=False).returncode == 0

    assert verified("a+b_c.d@example.org")
    assert not verified(BOB)
    found = subprocess.run(
        ["ssh-keygen", "-Y", "find-principals", "-f", allowed, "-s", str(tmp_path / "sig")], capture_output=True, text=True, check=False
    )
    assert found.stdout.strip() == "a+b_c.d@example.org"
    (tmp_path / "sig").write_text(sign(tmp_path / "id", b"message", namespace="file"))
    assert not verified("a+b_c.d@example.org", "file")
    people.revoke("a+b_c.d@example.org")
    (tmp_path / "sig").write_text(sign(tmp_path / "id", b"message"))
    assert not verified("a+b_c.d@example.org")


def test_one_key_for_two_persons(people: People, lines: list[str]) -> None:
    """A key that is somebody's is refused for anybody else, also with another comment; both stay as they were."""
    people.add(ANN, key=lines[0], roles=APPROVER)
    before = people.all()
    for line in (lines[0], lines[0].rpartition(" ")[0] + " other", " ".join(lines[0].split()[:2])):
        with pytest.raises(InputError, match="another person's"):
            people.add(BOB, key=line, roles=APPROVER)
    assert people.all() == before


def test_revoking_a_key_and_a_person(people: People, lines: list[str]) -> None:
    """A revoked key is nobody's, the others stay; a revoked person has nothing left, and can be added anew."""
    for line in lines[:3]:
        people.add(ANN, key=line, roles=APPROVER)
    people.add(BOB, key=lines[3], roles=APPROVER)
    people.revoke(ANN, fingerprint(lines[1]))
    assert people.owner_of(fingerprint(lines[1])) is None
    ann = people.get(ANN)
    assert ann is not None and [key.fingerprint for key in ann.keys] == [fingerprint(lines[0]), fingerprint(lines[2])]
    people.revoke("ANN@EXAMPLE.ORG")
    assert [person.person for person in people.all()] == [BOB]
    assert people.owner_of(fingerprint(lines[0])) is None
    people.add(BOB, key=lines[0], roles=APPROVER)
    people.add(ANN, roles=frozenset())
    again = people.get(ANN)
    assert again is not None and (again.roles, again.keys, again.totp) == (frozenset(), (), False)


def test_revoking_what_is_not_there(people: People, lines: list[str]) -> None:
    """Another's key, an unknown key and an unknown person are errors, not silence."""
    people.add(ANN, key=lines[0], roles=APPROVER)
    people.add(BOB, key=lines[1], roles=APPROVER)
    for person, print_ in (("nobody", None), (ANN, fingerprint(lines[1])), (ANN, "SHA256:x"), (ANN, "")):
        with pytest.raises(InputError, match="no such person or key"):
            people.revoke(person, print_)
    assert len(people.all()) == 2


def test_revoking_a_key_that_was_written_by_hand(people: People, lines: list[str], tmp_path: Path) -> None:
    """A comment or more blanks in a line of ``allowed_signers`` keep no key alive, nor do two lines of one key."""
    people.add(ANN, key=lines[0], roles=APPROVER)
    path = tmp_path / "people" / "allowed_signers"
    kind, blob = lines[0].split()[:2]
    path.write_text(f'# by hand\n\n{ANN} namespaces="{NAMESPACE}" {kind}   {blob} laptop of Ann\n{ANN} namespaces="{NAMESPACE}" {kind} {blob}\n')
    owner = people.owner_of(fingerprint(lines[0]))
    assert owner is not None and owner.person == ANN
    people.revoke(ANN, fingerprint(lines[0]))
    assert people.owner_of(fingerprint(lines[0])) is None
    path.write_text(f'{ANN} namespaces="{NAMESPACE}" {kind} {blob} laptop of Ann\n')
    people.revoke(ANN)
    assert people.all() == ()
    assert people.owner_of(fingerprint(lines[0])) is None


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a\nb", "a,b", "*", "a*", "!a", "../x", "a/b", ".", "@", "a" * 200, 'a"b', "-a", "unverified", "UNVERIFIED", "ä"]
)
def test_identifiers_that_could_mean_something_else(people: People, name: str, tmp_path: Path) -> None:
    """Patterns of ``allowed_signers``, paths, the word for nobody: refused before anything is written."""
    with pytest.raises(InputError):
        people.add(name, roles=APPROVER, totp=True)
    assert not list(tmp_path.rglob("*"))


def test_unknown_role_and_foreign_key(people: People) -> None:
    """A role that does not exist and a line that is no key are refused, and no half of a person is left."""
    with pytest.raises(InputError, match="role"):
        people.add(ANN, roles=frozenset({"admin"}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="public key"):
        people.add(ANN, key="no key", roles=APPROVER)
    assert people.all() == ()


DAMAGE = {
    "key_of_somebody_unknown": lambda key: {"allowed_signers": f'mallory namespaces="gatehouse" {key}\n'},
    "key_without_namespace": lambda key: {"allowed_signers": f"{ANN} {key}\n"},
    "key_for_another_namespace": lambda key: {"allowed_signers": f'{ANN} namespaces="git" {key}\n'},
    "key_for_every_principal": lambda key: {"allowed_signers": f'* namespaces="gatehouse" {key}\n'},
    "authority_with_a_person_s_key": lambda key: {
        "allowed_signers": f'{ANN} namespaces="gatehouse" {key}\n{ANN} cert-authority,namespaces="gatehouse" {key}\n'
    },
    "authority_without_namespace": lambda key: {"allowed_signers": f"* cert-authority {key}\n"},
    "key_of_two_persons": lambda key: {
        "allowed_signers": f'{ANN} namespaces="gatehouse" {key}\n{BOB} namespaces="gatehouse" {key}\n',
        "people.json": json.dumps({"people": {ANN: {"roles": ["requester"]}, BOB: {"roles": ["approver"]}}}),
    },
    "line_cut_off": lambda key: {"allowed_signers": f'{ANN} namespaces="gatehouse" {key[:40]}\n'},
    "no_text": lambda key: {"allowed_signers": "\udcff"},
    "roles_no_json": lambda key: {"people.json": "{"},
    "roles_a_list": lambda key: {"people.json": "[]"},
    "role_unknown": lambda key: {"people.json": json.dumps({"people": {ANN: {"roles": ["root"]}}})},
    "field_unknown": lambda key: {"people.json": json.dumps({"people": {}, "admins": [ANN]})},
    "roles_no_text": lambda key: {"people.json": "\udcff"},
    "roles_empty": lambda key: {"people.json": ""},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_registry_is_a_loud_no(people: People, lines: list[str], tmp_path: Path, damage: str) -> None:
    """Whatever is not understood stops every question and every change; nobody is guessed at and no line is skipped."""
    people.add(ANN, key=lines[0], roles=APPROVER)
    people.add(BOB, roles=APPROVER)
    for name, text in DAMAGE[damage](" ".join(lines[1].split()[:2])).items():
        (tmp_path / "people" / name).write_bytes(text.encode(errors="surrogateescape"))
    for act in (
        people.all,
        lambda: people.get(ANN),
        lambda: people.owner_of(fingerprint(lines[1])),
        lambda: people.add(ANN, key=lines[2], roles=APPROVER),
        lambda: people.revoke(ANN),
    ):
        with pytest.raises(Tampered):
            act()


def test_damaged_secret_of_one_time_codes(people: People, tmp_path: Path) -> None:
    """A secret that is gone or no text is no secret."""
    people.add(ANN, roles=APPROVER, totp=True)
    path = tmp_path / "people" / "totp" / ANN
    path.write_bytes(b"\xff\xfe")
    assert people.totp_secret(ANN) is None
    path.unlink()
    assert people.totp_secret(ANN) is None


def test_unwritable_registry(tmp_path: Path, lines: list[str]) -> None:
    """A folder that can't be made is a StorageError for changes and a no for questions."""
    (tmp_path / "file").write_text("")
    people = People(tmp_path / "file" / "people")
    with pytest.raises(StorageError):
        people.add(ANN, key=lines[0], roles=APPROVER)
    with pytest.raises(GatehouseError):
        people.all()


def test_many_at_once(people: People, tmp_path: Path) -> None:
    """Twelve additions at the same time are all there afterwards, and no temporary file stays."""
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: people.add(f"p{number}", key=generate_key(tmp_path / str(number), ""), roles=APPROVER), range(12)))
    assert len(people.all()) == 12
    assert all(len(person.keys) == 1 for person in people.all())
    assert not list((tmp_path / "people").glob(".*.*"))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=130))
def test_any_identifier_is_taken_whole_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Whatever is accepted is found again under exactly one line and one entry."""
    folder = tmp_path_factory.mktemp("people")
    people = People(folder)
    try:
        people.add(name, roles=frozenset(ROLES))
    except InputError:
        assert people.all() == ()
    else:
        assert [person.person for person in people.all()] == [name.strip().casefold()]
        assert people.get(name) is not None


def test_the_clearance_of_a_requester(tmp_path: Path) -> None:
    """As the registry says now: public for who was never cleared or is gone, the tier's word for who did not sign."""
    people = People(tmp_path / "people")
    ann, nobody = Requester(person=ANN, method="ssh"), Requester(person="unverified", method="unverified")
    tier = tier_rules(unverified_class=DataClass.INTERNAL)
    assert people.clearance(ann, tier.unverified_class) is DataClass.PUBLIC
    people.add(ANN, roles=frozenset({"requester"}))
    assert people.clearance(ann, tier.unverified_class) is DataClass.PUBLIC
    for clearance in (DataClass.RESTRICTED, DataClass.CONFIDENTIAL):
        people.add(ANN, roles=frozenset(), clearance=clearance)
        people.add(ANN, roles=frozenset({"auditor"}))
        assert people.clearance(ann, tier.unverified_class) is clearance
    people.revoke(ANN)
    assert people.clearance(ann, tier.unverified_class) is DataClass.PUBLIC
    assert people.clearance(nobody, tier.unverified_class) is DataClass.INTERNAL
    assert people.clearance(nobody, tier_rules().unverified_class) is DataClass.PUBLIC


def test_a_registry_without_clearances(tmp_path: Path) -> None:
    """A file that an earlier version wrote clears nobody; one with a class that does not exist is refused."""
    people = People(tmp_path / "people")
    people.add(ANN, roles=frozenset({"requester"}))
    file = tmp_path / "people" / "people.json"
    file.write_text(json.dumps({"people": {ANN: {"roles": ["requester"], "totp": False}}}))
    assert people.all()[0].clearance is DataClass.PUBLIC
    file.write_text(json.dumps({"people": {ANN: {"roles": ["requester"], "clearance": "everything"}}}))
    with pytest.raises(Tampered):
        people.all()
