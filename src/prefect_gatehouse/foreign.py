"""What may be told of an exception or a value that is not ours: the nearest class of Python's own, and the line of our own code.

A class can be named after data (``type("E_" + text, (Exception,), {})``), a module and a file name as well, and whoever makes the class
decides what it says of itself. So nothing is asked of it: its ancestors are looked up in its type, and only those that Python itself
brings are named.
"""

from __future__ import annotations

import builtins
from pathlib import Path
from traceback import walk_tb
from types import TracebackType

# As they are when this is imported: a workload may add to the module, but not to this.
_BUILTIN = {kind: kind.__name__ for kind in vars(builtins).values() if isinstance(kind, type)}
_PACKAGE = Path(__file__).parent


def builtin_name(value: object) -> str:
    """The nearest class of Python's own that a value is an instance of, such as ``ValueError``; ``object`` if it is none of them."""
    ancestors: tuple[type, ...] = type.__dict__["__mro__"].__get__(type(value))  # not by name: a metaclass can answer to that
    return next(_BUILTIN[kind] for kind in ancestors if kind in _BUILTIN)


def builtin_names() -> frozenset[str]:
    """Everything that ``builtin_name`` can say."""
    return frozenset(_BUILTIN.values())


def traceback_of(error: BaseException) -> TracebackType | None:
    """Where an exception came from, whatever its class says of it."""
    found: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return found


def own_place(error: BaseException) -> str:
    """The innermost line of our own code that an exception passed, such as ``collect.py:83``."""
    places = [(Path(frame.f_code.co_filename), line) for frame, line in walk_tb(traceback_of(error))]
    own = [(path.name, line) for path, line in places if path.is_relative_to(_PACKAGE) and path.is_file()]
    return "{}:{}".format(*own[-1]) if own else "unknown place"
