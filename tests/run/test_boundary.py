"""The boundary guard: honest circuits pass, whatever their angles; nothing else does, and no refusal repeats what it found."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.library import GlobalPhaseGate, RXGate

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.providers.interface import Backend
from prefect_gatehouse.run.boundary import fault_in, guard_payload, kinds_in, require_key
from prefect_gatehouse.tokens import cmac, permute_blocks, siv
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.workload.angles import LARGEST_ANGLE
from prefect_gatehouse.workload.gates import gate_shapes
from prefect_gatehouse.workload.plain_form import VERSION, words_of
from tests.support.circuit_lists import encode

ROOT = RootKey(bytes(range(32)))
CMAC = cmac.tokenise(pa.array(["SUBJ-1"]), ROOT, tenant="t", join_domain="d")[0].as_py()
SIV = siv.tokenise(pa.array(["SUBJ-1"]), ROOT, tenant="t", join_domain="d")[0].as_py()
PERMUTED = permute_blocks.tokenise(pa.array([7]), ROOT, tenant="t", join_domain="d")[0].as_py()
KEY = "3f0d5a3e-0000-4000-8000-000000000002:0:0:0"


class Reads:
    """A provider as far as the guard needs one."""

    def plain_form(self, payload: bytes) -> bytes:
        return payload


PROVIDER = cast("Backend", Reads())


def guard(payload: bytes, **how: Any) -> None:
    guard_payload(payload, PROVIDER, where="aer", **how)


def bell(angle: float = 0.5) -> QuantumCircuit:
    """Two qubits, one angle, both measured."""
    circuit = QuantumCircuit(2, 2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


GOOD = encode([bell()], 64)
STEP = 1e-6
HALF = struct.pack("<d", 0.5)
HEAD = f"64\n{VERSION}\n"


# --- what is honest passes


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(sorted(gate_shapes())), st.randoms(use_true_random=False)), min_size=1, max_size=12),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 1_000_000),
)
def test_every_gate_on_every_place_passes(circuits: list[list[tuple[str, random.Random]]], shots: int) -> None:
    """Any circuits of standard gates with any angles up to the bound, as they are encoded, at any number of shots."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    made = []
    for gates in circuits:
        circuit = QuantumCircuit(5, 3)
        for name, draw in gates:
            qubits, clbits, angles = gate_shapes()[name]
            operation = get_standard_gate_name_mapping()[name]
            if angles:
                operation = operation.base_class(*(draw.uniform(-LARGEST_ANGLE, LARGEST_ANGLE) for _ in range(angles)))
            circuit.append(operation, draw.sample(range(5), qubits), draw.sample(range(3), clbits))
        made.append(circuit)
    guard(encode(made, shots))


def test_a_million_random_angles_hold_nothing() -> None:
    """Decimals of random doubles contain card numbers and everything else of 16 digits: none is taken for an identifier or a token."""
    draw = random.Random(20260101)
    tokens = [
        pa.array([draw.randrange(-(2**63), 2**63) for _ in range(1000)], pa.int64()),
        pa.array([f"{draw.randrange(10**16):016d}" for _ in range(1000)]),
    ]
    angles = [draw.uniform(-LARGEST_ANGLE, LARGEST_ANGLE) * 10.0 ** -draw.randrange(12) for _ in range(1_000_000)]
    gates = ",".join(f'["ry",[{place}],[]]' for place in range(20))
    payload = f"1000000\n{VERSION}\n[[30,30,[{gates}]]]\n[[0,50000]]\n".encode() + struct.pack("<1000000d", *angles)
    assert kinds_in(words_of(payload), tokens) == []
    assert fault_in(payload) == ""
    # In version 1 they stood in the text, and a provider's own form may have them there.
    assert kinds_in("1000000\n" + ",".join(map(repr, angles)), tokens) == []


def test_columns_of_tokens_are_not_read_for_honest_circuits() -> None:
    """Comparing with ten million tokens would cost seconds a round: they are only looked at where a word could be one."""

    def forbidden() -> Any:
        raise AssertionError("read")
        yield  # a generator that must never start

    guard(encode([bell()], 100_000), tokens=forbidden())


def test_the_bound_itself_passes() -> None:
    """The largest angle passes on both sides of zero, the next double does not; the smallest is an angle too, and minus zero is sent as zero."""
    for angle in (LARGEST_ANGLE, -LARGEST_ANGLE, 0.0, -0.0, 5e-324, math.pi, 1e-300):
        guard(encode([bell(angle)], 64))
    for angle in (math.nextafter(LARGEST_ANGLE, math.inf), -math.nextafter(LARGEST_ANGLE, math.inf), 1e300):
        with pytest.raises(DataRefused, match="an angle is beyond 804"):
            guard(encode([bell(angle)], 64))


# --- what a workload can put into a circuit does not come out of it


def in_circuit(change: Callable[[str], QuantumCircuit]) -> Callable[[str], bytes]:
    return lambda secret: encode([change(secret)], 64)


def registers(secret: str) -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(1, f"q_{secret}"), ClassicalRegister(1, f"c_{secret}"), name=secret, metadata={"patient": secret})
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


def labels(secret: str) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.append(RXGate(0.5, label=secret), [0])
    circuit.barrier(label=secret)
    circuit.measure(0, 0)
    return circuit


def parameter_name(secret: str) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter(f"p_{secret}"), 0)
    circuit.measure(0, 0)
    return circuit.assign_parameters([0.5])


def custom_gate(secret: str) -> QuantumCircuit:
    circuit, inner = QuantumCircuit(1, 1), QuantumCircuit(1, name=secret)
    inner.x(0)
    circuit.append(inner.to_gate(label=secret), [0])
    gate = Gate(secret, 1, [], label=secret)
    gate.definition = inner
    circuit.append(gate, [0])
    circuit.measure(0, 0)
    return circuit


def global_phase(secret: str) -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1, global_phase=sum(secret.encode()))
    circuit.append(GlobalPhaseGate(float(sum(secret.encode()))), [])
    circuit.h(0)
    circuit.measure(0, 0)
    return circuit


@pytest.mark.parametrize("attack", [registers, labels, parameter_name, custom_gate, global_phase])
@pytest.mark.parametrize("secret", [CMAC, SIV, PERMUTED, "NAME-canary", "a@b.example"])
def test_names_have_no_place_in_a_payload(attack: Callable[[str], QuantumCircuit], secret: str) -> None:
    """Register, circuit, gate, label and parameter names, metadata and global phases are gone before the guard looks, which then passes it."""
    payload = encode([attack(secret)], 64)
    assert secret.encode() not in payload
    assert str(sum(secret.encode())).encode() not in payload.partition(b"\n")[2]
    assert struct.pack("<d", sum(secret.encode())) not in payload
    guard(payload)


# --- what somebody writes into a payload by other means is refused


def put(old: bytes, new: bytes) -> Callable[[str], bytes]:
    assert old in GOOD

    def make(secret: str) -> bytes:
        return GOOD.replace(old, new.replace(b"SECRET", secret.encode()), 1)

    return make


SMUGGLED: dict[str, Callable[[str], bytes]] = {
    "gate_name": put(b'"ry"', b'"SECRET"'),
    "gate_name_in_another_case": lambda secret: put(b'"ry"', b'"SECRET"')(secret.upper()),
    "name_for_a_qubit": put(b'"ry",[0]', b'"ry",["SECRET"]'),
    "name_for_an_angle": put(HALF, b"SECRET"),
    "name_beside_the_angles": put(HALF, HALF + b"SECRET"),
    "name_before_the_angles": put(HALF, b"SECRET" + HALF),
    "name_beside_the_gates": put(b"[[2,2,", b'[["SECRET",2,2,'),
    "metadata": put(b"[[2,2,", b'[{"patient":"SECRET"},[2,2,'),
    "in_the_version": put(b"circuits/2", b"circuits/2SECRET"),
    "for_the_version": put(VERSION.encode(), b"SECRET"),
    "for_the_runs": put(b"[[0,1]]", b'"SECRET"'),
    "in_the_runs": put(b"[[0,1]]", b'[[0,1,"SECRET"]]'),
    "behind_the_runs": put(b"[[0,1]]", b"[[0,1]]SECRET"),
    "a_line_more": put(b"[[0,1]]\n", b"[[0,1]]\nSECRET\n"),
    "a_line_between": put(b"[[0,1]]\n", b"SECRET\n[[0,1]]\n"),
    "before_the_shots": lambda secret: f"{secret}\n".encode() + GOOD,
    "for_the_shots": lambda secret: GOOD.replace(b"64", secret.encode(), 1),
    "behind_the_payload": lambda secret: GOOD + secret.encode(),
    "behind_a_line_end": lambda secret: GOOD + b"\n" + secret.encode(),
    "as_a_comment": put(b"[[2", b"[/*SECRET*/[2"),
    "second_payload_behind_it": lambda secret: GOOD + put(b'"ry"', b'"SECRET"')(secret),
    "alone": lambda secret: secret.encode(),
}


@pytest.mark.parametrize("attack", SMUGGLED)
@pytest.mark.parametrize("secret", [CMAC, SIV, PERMUTED, "NAME-canary", "jane.doe@hospital.example"])
def test_text_is_refused_and_not_repeated(attack: str, secret: str) -> None:
    """A token, a name or an address, wherever it stands: one DataRefused with the backend, and nothing of it in the error."""
    with pytest.raises(DataRefused) as caught:
        guard(SMUGGLED[attack](secret))
    assert caught.value.where == "boundary: aer"
    assert caught.value.advice
    assert secret.lower() not in str(caught.value).lower()
    assert caught.value.__cause__ is None and (caught.value.__context__ is None or caught.value.__suppress_context__)


@pytest.mark.parametrize("token", [CMAC, SIV, PERMUTED, SIV.upper(), PERMUTED.upper(), CMAC.replace("c1_", "c12_"), SIV.replace("s1_", "s9999_")])
@pytest.mark.parametrize("around", ["{}", "q_{}", '"{}"', "x={};", "OPENQASM 3; qubit {}; h {};"])
def test_tokens_are_found_in_any_text(token: str, around: str) -> None:
    """Any version, any case, in any surroundings, also in a language that is no gate list: a second net behind the structure."""
    assert kinds_in(around.replace("{}", token))[0] == "a token"


def test_tokens_without_a_form_are_found_by_comparison() -> None:
    """Format-preserving and permuted tokens of this run, as text, as a whole number and as the whole part of an angle."""
    formless = [pa.array(["4929123412341234", None, "KXWQPRTA"]), pa.array([-8_123_456_789_012_345_678, 712_345_678_901], pa.int64())]
    for held in ("4929123412341234", '"KXWQPRTA"', "-8123456789012345678", "712345678901", "712345678901.25", "4929123412341234.5e0"):
        assert "a token" in kinds_in(f"{HEAD}[[2,2,[[{held}]]]]", formless), held
    assert "a token" not in kinds_in(f"{HEAD}[[2,2,[[4929123412341235]]]]", formless)
    assert "a token" not in kinds_in(f"{HEAD}[[2,2,[[0.4929123412341234]]]]", formless)  # as the docstring says: an angle's digits are its own


# Numbers that their issuers publish as examples; nobody's.
IDENTIFIERS = ["jane.doe@hospital.example", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "4111 1111 1111 1111", "+49 30 901820"]


@pytest.mark.parametrize("identifier", IDENTIFIERS)
@pytest.mark.parametrize("around", [HEAD + '[[2,2,[["{}",[0],[]]]]]', "OPENQASM 3; // {}\nqubit q;", "{}"])
def test_identifiers_are_found_in_any_text(identifier: str, around: str) -> None:
    """The detector that watches kept columns watches what leaves as well; it names the kind and nothing else."""
    found = kinds_in(around.replace("{}", identifier))
    assert [kind for kind in found if kind.startswith("an identifier (")] != []
    assert identifier not in str(found)


def test_large_numbers_are_no_places() -> None:
    """Whole numbers name qubits and bits of this circuit, templates and how many circuits they have, and nothing else: an account number is none."""
    for old, new in (
        ("[0,1]", "[0,1300000021]"),
        ("[0,1]", "[1,1]"),
        ("[0,1]", "[0]"),
        ("[0,1]", "[0,1,1]"),
        ("[0,1]", "[0,-1]"),
        ("[0,1]", "[0,2]"),
        ("[[0,1]]", "[[0,1300000021]]"),
        ("[[0,1]]", "[[1300000021,1]]"),
        ("[[0,1]]", "[[0,2]]"),
        ("[[0,1]]", "[[0,0]]"),
        ("[[0,1]]", "[[0,-1]]"),
        ("[[0,1]]", "[[0]]"),
        ("[[0,1]]", "[[0,1,1]]"),
        ("[[0,1]]", "[[0,1],[0,1]]"),
        ("[[0,1]]", "[]"),
    ):
        assert old.encode() in GOOD
        with pytest.raises(DataRefused):
            guard(GOOD.replace(old.encode(), new.encode(), 1))
    for head in ("0,2", "2000000,2", "02,2", "2,02", "2,2 ", "100001,2", "2,100001", "2"):
        with pytest.raises(DataRefused):
            guard(GOOD.replace(b"[[2,2,", f"[[{head},".encode(), 1))


# Every one says the same to a lenient reader: room for a message between two spellings.
LONGER = ["00", "+0", "0 ", " 0", "0,", "0.0", "0e0", "-0", "false", '"0"', "0x0", "0_0"]


@pytest.mark.parametrize("spelling", LONGER)
@pytest.mark.parametrize("place", [b'"ry",[0', b"[[0"], ids=["qubit", "run"])
def test_a_whole_number_has_one_spelling(spelling: str, place: bytes) -> None:
    """Leading zeros, signs, fractions, exponents, blanks and what JSON also reads as zero are refused."""
    assert place in GOOD
    with pytest.raises(DataRefused):
        guard(GOOD.replace(place, place[:-1] + spelling.encode(), 1))


NO_ANGLES = {
    "not-a-number": struct.pack("<d", math.nan),
    "not-a-number-with-a-message": b"\x53\x45\x43\x52\x45\x54\xf8\x7f",
    "signalling": b"\x01\x00\x00\x00\x00\x00\xf0\x7f",
    "infinity": struct.pack("<d", math.inf),
    "minus-infinity": struct.pack("<d", -math.inf),
    "minus-zero": struct.pack("<d", -0.0),
    "half-in-big-endian-and-a-half": struct.pack(">d", 0.5) + HALF,
    "single-precision": struct.pack("<f", 0.5),
    "too-short": HALF[1:],
    "too-long": HALF + b"\0",
    "none": b"",
    "text": b"0.5",
}


@pytest.mark.parametrize("name", NO_ANGLES)
def test_an_angle_has_one_spelling(name: str) -> None:
    """Eight bytes a number; what is no finite one, or the other zero, is refused."""
    assert GOOD.endswith(HALF)
    with pytest.raises(DataRefused):
        guard(GOOD.removesuffix(HALF) + NO_ANGLES[name])


@pytest.mark.parametrize("shots", ["", "0", "-1", "064", "64 ", "6.4e1", "64.0", "99999999", "٦٤", "64\r", "1000000000000"])
def test_shots_are_a_number_in_range(shots: str) -> None:
    """The first line is the number of shots in its one spelling."""
    assert fault_in(shots.encode() + b"\n" + GOOD.partition(b"\n")[2]) != ""


NO_CIRCUITS = {
    "nothing": b"",
    "shots-only": b"64",
    "one-line": b"64\n",
    "no-version": b"64\n[[2,2,[]]]\n[[0,1]]\n",
    "version-1": b'64\n[[2,2,[["ry",[0],[],[0.5]]]]]',
    "no-templates": f"{HEAD}[]\n[]\n".encode(),
    "an-object": f"{HEAD}{{}}\n[[0,1]]\n".encode(),
    "nested": f"{HEAD}{'[' * 100_000}\n[[0,1]]\n".encode(),
    "nested-and-closed": f"{HEAD}{'[' * 100_000}{']' * 100_000}\n[[0,1]]\n".encode(),
    "nested-runs": f"{HEAD}[[2,2,[]]]\n{'[' * 100_000}\n".encode(),
    "no-runs": f"{HEAD}[[2,2,[]]]\n".encode(),
    "cut": f"{HEAD}[[2,2".encode(),
    "cut-angle": GOOD[:-1],
    "bracket-more": GOOD + b"]",
    "twice": GOOD * 2,
    "line-ends-of-others": GOOD.replace(b"\n", b"\r\n"),
    "byte-order-mark": b"\xef\xbb\xbf" + GOOD,
    "bit-of-utf-16": HEAD.encode() + "[[2,2,[]]]".encode("utf-16-le") + b"\n[[0,1]]\n",
}


@pytest.mark.parametrize("name", NO_CIRCUITS)
def test_what_is_no_list_of_circuits(name: str) -> None:
    """Cut off, nested, repeated or empty: refused without a traceback."""
    with pytest.raises(DataRefused):
        guard(NO_CIRCUITS[name])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_changed_character_gives_other_circuits_or_is_refused(data: st.DataObject) -> None:
    """Whatever passes is read by a JSON parser as circuits that are written in exactly these bytes."""
    place = data.draw(st.integers(0, len(GOOD)))
    payload = GOOD[:place] + data.draw(st.binary(max_size=2)) + GOOD[place + data.draw(st.integers(0, 2)) :]
    if fault_in(payload) == "":
        shots, version, templates, runs, table = payload.split(b"\n", 4)
        assert str(int(shots)).encode() == shots and version == VERSION.encode()
        for line in (templates, runs):
            assert json.dumps(json.loads(line), separators=(",", ":")).encode() == line
        assert {operation[0] for circuit in json.loads(templates) for operation in circuit[2]} <= set(gate_shapes())
        assert len(table) % 8 == 0


class Mute:
    """A provider of an older make: it has no way to say how its payload reads."""


class Fails:
    """A provider whose reading fails with a text that quotes the payload."""

    def plain_form(self, payload: bytes) -> bytes:
        raise ValueError(payload.decode("latin-1"))


class Answers:
    """A provider that gives something else than bytes."""

    def plain_form(self, payload: bytes) -> Any:
        return payload.decode()


@pytest.mark.parametrize("provider", [Mute(), Fails(), Answers()])
def test_a_provider_that_can_not_say_how_it_reads(provider: object) -> None:
    """What nobody can read does not leave, and the provider's own error stays inside."""
    with pytest.raises(DataRefused, match="can't say how it reads") as caught:
        guard_payload(b"CANARY", cast("Backend", provider), where="own")
    assert "CANARY" not in repr(caught.value)


@pytest.mark.parametrize(
    "key", ["", "run-7:0:0:0", KEY + ":1", KEY.upper(), f"{CMAC}:0:0:0", KEY.replace(":0:0:0", ":0:0:" + CMAC), KEY + "\n", KEY.replace("-", "")]
)
def test_a_key_of_another_form(key: str) -> None:
    """The only name that goes with a job is run, round, job and attempt; nothing else is sent as one, or repeated in the refusal."""
    require_key(KEY, "aer")
    with pytest.raises(DataRefused, match="not of our own form") as caught:
        require_key(key, "aer")
    assert not key or key not in str(caught.value)


def test_an_angle_off_the_grid_is_refused() -> None:
    """Where the plan puts angles on a grid, a payload with another angle is none that this run made: digits behind the grid do not leave."""
    on = encode([bell(0.5), bell(123_457 * STEP)], 64)
    guard(on, step=STEP)
    for angle in (0.5 + 2**-40, math.nextafter(0.5, 1), 0.1234567, 2.1 * math.pi):
        off = encode([bell(0.5), bell(angle)], 64)
        guard(off)
        with pytest.raises(DataRefused, match=r"an angle is not on the grid of execution\.angle_step") as caught:
            guard(off, step=STEP)
        assert str(angle) not in str(caught.value)
    with pytest.raises(DataRefused, match="an angle is beyond 804"):
        guard(encode([bell(20260101.0)], 64), step=STEP)
