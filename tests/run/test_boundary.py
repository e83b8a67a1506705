"""The boundary guard: honest circuits pass, whatever their angles; nothing else does, and no refusal repeats what it found."""

from __future__ import annotations

import json
import math
import random
import zlib
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
from prefect_gatehouse.providers.interface import Provider
from prefect_gatehouse.run.boundary import LARGEST_ANGLE, fault_in, guard_payload, kinds_in, require_key
from prefect_gatehouse.tokens import cmac, permute_blocks, siv
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.workload.gates import gate_shapes
from tests.support.circuits import encode

ROOT = RootKey(bytes(range(32)))
CMAC = cmac.tokenise(pa.array(["SUBJ-1"]), ROOT, tenant="t", join_domain="d")[0].as_py()
SIV = siv.tokenise(pa.array(["SUBJ-1"]), ROOT, tenant="t", join_domain="d")[0].as_py()
PERMUTED = permute_blocks.tokenise(pa.array([7]), ROOT, tenant="t", join_domain="d")[0].as_py()
KEY = "3f0d5a3e-0000-4000-8000-000000000002:0:0:0"


class Reads:
    """A provider as far as the guard needs one."""

    def payload_text(self, payload: bytes) -> str:
        return text_of(payload)


PROVIDER = cast("Provider", Reads())


def guard(payload: bytes, **how: Any) -> None:
    guard_payload(payload, PROVIDER, where="aer", **how)


def bell(angle: float = 0.5) -> QuantumCircuit:
    """Two qubits, one angle, both measured."""
    circuit = QuantumCircuit(2, 2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def packed(text: str) -> bytes:
    return zlib.compress(text.encode())


GOOD = text_of(encode([bell()], 64))


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
    gates = ",".join(f'["ry",[{place % 30}],[],[{angle!r}]]' for place, angle in enumerate(angles))
    text = f"1000000\n[[30,30,[{gates}]]]"
    assert kinds_in(text, tokens) == []
    assert fault_in(text) == ""


def test_columns_of_tokens_are_not_read_for_honest_circuits() -> None:
    """Comparing with ten million tokens would cost seconds a round: they are only looked at where a word could be one."""

    def forbidden() -> Any:
        raise AssertionError("read")
        yield  # a generator that must never start

    guard(encode([bell()], 100_000), tokens=forbidden())


def test_the_bound_itself_passes() -> None:
    """The largest angle passes on both sides of zero, the next double does not; smallest and negative zero are angles too."""
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
    assert secret not in text_of(payload)
    assert str(float(sum(secret.encode()))) not in text_of(payload)
    guard(payload)


# --- what somebody writes into a payload by other means is refused


def put(old: str, new: str) -> Callable[[str], bytes]:
    assert old in GOOD

    def make(secret: str) -> bytes:
        return packed(GOOD.replace(old, new.replace("SECRET", secret), 1))

    return make


SMUGGLED: dict[str, Callable[[str], bytes]] = {
    "gate_name": put('"ry"', '"SECRET"'),
    "gate_name_in_another_case": lambda secret: put('"ry"', '"SECRET"')(secret.upper()),
    "name_for_an_angle": put("0.5", '"SECRET"'),
    "name_beside_the_angles": put("[0.5]", '[0.5],"SECRET"'),
    "name_beside_the_gates": put("[[2,2,", '[["SECRET",2,2,'),
    "metadata": put("[[2,2,", '[{"patient":"SECRET"},[2,2,'),
    "before_the_shots": lambda secret: packed(f"{secret}\n{GOOD}"),
    "for_the_shots": lambda secret: packed(GOOD.replace("64", secret, 1)),
    "behind_the_circuits": lambda secret: packed(f"{GOOD}{secret}"),
    "behind_a_line_end": lambda secret: packed(f"{GOOD}\n{secret}"),
    "as_a_comment": lambda secret: packed(GOOD.replace("[[", f"[/*{secret}*/[", 1)),
    "behind_the_payload": lambda secret: packed(GOOD) + secret.encode(),
    "second_payload_behind_it": lambda secret: packed(GOOD) + packed(secret),
    "not_compressed": lambda secret: secret.encode(),
    "alone": packed,
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
        assert "a token" in kinds_in(f"64\n[[2,2,[[{held}]]]]", formless), held
    assert "a token" not in kinds_in("64\n[[2,2,[[4929123412341235]]]]", formless)
    assert "a token" not in kinds_in("64\n[[2,2,[[0.4929123412341234]]]]", formless)  # as the docstring says: an angle's digits are its own


# Numbers that their issuers publish as examples; nobody's.
IDENTIFIERS = ["jane.doe@hospital.example", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "4111 1111 1111 1111", "+49 30 901820"]


@pytest.mark.parametrize("identifier", IDENTIFIERS)
@pytest.mark.parametrize("around", ['64\n[[2,2,[["{}",[0],[],[0.5]]]]]', "OPENQASM 3; // {}\nqubit q;", "{}"])
def test_identifiers_are_found_in_any_text(identifier: str, around: str) -> None:
    """The detector that watches kept columns watches what leaves as well; it names the kind and nothing else."""
    found = kinds_in(around.replace("{}", identifier))
    assert [kind for kind in found if kind.startswith("an identifier (")] != []
    assert identifier not in str(found)


def test_large_numbers_are_no_places() -> None:
    """Whole numbers name qubits and bits of this circuit, and nothing else: an account number is none."""
    for old, new in (
        ("[0,1]", "[0,1300000021]"),
        ("[0,1]", "[1,1]"),
        ("[0,1]", "[0]"),
        ("[0,1]", "[0,1,1]"),
        ("[0,1]", "[0,-1]"),
        ("[0,1]", "[0,2]"),
    ):
        with pytest.raises(DataRefused):
            guard(packed(GOOD.replace(old, new, 1)))
    for head in ("0,2", "2000000,2", "02,2", "2,02", "2,2 ", "100001,2", "2,100001", "2"):
        with pytest.raises(DataRefused):
            guard(packed(GOOD.replace("[[2,2,", f"[[{head},", 1)))


# Every one says the same to a lenient reader: room for a message between two spellings.
LONGER = ["0.50", "+0.5", "5e-1", ".5", "00.5", "0.5 ", " 0.5", "0.5,", "5E-1", "0.500000000000000001", "1_0.0"]
NO_ANGLES = ["1e400", "NaN", "Infinity", "-Infinity", "5", ""]


@pytest.mark.parametrize("spelling", LONGER + NO_ANGLES)
def test_an_angle_has_one_spelling(spelling: str) -> None:
    """Digits beyond a double, other exponents, blanks and what is no finite number are refused."""
    with pytest.raises(DataRefused):
        guard(packed(GOOD.replace("0.5", spelling, 1)))


@pytest.mark.parametrize("shots", ["", "0", "-1", "064", "64 ", "6.4e1", "64.0", "99999999", "٦٤", "64\r", "1000000000000"])
def test_shots_are_a_number_in_range(shots: str) -> None:
    """The first line is the number of shots in its one spelling."""
    assert fault_in(f"{shots}\n{GOOD.partition(chr(10))[2]}") != ""


@pytest.mark.parametrize(
    "text", ["", "64", "64\n", "64\n[]", "64\n{}", "64\n[[2,2,[]]]", "64\n" + "[" * 100_000, "64\n[[2,2", GOOD[:-1], GOOD + "]", GOOD * 2]
)
def test_what_is_no_list_of_circuits(text: str) -> None:
    """Cut off, nested, repeated or empty: refused without a traceback."""
    with pytest.raises(DataRefused):
        guard(packed(text))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_one_changed_character_gives_other_circuits_or_is_refused(data: st.DataObject) -> None:
    """Whatever passes is read by a JSON parser as circuits that are written in exactly these characters."""
    place = data.draw(st.integers(0, len(GOOD)))
    text = GOOD[:place] + data.draw(st.text(max_size=2)) + GOOD[place + data.draw(st.integers(0, 2)) :]
    if fault_in(text) == "":
        shots, _, listed = text.partition("\n")
        assert str(int(shots)) == shots
        assert json.dumps(json.loads(listed), separators=(",", ":")) == listed
        assert {operation[0] for circuit in json.loads(listed) for operation in circuit[2]} <= set(gate_shapes())


class Mute:
    """A provider of an older make: it has no way to say how its payload reads."""


class Fails:
    """A provider whose reading fails with a text that quotes the payload."""

    def payload_text(self, payload: bytes) -> str:
        raise ValueError(payload.decode("latin-1"))


class Answers:
    """A provider that gives something else than text."""

    def payload_text(self, payload: bytes) -> Any:
        return payload


@pytest.mark.parametrize("provider", [Mute(), Fails(), Answers()])
def test_a_provider_that_can_not_say_how_it_reads(provider: object) -> None:
    """What nobody can read does not leave, and the provider's own error stays inside."""
    with pytest.raises(DataRefused, match="can't say how it reads") as caught:
        guard_payload(b"CANARY", cast("Provider", provider), where="own")
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
