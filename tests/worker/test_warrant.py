"""A worker's proof of itself: good for one run of one installation, for minutes, and nobody without the key makes one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.warrant import SignedWarrant, check_warrant, obtain_worker_key, sign_warrant


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "worker" / "id_ed25519"
    obtain_worker_key(path)
    return path


def check(signed: SignedWarrant, key: Path, **changed: object) -> str:
    told = {"run_id": "run-1", "environment": "local", "now": datetime.now(UTC), **changed}
    return check_warrant(signed, key, **told)  # type: ignore[arg-type]


def test_the_installations_own_worker_is_known(key: Path) -> None:
    line = obtain_worker_key(key)  # the key is made once
    assert check(sign_warrant(key, "run-1", "local"), key).startswith("SHA256:")
    assert obtain_worker_key(key) == line
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"run_id": "run-2"}, "another run"),
        ({"environment": "production"}, "another run"),
        ({"now": datetime.now(UTC) + timedelta(hours=1)}, "expired"),
    ],
)
def test_it_is_good_for_one_run_now(key: Path, changed: dict[str, object], why: str) -> None:
    with pytest.raises(Denied, match=why):
        check(sign_warrant(key, "run-1", "local"), key, **changed)


def test_another_key_is_nobodys(key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    generate_key(other, "somebody")
    with pytest.raises(Denied, match="another key"):
        check(sign_warrant(other, "run-1", "local"), key)


def test_a_changed_warrant_is_refused(key: Path) -> None:
    signed = sign_warrant(key, "run-2", "local")
    forged = signed.model_copy(update={"warrant": signed.warrant.model_copy(update={"run_id": "run-1"})})
    with pytest.raises(Denied, match="not a valid signature"):
        check(forged, key)


def test_a_persons_signature_is_no_workers(key: Path) -> None:
    """Somebody who signs requests with the same key signs in another namespace."""
    from prefect_gatehouse.identity.sshsig import sign

    signed = sign_warrant(key, "run-1", "local")
    forged = signed.model_copy(update={"signature": sign(key, signed.warrant.message())})
    with pytest.raises(Denied):
        check(forged, key)
