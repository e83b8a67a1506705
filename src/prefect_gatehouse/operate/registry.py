"""Changing the registry of people: each change is in the ledger, signed where whoever makes it has a key, before it takes effect."""

from __future__ import annotations

import os
import pwd
import socket
import uuid
from collections.abc import Mapping
from datetime import datetime

from prefect_gatehouse.canonical import Json, canonical
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, public_line
from prefect_gatehouse.identity.people import People, Told, identifier
from prefect_gatehouse.ledger.events import PeopleChanged
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import LEDGER, Event, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.run.registry import require_as_recorded
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.vocabulary import Role


class Registrar:
    """Somebody who changes the registry.

    Args:
        settings: The installation; its identity, where there is one, is the caller's.
        ledger: The open ledger.
        reason: Why, in one line; may be empty.

    Raises:
        InputError: The reason is no line.
    """

    def __init__(self, settings: Settings, ledger: Ledger, reason: str) -> None:
        self._settings, self._ledger = settings, ledger
        self._reason = line_of(reason, "--reason") if reason else ""
        self.people = People(settings.people_folder())

    def add(
        self,
        person: str,
        *,
        key: str | None,
        roles: frozenset[Role],
        totp: bool = False,
        clearance: DataClass | None = None,
        valid_after: datetime | None = None,
        valid_before: datetime | None = None,
    ) -> str | None:
        """As ``People.add``.

        Raises:
            InputError: As there.
            Tampered: The registry is not as its last recorded change left it.
        """
        require_as_recorded(self._ledger, self.people)
        told: dict[str, Json] = {
            "action": "add-person",
            "whom": identifier(person),
            "roles": sorted(roles),
            "clearance": str(clearance or ""),
            "fingerprint": fingerprint(key) if key is not None else "",
            "totp": totp,
            "valid_after": valid_after.isoformat() if valid_after else "",
            "valid_before": valid_before.isoformat() if valid_before else "",
        }
        return self.people.add(
            person,
            key=key,
            roles=roles,
            totp=totp,
            clearance=clearance,
            valid_after=valid_after,
            valid_before=valid_before,
            told=self._tell(told),
        )

    def revoke(self, person: str, key: str | None) -> None:
        """As ``People.revoke``; also where the registry was edited by hand, since nobody gains anything by it.

        Raises:
            InputError: As there.
        """
        told: dict[str, Json] = {"action": "revoke-person" if key is None else "revoke-key", "whom": identifier(person), "fingerprint": key or ""}
        self.people.revoke(person, key, told=self._tell(told))

    def accept(self) -> None:
        """Says that the registry is right as it is, though its files were changed in another way.

        Raises:
            InputError: There is no reason.
            Tampered: The registry is not understood.
        """
        if not self._reason:
            raise InputError("a registry is accepted with a reason", where="--reason", advice="say why in one line")
        self.people.all()
        digest = self.people.digest()
        self._tell({"action": "accept-registry"})(digest, digest)

    def _tell(self, told: Mapping[str, Json]) -> Told:
        def tell(before: str, after: str) -> None:
            statement: dict[str, Json] = {
                **told,
                "reason": self._reason,
                "host": socket.gethostname(),
                "user": _user(),
                "before": before,
                "after": after,
                "environment": self._settings.environment,
                "change": str(uuid.uuid4()),
            }
            fact = PeopleChanged.model_validate(statement)
            fact = fact.model_copy(update=self._signed(fact))
            with self._ledger.transaction() as tx:
                tx.append(f"{fact.kind}:{fact.change}", LEDGER, fact)
            seal_home(self._settings.folder(""), self._ledger)

        return tell

    def _signed(self, fact: PeopleChanged) -> dict[str, str]:
        """Person, key and signature; nothing where the caller has no key, as nobody has who enters the first."""
        try:
            mark = fingerprint(public_line(self._settings.identity_key()))
            signature = sshsig.sign(self._settings.identity_key(), canonical(fact.statement))
        except InputError:
            return {}
        owner = self.people.owner_of(mark)
        return {"person": owner.person if owner is not None else "", "key": mark, "signature": signature}


def history(ledger: Ledger) -> list[Event[PeopleChanged]]:
    """Every recorded change, oldest first."""
    return ledger.facts(PeopleChanged)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name  # not from the environment, which says what it likes
    except KeyError:
        return str(os.getuid())
