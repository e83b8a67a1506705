"""What people approved before is what a new plan's files are compared with."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from uuid import uuid4

from prefect_gatehouse.ledger.answers import ApprovalGiven
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.planned import Since
from tests.support.gates import Desk


def again(desk: Desk) -> Attempt:
    """A new run of the same project."""
    return Attempt(desk.settings, desk.ledger, str(uuid4()), desk.attempt.read_secret)


def test_files_since_the_last_approval(tmp_path: Path) -> None:
    """The first plan has nothing to compare with, nor has one after a plan that nobody approved; then every file is told apart."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        first = desk.planned()
        assert first.body.since == Since()
        assert [each.path for each in first.body.files] == ["workload.py"]
        desk.attempt = again(desk)
        second = desk.planned()
        assert second.body.since == Since()
        desk.approve(second)
        (desk.folder / "weights.json").write_text("[1]")
        (desk.folder / "workload.py").write_text((desk.folder / "workload.py").read_text() + "\n# other\n")
        desk.attempt = again(desk)
        third = desk.planned()
        assert third.body.since == Since(plan_digest=second.digest, run_id=second.body.run_id, added=("weights.json",), changed=("workload.py",))
        desk.approve(third)
        (desk.folder / "weights.json").unlink()
        desk.attempt = again(desk)
        fourth = desk.planned()
        assert fourth.body.since == Since(plan_digest=third.digest, run_id=third.body.run_id, removed=("weights.json",))
        desk.change("name: small", "name: another")
        desk.attempt = again(desk)
        assert desk.planned().body.since == Since()


def test_an_approval_that_proves_nothing(tmp_path: Path) -> None:
    """Whoever writes one into the database has nobody told that these files were read before."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        first = desk.planned()
        fields = {"plan_digest": first.digest, "person": "eve", "method": "ssh", "fingerprint": "SHA256:x", "statement": "", "signature": "none"}
        desk.attempt.record("answer:forged", ApprovalGiven.model_validate(fields))
        desk.attempt = again(desk)
        assert desk.planned().body.since == Since()
