"""``gatehouse plan``: the gates up to the plan, over the real data, without a server and without a trace."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import sign_bundle
from tests.support.pipeline import REQUESTER, ROWS, Pipeline

from prefect_gatehouse.data.scratch import remove_dead, scratch_home
from prefect_gatehouse.errors import Denied, InputError, StorageError
from prefect_gatehouse.operate.dry_run import dry_run_plan
from prefect_gatehouse.providers.interface import Progress
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.planned import Preflight
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.run_keys import RunKey


def silent(_: str) -> Progress:
    return lambda done, total: None


@pytest.fixture
def strict(tmp_path: Path) -> Pipeline:
    """A pipeline of a tier that admits signed requests only and has the pre-flight left out; its blocks exist nowhere."""
    made = Pipeline(tmp_path / "p", None, "none", tier="integration", blocks=("secret/nowhere-key", "secret/nowhere-url"))
    tiers = tmp_path / "tiers.yaml"
    shipped = made.settings.tiers.read_text()
    tiers.write_text(shipped.replace("preflight: required", "preflight: never").replace("ion: required", "ion: optional"))
    made.settings = made.settings.model_copy(update={"tiers": tiers})
    sign_bundle(made.settings, made.ledger, version=2)
    return made


def test_it_is_the_plan_that_a_run_would_have(strict: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed by the caller, from another folder, all rows; nothing is written into the home, the ledger, the target or the folder."""
    settings = strict.settings.model_copy(update={"identity": strict.keys[REQUESTER]})
    before = {path: path.stat().st_mtime_ns for path in strict.folder.rglob("*") if path.is_file()}
    monkeypatch.chdir(strict.zone.parent)
    plan = dry_run_plan(settings, Path(os.path.relpath(strict.manifest)), silent)
    assert (plan.admitted.requester.person, plan.admitted.requester.method) == (REQUESTER, "ssh")
    assert plan.validated.minimised.artifact.rows == ROWS
    assert plan.body.circuits.count == 4
    assert plan.body.preflight == Preflight(looked=False, because="the tier integration never looks")
    assert plan.body.endpoint("target") == f"sqlite:///{strict.target}"
    assert {path: path.stat().st_mtime_ns for path in strict.folder.rglob("*") if path.is_file()} == before
    text = plan.model_dump_json()
    assert not any(canary in text for canary in strict.canaries)


def test_it_is_denied_as_a_run_would_be(strict: Pipeline) -> None:
    """Unsigned, in a tier that wants a signature; and without a key there is nothing to sign with."""
    with pytest.raises(Denied, match="unverified-requester"):
        dry_run_plan(strict.settings, strict.manifest, silent, signed=False)
    with pytest.raises(InputError, match="key"):
        dry_run_plan(strict.settings, strict.manifest, silent)


def killed(strict: Pipeline, folder: Path, moments: int) -> list[dict[str, Any]]:
    settings = strict.settings.model_copy(update={"identity": strict.keys[REQUESTER]})
    command = [sys.executable, "-m", "tests.operate.killed_dry_runs", settings.model_dump_json(), str(strict.manifest), str(folder), str(moments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def found_in(folder: Path, texts: list[str], keys: list[str]) -> set[str]:
    """Which texts, and which keys in whatever spelling, are in any byte below a folder, names of files included."""
    wanted = {text: [text.encode()] for text in texts}
    for key in keys:
        raw = bytes.fromhex(key)
        run_key = RunKey(raw)
        spellings = [raw, run_key.parquet_key(), run_key.codes_key()]
        wanted[key] = [form for each in spellings for form in (each, each.hex().encode(), base64.b64encode(each), base64.urlsafe_b64encode(each))]
    files = [path for path in folder.rglob("*") if path.is_file()]
    content = b"\n".join([*(path.read_bytes() for path in files), *(str(path).encode() for path in files)])
    return {name for name, forms in wanted.items() if any(form in content for form in forms)}


@pytest.mark.timeout(600)
def test_a_killed_one_leaves_nothing_that_can_be_read(strict: Pipeline, tmp_path: Path) -> None:
    """Killed at many moments: neither a key nor a value is in any byte of what is left, and the next dry run removes all of it.

    The same search finds the key, where it is kept on the disk as a run's is.
    """
    folder = tmp_path / "tmp"
    folder.mkdir()
    whole, *struck, again, on_disk = killed(strict, folder, 8)
    assert whole["steps"] > 12  # files; lineage is made from the ledger and opens none
    assert [(each["killed"], each["left"]) for each in struck] == [(True, 1)] * 8  # its own; what the one before left is gone
    assert [(each["killed"], each["left"]) for each in (whole, again)] == [(False, 0)] * 2
    for each in struck:
        assert found_in(Path(each["copy"]), strict.canaries, each["keys"]) == set()
    assert any(each["keys"] and [*Path(each["copy"]).rglob("minimised.parquet")] for each in struck)
    assert (on_disk["where"], on_disk["killed"]) == ("disk", True)
    assert found_in(Path(on_disk["copy"]), strict.canaries, on_disk["keys"])


def test_it_goes_by_the_installation_s_rules(strict: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registry, bundle, tickets and what is signed about the image are the home's, though the dry run has another."""
    asked: list[Settings] = []

    def planned(attempt: Attempt, *_: object) -> None:
        asked.append(attempt.settings)
        raise Denied("far enough", where="", advice="")

    monkeypatch.setattr("prefect_gatehouse.operate.dry_run.up_to_the_plan", planned)
    with pytest.raises(Denied, match="far enough"):
        dry_run_plan(strict.settings, strict.manifest, silent, signed=False)
    (dry,), own = asked, strict.settings
    assert dry.home != own.home
    for name in ("people_folder", "bundle_file", "tickets_file", "image_folder"):
        assert getattr(dry, name)() == getattr(own, name)()


def test_a_folder_that_can_t_be_locked_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no locks, or no file can be opened any more: one clear error, and no folder after the other."""

    def no_lock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("prefect_gatehouse.data.scratch.fcntl.flock", no_lock)
    with pytest.raises(StorageError, match="no locks available"), scratch_home():
        pass
    assert list(tmp_path.glob("gatehouse-plan-*")) == []


def test_who_lives_in_a_folder_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run beside another leaves its folder alone, removes a dead one's, and touches neither links nor what is not its kind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outside = tmp_path / "outside"
    for name in ("gatehouse-plan-dead", "other", "outside"):
        (tmp_path / name / "run-keys").mkdir(parents=True)
        (tmp_path / name / "run-keys" / "r.key").write_bytes(b"k" * 32)
    (tmp_path / "gatehouse-plan-link").symlink_to(outside)
    (tmp_path / "gatehouse-plan-file").write_text("mine")
    with scratch_home() as first:
        assert not (tmp_path / "gatehouse-plan-dead").exists()
        (first / "file").write_text("x")
        with scratch_home() as second:
            assert first != second
            assert remove_dead() == 0
            assert stat.S_IMODE(second.stat().st_mode) == 0o700
        assert (first / "file").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gatehouse-plan-file", "gatehouse-plan-link", "other", "outside"]
    assert (outside / "run-keys" / "r.key").exists()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no temporary folder"), scratch_home():
        pass
