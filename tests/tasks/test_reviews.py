"""A workload of a signed commit that somebody else has read: what counts, and what somebody does who wants another one to run."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.identity.ssh_signatures import MESSAGE, sk_blob, sk_signature
from tests.support.acts import append_signed
from tests.support.gates import Desk, Fetching
from tests.support.git import commit_all, git
from tests.support.plans import RUN

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied, GatehouseError, InputError
from prefect_gatehouse.evidence.signed import problems
from prefect_gatehouse.flows.governed_pipeline import up_to_the_plan
from prefect_gatehouse.identity import sshsig
from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.services import Service
from prefect_gatehouse.ledger.acts import CommitReviewed
from prefect_gatehouse.ledger.jobs import JobSubmitted
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate import exceptions, quarantine
from prefect_gatehouse.operate import review as control
from prefect_gatehouse.operate.runs import signed_for
from prefect_gatehouse.run.content import content_beside
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.standing import standing_of
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.tasks.admit import admit
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.workload.git_objects import NotCommitted, Objects, work_tree_of

RULE = "workload-not-reviewed"
PEOPLE = {"ann": {"requester"}, "dev": {"requester"}, "rev": {"auditor"}, "uma": {"approver"}}


class House:
    """A project in git whose tier wants reviewed commits: Ann asks, Dev commits, Rev reads, Uma may stop somebody."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.folder, self.project, self.ledger = desk, desk.folder.parent, desk.folder, desk.ledger
        tiers = yaml.safe_load(desk.settings.tiers.read_text())
        tiers["prototype"]["reviewed_commit"] = "required"
        desk.settings.tiers.write_text(json.dumps(tiers))  # JSON is YAML
        self.people = People(desk.settings.people_folder())
        for name in PEOPLE:
            self.enter(name)
        self.first = commit_all(self.project, self.folder / "dev")

    def enter(self, name: str, **valid: datetime) -> None:
        key = self.folder / name
        line = public_line(key) if key.exists() else generate_key(key, "")
        self.people.add(name, key=line, roles=frozenset(PEOPLE[name]), clearance=DataClass.RESTRICTED, **valid)  # type: ignore[arg-type]

    def as_(self, who: str) -> Settings:
        return self.desk.settings.model_copy(update={"identity": self.folder / who})

    def commit(self, who: str = "dev", date: str = "") -> str:
        return commit_all(self.project, self.folder / who, date)

    def review(self, who: str = "rev", commit: str = "") -> int:
        return control.review(self.as_(who), self.ledger, self.desk.manifest, "Read line by line", commit).seq

    def why_not(self, who: str = "ann") -> str:
        """The policy's no; empty where the run is admitted."""
        self.desk.attempt = self.desk.next_attempt()
        request = signed_for(self.as_(who), self.desk.manifest) if who else None
        try:
            admit.body(self.desk.attempt, str(self.desk.manifest), request)
        except Denied as no:
            return no.message if f"[{RULE}]" in no.message else pytest.fail(no.message)
        return ""

    def write(self, who: str = "rev", key: str = "", **change: Any) -> None:
        """A review as somebody with the database could write it, signed by whoever's key it is."""
        found = control.reading(self.desk.settings, self.desk.manifest)
        statement = {
            "action": "review",
            "review": secrets.token_hex(8),
            "tenant": "test-tenant",
            "pipeline": "small",
            "commit": found.signed.commit,
            "content": found.content.digest,
            "author": "dev",
            "author_key": found.signed.key,
            "committed": found.signed.at.isoformat().replace("+00:00", "Z"),
            "reason": "x",
            "environment": "local",
            **change,
        }
        append_signed(self.ledger, CommitReviewed, statement, who, self.folder / (key or who))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Committed and signed, and read by nobody."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        yield House(desk)


def test_from_a_commit_to_a_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Denied without a review, with what to do; with one admitted, and the plan names commit, author and reviewer; withdrawn, no job."""
    assert "nobody has reviewed a commit of it" in house.why_not()
    monkeypatch.setenv("GATEHOUSE_HOME", str(house.desk.settings.home))
    monkeypatch.setenv("GATEHOUSE_TIERS", str(house.desk.settings.tiers))
    monkeypatch.setenv("GATEHOUSE_IDENTITY", str(house.folder / "rev"))

    def command(*words: str) -> Any:
        said = CliRunner().invoke(main, [*words, "--json"])
        assert said.exit_code == 0, said.output
        return json.loads(said.output)

    asked = CliRunner().invoke(main, ["explain", "--as", "ann", "--action", "request", "--manifest", str(house.desk.manifest), "--json"])
    (rule,) = json.loads(asked.output)["rules"]
    assert rule["id"] == RULE and rule["sentence"].endswith(": nobody has reviewed a commit of it")
    looked = command("review", str(house.desk.manifest), "--check")
    assert (looked["commit"], looked["author"]) == (house.first, "dev")
    made = command("review", str(house.desk.manifest), "--reason", "Read line by line")
    assert (made["commit"], made["author"], made["person"]) == (house.first, "dev", "rev")
    assert house.why_not() == ""
    house.desk.attempt = house.desk.next_attempt()
    plan: Plan = up_to_the_plan(house.desk.attempt, str(house.desk.manifest), signed_for(house.as_("ann"), house.desk.manifest))
    assert plan.body.review is not None and plan.body.review.review == made["review"]
    rows = {row[0]: row[1] for section in sections(plan) for row in section.rows if len(row) == 2}
    assert rows["Commit"].startswith(f"{house.first}, signed by dev with SHA256:") and "reviewed by rev on " in rows["Commit"]
    approved = house.desk.approve(plan)
    circuits, summary = house.desk.first_round(plan)
    submit.in_round(0, house.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert [each["event"] for each in command("reviews", "list")] == [made["event"]]
    before = len(house.ledger.facts(JobSubmitted))
    assert command("reviews", "withdraw", str(made["event"]), "--reason", "A line was overlooked")["person"] == "rev"
    again = CliRunner().invoke(main, ["reviews", "withdraw", str(made["event"]), "--reason", "A line was overlooked"])
    assert again.exit_code == 2 and "was ended already, by rev on" in again.output
    with pytest.raises(Denied, match=RULE):
        submit.in_round(1, house.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert len(house.ledger.facts(JobSubmitted)) == before
    assert "withdrawn" in house.why_not() and command("reviews", "list") == []
    assert list(problems(house.ledger)) == []


def test_a_later_review_carries_no_run_that_was_planned_before(house: House) -> None:
    """Whoever approved the plan did not know of it, and its reviewer may be among them: the run stands on the review that its plan names."""
    first = house.review()
    house.desk.attempt = house.desk.next_attempt()
    request = signed_for(house.as_("ann"), house.desk.manifest)
    plan: Plan = up_to_the_plan(house.desk.attempt, str(house.desk.manifest), request)
    approved = house.desk.approve(plan)
    circuits, summary = house.desk.first_round(plan)
    house.review("uma")
    submit.in_round(0, house.desk.attempt, approved, circuits, summary, 0, Fetching())  # the one that it names still counts
    control.withdraw(house.as_("rev"), house.ledger, str(first), "A line was overlooked")
    before = len(house.ledger.facts(JobSubmitted))
    with pytest.raises(Denied, match=rf"review {first} .* does not count: withdrawn \[{RULE}\]"):
        submit.in_round(1, house.desk.attempt, approved, circuits, summary, 0, Fetching())
    assert len(house.ledger.facts(JobSubmitted)) == before
    assert standing_of(house.desk.settings, house.ledger, without(plan)).unreviewed.startswith("it was reviewed after the plan was made")
    assert house.why_not() == ""  # a new run stands on Uma's


def without(plan: Plan) -> Plan:
    """The same where nobody had reviewed anything yet."""
    return plan.model_copy(update={"body": plan.body.model_copy(update={"review": None})})


def test_the_repository_may_go_on(house: House) -> None:
    """A commit of something else, packed objects and a linked work tree leave the review as it is; so does a comment in the manifest."""
    house.review()
    (house.project / "tests").mkdir()
    (house.project / "tests" / "test_it.py").write_text("assert True\n")
    house.desk.manifest.write_text(house.desk.manifest.read_text() + "# why\n")
    house.commit()
    git(house.project, "gc", "-q")
    assert house.why_not() == ""
    git(house.project, "worktree", "add", "-q", str(house.folder / "linked"), house.first)
    linked = house.folder / "linked" / "gatehouse.yaml"
    found = control.reading(house.desk.settings, linked)
    assert found.signed.commit == house.first
    assert found.content.digest == content_beside(house.desk.settings, found.manifest, house.desk.manifest).digest


def test_edited_between_admission_and_plan(house: House) -> None:
    """What was edited after somebody looked is not even rehearsed."""
    house.review()
    house.desk.attempt = house.desk.next_attempt()
    admitted = admit(house.desk.attempt, str(house.desk.manifest), signed_for(house.as_("ann"), house.desk.manifest))
    assert house.desk.attempt.parts.workload(admitted).digest == admitted.workload_digest
    house.desk.write("# other\n")
    with pytest.raises(Denied, match="another one than the reviewed one that was admitted"):
        house.desk.attempt.parts.workload(admitted)


def on_the_way(house: House) -> None:
    """A run that was admitted, and has no plan yet."""
    house.desk.attempt = house.desk.next_attempt()
    admit(house.desk.attempt, str(house.desk.manifest), signed_for(house.as_("ann"), house.desk.manifest))


def other_suite(house: House) -> None:
    suite = house.project / "suites" / "output.json"
    suite.write_text(suite.read_text().replace("10", "11"))


BEFORE_THE_PLAN: dict[str, tuple[Callable[[House, int], object], str]] = {
    "withdrawn": (lambda house, number: control.withdraw(house.as_("rev"), house.ledger, str(number), "x"), "does not count: withdrawn"),
    "another suite": (lambda house, _: other_suite(house), "does not count: files changed since"),
    "another lock file": (lambda house, _: (house.project / "requirements.lock").write_text("x==6.6.6\n"), "the lock file is another one"),
}


@pytest.mark.parametrize("name", BEFORE_THE_PLAN)
def test_a_plan_is_of_what_was_reviewed(house: House, name: str) -> None:
    """What the plan has is compared, not what lay there at admission: nobody is asked to approve what no review is of."""
    act, why = BEFORE_THE_PLAN[name]
    number = house.review()
    on_the_way(house)
    act(house, number)
    with pytest.raises(Denied, match=rf"{why}.*\[{RULE}\]"):
        house.desk.planned()
    assert "plan" in house.desk.gates("gate-failed") and not house.ledger.events(RUN, "approval-asked")


def test_a_plan_under_an_exception_needs_no_review(house: House) -> None:
    """As at admission: whoever granted it answers for it, and the plan names no review."""
    said = {"rule": RULE, "tenant": "test-tenant", "owner": "dev", "ticket": "CHG-7", "risk": "x", "control": "x", "reason": "x"}
    until = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"
    exceptions.grant(house.as_("uma"), house.ledger, exceptions.Wanted.model_validate({**said, "until": until}))
    on_the_way(house)
    plan = house.desk.planned()
    assert plan.body.review is None and [each.rule for each in plan.body.exceptions] == [RULE]


def test_a_process_compares_a_commit_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git is started once for the same files of the same commit; whose key signed it, and what lies there, is looked at each time."""
    house.review()
    started: list[str] = []
    enter = Objects.__enter__
    monkeypatch.setattr(Objects, "__enter__", lambda objects: started.append("") or enter(objects))
    assert [house.why_not(), house.why_not(), house.why_not()] == ["", "", ""]
    once = len(started)
    assert once <= 1  # the review may have been the one
    lock = house.project / "requirements.lock"
    before = lock.read_text()
    lock.write_text(before + "x==6.6.6\n")
    assert "the lock file is another one" in house.why_not() and "the lock file is another one" in house.why_not()
    assert len(started) == once + 2  # a no is not kept
    lock.write_text(before)
    assert house.why_not() == "" and len(started) == once + 2
    (house.project / ".git").rename(house.folder / "elsewhere")
    assert "does not lie in the work tree" in house.why_not()
    git(house.folder, "init", "-q", str(house.project))
    assert "does not have the commit" in house.why_not()  # a repository in the other's place is another one
    (house.project / ".git").rename(house.folder / "empty")
    (house.folder / "elsewhere").rename(house.project / ".git")
    assert house.why_not() == ""
    house.people.revoke("dev")
    assert "not its author's, or was not valid" in house.why_not()


EDITS: dict[str, tuple[Callable[[House], object], str]] = {
    "an edited workload": (lambda house: house.desk.write("# other\n"), "workload.py is another one in the commit"),
    "an untracked module": (lambda house: (house.project / "helper.py").write_text("x = 1\n"), "helper.py is not in the commit"),
    "an ignored module": (
        lambda house: (house.project / "helper.py").write_text("x = 1\n") and (house.project / ".gitignore").write_text("helper.py\n"),
        "helper.py is not in the commit",
    ),
    "data beside it": (lambda house: (house.project / "angles.json").write_text("[1]"), "angles.json is not in the commit"),
    "an edited suite": (
        lambda house: (house.project / "suites" / "output.json").write_text(
            (house.project / "suites" / "output.json").read_text().replace("10", "11")
        ),
        "suites/output.json is another one in the commit",
    ),
    "an edited manifest": (lambda house: house.desk.change("shots: 64", "shots: 65"), "gatehouse.yaml is another one in the commit"),
    "a module taken out": (lambda house: (house.project / "guard.py").unlink(), "guard.py is in the commit and not in the folder"),
    "a line end": (
        lambda house: (house.project / "workload.py").write_bytes((house.project / "workload.py").read_bytes().replace(b"\n", b"\r\n")),
        "workload.py is another one",
    ),
    "said to be unchanged": (
        lambda house: git(house.project, "update-index", "--assume-unchanged", "workload.py") + str(house.desk.write("# other\n")),
        "workload.py is another one in the commit",
    ),
}


def test_what_is_not_as_it_was_committed(house: House) -> None:
    """Each edit is denied at admission, and nobody can review it as the commit; put back, the run is admitted."""
    (house.project / "guard.py").write_text("limit = 1\n")
    house.commit()
    house.review()
    assert house.why_not() == ""
    for name, (edit, why) in EDITS.items():
        before = {path: path.read_bytes() for path in house.project.rglob("*") if path.is_file() and ".git" not in path.parts}
        edit(house)
        assert "files changed since" in house.why_not(), name
        with pytest.raises(Denied) as no:
            house.review("uma")
        assert why in no.value.message, (name, no.value.message)
        for path in house.project.rglob("*"):
            if path.is_file() and ".git" not in path.parts and path not in before:
                path.unlink()
        for path, data in before.items():
            path.write_bytes(data)
        assert house.why_not() == "", name


def ended(house: House, act: Callable[[House], object]) -> str:
    house.review()
    act(house)
    return house.why_not()


def came_back(house: House, name: str) -> None:
    from prefect_gatehouse.operate.registry import Registrar

    registrar = Registrar(house.desk.settings, house.ledger, "x")
    registrar.revoke(name, None)
    registrar.add(name, key=public_line(house.folder / name), roles=frozenset(PEOPLE[name]), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]


ENDED: dict[str, tuple[Callable[[House], object], str]] = {
    "its author revoked": (lambda house: house.people.revoke("dev"), "not its author's, or was not valid"),
    "its reviewer revoked": (lambda house: house.people.revoke("rev"), "its key is nobody's of that name"),
    "its author revoked and added again": (lambda house: came_back(house, "dev"), "author or key was revoked since"),
    "its reviewer revoked and added again": (lambda house: came_back(house, "rev"), "was revoked since"),
    "its author in quarantine": (lambda house: quarantine.impose(house.as_("uma"), house.ledger, "dev", "x"), "author is in quarantine"),
    "its reviewer in quarantine": (lambda house: quarantine.impose(house.as_("uma"), house.ledger, "rev", "x"), "person is in quarantine"),
}


@pytest.mark.parametrize("name", ENDED)
def test_whose_word_is_over(house: House, name: str) -> None:
    """A review ends with whoever signed it, and with whoever signed its commit."""
    act, why = ENDED[name]
    assert why in ended(house, act)


def test_whose_review_it_is(house: House) -> None:
    """Neither the author's, nor the requester's, nor for a request that nobody signed."""
    with pytest.raises(Denied, match="whoever has signed a commit does not review it"):
        house.review("dev")
    generate_key(house.folder / "stranger", "")
    with pytest.raises(Denied, match="this key is nobody's"):
        house.review("stranger")
    house.review("ann")
    assert "the reviewer asked for the run" in house.why_not("ann")
    assert house.why_not("dev") == ""  # whose own commit it is: somebody else has read it
    assert "the request is not signed" in house.why_not("")


FORGED: dict[str, dict[str, Any]] = {
    "another tenant": {"tenant": "other"},
    "another pipeline": {"pipeline": "other"},
    "another environment": {"environment": "production"},
    "other files": {"content": "0" * 64},
    "a commit that is not there": {"commit": "0" * 40},
    "another author": {"author": "uma"},
    "another time": {"committed": "2026-11-01T00:00:00Z"},
    "its own author's": {"who": "dev"},
    "in another's name": {"key": "dev"},
}


def test_reviews_that_somebody_wrote_into_the_ledger(house: House) -> None:
    """None of them counts; one that is right does, which shows that the others fail for their own reason."""
    for name, change in FORGED.items():
        house.write(**change)
        assert house.why_not(), name
    house.write()
    assert house.why_not() == ""


def test_a_review_of_another_commit(house: House) -> None:
    """The same files in an unsigned commit, or one whose signature is another commit's or another purpose's, are not what was reviewed."""
    unsigned = git(house.project, "commit-tree", "HEAD^{tree}", "-m", "as it is")
    with pytest.raises(Denied, match="is not signed"):
        house.review(commit=unsigned)
    house.write(commit=unsigned)
    assert "is not signed" in house.why_not()
    signed = git(house.project, "cat-file", "commit", house.first).encode()
    moved = signed.replace(b"as it is", b"as it was")
    other = git(house.project, "hash-object", "-t", "commit", "-w", "--stdin", stdin=moved)
    with pytest.raises(Denied, match="is no SSH signature of it"):
        house.review(commit=other)
    payload = signed[: signed.index(b"gpgsig ")] + signed[signed.index(b"\n", signed.index(b"-----END SSH SIGNATURE-----")) + 1 :]
    armour = sshsig.sign(house.folder / "dev", payload).strip().replace("\n", "\n ").encode()
    head, _, message = payload.partition(b"\n\n")
    as_approvals = b"%b\ngpgsig %b\n\n%b" % (head, armour, message)
    other = git(house.project, "hash-object", "-t", "commit", "-w", "--stdin", stdin=as_approvals)
    with pytest.raises(Denied, match="in the namespace git"):
        house.review(commit=other)
    armour = sshsig.sign(house.folder / "dev", payload, namespace="git").strip().replace("\n", "\n ").encode()
    other = git(house.project, "hash-object", "-t", "commit", "-w", "--stdin", stdin=b"%b\ngpgsig %b\n\n%b" % (head, armour, message))
    assert control.reading(house.desk.settings, house.desk.manifest, other).signed.author == "dev"  # so it was the namespace alone
    twice = signed.replace(b"\n\n", b"\ngpgsig x\n\n", 1)
    other = git(house.project, "hash-object", "--literally", "-t", "commit", "-w", "--stdin", stdin=twice)
    with pytest.raises(Denied, match="signatures of several kinds"):
        house.review(commit=other)
    with pytest.raises(InputError, match="no whole name"):
        house.review(commit=house.first[:12])


def signed_with(house: House, sign: Callable[[bytes], str]) -> str:
    """A commit of the same files with a signature that no ssh-keygen makes."""
    made = git(house.project, "cat-file", "commit", house.first).encode() + b"\n"
    payload = made[: made.index(b"gpgsig ")] + made[made.index(b"\n", made.index(b"-----END SSH SIGNATURE-----")) + 1 :]
    head, _, message = payload.partition(b"\n\n")
    whole = b"%b\ngpgsig %b\n\n%b" % (head, sign(payload).strip().replace("\n", "\n ").encode(), message)
    return git(house.project, "hash-object", "-t", "commit", "-w", "--stdin", stdin=whole)


def test_a_commit_by_a_fido_key(house: House) -> None:
    """Untouched it may have been made by whatever runs on its owner's machine: no review is of it, whoever writes one; touched it counts."""
    line = f"sk-ssh-ed25519@openssh.com {base64.b64encode(sk_blob()).decode()}"
    house.people.add("fay", key=line, roles=frozenset({"requester"}), clearance=DataClass.RESTRICTED)
    untouched, touched = (signed_with(house, lambda payload, flags=flags: sk_signature(flags, message=payload, namespace=b"git")) for flags in (0, 1))  # type: ignore[misc]
    with pytest.raises(Denied, match="signed by a FIDO key that nobody touched"):
        house.review(commit=untouched)
    by_fay = {"author": "fay", "author_key": sshsig.verify(sk_signature(1), MESSAGE).fingerprint}
    house.write(commit=untouched, **by_fay)
    assert "a FIDO key that nobody touched" in house.why_not()
    house.review(commit=touched)
    assert house.why_not() == ""


def test_a_commit_by_a_service(house: House) -> None:
    """People sign commits: a service's key hides who wrote it, who could then be its reviewer."""
    line = generate_key(house.folder / "ci", "")
    house.people.add("ci", key=line, roles=frozenset({"requester"}), clearance=DataClass.RESTRICTED, service=Service(tenants=("test-tenant",)))
    commit = house.commit("ci")
    with pytest.raises(Denied, match="signed by the service ci, and people sign commits"):
        house.review(commit=commit)
    git(house.project, "update-ref", "HEAD", house.first)
    house.write(commit=commit, author="ci", author_key=fingerprint(line))
    assert "the commit is signed by a service" in house.why_not()


def test_the_lock_file_is_the_commits(house: House) -> None:
    """What would be installed is what was read: changed, taken out, or put nearer, it is another one; the installation's own is none of it."""
    house.review()
    lock, own = house.project / "requirements.lock", house.folder / "house.lock"
    before = lock.read_text()
    lock.write_text(before + "something==6.6.6\n")
    assert "the lock file is another one than requirements.lock in the commit" in house.why_not()
    own.write_text("numpy==2.0.0\n")
    settings, house.desk.settings = house.desk.settings, house.desk.settings.model_copy(update={"lock": own})
    assert house.why_not() == ""
    house.desk.settings = settings
    lock.unlink()
    assert "the lock file is another one" in house.why_not()
    house.commit()
    house.review()
    assert house.why_not() == ""
    (house.project / "uv.lock").write_text("version = 1\n")
    assert "the lock file uv.lock is not in the commit" in house.why_not()


def test_names_that_are_no_text(house: House) -> None:
    """A file's name can hold what moves a terminal's cursor: reasons spell it out."""
    house.desk.manifest = house.desk.manifest.rename(house.project / "x\x1b[2K.yaml")
    text = house.desk.manifest.read_text()
    other = house.commit()
    house.desk.manifest.write_text(text.replace("Hold a plan", "Hold another plan"))
    with pytest.raises(Denied, match="is another one in the commit") as caught:
        house.review(commit=other)
    assert caught.value.message.isprintable() and "x\\x1b[2K.yaml" in caught.value.message
    with pytest.raises(NotCommitted) as outside:
        work_tree_of(house.folder / "y\x1b[2K")
    assert str(outside.value).isprintable()


def test_a_key_outside_its_time(house: House) -> None:
    """Not yet valid when the commit says that it was made, expired before it was reviewed, or a commit from the future."""
    now = datetime.now(UTC)
    for valid, date, why in (
        ({"valid_after": now - timedelta(hours=1)}, "2026-01-01T00:00:00Z", "nobody's in the registry, or was not valid then"),
        ({"valid_before": now - timedelta(hours=1)}, "", "nobody's in the registry, or was not valid then"),
        ({}, (now + timedelta(days=1)).isoformat(), "from the future"),
    ):
        house.people.revoke("dev")
        (house.folder / "dev").unlink()
        (house.folder / "dev.pub").unlink()
        house.enter("dev", **valid)
        house.commit(date=date)
        with pytest.raises(Denied, match=why):
            house.review()
    house.people.revoke("dev")
    (house.folder / "dev").unlink()
    (house.folder / "dev.pub").unlink()
    house.enter("dev", valid_before=now - timedelta(hours=1))
    house.commit(date="2026-01-01T00:00:00Z")  # backdated, with a key that has expired meanwhile
    house.review()
    assert "was not valid" in house.why_not()


def test_a_hostile_repository_runs_nothing(house: House) -> None:
    """Hooks, a file system monitor, filters, aliases and an own program for signatures: none is started, and the answer is the same."""
    house.review()
    mark = house.folder / "ran"
    script = house.folder / "hostile"
    script.write_text(f"#!/bin/sh\ntouch {mark}\nexit 0\n")
    script.chmod(0o755)
    for hook in ("post-checkout", "fsmonitor-watchman", "reference-transaction", "pre-auto-gc"):
        (house.project / ".git" / "hooks").mkdir(exist_ok=True)
        (house.project / ".git" / "hooks" / hook).symlink_to(script)
    (house.project / ".git" / "config").write_text(
        f"[core]\n\tfsmonitor = {script}\n\tsshCommand = {script}\n\tpager = {script}\n\tgitProxy = {script}\n\talternateRefsCommand = {script}\n"
        f'[gpg]\n\tprogram = {script}\n[gpg "ssh"]\n\tprogram = {script}\n[filter "x"]\n\tsmudge = {script}\n\tclean = {script}\n'
        f'[alias]\n\tcat-file = !{script}\n[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\turl = ext::{script}\n\tpromisor = true\n'
    )
    (house.project / ".git" / "info").mkdir(exist_ok=True)
    (house.project / ".git" / "info" / "attributes").write_text("* filter=x diff=x\n")
    assert house.why_not() == ""
    assert control.reading(house.desk.settings, house.desk.manifest).signed.commit == house.first
    with pytest.raises(Denied, match="does not have the commit"):
        house.review(commit="1" * 40)  # which a partial clone would fetch
    assert not mark.exists()


def test_objects_that_are_not_what_their_names_say(house: House) -> None:
    """A replaced object is not looked at; one that lies under another's name is found out."""
    house.review()
    blob = git(house.project, "rev-parse", "HEAD:workload.py")
    house.desk.write("# other\n")
    other = git(house.project, "hash-object", "-w", "workload.py")
    git(house.project, "replace", blob, other)
    assert git(house.project, "cat-file", "blob", blob).startswith(git(house.project, "cat-file", "blob", other)[:200])
    with pytest.raises(Denied, match=r"workload\.py is another one in the commit"):
        house.review("uma")
    store = house.project / ".git" / "objects"
    place = store / blob[:2] / blob[2:]
    place.chmod(0o644)
    place.write_bytes((store / other[:2] / other[2:]).read_bytes())
    with pytest.raises(Denied, match="something else under the name of the blob"):
        house.review("uma")


def test_where_there_is_no_repository(house: House) -> None:
    """No work tree, one whose store is gone, and a workload that is a link in it."""
    house.review()
    (house.project / ".git").rename(house.folder / "elsewhere")
    assert "does not lie in the work tree of a git repository" in house.why_not()
    (house.project / ".git").write_text(f"gitdir: {house.folder / 'elsewhere'}\n")
    assert house.why_not() == ""
    (house.project / "real.py").write_bytes((house.project / "workload.py").read_bytes())
    (house.project / "workload.py").unlink()
    (house.project / "workload.py").symlink_to("real.py")
    house.desk.change("workload.py:solve", "real.py:solve")
    git(house.folder / "elsewhere", "config", "core.worktree", str(house.project))
    house.commit()
    with pytest.raises(GatehouseError, match=r"workload\.py is a link in the commit"):
        house.review()
