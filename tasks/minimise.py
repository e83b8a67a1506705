"""Gate 2: only allow-listed columns are left, tokenised and generalised, in an encrypted artifact."""

from __future__ import annotations

from contextlib import ExitStack

from prefect_gatehouse.attempt import Attempt
from prefect_gatehouse.data import minimise as data
from prefect_gatehouse.manifest.columns import Tokenise
from prefect_gatehouse.manifest.models import Purpose
from prefect_gatehouse.tasks.fetch_credential import fetch_credential
from prefect_gatehouse.tasks.gate import gate
from prefect_gatehouse.tasks.source_access import source_of
from prefect_gatehouse.tokens.keys import RootKey
from prefect_gatehouse.values import AdmittedRun, MinimisedData


@gate(MinimisedData)
def minimise(attempt: Attempt, admitted: AdmittedRun) -> MinimisedData:
    """Streams the source, keeps only allow-listed columns, generalises, tokenises and checks k-anonymity.

    Raises:
        Denied: The source or a secret may not be read.
        DataRefused: A group is smaller than the manifest's k, or a column can't be treated as declared.
    """
    manifest = admitted.manifest
    with ExitStack() as leases:
        place, access = leases.enter_context(source_of(attempt, admitted))
        root: RootKey | None = None
        if any(isinstance(column, Tokenise) for column in manifest.data.columns.values()):
            lease = leases.enter_context(fetch_credential(attempt, admitted, Purpose.TOKENISE))
            root = RootKey.parse(lease.reveal(Purpose.TOKENISE))
        result = data.minimise(
            manifest.data,
            place,
            root,
            tenant=manifest.tenant,
            run_id=attempt.run_id,
            store=attempt.store,
            key=attempt.key,
            access=access,
            progress=attempt.progress("rows minimised"),
        )
    attempt.own(result.artifact, manifest)
    return MinimisedData(
        admitted=admitted,
        artifact=result.artifact,
        source_sha256=result.source_sha256,
        source_rows=result.source_rows,
        data_digest=result.data_digest,
        treatments=result.treatments,
        highest_class=result.highest_class,
        k=result.k,
        l=result.l,
    )
