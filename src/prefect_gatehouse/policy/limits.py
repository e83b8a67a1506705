"""What a tier may limit beside what it demands, each unset as long as its file does not say it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Region = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
"""A provider's region as its own name has it, such as eu-north-1 or eu-de."""
