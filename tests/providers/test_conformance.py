"""The suite of providers: ours pass it, and it names what a wrong one does wrong."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefect_gatehouse.errors import GatehouseError, InputError
from prefect_gatehouse.providers.conformance import counting
from prefect_gatehouse.providers.conformance.bench import Bench, Extent, Subject
from prefect_gatehouse.providers.conformance.bounds import distance, nearest_wrong, order_bound
from prefect_gatehouse.providers.conformance.suite import CHECKS, run
from prefect_gatehouse.providers.interface import Connection, JobResult
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.store.run_keys import RunKeysInMemory
from prefect_gatehouse.testing import braket_emulator, ibm_emulator
from prefect_gatehouse.testing.braket import ANKAA, FORTE, MACHINE
from prefect_gatehouse.testing.conformance import bench_of, subject_of, with_secret
from tests.providers.circuits import LEASE

# How many circuits; of Garnet two tasks. Ions take one circuit a task.
OURS = {"aer": 4000, "braket-local": 30, "braket/garnet-eu": 60, "braket/ankaa": 10, "braket/forte": 5, "ibm/torino": 60}
ON_BRAKET = {"braket/garnet-eu": MACHINE, "braket/ankaa": ANKAA, "braket/forte": FORTE}


@pytest.fixture(scope="module", params=OURS)
def conformance_bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Each of our backends in turn, as an outsider takes the plugin; the machine is the emulator's, and errs as its calibration says."""
    name, folder = request.param, tmp_path_factory.mktemp("jobs")
    settings, leases = {}, None
    with ExitStack() as open_:
        if name.startswith("ibm/"):
            ibm = open_.enter_context(ibm_emulator())
            settings, leases = ibm.settings(), with_secret(ibm.credential)
        if name.startswith("braket/"):
            braket = open_.enter_context(braket_emulator(maximum_executables=50))
            braket.create_bucket("conformance")
            settings, leases = braket.settings("conformance", ON_BRAKET[name]), with_secret(braket.credential)
        subject = subject_of(name, folder, settings, leases)
        with bench_of(subject, circuits=OURS[name], most_usd=1_000_000, patience_seconds=120) as bench:
            yield bench
    assert (bench.left, bench.refused) == ([], [])


def test_conforms(conformance_check: Callable[[], None]) -> None:
    """Every check by its name."""
    conformance_check()


def rewritten(result: JobResult, change: Callable[[str], str]) -> JobResult:
    counts: list[dict[str, int]] = []
    for each in result.counts:
        made: dict[str, int] = {}
        for key, value in each.items():
            made[change(key)] = made.get(change(key), 0) + value
        counts.append(made)
    return replace(result, counts=tuple(counts))


class ReversesBits(AerBackend):
    def result(self, *args: Any, **more: Any) -> JobResult:
        return rewritten(super().result(*args, **more), lambda key: key[::-1])


class ErrsAndReverses(ReversesBits):
    """A device: one shot in ten has lost its last bit."""

    def facts(self, lease: Any) -> Any:
        return replace(super().facts(lease), simulator=False)

    def result(self, *args: Any, **more: Any) -> JobResult:
        found = super().result(*args, **more)
        counts: list[dict[str, int]] = []
        for each in found.counts:
            made: dict[str, int] = {}
            for key, value in each.items():
                other = key[:-1] + ("1" if key[-1] == "0" else "0")
                for bits, part in ((key, value - value // 10), (other, value // 10)):
                    if part:
                        made[bits] = made.get(bits, 0) + part
            counts.append(made)
        return replace(found, counts=tuple(counts))


class SwapsTwoBits(AerBackend):
    """Only the two lowest of three: what counts of a symmetric circuit would never tell."""

    def result(self, *args: Any, **more: Any) -> JobResult:
        return rewritten(super().result(*args, **more), lambda key: key[0] + key[2] + key[1] if len(key) == 3 else key)


class DropsZeros(AerBackend):
    def result(self, *args: Any, **more: Any) -> JobResult:
        return rewritten(super().result(*args, **more), lambda key: key.lstrip("0") or "0")


class Unordered(AerBackend):
    def result(self, *args: Any, **more: Any) -> JobResult:
        found = super().result(*args, **more)
        return replace(found, counts=found.counts[::-1])


class TwoJobsForAKey(AerBackend):
    def submit(self, payload: bytes, key: str, lease: Any) -> str:
        return super().submit(payload, f"{key}:{uuid.uuid4()}", lease)


class TakesOtherBytes(AerBackend):
    def submit(self, payload: bytes, key: str, lease: Any) -> str:
        self.delete(self._jobs.handle_of(key), lease)
        return super().submit(payload, key, lease)


class ForeignError(AerBackend):
    def result(self, handle: str, *args: Any, **more: Any) -> JobResult:
        try:
            return super().result(handle, *args, **more)
        except GatehouseError:
            raise KeyError(handle) from None


class Renames(AerBackend):
    """Prepares circuits whose measurements go into other bits."""

    def prepare(self, batch: Any, shots: int, lease: Any) -> Any:
        found = super().prepare(batch, shots, lease)
        turned = tuple(
            replace(each, gates=tuple((name, qubits, tuple(each.clbits - 1 - bit for bit in bits)) for name, qubits, bits in each.gates))
            for each in batch.templates
        )
        return replace(found, batch=replace(batch, templates=turned))


WRONG: dict[str, tuple[type[AerBackend], set[str]]] = {
    "reverses-bits": (ReversesBits, {"bit-order", "asymmetric-circuits", "subsets-of-qubits", "sparse-bits", "several-registers", "many-circuits"}),
    "errs-and-reverses-bits": (ErrsAndReverses, {"bit-order", "asymmetric-circuits", "several-registers", "many-circuits"}),
    "swaps-two-bits": (SwapsTwoBits, {"bit-order", "asymmetric-circuits"}),
    "drops-leading-zeros": (DropsZeros, {"bit-order", "several-registers", "zero-angles"}),
    "loses-the-order": (Unordered, {"bit-order", "mixed-templates", "many-circuits"}),
    "two-jobs-for-a-key": (TwoJobsForAKey, {"same-key"}),
    "other-bytes-under-a-key": (TakesOtherBytes, {"other-bytes"}),
    "foreign-error": (ForeignError, {"unknown-handle"}),
    "prepares-other-bits": (Renames, {"prepared-circuits"}),
}


@contextmanager
def benched(kind: type[AerBackend], folder: Path) -> Iterator[Bench]:
    sealer = RunKeysInMemory().obtain("conformance").sealer()
    bench = Bench(Subject("aer", lambda: kind(Connection(folder, sealer)), lambda: LEASE), Extent(circuits=20))
    yield bench
    bench.close()


@pytest.mark.parametrize("name", WRONG)
def test_what_a_wrong_provider_does_is_named(name: str, tmp_path: Path) -> None:
    """The check that is about it fails, and the checks that are not about it hold."""
    kind, expected = WRONG[name]
    apart = {"facts", "price", "payload", "refusals"}
    asked = expected | apart | {"same-key", "other-bytes"}
    with benched(kind, tmp_path) as bench:
        failed = {each.check: each.told for each in run(bench, sorted(asked)) if not each.passed}
    assert failed.keys() >= expected and not failed.keys() & apart, failed
    if name == "two-jobs-for-a-key":
        assert "has a second job" in failed["same-key"]
    if name == "foreign-error":
        assert failed["unknown-handle"] == "KeyError comes out of the backend; it has to raise the library's errors"


def permuted(ideal: Mapping[str, float], order: tuple[int, ...]) -> dict[str, float]:
    return {"".join(key[place] for place in order): value for key, value in ideal.items()}


@pytest.mark.parametrize("number", range(2))
def test_no_other_order_of_bits_passes(number: int) -> None:
    """Whatever the order, counts drawn from it are beyond the bound that a device which errs is held to; counts of the right one are within both."""
    right = counting.ideal(counting.asymmetric()[number])
    loose, strict = (order_bound(right, 1000, noisy=noisy) for noisy in (True, False))
    assert strict < loose == nearest_wrong(right) / 2
    random = np.random.default_rng(number)
    for order in itertools.permutations(range(3)):
        for _ in range(20):
            turned = permuted(right, order)
            drawn = random.multinomial(1000, np.array(list(turned.values())) / sum(turned.values()))
            counts = {key: int(count) for key, count in zip(turned, drawn, strict=True) if count}
            found = distance(counts, right)
            assert (found <= strict) if order == (0, 1, 2) else (found > loose)


def test_too_few_shots_to_tell(tmp_path: Path) -> None:
    """A suite that could not see a wrong order says so instead of passing; a check that nobody knows is an error."""
    with pytest.raises(InputError, match="too few to tell"):
        order_bound(counting.ideal(counting.asymmetric()[0]), 20, noisy=False)
    with benched(AerBackend, tmp_path) as bench, pytest.raises(InputError, match="there is no check bit-odour"):
        list(run(bench, ["bit-odour"]))


class Dear(AerBackend):
    def price(self, circuits: int, shots: int, lease: Any) -> Any:
        from decimal import Decimal

        return Decimal(circuits)


def test_no_job_beyond_what_it_may_cost(tmp_path: Path) -> None:
    """The worst case of every job counts before it is made."""
    from decimal import Decimal

    sealer = RunKeysInMemory().obtain("conformance").sealer()
    bench = Bench(Subject("aer", lambda: Dear(Connection(tmp_path, sealer)), lambda: LEASE), Extent(most_usd=Decimal(9)))
    (verdict,) = run(bench, ["bit-order"])
    assert not verdict.passed and "more than 9 USD" in verdict.told and bench.spent <= 9


def test_every_check_says_what_it_shows() -> None:
    """In one sentence, for the table."""
    assert all((check.__doc__ or "").strip() for check in CHECKS.values())
