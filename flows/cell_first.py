"""Imported before anything else of the governed pipeline: an engine's first cell starts, and imports while the rest is imported here."""

from __future__ import annotations

from prefect_gatehouse.flows.leaving import is_an_engine
from prefect_gatehouse.run.early import start_early

if is_an_engine():
    start_early()
