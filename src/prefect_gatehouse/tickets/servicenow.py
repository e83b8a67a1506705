"""Tickets in ServiceNow: ``GET /api/now/table/change_request?sysparm_query=number=KEY``, as its Table API documents it.

Raw values are asked for (``sysparm_display_value=false``): states are numbers as text, moments are UTC, and no language of a user plays a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from prefect_gatehouse.manifest.fields import BlockReference, Line, Strict
from prefect_gatehouse.tickets.http import Address, get, host_of, malformed, sign_in
from prefect_gatehouse.tickets.interface import Ticket, require_key

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,79}$")]
_Code = Annotated[str, Field(pattern=r"^-?[0-9]{1,4}$")]
_Text = Annotated[str, Field(max_length=4000)]


class _Records(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    result: Annotated[tuple[Mapping[str, _Text], ...], Field(max_length=2)]


class ServiceNow(Strict):
    """A ServiceNow instance, and where its changes have what is asked."""

    kind: Literal["servicenow"]
    url: Address
    credential: BlockReference = Field(description="Block of the user's password, or of a token; never the secret itself.")
    user: Line | None = Field(None, description="Who signs in; None for an OAuth token, which is sent as bearer.")
    table: _Name = "change_request"
    open_states: Mapping[_Code, Line] = Field(
        {"-2": "Scheduled", "-1": "Implement"}, min_length=1, description="States that are open, with a word for each."
    )
    pipelines: _Name = Field(description="Field with TENANT/PIPELINE, several with commas between them, such as u_pipelines.")

    @property
    def source(self) -> str:
        """Kind and host."""
        return f"servicenow at {host_of(self.url)}"

    @property
    def block(self) -> str | None:
        """Of the password or the token."""
        return self.credential

    def look_up(self, key: str, credential: str) -> Ticket | None:
        """The change of a number; see ``interface.py``."""
        asked = {
            "sysparm_query": f"number={require_key(key)}",
            "sysparm_fields": f"number,state,approval,active,start_date,end_date,{self.pipelines}",
            "sysparm_display_value": "false",
            "sysparm_exclude_reference_link": "true",
            "sysparm_limit": "2",
        }
        found = get(f"{self.url}/api/now/table/{self.table}", asked, sign_in(self.user, credential), _Records)
        if found is None or not found.result:
            return None
        record = found.result[0]
        # An instance may answer a query that it does not understand with every record.
        if len(found.result) > 1 or record.get("number") != key:
            raise malformed()
        try:
            state, approval, active = record["state"], record["approval"], record["active"]
            start, end, names = _moment(record["start_date"]), _moment(record["end_date"]), record[self.pipelines]
        except KeyError:  # the field is not there, or whoever signs in may not read it
            raise malformed() from None
        return Ticket(
            key=key,
            state=self.open_states.get(state, f"state {state[:8]}" if state.lstrip("-").isdigit() else "unknown"),
            open=active == "true" and state in self.open_states,
            approved=approval == "approved",
            names=tuple(each.strip() for each in names.split(",")),
            start=start,
            end=end,
        )


def _moment(text: str) -> datetime | None:
    """A raw value of date and time, such as ``2026-11-29 12:00:00``, UTC; nothing where the field is empty."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if text else None
    except ValueError:
        raise malformed() from None
