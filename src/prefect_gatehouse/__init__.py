"""Gatehouse: governed hybrid quantum-classical pipelines on Prefect."""

__version__ = "0.3.0"
