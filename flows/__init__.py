"""Compositions of the gates, nothing else."""
