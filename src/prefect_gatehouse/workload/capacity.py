"""How much the circuits of a round could carry: an upper bound in bits, whatever a workload means by them.

The bound is the length of the round in a code that every plain form has (``workload/plain_form.py``) and that can be read back, symbol by symbol.
By Kraft's inequality (L. G. Kraft, 1949; B. McMillan, 1956) at most 2^M different rounds have M bits or fewer in such a code, so rounds
that are held below M bits tell their reader at most M bits, however they were chosen, and several rounds at most the sum. The lengths, in bits::

    round      1                                            that there is one more
    templates  count(T - 1)                                 T of them, and for each
               count(width) + count(bits) + count(gates)
               and for each gate  ceil(log2(G * w!/(w-q)! * b!/(b-c)!))    one of G operations on q of w qubits and c of b classical bits, in order
    order      count(n_t - 1) for each template             n_t circuits have template t
               and  ceil(log2(prod_t C(N_t - 1, n_t - 1)))  which of the places not yet taken, N_t = n_t + n_(t+1) + ...: the first of them has
                                                            template t, since templates stand in the order in which they first come
    tables     angles * ceil(log2(choices))                 choices: points of the grid, or doubles up to the largest angle

count(n) = 2 floor(log2(n + 1)) + 1 is the Elias gamma code of n + 1. Shots are the manifest's and carry nothing. The declared features are in
the bound: what a circuit says honestly is not told from what it hides. An angle that is the same in all circuits counts in each of them,
since the approval covers later rounds, where it need not be. When a round is sent, and how long a workload takes, is not counted.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from prefect_gatehouse.workload.angles import choices
from prefect_gatehouse.workload.batch import CircuitBatch, Template
from prefect_gatehouse.workload.gates import gate_shapes
from prefect_gatehouse.workload.summary import Capacity


def capacity(batch: CircuitBatch, step: float | None) -> Capacity:
    """The bound of a round.

    Args:
        batch: Its circuits; their number, places and shape count, the angles' values do not.
        step: The grid of the angles in radians, None where there is none.
    """
    return Capacity(
        angles=sum(table.size for table in batch.angles),
        angle_bits=_bits(choices(step)),
        gates=_count(len(batch.templates) - 1) + sum(map(_template, batch.templates)),
        order=1 + _order(batch),
    )


def _bits(number: int) -> int:
    """Whole bits that tell one of so many."""
    return (number - 1).bit_length()


def _count(number: int) -> int:
    return 2 * (number + 1).bit_length() - 1


def _template(template: Template) -> int:
    shapes = gate_shapes()
    used = Counter(name for name, _, _ in template.gates)
    gates = sum(
        number * _bits(len(shapes) * math.perm(template.qubits, shapes[name][0]) * math.perm(template.clbits, shapes[name][1]))
        for name, number in used.items()
    )
    return _count(template.qubits) + _count(template.clbits) + _count(len(template.gates)) + gates


def _order(batch: CircuitBatch) -> int:
    numbers = np.bincount(batch.order, minlength=len(batch.templates)).tolist()
    left, natural = len(batch), 0.0
    for number in numbers:
        natural += math.lgamma(left) - math.lgamma(number) - math.lgamma(left - number + 1)
        left -= number
    # The logarithms of a hundred thousand templates are wrong by less than a thousandth of a bit; of one template, or all different, by nothing.
    places = math.ceil(natural / math.log(2) + 1e-3) if natural else 0
    return sum(_count(number - 1) for number in numbers) + places
