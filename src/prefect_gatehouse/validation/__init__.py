"""Checks on what goes in and what comes back; results say what passed and hold nothing of the data."""
