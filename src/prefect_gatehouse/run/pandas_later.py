"""pyarrow without pandas, until somebody imports it: 0.25 s and 30 MB of a process that has no frames.

pyarrow imports pandas with the first array that it makes, whatever that is made of, to know a frame or a series when it sees one. Where nobody has
imported pandas there is none to be seen.

Not for a process in which somebody makes frames: pyarrow's compiled part looks for pandas' own ``NA``, ``NaT`` and ``DateOffset`` once, and then
refuses to make arrays of Python objects among which there are some. Series, frames and Arrow's own tables are read as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_PANDAS = "pandas"


def pandas_later() -> None:
    """Has pyarrow do without pandas until somebody imports it, and know of it from then on; nothing where it is imported already.

    A pyarrow that does not ask in the way that is known here imports pandas as it did.
    """
    import pyarrow as pa

    if _PANDAS in sys.modules or any(isinstance(finder, _Awaited) for finder in sys.meta_path):
        return
    awaited = _Awaited()
    sys.meta_path.insert(0, awaited)
    try:
        pa.array([0])  # it asks once, and remembers that there is none; what can't do without asks again
    finally:
        awaited.found = True


class _Awaited(MetaPathFinder):
    """Does not find pandas; and then where it is, once."""

    def __init__(self) -> None:
        self.found = False

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As importlib asks; other modules are others' to find.

        Raises:
            ModuleNotFoundError: There is no pandas yet.
        """
        if fullname != _PANDAS:
            return None
        if not self.found:
            raise ModuleNotFoundError("nobody has imported pandas yet", name=_PANDAS)
        sys.meta_path.remove(self)
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = _Told(found.loader)
        return found


class _Told(Loader):
    """Loads pandas, and has pyarrow look for it again.

    Args:
        loader: Its own.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        import pyarrow as pa

        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader  # which knows its resources
        self._loader.exec_module(module)
        pa.array([0]).to_pandas()
