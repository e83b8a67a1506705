"""Tickets in Jira: ``GET /rest/api/3/issue/{key}``, as Jira Cloud's REST API version 3 documents it; Data Center answers the same under version 2.

A status has a category: ``new``, ``indeterminate`` or ``done``; what is done is not open. Approved is what has one of the installation's statuses,
since a workflow is what says so in Jira. Pipelines and window are fields of the site's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from prefect_gatehouse.manifest.fields import BlockReference, Line, Strict
from prefect_gatehouse.tickets.http import Address, Object, get, host_of, malformed, sign_in
from prefect_gatehouse.tickets.interface import Ticket, require_key

_Field = Annotated[str, Field(pattern=r"^(labels|components|customfield_[0-9]{1,10})$")]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Category(_Answer):
    key: Annotated[str, Field(max_length=40)]


class _Status(_Answer):
    name: Line
    category: _Category = Field(alias="statusCategory")


class _Fields(BaseModel):
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    status: _Status


class _Issue(_Answer):
    key: str
    fields: _Fields


class Jira(Strict):
    """A Jira site, and where its tickets have what is asked."""

    kind: Literal["jira"]
    url: Address
    api: Literal["2", "3"] = "3"
    credential: BlockReference = Field(description="Block of an API token; never the token itself.")
    user: Line | None = Field(None, description="Whose token it is, in Jira Cloud; None for a token that is sent as bearer.")
    approved: Annotated[tuple[Line, ...], Field(min_length=1, max_length=20)] = Field(description="Statuses that only what is approved has.")
    pipelines: _Field = Field(description="Field with TENANT/PIPELINE: text, labels, or one choice or several.")
    start: _Field = Field(description="Field of the type date and time with the window's begin.")
    end: _Field

    @property
    def source(self) -> str:
        """Kind and host."""
        return f"jira at {host_of(self.url)}"

    @property
    def block(self) -> str | None:
        """Of the API token."""
        return self.credential

    def look_up(self, key: str, credential: str) -> Ticket | None:
        """The issue of a key; see ``interface.py``."""
        api = f"{self.url}/rest/api/{self.api}"
        url, headers = f"{api}/issue/{quote(require_key(key), safe='')}", sign_in(self.user, credential)
        fields = ",".join(dict.fromkeys(("status", self.pipelines, self.start, self.end)))
        found = get(url, {"fields": fields, "updateHistory": "false"}, headers, _Issue)
        if found is None:
            # To a credential that it does not take, Jira Cloud says that there is no such issue, as it says to anybody.
            if get(f"{api}/myself", {}, headers, Object) is None:
                raise malformed()
            return None
        if found.key != key:  # a ticket that was moved has another key, and is another one to whoever approved this one
            raise malformed()
        status, more = found.fields.status, found.fields.model_extra or {}
        return Ticket(
            key=key,
            state=status.name,
            open=status.category.key in {"new", "indeterminate"},
            approved=status.name in self.approved,
            names=tuple(_texts(more.get(self.pipelines))),
            start=_moment(more.get(self.start)),
            end=_moment(more.get(self.end)),
        )


def _texts(value: JsonValue) -> Iterator[str]:
    """What a field of text, of labels, of components or of choices holds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            if not isinstance(each, list):
                yield from _texts(each)
    elif isinstance(value, dict):
        chosen = value.get("value", value.get("name"))
        if isinstance(chosen, str):
            yield chosen


def _moment(value: JsonValue) -> datetime | None:
    """A field of date and time, such as ``2026-11-29T12:00:00.000+0000``; a date alone is none: in which zone does it begin?"""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise malformed()
    return moment
