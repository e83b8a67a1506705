"""The plan digest: SHA-256 over the RFC 8785 form of everything an approval covers, and what of it can change afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from prefect_gatehouse.canonical import sha256_file
from prefect_gatehouse.errors import InputError, PlanChanged
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.policy.class_rules import load_class_rules
from prefect_gatehouse.policy.tiers import load_tiers
from prefect_gatehouse.run.apart import find_workload_of
from prefect_gatehouse.run.planned import SourceFile
from prefect_gatehouse.run.under import packages_of
from prefect_gatehouse.run.values import AdmittedRun, Plan, PlanBody
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.beside import lock_beside

_WORDS = {
    "policy_digest": "policy",
    "packages_digest": "packages",
    "registry": "registry of people",
    "classes": "classes",
    "tier": "tier",
    "bundle": "bundle of policies",
}


class PresentDigests(TypedDict):
    """What is read from the installation and the project, and may have changed since the plan was made."""

    manifest_digest: str
    workload_digest: str
    files: tuple[SourceFile, ...]
    lock_digest: str | None
    image_digest: str
    packages_digest: str
    policy_digest: str
    registry: str


def present_digests(settings: Settings, admitted: AdmittedRun, policy_digest: str) -> PresentDigests:
    """Digests of manifest, workload, lock, image, packages and policy as they are now, and which registry of people counts."""
    sources = find_workload_of(settings, admitted).sources
    return PresentDigests(
        manifest_digest=admitted.manifest_digest,
        workload_digest=sources.digest,
        files=tuple(SourceFile(path=path, sha256=sha256) for path, sha256 in sources.digests),
        lock_digest=lock_digest(settings, Path(admitted.folder)),
        image_digest=settings.image_digest,
        packages_digest=packages_of(settings).digest,
        policy_digest=policy_digest,
        registry=registry_of(settings),
    )


def registry_of(settings: Settings) -> str:
    """Where the registry of people is, links followed."""
    return str(settings.people_folder().resolve())


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
    manifest = admitted.manifest
    now: dict[str, object] = {**present_digests(settings, admitted, policy_digest)}
    now["manifest_digest"] = load_manifest(folder / admitted.file).digest
    now["input_suite_sha256"] = _sha256_of(folder / manifest.data.suite)
    now["output_suite_sha256"] = _sha256_of(folder / manifest.output.suite)
    now["tier"] = load_tiers(settings.tiers).get(manifest.tier)
    # The classes themselves follow from the manifest; what can change is what the installation demands of the output's.
    classes = plan.body.classes
    now["classes"] = classes.model_copy(update={"rules": load_class_rules(settings.classes)[classes.output_class]})
    refuse_other(plan, now)


def refuse_other(plan: Plan, now: Mapping[str, object]) -> None:
    """Stops at anything that is another one than the plan says.

    Args:
        plan: The plan.
        now: Parts of its body as they are now, by field.

    Raises:
        PlanChanged: Names each part that is another one.
    """
    changed = [_word(name) for name, value in now.items() if name != "files" and getattr(plan.body, name) != value]
    if _digest(plan.body) != plan.digest:
        changed.append("plan")
    if changed:
        advice = "start a new run and have it approved"
        files = now.get("files")
        if "workload" in changed and isinstance(files, tuple):
            advice = f"{in_words(plan.body.files, files)}; {advice}"
        raise PlanChanged(f"changed since the approval: {', '.join(changed)}", where="plan", advice=advice)


_digested: list[tuple[PlanBody, str]] = []


def _digest(body: PlanBody) -> str:
    """Of a plan's body; the one that was asked about last is not digested again: it is a value, which nobody changes in memory."""
    if not _digested or _digested[0][0] is not body:
        _digested[:] = [(body, body.digest())]
    return _digested[0][1]


def differences(before: tuple[SourceFile, ...], after: tuple[SourceFile, ...]) -> dict[str, tuple[str, ...]]:
    """Names of the files that were added, removed and changed."""
    old, new = ({each.path: each.sha256 for each in files} for files in (before, after))
    return {
        "added": tuple(sorted(new.keys() - old.keys())),
        "removed": tuple(sorted(old.keys() - new.keys())),
        "changed": tuple(sorted(name for name in new.keys() & old.keys() if new[name] != old[name])),
    }


def in_words(before: tuple[SourceFile, ...], after: tuple[SourceFile, ...]) -> str:
    """What has become of the workload's files, such as ``changed: workload.py``."""
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in differences(before, after).items() if names)


def _word(field: str) -> str:
    return _WORDS.get(field, field.removesuffix("_sha256").removesuffix("_digest").replace("_", " "))


def _sha256_of(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return ""  # it is gone, and so it is another one


def lock_digest(settings: Settings, folder: Path) -> str | None:
    """SHA-256 of the lock file that counts, the installation's or the project's; None where there is none.

    Raises:
        InputError: It can't be read.
    """
    file = settings.lock or lock_beside(folder)
    try:
        return sha256_file(file) if file is not None else None
    except OSError:
        own = settings.lock is None
        where, advice = (str(file), "fix its permissions") if own else ("GATEHOUSE_LOCK", "name the file that this environment was made from")
        raise InputError("the lock file can't be read", where=where, advice=advice) from None
