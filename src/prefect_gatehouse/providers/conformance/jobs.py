"""Checks about jobs: one per key, found by it, refused where it must be, cancelled, deleted; and what a backend says of itself."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from prefect_gatehouse.errors import GatehouseError
from prefect_gatehouse.providers.conformance.bench import Bench, Nonconformant, batch_of, require
from prefect_gatehouse.providers.conformance.counting import flipped
from prefect_gatehouse.providers.interface import Described
from prefect_gatehouse.usd import is_amount
from prefect_gatehouse.workload import plain_form


def facts(bench: Bench) -> None:
    """What the backend is can be asked, and makes sense: its name, its size, its waits."""
    found = bench.facts
    require(found.name == bench.subject.name, f"it calls itself {found.name}")
    require(bool(found.provider and found.version), "it has no provider, or no version")
    require(found.qubits >= 1 and found.circuits_per_job >= 1, "it has no qubit, or takes no circuit in a job")
    require(found.fewest_shots >= 1, "it takes jobs without a shot")
    require(found.grace_seconds >= 0 and found.poll_seconds >= 0, "a wait is below zero")
    if isinstance(bench.backend, Described):
        told = bench.backend.described(bench.lease)
        require(told == bench.subject.connect().described(bench.lease), "it is described otherwise at once")  # type: ignore[attr-defined]


def price(bench: Bench) -> None:
    """The worst case is an amount of money, and more of anything is not cheaper."""
    little, more, most = (bench.backend.price(circuits, bench.shots(shots), bench.lease) for circuits, shots in ((1, 10), (1, 110), (2, 110)))
    require(all(type(each) is Decimal and is_amount(each) for each in (little, more, most)), "a price is no amount of money")
    require(little <= more <= most, f"more costs less: {little}, {more}, {most} USD")


def payload(bench: Bench) -> None:
    """Equal circuits are equal bytes whatever they are called; the plain form of the bytes is these circuits, and holds nothing else."""
    one, other = flipped(3, 0), flipped(3, 0)
    other.name, other.metadata = "CANARY", {"patient": "CANARY"}
    found = bench.payload([one])
    require(found == bench.payload([other]), "equal circuits have unequal payloads")
    require(b"CANARY" not in found, "a payload holds a circuit's name or metadata")
    try:
        plain = bench.backend.plain_form(found)
        require(plain == plain_form.write(plain_form.read(plain)[0], 100), "the plain form of a payload has another spelling, or other shots")
    except plain_form.Malformed as fault:
        raise Nonconformant(f"the plain form of a payload does not read: {fault}") from None
    require(
        plain == plain_form.write(bench.prepared(batch_of([one]), 100), 100), "the plain form of a payload is not the circuits that were prepared"
    )


def refusals(bench: Bench) -> None:
    """What can't be run is refused before there is a job: a circuit that measures nothing, and one that is too wide."""
    from qiskit import QuantumCircuit

    nothing = QuantumCircuit(1, 1)
    nothing.h(0)
    width = bench.facts.qubits + 1
    wide = QuantumCircuit(width, width)
    wide.h(0)
    for qubit in range(width - 1):
        wide.cx(qubit, qubit + 1)
    wide.measure(range(width), range(width))
    for circuit, what in ((nothing, "a circuit that measures nothing"), (wide, f"a circuit of {width} qubits")):
        key = bench.key()
        _refused(lambda circuit=circuit, key=key: bench.send(bench.backend, bench.payload([circuit]), key), what)  # type: ignore[misc]
        require(bench.backend.find_by_key(key, bench.lease) is None, f"{what} was refused, and has a job")


def state(bench: Bench) -> None:
    """Whether the device takes jobs can be asked; its queue is a number or unknown, and a calibration has a time."""
    found = bench.backend.state(bench.lease)
    require(type(found.online) is bool, "it does not say whether it takes jobs")
    require(found.queue is None or found.queue >= 0, "its queue is shorter than empty")
    require(isinstance(found.calibration, bytes), "its calibration is no bytes")
    require(found.calibrated is None or found.calibrated.tzinfo is not None, "the time of its calibration has no zone")


def many_statuses(bench: Bench) -> None:
    """Many jobs are asked for at once: each has the status that it has by itself, and a handle that no job has is left out or failed."""
    handles = [bench.submit([flipped(2, qubit)], bench.key()) for qubit in range(2)]
    for handle in handles:
        bench.wait(handle)
    strange = _other(handles[0])
    found = bench.backend.statuses([*handles, strange], bench.lease)
    require(all(handle in found and found[handle].state == "ready" for handle in handles), "a job that is ready is not told as ready")
    require(strange not in found or found[strange].state in {"failed", "cancelled"}, "a handle that no job has is told as a job")
    require(not set(found) - {*handles, strange}, "jobs are told of that nobody asked for")
    require(bench.backend.statuses([], bench.lease) == {}, "asked for nothing, it tells something")


def same_key(bench: Bench) -> None:
    """A key has one job, however often and from however many processes it is submitted, and is found by it; another key's is another."""
    key, circuits = bench.key(), [flipped(3, 1)]
    require(bench.backend.find_by_key(key, bench.lease) is None, "a key that nobody used has a job")
    handle = bench.submit(circuits, key)
    sent = bench.payload(circuits)
    for who, backend in (("the same object", bench.backend), ("another process", bench.subject.connect())):
        again = bench.send(backend, sent, key)
        require(again == handle, f"{who} submitted the same key and bytes again and has a second job")
        require(backend.find_by_key(key, bench.lease) == handle, f"{who} does not find the job by its key")
    other = bench.key()
    bench.reserve(1, 100)
    require(bench.send(bench.backend, sent, other) != handle, "two keys share a job")
    bench.wait(handle)
    first = bench.backend.result(handle, bench.lease).counts
    require(bench.subject.connect().result(handle, bench.lease).counts == first, "another process reads another result of the same job")
    require(bench.send(bench.backend, sent, key) == handle, "a key whose job has ended was given a second job")


def other_bytes(bench: Bench) -> None:
    """Other bytes under a key that has a job are refused; the job stays what it was."""
    key = bench.key()
    handle = bench.submit([flipped(2, 0)], key)
    other = bench.payload([flipped(2, 1)])
    _refused(lambda: bench.send(bench.backend, other, key), "another payload under the same key")
    require(bench.backend.find_by_key(key, bench.lease) == handle, "the key has lost its job")
    bench.wait(handle)
    (counts,) = bench.backend.result(handle, bench.lease).counts
    require(max(counts, key=lambda bits: counts[bits]) == "01", "the job ran other circuits than it was made with")


def unknown_handle(bench: Bench) -> None:
    """A handle that no job has is one error of the library's, or a job that failed; never a result, and never a foreign exception."""
    handle = bench.submit([flipped(1)], bench.key())
    strange = _other(handle)
    _refused(lambda: bench.backend.result(strange, bench.lease), "the result of a handle that no job has")
    try:
        state = bench.backend.status(strange, bench.lease).state
    except GatehouseError:
        return
    require(state in {"failed", "cancelled"}, f"a handle that no job has is {state}")


def cancel(bench: Bench) -> None:
    """A job that was cancelled gives no result, one that was too late to cancel gives its own, and both are told apart."""
    handle = bench.submit([flipped(1)], bench.key())
    cancelled = bench.backend.cancel(handle, bench.lease)
    require(type(cancelled) is bool, "cancelling does not say whether it did")
    if cancelled:
        state = bench.backend.status(handle, bench.lease).state
        require(state in {"cancelled", "failed", "running"}, f"a job that was cancelled is {state}")
        _refused(lambda: bench.backend.result(handle, bench.lease), "the result of a cancelled job")
    done = bench.submit([flipped(2, 1)], bench.key())
    bench.wait(done)
    counts = bench.backend.result(done, bench.lease).counts
    require(bench.backend.cancel(done, bench.lease) is False, "a job whose result was read counts as cancelled")
    require(bench.backend.result(done, bench.lease).counts == counts, "cancelling too late has changed the result")


def delete(bench: Bench) -> None:
    """A copy is gone, or the reason is told; deleting again is no error, and another job's copy stays."""
    one, other = (bench.submit([flipped(2, qubit)], bench.key()) for qubit in range(2))
    for handle in (one, other):
        bench.wait(handle)
    kept = bench.backend.result(other, bench.lease).counts
    told = bench.backend.delete(one, bench.lease)
    require(isinstance(told, str), "deleting does not say what came of it")
    if not told:
        _refused(lambda: bench.subject.connect().result(one, bench.lease), "the result of a deleted job")
        require(bench.backend.delete(one, bench.lease) == "", "deleting again tells another thing")
    require(bench.backend.result(other, bench.lease).counts == kept, "deleting one job has changed another")


def _refused(act: Callable[[], object], what: str) -> None:
    """That something ends in an error of the library's."""
    try:
        act()
    except GatehouseError:
        return
    raise Nonconformant(f"{what} is taken")


def _other(handle: str) -> str:
    """A handle of the same form: its last digit is another one."""
    place = max((place for place, each in enumerate(handle) if each.isdigit()), default=None)
    if place is None:
        return handle + "0"
    return handle[:place] + ("1" if handle[place] != "1" else "2") + handle[place + 1 :]
