"""What everything that holds a key has in common: it is never printed and never pickled."""

from __future__ import annotations

from typing import NoReturn


class HoldsKey:
    """Base of what holds a key; another process makes its own from the root key."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(**********)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a key and is never pickled")
