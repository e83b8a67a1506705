"""Classes follow the data: what is made from columns has the highest of their classes, and a column that nobody declared is restricted.

The lattice of information flow (D. E. Denning, CACM 19(5), 1976) over four totally ordered classes. A rule of a column does not lower
its class: a token can be joined and, with the key, turned back; a birth year narrows. The workload is a black box, so everything that
it returns has the highest class of everything that it saw. Only what leaves for a provider counts one class lower
(``policy/tiers.py``), because tokens and generalised values are all that its circuits were made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prefect_gatehouse.manifest.columns import Drop, ShiftDates, Tokenise
from prefect_gatehouse.manifest.data import Data
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Manifest, Output, System
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.policy.rules import ClassedColumn, ClassRules, RunClasses


def class_in_source(data: Data, column: str) -> DataClass:
    """The class of a column of the source: as declared, restricted where the manifest does not name the column."""
    declared = data.columns.get(column)
    return declared.data_class if declared is not None else DataClass.RESTRICTED


def highest(columns: Iterable[tuple[str, DataClass]]) -> tuple[DataClass, tuple[str, ...]]:
    """The highest class among columns, and each column that has it, once; public of none."""
    found = list(columns)
    top = max((data_class for _, data_class in found), key=lambda item: item.rank, default=DataClass.PUBLIC)
    return top, tuple(dict.fromkeys(name for name, data_class in found if data_class is top))


def features_of(data: Data) -> tuple[ClassedColumn, ...]:
    """What the workload sees: each column that leaves the source has the highest class of what it was made from.

    A shifted date is made from the date and from the subject that says by how much, whether the subject leaves or not.
    """
    features = []
    for name, declared in data.columns.items():
        if isinstance(declared, Drop):
            continue
        made_from = [name, declared.subject] if isinstance(declared, ShiftDates) else [name]
        data_class, because = highest((source, class_in_source(data, source)) for source in made_from)
        features.append(ClassedColumn(column=name, data_class=data_class, because=because))
    return tuple(features)


def outputs_of(data: Data, output: Output, features: Sequence[ClassedColumn]) -> tuple[ClassedColumn, ...]:
    """What is written back: the highest class of everything that the workload saw, whichever column it names.

    A key of scheme ``siv``, or ``permute`` as text, has the class of the column that it is turned back to: a token that the workload made
    up would not open. Tokens of ``ff1`` and permuted numbers always open, so such a key counts like any other column of the frame.
    """
    top, because = _highest_of(features)
    columns = [ClassedColumn(column=name, data_class=top, because=because) for name in output.names]
    key = data.columns.get(output.key)
    own = next((item for item in features if item.column == output.key), None)
    if own is not None and isinstance(key, Tokenise) and key.authentic:
        return (own, *columns)
    return (ClassedColumn(column=output.key, data_class=top, because=because), *columns)


def output_class(manifest: Manifest) -> tuple[DataClass, tuple[str, ...]]:
    """The class of what a run writes back, and the columns of the source that it comes from."""
    return _highest_of(features_of(manifest.data))


def classes_of(manifest: Manifest, rules: Mapping[DataClass, ClassRules]) -> RunClasses:
    """The classes of everything that a run of this manifest makes."""
    features = features_of(manifest.data)
    top, because = _highest_of(features)
    return RunClasses(
        features=features, outputs=outputs_of(manifest.data, manifest.output, features), output_class=top, because=because, rules=rules[top]
    )


def leaving(treatments: Iterable[Treatment], features: Iterable[ClassedColumn]) -> list[Treatment]:
    """Treatments with the classes that the columns inherit, where those are higher than the declared ones."""
    inherited = {item.column: item.data_class for item in features}
    return [
        item.model_copy(update={"data_class": max(item.data_class, inherited.get(item.column, item.data_class), key=lambda each: each.rank)})
        for item in treatments
    ]


def target_of(manifest: Manifest) -> System:
    """The system that the manifest writes back to."""
    return next(system for system in manifest.systems if system.name == manifest.output.target.system)


def in_words(data_class: DataClass, because: Sequence[str], most: int = 4) -> str:
    """A class with where it comes from, such as ``restricted (from birth_date, postcode)``."""
    if not because:
        return str(data_class)
    more = f" and {len(because) - most} more" if len(because) > most else ""
    return f"{data_class} (from {', '.join(because[:most])}{more})"


def _highest_of(columns: Iterable[ClassedColumn]) -> tuple[DataClass, tuple[str, ...]]:
    return highest((source, item.data_class) for item in columns for source in item.because)
