"""The base job template of a work pool whose worker takes no orders: no placeholder, so there is nothing for a job variable to fill."""

from __future__ import annotations

import json
from typing import Any

# The server refuses an empty configuration.
PLAIN: dict[str, Any] = {"job_configuration": {"name": None}, "variables": {"type": "object", "properties": {}}}


def is_plain(template: Any) -> bool:
    """Whether a template asks for nothing: neither a placeholder nor a value of its own."""
    configuration = template.get("job_configuration") if isinstance(template, dict) else None
    return isinstance(configuration, dict) and not any(configuration.values()) and "{{" not in json.dumps(template)
