"""Compositions of the gates, nothing else."""

from __future__ import annotations

import gc
import os

if "PREFECT__FLOW_RUN_ID" in os.environ:
    gc.freeze()  # a process for one run has imported Prefect: while it imports the rest, nobody looks for garbage among that
