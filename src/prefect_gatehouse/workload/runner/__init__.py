"""Where a workload runs: in the process of the run, or in a cell of its own."""
