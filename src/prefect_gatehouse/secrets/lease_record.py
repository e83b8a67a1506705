"""What may be known of a lease: all but the secret."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.value import Value


class LeaseRecord(Value):
    """What may be known of a lease: all but the secret."""

    purpose: Purpose
    block: str | None = None
    version: str = Field("", description="The secret's version at its store, where the store has versions.")
    lease_id: str = Field(description="Empty where no secret is needed: nothing was leased.")
    service: str = Field("", description="The service as which it was fetched; empty where the installation names none.")
    environment: str = Field("", exclude=True, description="The run's, so that the record does not repeat it.")
    tenant: str = Field("", exclude=True, description="The run's, so that the record does not repeat it.")
    expires_at: datetime
