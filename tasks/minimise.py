"""Gate 2: only allow-listed columns are left, tokenised and generalised, in an encrypted artifact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.context import FlowRunContext

from prefect_gatehouse.blocks.source_access import BlockText
from prefect_gatehouse.data import minimise as data
from prefect_gatehouse.data.engine.interface import Pool
from prefect_gatehouse.data.engine.processes import Processes
from prefect_gatehouse.ledger.events import WorkersReadKeys
from prefect_gatehouse.manifest.columns import needs_key
from prefect_gatehouse.manifest.models import Manifest, Purpose
from prefect_gatehouse.policy.classes import highest
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.credentials import Fetch
from prefect_gatehouse.run.values import AdmittedRun, MinimisedData
from prefect_gatehouse.synthetic.record import require_synthetic
from prefect_gatehouse.tasks.dask_pool import DaskPool
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.source_access import source_of, worker_access
from prefect_gatehouse.tokens.keys import RootKey


@gate(MinimisedData)
def minimise(attempt: Attempt, admitted: AdmittedRun, fetch: Fetch) -> MinimisedData:
    """Streams the source, keeps only allow-listed columns, generalises, tokenises and checks k-anonymity.

    Raises:
        Denied: The source or a secret may not be read.
        DataRefused: A group is smaller than the manifest's k, or a column can't be treated as declared.
        Denied: The tier takes synthetic data only, and the source is not recorded as synthetic.
        Unavailable: A worker that minimises the data died.
    """
    manifest = admitted.manifest
    with ExitStack() as open_:
        place, access = open_.enter_context(source_of(attempt, admitted, fetch))
        root: RootKey | None = None
        if any(needs_key(column) for column in manifest.data.columns.values()):
            # Also where workers read the key themselves: the policy is asked and the lease recorded before any of them does.
            lease = open_.enter_context(fetch(attempt, admitted, Purpose.TOKENISE))
            root = RootKey.parse(lease.reveal(Purpose.TOKENISE))
        workers = open_.enter_context(_workers(attempt, manifest, root is not None))
        result = data.minimise(
            manifest.data,
            place,
            root,
            tenant=manifest.tenant,
            run_id=attempt.run_id,
            store=attempt.store,
            key=attempt.key,
            access=access,
            workers=workers,
            progress=attempt.progress("rows minimised"),
        )
        version = root.current if root is not None else None
    if workers is not None:
        block = manifest.credentials.tokenise or ""
        fact = WorkersReadKeys(engine=manifest.execution.data_engine, workers=result.workers, root_key=root is not None, block=block)
        attempt.record(f"workers:{attempt.number}", fact)
    if result.quarantine is not None:
        attempt.own(result.quarantine, manifest)
    attempt.own(result.artifact, manifest)
    return MinimisedData(
        admitted=admitted,
        artifact=result.artifact,
        source_sha256=result.source_sha256,
        source_rows=result.source_rows,
        data_digest=result.data_digest,
        treatments=result.treatments,
        highest_class=highest((item.column, item.data_class) for item in admitted.classes.features)[0],
        k=result.k,
        l=result.l,
        quarantined_rows=result.quarantined_rows,
        suppressed_rows=result.suppressed_rows,
        suppressed_groups=result.suppressed_groups,
        token_key_version=version,
        synthetic=require_synthetic(attempt.ledger, result.source_sha256, admitted.tier),
    )


@contextmanager
def _workers(attempt: Attempt, manifest: Manifest, keyed: bool) -> Iterator[data.Workers | None]:
    """Other processes as the manifest asks for them; a dry run has none, because its keys exist in this process only."""
    engine = manifest.execution.data_engine
    if engine == "in-process" or FlowRunContext.get() is None:
        yield None
        return
    count = manifest.execution.data_workers
    with Processes(count) if engine == "processes" else DaskPool(count, attempt.settings.dask_address) as pool:
        shared: Pool = pool
        root = BlockText(manifest.credentials.tokenise) if keyed and manifest.credentials.tokenise is not None else None
        yield data.Workers(shared, attempt.settings.folder("run-keys"), root, worker_access(manifest))
