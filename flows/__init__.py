"""Compositions of the gates, nothing else."""

from __future__ import annotations

import os

if "PREFECT__FLOW_RUN_ID" in os.environ:  # a process for one run has imported Prefect, and imports the rest now
    from prefect_gatehouse.run_process import look_rarely

    look_rarely()
