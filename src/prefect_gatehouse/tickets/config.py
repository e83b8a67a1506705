"""The installation's file of tickets: the tickets themselves, or the system that has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.policy.yaml_file import read_rules
from prefect_gatehouse.tickets.file import TicketFile
from prefect_gatehouse.tickets.interface import TicketSystem
from prefect_gatehouse.tickets.jira import Jira
from prefect_gatehouse.tickets.servicenow import ServiceNow

Configured = Annotated[TicketFile | Jira | ServiceNow, Field(discriminator="kind")]
_FORM: TypeAdapter[TicketFile | Jira | ServiceNow] = TypeAdapter(Configured)


def load_tickets(path: Path) -> TicketSystem | None:
    """Where this installation's tickets are; None where there is no such file, and then no ticket can be checked.

    Raises:
        InputError: The file can't be read or is malformed.
    """
    if not path.exists():
        return None
    return read_rules(path, _FORM, "the tickets", "GATEHOUSE_TICKETS")


def tickets_digest(path: Path) -> str:
    """Of where tickets are, which is part of the signed bundle; a list's tickets are no part of it, since they come and go by the day.

    Raises:
        InputError: The file can't be read or is malformed.
    """
    found = load_tickets(path)
    if found is None or isinstance(found, TicketFile):
        return digest({"kind": "none" if found is None else "file"})
    return digest(json.loads(_FORM.dump_json(found)))  # type: ignore[arg-type]
