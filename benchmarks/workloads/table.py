"""The workloads that are compared, as all sides see them: the same source, function, parameters, shots and table."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
SCALES = {"worst_perimeter": (50, 255), "worst_concave_points": (0, 0.3), "mean_concave_points": (0, 0.21), "worst_texture": (12, 50)}
TUMOUR = {"landmarks": 8, "bandwidth": 1.8, "regularisation": 10.0}


@dataclass(frozen=True)
class Workload:
    """One workload.

    Attributes:
        title: What it is, in the table and in the plot.
        folder: Where its manifest is.
        file: Its Python file, with the generator ``solve``.
        source: The name of its CSV file.
        columns: Which columns of it are read.
        table: The table that is written.
        parameters: What the generator is given.
        shots: Shots a circuit.
        qubits: The widest circuit.
        gates: Which gates its circuits are made of.
        scales: Columns that are brought between 0 and 1, with the bounds that they had.
        quick: Parameters of the quick run that differ.
    """

    title: str
    folder: Path
    file: Path
    source: str
    columns: tuple[str, ...]
    table: str
    parameters: dict[str, Any]
    shots: int
    qubits: int
    gates: tuple[str, ...]
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    quick: dict[str, Any] = field(default_factory=dict)

    def solve(self) -> Callable[..., Generator[Any, Any, Any]]:
        """The generator function, from its file; what lies in the manifest's folder can be imported by it."""
        sys.path.insert(0, str(self.folder))
        spec = importlib.util.spec_from_file_location(f"workload_{self.file.stem}", self.file)
        assert spec is not None and spec.loader is not None  # a .py file always has a loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.solve  # type: ignore[no-any-return]


def _tumour(title: str, file: Path) -> Workload:
    return Workload(
        title,
        EXAMPLES / "tumour_kernel",
        file,
        "source.csv",
        ("medical_record_number", "diagnosis", *SCALES),
        "tumour_predictions",
        TUMOUR,
        512,
        4,
        ("ry", "rzz"),
        SCALES,
        {"landmarks": 2},
    )


WORKLOADS = {
    "tumour": _tumour("tumour, 4,544 bound circuits", HERE / "tumour_bound.py"),
    "tumour-pubs": _tumour("tumour, one PUB of 4,544 settings", EXAMPLES / "tumour_kernel" / "workload.py"),
    "grid_partition": Workload(
        "grid_partition, 4 rounds of 9 circuits",
        EXAMPLES / "grid_partition",
        EXAMPLES / "grid_partition" / "workload.py",
        "branches.csv",
        ("branch", "from_bus", "to_bus"),
        "grid_partition",
        {"rounds": 4},
        2048,
        14,
        ("h", "rzz", "rx"),
    ),
    "random_circuits": Workload(
        "100 random circuits of 8 qubits",
        HERE / "random_circuits",
        HERE / "random_circuits" / "workload.py",
        "circuits.csv",
        ("circuit", "seed"),
        "random_circuits",
        {"qubits": 8, "gates": 120},
        1000,
        8,
        ("h", "rx", "ry", "rz", "cx", "cz", "rzz"),
    ),
}
