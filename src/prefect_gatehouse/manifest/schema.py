"""The manifest's JSON Schema, for editors."""

from __future__ import annotations

from typing import Any

from prefect_gatehouse.manifest.models import Manifest


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a manifest."""
    schema = Manifest.model_json_schema(by_alias=True)
    # Pydantic says what a key that fits its pattern holds, and forgets to refuse the others.
    schema["$defs"]["Data"]["properties"]["columns"]["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Gatehouse manifest", **schema}
