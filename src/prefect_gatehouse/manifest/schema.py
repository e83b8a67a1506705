"""The manifest's JSON Schema, for editors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from prefect_gatehouse.manifest.fields import write_duration
from prefect_gatehouse.manifest.models import Manifest


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """A default as a manifest writes it: pydantic would write a duration as ISO 8601, which is none of ours."""
        return write_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a manifest."""
    schema = Manifest.model_json_schema(by_alias=True, schema_generator=_Generator)
    # Pydantic says what a key that fits its pattern holds, and forgets to refuse the others.
    schema["$defs"]["Data"]["properties"]["columns"]["additionalProperties"] = False
    for form in schema["$defs"]["Output"]["properties"]["columns"]["oneOf"]:
        if form["type"] == "object":
            form["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Gatehouse manifest", **schema}
