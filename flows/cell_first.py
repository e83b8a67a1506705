"""Imported before anything else of the governed pipeline: an engine's first cell starts, and imports while the rest is imported here."""

from __future__ import annotations

from prefect_gatehouse.flows.leaving import is_an_engine
from prefect_gatehouse.run.early import start_early
from prefect_gatehouse.run.pandas_later import pandas_later

if is_an_engine() and start_early():
    pandas_later()  # frames are made in cells
