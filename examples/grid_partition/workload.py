"""The largest cut of a network by QAOA (Farhi et al., 2014) of depth one, its two angles refined over several rounds.

Each round evaluates a small grid of angles around the best so far and halves the step; the best cut that was ever measured wins. The
true optimum, by enumeration, stands beside it.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd


def solve(features, parameters):
    """Several rounds of circuits; returns one row a branch."""
    branches = features.sort_values("branch", ignore_index=True)
    buses = sorted({int(bus) for bus in [*branches["from_bus"], *branches["to_bus"]]})
    place = {bus: index for index, bus in enumerate(buses)}
    edges = [(place[int(a)], place[int(b)]) for a, b in zip(branches["from_bus"], branches["to_bus"], strict=True)]

    centre, step = np.array([0.55, 0.40]), 0.2
    best_sides, best_cut = "0" * len(buses), 0
    for _ in range(int(parameters["rounds"])):
        trials = [centre + step * np.array(shift) for shift in itertools.product((-1, 0, 1), repeat=2)]
        counts = yield [ansatz(len(buses), edges, gamma, beta) for gamma, beta in trials]
        means = []
        for result in counts:
            cuts = {bits: cut_size(bits, edges) for bits in result}
            means.append(sum(cuts[bits] * number for bits, number in result.items()) / sum(result.values()))
            # Ties are broken by the string, so that a replay chooses the same one.
            champion = max(cuts, key=lambda bits: (cuts[bits], bits))
            if cuts[champion] > best_cut:
                best_sides, best_cut = champion, cuts[champion]
        centre, step = trials[int(np.argmax(means))], step / 2
    return frame_of(branches, edges, best_sides, best_cut, largest_cut(len(buses), edges))


def ansatz(width, edges, gamma, beta):
    """One layer: phases on the branches, then a mixing rotation on every bus."""
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(width, width)
    circuit.h(range(width))
    for left, right in edges:
        circuit.rzz(-float(gamma), left, right)
    circuit.rx(2 * float(beta), range(width))
    circuit.measure(range(width), range(width))
    return circuit


def side(bits, bus):
    """The side of a bus in a measured string; bit 0 is the rightmost."""
    return bits[-1 - bus]


def cut_size(bits, edges):
    """Branches whose ends lie on different sides."""
    return sum(side(bits, left) != side(bits, right) for left, right in edges)


def largest_cut(width, edges):
    """The optimum over all 2^(n-1) divisions."""
    divisions = np.arange(2 ** (width - 1))
    sizes = sum(((divisions >> left) & 1) ^ ((divisions >> right) & 1) for left, right in edges)
    return int(np.max(sizes))


def frame_of(branches, edges, sides, cut, optimum):
    """One row a branch."""
    return pd.DataFrame(
        {
            "branch": branches["branch"],
            "from_side": [side(sides, left) for left, _ in edges],
            "to_side": [side(sides, right) for _, right in edges],
            "is_cut": [side(sides, left) != side(sides, right) for left, right in edges],
            "cut_size": cut,
            "best_possible": optimum,
        }
    )
