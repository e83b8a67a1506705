"""The base of everything that holds a key or a secret: it is never printed and never pickled."""

from __future__ import annotations

from typing import NoReturn


class NeverPrinted:
    """Another process makes its own, from the root key or from the store."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(**********)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and is never pickled")
