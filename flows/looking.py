"""What every flow that looks around by a schedule has in common: it looks once, and leaves a table in Prefect of what it came to."""

from __future__ import annotations

from collections.abc import Callable

from prefect.artifacts import create_table_artifact

from prefect_gatehouse.flows.leaving import leave_as
from prefect_gatehouse.flows.lifecycle import state_of
from prefect_gatehouse.settings import Settings, load_settings
from prefect_gatehouse.tasks.gate import sanitised


def look_once(name: str, look: Callable[[Settings], list[dict[str, str]]], nothing: dict[str, str], description: str) -> None:
    """Looks, and publishes the rows as the artifact ``gatehouse-<name>``.

    Args:
        name: Of the flow.
        look: Gives a row for each thing that was done or is to be told.
        nothing: The row where there is none.
        description: Of the table.

    Raises:
        Abort: Looking failed; the run's state says why, in our words.
    """
    try:
        told = look(load_settings())
    except Exception as error:  # noqa: BLE001 - Prefect would store a foreign error's text and traceback
        leave_as(state_of("failed", str(sanitised(error, name))))
    create_table_artifact(key=f"gatehouse-{name}", table=told or [nothing], description=description)
