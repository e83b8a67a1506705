"""The plan digest: SHA-256 over the RFC 8785 form of everything an approval covers, and what of it can change afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from prefect_gatehouse.canonical import sha256_file
from prefect_gatehouse.errors import InputError, PlanChanged
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.run.values import AdmittedRun, Plan, PlanBody
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.validation.suite import load_suite
from prefect_gatehouse.workload.sources import find_workload

_LOCKS = ("requirements.lock", "uv.lock", "pylock.toml", "poetry.lock", "requirements.txt")


class PresentDigests(TypedDict):
    """What is read from the installation and the project, and may have changed since the plan was made."""

    manifest_digest: str
    workload_digest: str
    lock_digest: str
    image_digest: str
    policy_digest: str


def digest_of(body: PlanBody) -> str:
    """The plan digest, 64 hexadecimal digits."""
    return body.digest()


def present_digests(settings: Settings, admitted: AdmittedRun, policy_digest: str) -> PresentDigests:
    """Digests of manifest, workload, lock, image and policy as they are now."""
    folder = Path(admitted.folder)
    return PresentDigests(
        manifest_digest=admitted.manifest_digest,
        workload_digest=find_workload(admitted.manifest.workload.entrypoint, folder).digest,
        lock_digest=_lock_digest(settings, folder),
        image_digest=settings.image_digest,
        policy_digest=policy_digest,
    )


def refuse_changes(settings: Settings, plan: Plan, policy_digest: str) -> None:
    """Compares what would run now with what was planned.

    Args:
        settings: The installation.
        plan: The plan that was approved.
        policy_digest: Of the policy as it is now.

    Raises:
        PlanChanged: Names each part that is another one.
    """
    admitted = plan.admitted
    folder = Path(admitted.folder)
    now = dict(present_digests(settings, admitted, policy_digest))
    now["manifest_digest"] = load_manifest(folder / admitted.file).digest
    now["input_suite_sha256"] = load_suite(folder / admitted.manifest.data.suite).sha256
    now["output_suite_sha256"] = load_suite(folder / admitted.manifest.output.suite).sha256
    changed = [
        name.removesuffix("_sha256").removesuffix("_digest").replace("_", " ") for name, value in now.items() if getattr(plan.body, name) != value
    ]
    if digest_of(plan.body) != plan.digest:
        changed.append("plan")
    if changed:
        raise PlanChanged(f"changed since the approval: {', '.join(changed)}", where="plan", advice="start a new run and have it approved")


def _lock_digest(settings: Settings, folder: Path) -> str:
    if settings.lock is not None:
        try:
            return sha256_file(settings.lock)
        except OSError:
            raise InputError(
                "the lock file can't be read", where="GATEHOUSE_LOCK", advice="name the file that this environment was made from"
            ) from None
    for place in (folder, *folder.resolve().parents):
        for name in _LOCKS:
            if (place / name).is_file():
                return sha256_file(place / name)
    return "none"
