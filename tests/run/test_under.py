"""What a process ran under: in its first event, with nothing secret in it, whatever is missing."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
from pathlib import Path

import pytest

from prefect_gatehouse.canonical import sha256_file
from prefect_gatehouse.evidence.questions import StartedAttempt, attempts_of
from prefect_gatehouse.ledger.events import AttemptStarted, PackagesInstalled
from prefect_gatehouse.policy.cedar import load_policy, policies_digest
from prefect_gatehouse.run import packages
from prefect_gatehouse.run.under import ran_under
from prefect_gatehouse.settings import Settings
from tests.run.desk import RUN, Desk


def attempts(desk: Desk) -> list[StartedAttempt]:
    return attempts_of(desk.ledger, RUN)


def told(desk: Desk) -> list[AttemptStarted]:
    """The events as they are written."""
    return [event.fact for event in desk.ledger.facts(AttemptStarted, run_id=RUN)]


def test_the_first_event_of_an_attempt_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths and digests of what decides, host and user from the system, versions of everything installed; the second attempt repeats nothing."""
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    desk = Desk(tmp_path / "home")
    with contextlib.closing(desk.ledger):
        desk.next_attempt()
        begun, again = attempts(desk)
        assert [(each.under is None, each.as_attempt) for each in told(desk)] == [(False, None), (True, 1)]
        assert len(desk.ledger.facts(PackagesInstalled)) == 1
    first = begun.under
    assert first is not None and (again.under, again.versions) == (first, begun.versions)
    settings = desk.settings
    assert (first.host, first.user) == (socket.gethostname(), pwd.getpwuid(os.getuid()).pw_name)
    assert (first.policies.path, first.policies.sha256) == (str(settings.policies), load_policy(settings.policies).digest)
    assert (first.tiers.sha256, first.classes.sha256) == (sha256_file(settings.tiers), sha256_file(settings.classes))
    assert (first.people.path, first.people.sha256) == (str(settings.people_folder()), "")  # there is none yet
    assert first.settings["home"] == str(settings.home)
    assert any(each.startswith("qiskit==") for each in begun.versions)


def test_other_packages_are_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that another installation makes tells its versions."""
    desk = Desk(tmp_path / "home")
    site = tmp_path / "site"
    (site / "other-2.0.dist-info").mkdir(parents=True)
    monkeypatch.setattr(packages, "site_folders", lambda: (site,))
    with contextlib.closing(desk.ledger):
        desk.next_attempt()
        before, after = attempts(desk)
    assert after.versions == ("other==2.0",)
    assert before.versions not in ((), after.versions)


def test_no_password_is_told(tmp_path: Path) -> None:
    """An address of the ledger that lets somebody in is told without that."""
    settings = Settings(home=tmp_path, ledger_url="postgresql://ann:CANARY@db.example/ledger?password=CANARY", dask_address="tls://eve:CANARY@x:1")
    told = ran_under(settings)
    assert "CANARY" not in told.model_dump_json()
    assert told.settings["ledger_url"] == "postgresql://db.example/ledger"


def test_what_is_missing_has_no_digest(tmp_path: Path) -> None:
    """An attempt starts all the same, to clean up for example."""
    missing = tmp_path / "missing"
    told = ran_under(Settings(home=tmp_path, tiers=missing, classes=missing, people=missing))
    assert (told.tiers.sha256, told.classes.sha256, told.people.sha256) == ("", "", "")


def test_the_digest_of_policies_is_the_policy_s(tmp_path: Path) -> None:
    """Also without the engine that reads them."""
    assert policies_digest(Settings().policies) == load_policy(Settings().policies).digest
