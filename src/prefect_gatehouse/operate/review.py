"""Reviews by hand: somebody has read what a commit of somebody else's would run, and signs that."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from prefect_gatehouse.canonical import Json
from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.ledger.acts import CommitReviewed, ReviewAct, ReviewWithdrawn
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.operate.acts import numbered, record_end
from prefect_gatehouse.operate.budgets import line_of
from prefect_gatehouse.operate.signing import record
from prefect_gatehouse.policy.reviews import Review, reviews
from prefect_gatehouse.run.content import Content, content_beside
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.reviewed import SignedCommit, signed_commit, work_tree
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.git_objects import NotCommitted, is_id

_SEE = "gatehouse reviews list"


@dataclass(frozen=True)
class Reading:
    """What somebody is about to review.

    Attributes:
        manifest: The project's.
        content: Its files as they are here.
        signed: Their commit.
    """

    manifest: Manifest
    content: Content
    signed: SignedCommit


def reading(settings: Settings, file: Path, commit: str = "") -> Reading:
    """Looks whether what lies beside a manifest is exactly what a signed commit has.

    Args:
        settings: The installation.
        file: The manifest.
        commit: The whole name of the commit; the one that is checked out unless given.

    Raises:
        InputError: The manifest or its workload is not usable, or this is no commit's name.
        Denied: The files are not the commit's, or nobody in the registry has signed it; says what is missing.
        Tampered: The registry can't be read.
    """
    if commit and not is_id(commit):
        raise InputError("this is no whole name of a commit", where="--commit", advice="give all of its digits: git rev-parse REVISION")
    manifest = load_manifest(file).manifest
    content = content_beside(settings, manifest, file.resolve())
    try:
        name = commit or work_tree(content).head()
        return Reading(manifest, content, signed_commit(content, name, People(settings.people_folder())))
    except NotCommitted as why:
        raise Denied(str(why), where=str(file), advice="check the signed commit out as it is, and review that") from None


def review(settings: Settings, ledger: Ledger, file: Path, reason: str, commit: str = "") -> Event[CommitReviewed]:
    """Signs with the caller's own key that they have read what a commit would run, and records it.

    Raises:
        InputError: As of ``reading``; or the reason is malformed, or the caller has no usable signing key.
        Denied: As of ``reading``; or the caller's key is nobody's, or they have signed the commit themselves.
    """
    found = reading(settings, file, commit)
    statement: dict[str, Json] = {
        "action": "review",
        "review": str(uuid.uuid4()),
        "tenant": found.manifest.tenant,
        "pipeline": found.manifest.name,
        "commit": found.signed.commit,
        "content": found.content.digest,
        "author": found.signed.author,
        "author_key": found.signed.key,
        "committed": found.signed.at.isoformat().replace("+00:00", "Z"),
        "reason": line_of(reason, "--reason"),
        "environment": settings.environment,
    }

    def refuse(fact: CommitReviewed) -> None:
        if fact.person == fact.author or fact.key == fact.author_key:
            advice = "have somebody else of the registry review it"
            raise Denied("whoever has signed a commit does not review it", where="commit", advice=advice, rules=("own-commit",))

    return record(settings, ledger, CommitReviewed, statement, str(statement["review"]), "a commit is reviewed", refuse)


def withdraw(settings: Settings, ledger: Ledger, number: str, reason: str) -> Event[ReviewWithdrawn]:
    """Signs that a review is over, at once; anybody in the registry may.

    Raises:
        InputError: There is none of this number, it was ended already, or the caller has no usable signing key.
        Denied: The caller's key is nobody's, or they are in quarantine.
    """
    given = numbered(ledger, CommitReviewed, number, _SEE)
    return record_end(settings, ledger, given, ReviewWithdrawn, "withdraw-review", reason, "a review is withdrawn", _SEE)


def known(settings: Settings, ledger: Ledger) -> list[Review]:
    """Every review, newest first."""
    return reviews(ledger.facts(ReviewAct), holding(settings, ledger))[::-1]
