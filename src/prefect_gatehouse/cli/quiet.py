"""Keeps Prefect's and Great Expectations' own talk and telemetry out of a command's output; set before they are imported."""

from __future__ import annotations

import os

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


def quiet_prefect() -> None:
    """Sets what is not set."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
