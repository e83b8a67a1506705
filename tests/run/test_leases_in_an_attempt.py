"""Leases: one purpose, minutes, nowhere to be seen, revoked on every way out."""

from __future__ import annotations

import contextlib
import copy
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefect_gatehouse.errors import Denied, Superseded
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.secrets.lease import LEASE_TIME, CredentialLease, SecretText
from tests.run.desk import Desk


class Store:
    """A secret store that remembers what was revoked."""

    def __init__(self) -> None:
        self.revoked = 0

    def revoke(self) -> None:
        self.revoked += 1

    def lease(self, purpose: Purpose = Purpose.SUBMIT) -> CredentialLease:
        secret = SecretText("CANARY-secret", version="7", revoke=self.revoke)
        return CredentialLease(purpose, "vault/key", secret, environment="local", tenant="t")


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_lease_is_for_one_purpose(purpose: Purpose) -> None:
    """The secret is given for the purpose it was fetched for and for no other."""
    lease = Store().lease(purpose)
    assert lease.reveal(purpose) == "CANARY-secret"
    for other in set(Purpose) - {purpose}:
        with pytest.raises(Denied, match=f"a lease for {purpose} was asked for {other}"):
            lease.reveal(other)


def test_a_lease_ends() -> None:
    """After its quarter of an hour, to the second, the secret is not given any more."""
    lease = Store().lease()
    left = lease.record.expires_at - datetime.now(UTC)
    assert LEASE_TIME - timedelta(minutes=1) < left <= LEASE_TIME == timedelta(minutes=15)
    lease.record = lease.record.model_copy(update={"expires_at": datetime.now(UTC) + timedelta(minutes=1)})
    assert lease.reveal(Purpose.SUBMIT)
    lease.record = lease.record.model_copy(update={"expires_at": datetime.now(UTC)})
    with pytest.raises(Denied, match="has ended"):
        lease.reveal(Purpose.SUBMIT)


def test_leaving_revokes_once_on_every_way_out() -> None:
    """The end of the block, an error in it and an interrupt revoke at the store, once, and the text is forgotten."""
    for stop in (None, ValueError("CANARY"), KeyboardInterrupt(), Superseded("x")):
        store = Store()
        lease = store.lease()
        with contextlib.suppress(BaseException), lease as entered:
            assert entered is lease and store.revoked == 0
            if stop is not None:
                raise stop
        lease.revoke()
        assert (store.revoked, lease.revoked) == (1, True)
        with pytest.raises(Denied, match="has ended"):
            lease.reveal(Purpose.SUBMIT)


def test_a_revoked_secret_is_empty() -> None:
    """Who kept the secret beside its lease holds nothing after the revocation."""
    store = Store()
    secret = SecretText("CANARY-secret", revoke=store.revoke)
    lease = CredentialLease(Purpose.SUBMIT, "vault/key", secret, environment="local", tenant="t")
    lease.revoke()
    secret.revoke()
    assert (secret.reveal(), store.revoked) == ("", 1)


def test_a_lease_without_a_secret() -> None:
    """A purpose that needs none has a lease that is recorded, gives nothing and can be revoked."""
    with CredentialLease(Purpose.SUBMIT, None, None, environment="local", tenant="t") as lease:
        assert (lease.record.block, lease.record.version) == (None, "")
        with pytest.raises(Denied, match="has no secret"):
            lease.reveal(Purpose.SUBMIT)


def test_a_lease_shows_itself_nowhere() -> None:
    """Not in repr, str, format, its record, its fields or an error; not pickled, not copied."""
    lease = Store().lease()
    with pytest.raises(Denied) as caught:
        lease.reveal(Purpose.TOKENISE)
    shown = (repr(lease), str(lease), f"{lease!s:>80}", lease.record.model_dump_json(), repr(vars(lease)), repr(caught.value), str(caught.value))
    assert not any("CANARY" in text for text in shown)
    secret = SecretText("CANARY-secret")
    assert repr(secret) == str(secret) == "SecretText(**********)"
    for thing in (lease, secret, [lease], {"a": secret}):
        for spread in (pickle.dumps, copy.copy, copy.deepcopy):
            if spread is copy.copy and isinstance(thing, list | dict):
                continue
            with pytest.raises(TypeError, match="never pickled"):
                spread(thing)


def test_a_record_tells_which_secret_but_not_what() -> None:
    """Purpose, block, version, environment and tenant are told, and every lease has an identifier of its own."""
    leases = [Store().lease() for _ in range(50)]
    record = leases[0].record
    assert (record.purpose, record.block, record.version, record.environment, record.tenant) == (Purpose.SUBMIT, "vault/key", "7", "local", "t")
    assert len({lease.record.lease_id for lease in leases}) == 50


def test_an_attempt_releases_all_it_holds(tmp_path: Path) -> None:
    """Leaving the process revokes every lease that was fetched in it, once, also those that were left early."""
    desk = Desk(tmp_path / "home")
    store = Store()
    desk.attempt.leases += [store.lease(purpose) for purpose in Purpose]
    with desk.attempt.leases[1]:
        pass
    desk.attempt.release()
    desk.attempt.release()
    assert (store.revoked, desk.attempt.leases) == (len(Purpose), [])
    desk.ledger.close()


def test_one_store_s_error_keeps_no_other_lease_alive(desk: Desk) -> None:
    """Every lease is revoked though one store fails; that one is in the ledger, and the next release tries it again."""
    calls: list[str] = []

    def fails_once() -> None:
        calls.append("failing")
        if calls.count("failing") == 1:
            raise RuntimeError("store is away")

    for name, revoke in (("good", lambda: calls.append("good")), ("failing", fails_once), ("last", lambda: calls.append("last"))):
        text = SecretText("secret", revoke=revoke)  # type: ignore[arg-type]
        desk.attempt.leases.append(CredentialLease(Purpose.WRITE_BACK, f"secret/{name}", text, environment="local", tenant="t"))
    leases = list(desk.attempt.leases)
    assert [record.block for record in desk.attempt.release()] == ["secret/failing"]
    assert calls == ["good", "failing", "last"]
    (event,) = desk.events("lease-not-revoked")
    assert event.data["block"] == "secret/failing"
    for lease in leases:
        with pytest.raises(Denied):
            lease.reveal(Purpose.WRITE_BACK)
    assert desk.attempt.release() == []
    assert calls == ["good", "failing", "last", "failing"]
