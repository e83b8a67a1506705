"""Reading what a run keeps without driving it: no attempt, no effect, and only as long as the run's key is there."""

from __future__ import annotations

from functools import cached_property
from typing import TypeVar

from prefect_gatehouse.ledger.fact import Fact
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.result_question import ask_to_look
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.store.run_keys import RunKeys
from prefect_gatehouse.store.sealer import Sealer

F = TypeVar("F", bound=Fact)


class RunReader:
    """One run, for whoever looks at it.

    Args:
        settings: The installation's.
        ledger: The open ledger.
        run_id: The run.
    """

    def __init__(self, settings: Settings, ledger: Ledger, run_id: str) -> None:
        self.ledger, self.run_id = ledger, run_id
        self._settings = settings
        self._keys = RunKeys(settings.folder("run-keys"))
        self.chain = Chain(ledger, run_id)

    @cached_property
    def sealer(self) -> Sealer:
        """Opens what the run sealed, once the look is recorded.

        Raises:
            Denied: The policy lets the caller not see it.
            StorageError: The run's key is gone, so that there is nothing to look at; or the look can't be recorded.
        """
        key = self._keys.load(self.run_id)
        look = ask_to_look(self._settings, self.ledger, self.chain, "show")
        if look is not None:
            look.record()
        return key.sealer()

    def find(self, name: str, kind: type[F]) -> Event[F] | None:
        """An event of this run by the name it was recorded under.

        Raises:
            Tampered: It is of another kind.
        """
        return self.ledger.find(f"{self.run_id}:{name}", kind)
