"""The base job template of a work pool whose worker takes no orders: no placeholder, so there is nothing for a job variable to fill."""

from __future__ import annotations

import json
from typing import Any

PLAIN: dict[str, Any] = {"job_configuration": {}, "variables": {"type": "object", "properties": {}}}


def is_plain(template: Any) -> bool:
    """Whether a template asks for nothing: neither a placeholder nor a value of its own."""
    return isinstance(template, dict) and not template.get("job_configuration") and "{{" not in json.dumps(template)
