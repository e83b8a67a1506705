"""What several pipeline tests run under."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def worker(stack: Any) -> Iterator[None]:
    """A process worker with the deployments of ``deployments/prefect.yaml``, schedules and all."""
    stack.deploy()
    stack.start_worker()
    yield
    stack.stop_workers()
