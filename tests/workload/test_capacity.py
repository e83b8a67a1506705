"""The bound in bits: it is the length of a code that can be read back, so no way of hiding beats it."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from prefect_gatehouse.workload.angles import choices, on_grid
from prefect_gatehouse.workload.batch import CircuitBatch, Gate, Template, joined
from prefect_gatehouse.workload.capacity import capacity
from prefect_gatehouse.workload.gates import gate_shapes


def batch_of(templates: list[Template], order: list[int]) -> CircuitBatch:
    """Circuits without a choice of angles."""
    return joined([(templates[place], np.zeros((1, templates[place].angles))) for place in order])


def small_templates() -> list[Template]:
    """Every template of up to one qubit and bit and one gate, and every one of two qubits with one gate of two."""
    found = []
    for width, bits in itertools.product(range(2), range(2)):
        options: list[tuple[Gate, ...]] = [()]
        for name, (qubits, clbits, _) in gate_shapes().items():
            options += [
                ((name, at, to),) for at in itertools.permutations(range(width), qubits) for to in itertools.permutations(range(bits), clbits)
            ]
        found += [Template(width, bits, gates) for gates in options]
    pairs = [name for name, (qubits, clbits, _) in gate_shapes().items() if (qubits, clbits) == (2, 0)]
    return found + [Template(2, 0, ((name, at, ()),)) for name in pairs for at in ((0, 1), (1, 0))]


def test_the_lengths_are_those_of_a_code() -> None:
    """Kraft's sum over all rounds of up to two circuits of small templates is below one half, half being left for "there is no round"."""
    templates = small_templates()
    assert len(templates) > 80 and len(set(templates)) == len(templates)
    total = Fraction(0)
    rounds = 0
    for length in (1, 2):
        for order in itertools.product(range(len(templates)), repeat=length):
            found = capacity(batch_of(templates, list(order)), None)
            # An angle's own code is one of as many words as it has values, all of the same length: they sum to at most one.
            total += Fraction(1, 2 ** (found.gates + found.order))
            rounds += 1
    assert rounds > 6_000
    assert 0 < total <= Fraction(1, 2)


@pytest.mark.parametrize("counts", [(1,), (5,), (1, 1, 1, 1), (3, 2), (2, 3), (2, 2, 2), (4, 1, 2), (1, 6)])
def test_the_order_of_circuits(counts: tuple[int, ...]) -> None:
    """With so many circuits of each template the bits tell every order in which the templates first come as they stand, and are not wasted."""
    templates = [Template(1, 0, (("x", (0,), ()),) * (place + 1)) for place in range(len(counts))]
    orders = {
        order
        for order in itertools.permutations([place for place, number in enumerate(counts) for _ in range(number)])
        if list(dict.fromkeys(order)) == list(range(len(counts)))
    }
    needed = math.ceil(math.log2(len(orders)))
    numbers = sum(2 * number.bit_length() - 1 for number in counts)
    found = capacity(batch_of(templates, list(next(iter(orders)))), None)
    assert found.order - 1 - numbers in (needed, needed + 1) if len(orders) > 1 else found.order == 1 + numbers


def test_many_circuits_that_share_nothing_have_no_order_of_their_own() -> None:
    """The templates' own order says it; a thousand interleaved settings of two templates have about a bit each."""
    many = [Template(1, 0, (("x", (0,), ()),) * place) for place in range(200)]
    assert capacity(batch_of(many, list(range(200))), None).order == 1 + 200
    mixed = [0, *np.random.default_rng(1).integers(0, 2, 2000).tolist()]
    assert 1_950 < capacity(batch_of(many[:2], mixed), None).order < 2_060


def test_the_angles() -> None:
    """Their number times the bits of the grid, or of a double; nothing else of the table counts."""
    template = Template(2, 2, (("ry", (0,), ()), ("rzz", (0, 1), ()), ("measure", (0,), (0,))))
    table = np.random.default_rng(1).uniform(-3, 3, (500, 2))
    free, gridded = capacity(joined([(template, table)]), None), capacity(joined([(template, table)]), 1e-6)
    assert (free.angles, free.angle_bits, gridded.angles, gridded.angle_bits) == (1000, 64, 1000, 24)
    assert free.bits - gridded.bits == 1000 * 40
    assert free.bits == 64_000 + free.gates + free.order and free.gates + free.order < 100
    assert capacity(joined([(template, np.zeros((500, 2)))]), None) == free


def test_hides_text_in_the_digits_of_angles() -> None:
    """A hostile round: what it writes behind the sixth digit arrives without a grid and is gone with one, and what arrives on the grid is counted."""
    secret = b"Ann Example, 1961-02-03, C50.9" * 10
    template = Template(1, 1, (("ry", (0,), ()), ("measure", (0,), (0,))))
    pairs = np.frombuffer(secret, np.uint16)
    hidden = joined([(template, (1.0 + pairs * 2.0**-40).reshape(-1, 1))])
    assert np.rint((hidden.angles[0][:, 0] - 1.0) * 2.0**40).astype(np.uint16).tobytes() == secret
    assert set(on_grid(hidden, 1e-6).angles[0][:, 0]) == {1.0}
    # A workload that knows the grid writes whole numbers of steps: 16 bits an angle, and the bound says 24.
    knows = on_grid(joined([(template, (pairs * 1e-6).reshape(-1, 1))]), 1e-6)
    assert np.rint(knows.angles[0][:, 0] / 1e-6).astype(np.uint16).tobytes() == secret
    assert 8 * len(secret) <= capacity(knows, 1e-6).bits < 8 * len(secret) * 24 / 16 + 100


def test_hides_text_in_gates_and_places() -> None:
    """A hostile template: one of four gates on one of four qubits is half a byte, and counts as at least that."""
    secret = b"Ann Example, 1961-02-03"
    nibbles = [nibble for byte in secret for nibble in (byte >> 4, byte & 15)]
    names = ("x", "y", "z", "h")
    template = Template(4, 0, tuple((names[nibble >> 2], (nibble & 3,), ()) for nibble in nibbles))
    assert capacity(batch_of([template], [0]), None).gates >= 8 * len(secret)


def test_hides_text_in_the_order_of_circuits() -> None:
    """A hostile order: a bit a circuit, and counts as about that."""
    bits = np.unpackbits(np.frombuffer(b"Ann Example" * 20, np.uint8)).tolist()
    made = batch_of([Template(1, 0, ()), Template(1, 0, (("x", (0,), ()),))], [0, *bits])
    ones = Counter(bits)[1]
    assert capacity(made, None).order >= math.log2(math.comb(len(bits) - 1, ones - 1))


def test_it_costs_nothing() -> None:
    """100,000 settings of 16 angles within 50 ms, and 500 templates of up to 520 gates within a second; the best of three counts."""
    wide = Template(16, 16, tuple(("ry", (place,), ()) for place in range(16)))
    sweep = joined([(wide, np.ones((100_000, 16)))])
    lists = [Template(8, 8, tuple(("x", ((place + shift) % 8,), ()) for shift in range(20)) + (("y", (0,), ()),) * place) for place in range(500)]
    many = batch_of(lists, list(range(500)))
    assert best(sweep) < 0.05
    assert best(many) < 1


def best(made: CircuitBatch) -> float:
    found = []
    for _ in range(3):
        start = time.process_time()
        capacity(made, 1e-6)
        found.append(time.process_time() - start)
    return min(found)


def test_every_value_of_an_angle_fits_its_bits() -> None:
    """The word of an angle has room for each of its values."""
    for step in (None, 1e-12, 1e-6, 0.1):
        assert choices(step) <= 2 ** capacity(batch_of([Template(1, 0, ())], [0]), step).angle_bits
