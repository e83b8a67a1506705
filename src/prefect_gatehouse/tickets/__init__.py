"""Tickets: whether the change that a run is for is open, approved, about this pipeline, and at its time."""
