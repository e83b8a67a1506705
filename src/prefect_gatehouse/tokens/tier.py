"""Which of two tiers works on a column: numpy with OpenSSL, which is always there, or functions compiled by numba, where they pay.

Both give the same bytes; loading the compiled tier proves that on a small sample before a column sees it. ``GATEHOUSE_TOKEN_TIER``
(``auto``, ``numpy``, ``fused``) chooses one by hand, for tests and for diagnosis.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.settings import load_settings

Tier = Literal["auto", "numpy", "fused"]
Kernels = TypeVar("Kernels")


def wanted() -> Tier:
    """The tier that the settings ask for; reading them costs more than a small column does, so callers keep the answer.

    Raises:
        InputError: ``GATEHOUSE_TOKEN_TIER`` holds something else.
    """
    return load_settings().token_tier


class Fused(Generic[Kernels]):
    """The compiled functions of one scheme, loaded once in a process, at the moment they have begun to pay.

    Nobody knows how many rows will come, so the rule is that of somebody who hires skis: when the rows seen so far would have repaid
    the loading, load. Nobody knows either whether the code is in the cache, which makes loading fifty times as fast: the price that counts is
    the geometric mean of both, so that neither case is off by more than the other.

    Args:
        load: Finds or compiles the functions and proves them against the numpy tier; raises if they differ or can't be compiled.
        pays_after: How many rows, in one process, repay that price.

    Example:
        ```python
        fused = Fused(load_my_kernels, pays_after=2_000_000)
        kernels = fused.for_rows(len(array), wanted())
        result = kernels.encrypt(...) if kernels is not None else numpy_encrypt(...)
        ```
    """

    def __init__(self, load: Callable[[], Kernels], *, pays_after: int) -> None:
        self._load = load
        self._pays_after = pays_after
        self._seen = 0
        self._kernels: Kernels | None = None
        self._broken = False
        self._lock = threading.Lock()

    def for_rows(self, rows: int, tier: Tier) -> Kernels | None:
        """The compiled functions if they are to work on the next rows, None if numpy is.

        Args:
            rows: How many come now.
            tier: What ``wanted`` said.

        Raises:
            InputError: The compiled tier is asked for by name, and it is not installed or does not work here.
        """
        if tier == "numpy":
            return None
        if self._kernels is None:
            self._seen += rows
            if tier == "fused" or (self._seen >= self._pays_after and not self._broken):
                self._try(tier)
        return self._kernels

    def _try(self, tier: Tier) -> None:
        with self._lock:
            if self._kernels is not None or (self._broken and tier == "auto"):
                return
            if importlib.util.find_spec("numba") is None:
                self._broken = True
            else:
                try:
                    self._kernels = self._load()
                except Exception:  # noqa: BLE001 - numba's errors have many types; whatever it is, numpy does the same work
                    self._broken = True
        if self._kernels is None and tier == "fused":
            raise InputError(
                "the compiled tier of the tokens does not work here",
                where="GATEHOUSE_TOKEN_TIER",
                advice="install prefect-gatehouse[fast], or set it to auto",
            )
