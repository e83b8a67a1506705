"""A backend of this installation under the suite of providers: with the block that an administrator filled in, and no run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect_gatehouse.data.scratch import scratch_home
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.providers.conformance.bench import Bench, Extent
from prefect_gatehouse.providers.conformance.subject import Leases, subject_of
from prefect_gatehouse.providers.registry import block_of, is_installed
from prefect_gatehouse.settings import Settings


@contextmanager
def leases_of(credential: str | None, settings: Settings) -> Iterator[Leases]:
    """Leases of a block's secret, outside any run: somebody at the command line asks a provider in their own name.

    Args:
        credential: The block's reference; None where the backend needs none.
        settings: The installation.
    """
    from prefect_gatehouse.blocks.reader import read_secret

    leases = Leases(credential, lambda: read_secret(credential) if credential is not None else None, settings.environment)
    try:
        yield leases
    finally:
        leases.end()


@contextmanager
def bench_for(settings: Settings, name: str, credential: str | None, extent: Extent) -> Iterator[Bench]:
    """What the checks run on; what is kept on this side goes with it, and every job is deleted.

    Raises:
        InputError: There is no such backend, or its jobs cost money and nobody said how much they may.
        Unavailable: Its block is missing, or the provider does not answer.
    """
    from prefect_gatehouse.blocks.devices import read_settings

    block = block_of(name)
    if not is_installed(name):
        raise InputError(f"there is no backend {name}", where="NAME", advice="name one as a manifest does, such as aer or braket/NAME")
    with scratch_home() as folder, leases_of(credential, settings) as leases:
        bench = Bench(subject_of(name, folder / "jobs", read_settings(block[0]) if block is not None else {}, leases, settings.prices), extent)
        one = bench.backend.price(1, extent.shots, bench.lease)
        if one and not extent.most_usd:
            advice = "say with --most-usd what all its jobs may cost at worst"
            raise InputError(f"a circuit of {extent.shots} shots may cost {one} USD here", where=name, advice=advice)
        try:
            yield bench
        finally:
            bench.close()
