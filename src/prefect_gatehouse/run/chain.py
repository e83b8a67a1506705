"""The chain of a run's values as the ledger keeps it: each value once, under its gate's event, and every later one names it by digest.

In memory a value holds the one before it. Written, it holds a reference, so the digest of the last value covers all of them (a hash chain, as
in a Merkle DAG); read again, each reference is followed and compared.
"""

from __future__ import annotations

import json
from typing import TypeVar, cast

from pydantic import ValidationError

from prefect_gatehouse.canonical import Json, canonical, sha256_bytes
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.ledger.events import GatePassed
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.run.gate_value import Reading, Writing
from prefect_gatehouse.value import Value

V = TypeVar("V", bound=Value)


class Chain:
    """The values of one run.

    Args:
        ledger: The open ledger.
        run_id: The run.
    """

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        self._ledger = ledger
        self._run_id = run_id
        # The value stays referenced, so that its identity is nobody else's.
        self._digests: dict[int, tuple[Value, str]] = {}
        # What was read and found good: a value never changes, and what memory holds nobody else can edit.
        self._known: dict[tuple[str, type[Value]], Value] = {}

    def stored(self, value: Value) -> Json:
        """A value as its event keeps it: without the fields that have their default."""
        return cast(
            Json, json.loads(value.model_dump_json(by_alias=True, exclude_defaults=True, context=Writing(value, self._run_id, self.digest_of)))
        )

    def digest_of(self, value: Value) -> str:
        """SHA-256 over the RFC 8785 form of a value as its event keeps it."""
        known = self._digests.get(id(value))
        if known is None:
            known = self._digests[id(value)] = (value, sha256_bytes(canonical(self.stored(value))))
        return known[1]

    def read(self, passage: str, kind: type[V]) -> V | None:
        """The value that a gate's event keeps, with all before it; None where the gate has not been passed.

        Raises:
            Tampered: What is stored is not what was stored, or not of the declared type.
        """
        known = self._known.get((passage, kind))
        if known is not None:
            return cast(V, known)
        event = self._ledger.find(f"{self._run_id}:{passage}", GatePassed)
        if event is None:
            return None
        return self._checked(event.fact, passage, kind)

    def follow(self, kind: type[V], passage: str, sha256: str) -> V:
        """The value that a reference names.

        Raises:
            Tampered: It is not there, or is another one.
        """
        known = self._known.get((passage, kind))
        if known is not None and self.digest_of(known) == sha256:
            return cast(V, known)
        event = self._ledger.find(f"{self._run_id}:{passage}", GatePassed)
        if event is None or sha256_bytes(canonical(event.fact.value)) != sha256:
            raise Tampered("a value does not go on from the one before it", where=passage, advice="run: gatehouse verify")
        return self._checked(event.fact, passage, kind)

    def _checked(self, fact: GatePassed, passage: str, kind: type[V]) -> V:
        try:
            value = kind.model_validate(fact.value, context=Reading(self._run_id, self.follow))
        except (ValueError, ValidationError):
            raise Tampered("the stored value is not the one that this gate returned", where=passage, advice="run: gatehouse verify") from None
        self._digests[id(value)] = (value, sha256_bytes(canonical(fact.value)))
        self._known[passage, kind] = value
        return value
