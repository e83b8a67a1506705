"""The Prefect worker that takes no orders: from the API it learns which run to go on with, and nothing else."""
