"""The commit that a workload is of: signed by somebody in the registry, read by somebody else, with exactly the files that would run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.person import owner_among
from prefect_gatehouse.identity.requester import Requester
from prefect_gatehouse.ledger.acts import CommitReviewed, ReviewAct
from prefect_gatehouse.ledger.store import Event, Ledger
from prefect_gatehouse.manifest.load import SIZE_LIMIT, digest_of
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.policy.reviews import SKEW, reviews
from prefect_gatehouse.run.content import Content
from prefect_gatehouse.run.holding import holding
from prefect_gatehouse.run.planned import PlannedReview
from prefect_gatehouse.run.values import AdmittedRun
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.workload.beside import left_out, lock_beside, locks_from
from prefect_gatehouse.workload.commit import NAMESPACE, Commit, Files, read_commit, refuse_other_files
from prefect_gatehouse.workload.git_objects import NotCommitted, Objects, WorkTree, shown, work_tree_of


@dataclass(frozen=True)
class SignedCommit:
    """A commit of exactly what would run, by somebody in the registry.

    Attributes:
        commit: Its name.
        author: Whose key signed it.
        key: The key's fingerprint.
        at: When, by its own word.
    """

    commit: str
    author: str
    key: str
    at: datetime


def work_tree(content: Content) -> WorkTree:
    """The work tree that a manifest lies in.

    Raises:
        NotCommitted: There is none, or the workload is an installed package.
    """
    if content.root is None:
        raise NotCommitted("the workload is an installed package, of which no commit tells; name a file beside the manifest")
    return work_tree_of(content.folder)


def signed_commit(content: Content, name: str, people: People) -> SignedCommit:
    """Reads a commit and compares it with what would run.

    Args:
        content: What would run.
        name: The commit's.
        people: The registry.

    Raises:
        NotCommitted: Says what is not as it has to be: files that are others, a signature that is none, a key that is nobody's.
        Tampered: The registry can't be read.
    """
    tree = work_tree(content)
    try:
        here = tree.objects.stat()
    except OSError:
        raise NotCommitted("the repository's store of objects can't be read") from None
    compared = _compared(tree.objects, (here.st_dev, here.st_ino, here.st_mtime_ns), tree.top, name, content)
    if not compared.locked:
        _refuse_lock_beside(content, tree.top)
    return _signer(compared.commit, people)


@dataclass(frozen=True)
class _Compared:
    """A commit that has exactly what would run.

    Attributes:
        commit: As it was read.
        locked: Whether it has the lock file that counts, too, or none of its own has to count.
    """

    commit: Commit
    locked: bool


# A run looks at admission, at its plan and before each round: git is started, and every object hashed, once for all of these. What was compared is
# the key: digests, no names or times of files, and the repository's store; whose key signed the commit is asked anew each time. A no is not kept.
@lru_cache(maxsize=64)
def _compared(store: Path, identity: tuple[int, int, int], top: Path, name: str, content: Content) -> _Compared:  # noqa: ARG001 it is of the key
    with Objects(store, name) as objects:
        commit = read_commit(objects, name)
        files = Files(objects, commit)
        _refuse_other(files, content, top)
        return _Compared(commit, _has_lock(files, content, top))


def _refuse_other(files: Files, content: Content, top: Path) -> None:
    root = content.root
    assert root is not None  # work_tree looked
    if digest_of(files.content(_path(content.folder / content.file, top), SIZE_LIMIT)) != content.manifest:
        raise NotCommitted(f"{shown(Path(content.file))} is another one in the commit")

    def belongs(path: PurePosixPath, folder: bool) -> bool:
        return not left_out(path.name, folder=folder) and top / path not in content.apart

    refuse_other_files(files, {_path(path, top): sha256 for path, sha256 in content.files}, _path(root, top), belongs)


def _has_lock(files: Files, content: Content, top: Path) -> bool:
    """Whether the lock file that counts is the commit's; one above the work tree is no project's.

    Raises:
        NotCommitted: The commit has another one.
    """
    if not content.lock_is_own:
        return True
    places = [_path(each, top) for each in locks_from(content.folder) if each.is_relative_to(top)]
    committed = next((each for each in places if files.has(each)), None)
    if committed is not None and hashlib.sha256(files.content(committed)).hexdigest() != content.lock:
        raise NotCommitted(f"the lock file is another one than {shown(committed)} in the commit")
    return committed is not None


def _refuse_lock_beside(content: Content, top: Path) -> None:
    """Stops where a lock file lies in the work tree, of which the commit has none."""
    here = lock_beside(content.folder)
    if here is not None and here.is_relative_to(top):
        raise NotCommitted(f"the lock file {shown(_path(here, top))} is not in the commit")


def _path(path: Path, top: Path) -> PurePosixPath:
    if not path.is_relative_to(top):
        raise NotCommitted(f"{shown(Path(path.name))} lies outside the work tree of the repository")
    return PurePosixPath(path.relative_to(top).as_posix())


def _signer(commit: Commit, people: People) -> SignedCommit:
    short = commit.name[:12]
    if not commit.signature:
        raise NotCommitted(f"the commit {short} is not signed; sign it with git commit -S, gpg.format=ssh, and a key of the registry's")
    try:
        key = sshsig.verify(commit.signature, commit.payload, namespace=NAMESPACE)
    except Denied:
        raise NotCommitted(f"the signature of the commit {short} is no SSH signature of it by a plain key, in the namespace git") from None
    if key.untouched:
        raise NotCommitted(f"the commit {short} was signed by a FIDO key that nobody touched; sign it again, and touch the key when it blinks")
    owner = owner_among(people.all(), key.fingerprint, commit.at)
    if owner is None:
        raise NotCommitted(f"the commit {short} is signed with {key.fingerprint}, which is nobody's in the registry, or was not valid then")
    if owner.service is not None:
        raise NotCommitted(f"the commit {short} is signed by the service {owner.person}, and people sign commits")
    if commit.at > datetime.now(UTC) + SKEW:
        raise NotCommitted(f"the commit {short} is from the future")
    return SignedCommit(commit.name, owner.person, key.fingerprint, commit.at)


@dataclass(frozen=True)
class Reviewed:
    """What is known of a review.

    Attributes:
        event: The newest that counts for a run; None where there is none.
        missing: Why there is none, a sentence; empty where there is.
    """

    event: Event[CommitReviewed] | None
    missing: str


def review_of(settings: Settings, history: Ledger, manifest: Manifest, content: Content, requester: Requester, named: str | None = None) -> Reviewed:
    """The newest review that counts for a run, its commit read again.

    Args:
        settings: The installation.
        history: The ledger.
        manifest: What would be run.
        content: Its files.
        requester: Asks.
        named: The review that the run's plan names, empty where it names none: no other counts. None where there is no plan.

    Raises:
        Tampered: The registry can't be read.
    """
    people = People(settings.people_folder())
    found = reviews(history.facts(ReviewAct), holding(settings, history))
    why = "nobody has reviewed a commit of it"
    mine = [each for each in reversed(found) if each.is_about(manifest.tenant, manifest.name, settings.environment)]
    if named:
        mine = [each for each in mine if each.event.fact.review == named]
    for place, each in enumerate(mine):
        fact = each.event.fact
        said = each.why_not(content.digest, requester.signed_by)
        if not said:
            try:
                signed = signed_commit(content, fact.commit, people)
            except NotCommitted as no:
                said = str(no)
            else:
                if (signed.author, signed.key, signed.at) == (fact.author, fact.author_key, fact.committed):
                    if named == "":
                        return Reviewed(None, "it was reviewed after the plan was made, which names no review")
                    return Reviewed(each.event, "")
                said = "it says something else of its commit than the commit does"
        if not place:  # the newest is what people look for
            why = f"review {each.event.seq} of commit {fact.commit[:12]} does not count: {said}"
    return Reviewed(None, why)


def planned_review(settings: Settings, history: Ledger, admitted: AdmittedRun, content: Content) -> PlannedReview | None:
    """What people are shown of it before they approve: the review of what the plan says would run."""
    if not history.facts(ReviewAct):
        return None
    event = review_of(settings, history, admitted.manifest, content, admitted.requester).event
    if event is None:
        return None
    fact = event.fact
    return PlannedReview(
        review=fact.review,
        commit=fact.commit,
        author=fact.author,
        author_key=fact.author_key,
        committed=fact.committed,
        reviewed_by=fact.person,
        at=event.at,
    )
