"""Reading what an administrator has set for a backend: the document of its block, by type and name."""

from __future__ import annotations

from collections.abc import Mapping

from prefect_gatehouse.blocks.stores import read_document
from prefect_gatehouse.canonical import Json


def read_settings(reference: str) -> Mapping[str, Json]:
    """What is set in a block, as it is stored: its provider reads it, and says which setting is wrong.

    The block's class is not needed, and Prefect is asked to leave its secrets out: what is set goes into the plan.

    Raises:
        Unavailable: The block is missing, or the Prefect server does not give it.
    """
    return {name: value for name, value in read_document(reference).items() if name != "block_type_slug"}
