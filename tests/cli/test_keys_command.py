"""`gatehouse keys`: a root key is made, listed and rotated, and no command, error or record shows one."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from prefect.blocks.system import Secret

from prefect_gatehouse.blocks.reader import read_secret
from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.cli.main import main
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.settings import load_settings
from prefect_gatehouse.tokens import siv
from prefect_gatehouse.tokens.keys import RootKey

SECRET = bytes(range(7, 39))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def keys(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["keys", *map(str, words)], prog_name="gatehouse")


@pytest.fixture
def block(stack: Any) -> str:
    """A Prefect Secret block that holds one key as text, as before there were versions."""
    name = f"root-{uuid4().hex[:8]}"
    Secret(value=SECRET.hex()).save(name)
    return f"secret/{name}"


@pytest.fixture
def person(home: Path) -> str:
    """Somebody with a signing key who is in the registry."""
    path = load_settings().identity_key()
    path.parent.mkdir(parents=True, mode=0o700)
    mark = fingerprint(generate_key(path, "ada@example.org"))
    added = CliRunner().invoke(main, ["people", "add", "ada@example.org", "--role", "requester", "--key", f"{path}.pub"])
    assert added.exit_code == 0
    return mark


def secrets_in(root: RootKey) -> list[str]:
    """The texts that no output may hold."""
    return list(json.loads(root.stored())["keys"].values())


def test_new_key_goes_to_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    """The file is 0600 and holds a key; the output does not; a file that is there is never written over."""
    out = tmp_path / "key"
    made = keys("new", "--out", out)
    assert made.exit_code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    root = RootKey.parse(out.read_text())
    assert not any(secret in made.output for secret in secrets_in(root))
    again = keys("new", "--out", out, "--json")
    assert (again.exit_code, json.loads(again.output)["error"]) == (2, "input")
    assert RootKey.parse(out.read_text()).derive("t", "d", "cmac") == root.derive("t", "d", "cmac")
    assert keys("new", "--out", tmp_path / "no" / "folder").exit_code == 2
    assert keys("new").exit_code == 2


def test_rotation_keeps_old_tokens_readable_and_is_recorded(block: str, person: str) -> None:
    """After two rotations tokens of all three versions open, new ones are of the newest, and the ledger says who signed what."""
    mine = {"tenant": "t", "join_domain": "d"}
    old = siv.tokenise(pa.array(["a"]), RootKey.parse(read_secret(block).reveal()), **mine)
    outputs = [keys("rotate", block, "--yes"), keys("rotate", block, "--yes", "--json"), keys("list", block), keys("list", block, "--json")]
    assert [each.exit_code for each in outputs] == [0, 0, 0, 0], outputs
    assert "No run in this ledger has used this key" in outputs[0].output
    root = RootKey.parse(read_secret(block).reveal())
    assert (root.current, root.versions) == (3, (1, 2, 3))
    assert json.loads(outputs[3].output)["versions"] == [1, 2, 3]
    new = siv.tokenise(pa.array(["b"]), root, **mine)
    assert new[0].as_py().startswith("s3_")
    assert siv.detokenise(pa.concat_arrays([old, new]), root, **mine).to_pylist() == ["a", "b"]

    ledger = Ledger(load_settings().ledger())
    try:
        events = [event for event in ledger.events("ledger") if event.kind.startswith("keys-")]
    finally:
        ledger.close()
    assert [(event.kind, event.data["from"], event.data["to"]) for event in events] == [
        ("keys-rotation-decided", 1, 2),
        ("keys-rotated", 1, 2),
        ("keys-rotation-decided", 2, 3),
        ("keys-rotated", 2, 3),
    ]
    assert {(event.data["person"], event.data["key"], event.data["block"]) for event in events} == {("ada@example.org", person, block)}
    signed = {name: events[3].data[name] for name in ("action", "block", "from", "to", "environment", "rotation")}
    assert sshsig.verify(str(events[3].data["signature"]), canonical(signed)).fingerprint == person
    everything = "".join(each.output for each in outputs) + "".join(json.dumps(dict(event.data)) for event in events)
    assert not any(secret in everything for secret in [*secrets_in(root), SECRET.hex()])


def test_without_a_signing_key_nothing_happens(block: str) -> None:
    """Nobody rotates a key unsigned: the secret and the ledger stay as they are."""
    told = keys("rotate", block, "--yes", "--json")
    assert (told.exit_code, json.loads(told.output)["error"]) == (2, "input")
    assert read_secret(block).reveal() == SECRET.hex()


def test_a_no_at_the_question_changes_nothing(block: str, person: str) -> None:
    """Asked, and answered with no."""
    told = CliRunner().invoke(main, ["keys", "rotate", block], input="n\n", prog_name="gatehouse")
    assert told.exit_code == 1
    assert read_secret(block).reveal() == SECRET.hex()


def test_a_block_that_holds_no_key(stack: Any, person: str) -> None:
    """A password in the block is refused and not shown, whichever command reads it."""
    name = f"root-{uuid4().hex[:8]}"
    Secret(value="CANARY-password").save(name)
    for told in (keys("list", f"secret/{name}", "--json"), keys("rotate", f"secret/{name}", "--yes", "--json")):
        assert (told.exit_code, json.loads(told.output)["error"]) == (2, "input")
        assert "CANARY" not in told.output
