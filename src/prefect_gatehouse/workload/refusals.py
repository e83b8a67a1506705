"""Why what a workload gave is no circuits or no frame: a closed list of sentences, each with the advice that belongs to it.

A sentence has slots for whole numbers and for names that are known beforehand, and for nothing else. So a refusal can come out of a cell as
a record of identifiers: whoever reads it looks each of them up, and no text of the workload's is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect_gatehouse.errors import UnusableAnswer

_CLASSES = "use Qiskit's own classes"
_LOOK = "look at the circuit's expressions"
_FLAT = "return columns of numbers, truth values, text, dates and times"
_TABLE = "return a pandas DataFrame; other tables have to_pandas()"
_COLUMN = "column {column} of the workload's frame{name}"

_SENTENCES: Mapping[str, tuple[str, str]] = {
    # what is yielded
    "no-circuits": ("the workload yielded no list of circuits", "yield [QuantumCircuit, ...] or [(QuantumCircuit, values), ...]"),
    "no-round": ("the workload's circuits are more than a round can hold", "yield fewer circuits, or circuits with fewer gates, in a round"),
    "circuit-unreadable": ("a circuit can't be read", _CLASSES),
    "operation-unreadable": ("{kind} can't be read", _CLASSES),
    "own-gate": ("a gate of the workload's own is called {gate}", "give the gate another name"),
    "nested": ("{kind} is nested more than {count} levels deep", "use fewer definitions of definitions"),
    "control-flow": ("{kind} is control flow, and only gates are sent", "yield circuits without conditions or loops"),
    "delay": ("{kind} is a delay, and gates have no durations", "leave delays out"),
    "store": ("{kind} sets a classical variable, and only gates are sent", "compute in the workload, between two rounds"),
    "no-gates": (
        "{kind} can't be expressed in standard gates",
        "give it a definition in standard gates, or lower the whole circuit with qiskit.transpile, which may use idle qubits",
    ),
    "unbound": ("an angle is an unbound parameter or no number", "bind every parameter before yielding, or yield (circuit, values)"),
    "not-finite": ("an angle is not a finite number", "check the features for gaps"),
    "not-real": ("an angle is no real number", _LOOK),
    "pub-shots": ("a PUB has shots of its own", "leave them out: execution.shots holds for every circuit"),
    "pub-values": (
        "a PUB's values do not fit its circuit of {count} parameters",
        "yield (circuit, values) with numbers, the last axis of the array over circuit.parameters",
    ),
    "pub-empty": ("a PUB has no settings", "give its array at least one row"),
    "pub-not-finite": ("a PUB's value is not a finite number", "check the features for gaps"),
    "not-bindable": ("a circuit's parameters can't be bound", _LOOK),
    # what is returned
    "series": (
        "the workload returned no pandas frame, but a pandas Series",
        "return a DataFrame: to_frame() makes one of a Series, and the key is a column of it",
    ),
    "index": ("the workload returned no pandas frame, but a pandas Index", "return a DataFrame, in which the key is a column"),
    "array": ("the workload returned no pandas frame, but a NumPy array", "return a pandas DataFrame, in which every column has its name"),
    "table": ("the workload returned no pandas frame, but a PyArrow Table", _TABLE),
    "none": ("the workload returned no pandas frame, but None", _TABLE),
    "value": ("the workload returned no pandas frame, but a value of type {type}", _TABLE),
    "empty": ("the workload returned an empty frame", "return at least one row"),
    "unreadable": ("the workload's frame can't be read", _FLAT),
    "levels": ("the workload's frame has columns of {count} levels", "give each column one name"),
    "name-no-text": ("the name of column {column} of the workload's frame is no text ({type})", "name each column by a text"),
    "name-no-unicode": ("the name of column {column} of the workload's frame is no valid Unicode", "name each column by a text"),
    "same-name": ("columns {other} and {column} of the workload's frame have the same name{name}", "give each column a name of its own"),
    "is-index": ("{declared} is the index of the workload's frame, not a column", "call reset_index() on the frame before returning it"),
    "several-types": (_COLUMN + " holds values of several types: {types}", "return columns of one type each"),
    "wide": (_COLUMN + " holds whole numbers of more than 64 bits", "return them as text"),
    "infinite-decimal": (_COLUMN + " holds a decimal that is not finite", "return finite numbers; None, or NaN, is a missing value"),
    "no-unicode": (_COLUMN + " holds text that is no valid Unicode", "return Unicode text"),
    "type": (_COLUMN + " holds values of type {type}", _FLAT),
}
_LARGEST = 10_000_000
_GATES = ("measure", "reset", "barrier")
_SHOWN = 3  # kinds of values in one message


@dataclass(frozen=True)
class Refusal:
    """One sentence with its slots filled.

    Attributes:
        sentence: Its identifier.
        slots: ``operation``, ``column``, ``other`` and ``count`` are whole numbers; ``kind`` is a class of Qiskit's, ``type`` and
            ``types`` are types of values, ``name`` and ``declared`` columns that the manifest declares, ``gate`` is a name of Qiskit's.
    """

    sentence: str
    slots: Mapping[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """What is wrong and where."""
        shown = {name: _SHOW.get(name, str)(value) for name, value in {"name": None, **self.slots}.items()}
        before = f"operation {self.slots['operation']} of a circuit: " if "operation" in self.slots else ""
        return before + _SENTENCES[self.sentence][0].format(**shown)

    @property
    def advice(self) -> str:
        """What to do."""
        return _SENTENCES[self.sentence][1]

    def at(self, operation: int) -> Refusal:
        """The same, of one operation of a circuit."""
        return Refusal(self.sentence, {**self.slots, "operation": operation})


def _listed(kinds: Collection[str]) -> str:
    shown = list(kinds)
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")


_SHOW: Mapping[str, Callable[[Any], str]] = {"name": lambda name: "" if name is None else f" ('{name}')", "types": _listed}


def unusable(sentence: str, **slots: Any) -> UnusableAnswer:
    """The error of a refusal."""
    return error_of(Refusal(sentence, slots))


def error_of(refusal: Refusal, where: str = "workload") -> UnusableAnswer:
    """The error of a refusal."""
    error = UnusableAnswer(refusal.message, where=where, advice=refusal.advice)
    error.refusal = refusal
    return error


def refusal_of(error: UnusableAnswer) -> Refusal:
    """The refusal that an error tells; what is none of ours tells only that something is wrong."""
    found = error.refusal
    return found if type(found) is Refusal else Refusal("circuit-unreadable")


def read_refusal(
    sentence: object, slots: object, declared: Collection[str], types: Collection[str], is_kind: Callable[[str], bool]
) -> Refusal | None:
    """A refusal from a record that nobody vouches for; None if it is none.

    Args:
        sentence: Its identifier.
        slots: By name.
        declared: The columns that the manifest declares.
        types: The names of types that may be told.
        is_kind: Whether a name is one of Qiskit's classes; asked last.
    """
    if not isinstance(sentence, str) or sentence not in _SENTENCES or not isinstance(slots, dict):
        return None
    good: Mapping[str, Callable[[Any], bool]] = {
        **dict.fromkeys(("operation", "column", "other", "count"), lambda value: type(value) is int and 0 <= value <= _LARGEST),
        "gate": lambda value: value in _GATES,
        "type": lambda value: isinstance(value, str) and value in types,
        "types": lambda value: (
            isinstance(value, list) and len(value) <= len(types) and all(isinstance(each, str) and each in types for each in value)
        ),
        "name": lambda value: value is None or (isinstance(value, str) and value in declared),
        "declared": lambda value: isinstance(value, str) and value in declared,
        "kind": lambda value: isinstance(value, str) and is_kind(value),
    }
    if not all(name in good and good[name](value) for name, value in slots.items()):
        return None
    try:
        found = Refusal(sentence, slots)
        return found if found.message else None
    except KeyError:  # a slot is missing
        return None
