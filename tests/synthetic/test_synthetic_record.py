"""Which files count as synthetic: a recorded digest and nothing else; and what a tier that takes only such files makes of others."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from tests.support.pipeline import REQUESTER, Pipeline
from tests.support.plans import plan_for, tier_rules, write_project
from tests.synthetic.installation import Desk
from tests.synthetic.sources import correlated

from prefect_gatehouse.canonical import sha256_file
from prefect_gatehouse.errors import Denied, InputError, Tampered
from prefect_gatehouse.identity.keys import fingerprint, generate_key
from prefect_gatehouse.ledger.events import SyntheticRecorded
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.operate.dry_run import dry_run_plan
from prefect_gatehouse.policy.cedar import load_policy
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.policy_questions import ask_submit
from prefect_gatehouse.run.standing import Standing
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.synthetic.record import carry_records, is_synthetic, make_record, record_of, require_synthetic, write_record


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An installation."""
    return Desk(tmp_path)


def record(settings: Settings, sha256: str) -> None:
    """Enters a digest as the command does."""
    ledger = Ledger(settings.ledger())
    made = make_record(sha256=sha256, rows=40, source_sha256="a" * 64, report_sha256="b" * 64, generator="test", key=settings.signing_key())
    write_record(ledger, made)
    ledger.close()


def test_only_the_bytes_that_were_recorded_count(desk: Desk) -> None:
    """The file under any name does; with one byte changed under its own name it does not; the source never does."""
    made, _ = desk.run(correlated(300))
    copy = desk.folder / "innocent-name.parquet"
    shutil.copy(made.path, copy)
    assert is_synthetic(desk.ledger, sha256_file(copy))
    data = bytearray(made.path.read_bytes())
    data[len(data) // 2] ^= 1
    made.path.write_bytes(data)
    assert not is_synthetic(desk.ledger, sha256_file(made.path))
    assert not is_synthetic(desk.ledger, sha256_file(desk.folder / "source.parquet"))
    assert not is_synthetic(desk.ledger, "")


def recorded(sha256: str) -> SyntheticRecorded:
    """The fact, whoever tells it."""
    return SyntheticRecorded(
        sha256=sha256, rows=1, source_sha256="a" * 64, report_sha256="b" * 64, generator="test", made_at=datetime(2026, 1, 1, tzinfo=UTC)
    )


def test_another_event_with_the_digest_does_not_count(desk: Desk) -> None:
    """Kind and place of the event count, not that the digest occurs in it."""
    with desk.ledger.transaction() as tx:
        tx.append(f"synthetic:{'c' * 64}", "some-run", recorded("c" * 64))
        tx.append(f"other:{'d' * 64}", "ledger", recorded("d" * 64))
    assert not is_synthetic(desk.ledger, "c" * 64)
    assert not is_synthetic(desk.ledger, "d" * 64)


def test_the_maker_signs_where_there_is_a_key(desk: Desk) -> None:
    """The fingerprint is in the record; a record whose content is not what was signed stops everything."""
    key = desk.folder / "id"
    line = generate_key(key, "maker")
    made = make_record(sha256="e" * 64, rows=9, source_sha256="a" * 64, report_sha256="b" * 64, generator="test", key=key)
    assert write_record(desk.ledger, made)
    assert not write_record(desk.ledger, made), "once is enough"
    found = record_of(desk.ledger, "e" * 64)
    assert found is not None and found.fingerprint == fingerprint(line)
    write_record(desk.ledger, made.model_copy(update={"sha256": "f" * 64}))
    with pytest.raises(Tampered, match="not what was signed"):
        is_synthetic(desk.ledger, "f" * 64)


def test_a_key_that_cannot_sign_is_an_error(desk: Desk) -> None:
    """It is there and it is no key: nothing is recorded unsigned in silence."""
    broken = desk.folder / "id"
    broken.write_text("no key")
    with pytest.raises(InputError, match="no usable signing key"):
        make_record(sha256="e" * 64, rows=9, source_sha256="a" * 64, report_sha256="b" * 64, generator="test", key=broken)


def test_records_are_carried_into_another_ledger(desk: Desk, tmp_path: Path) -> None:
    """All of them, signed ones still signed."""
    made, _ = desk.run(correlated(300))
    other = Ledger(f"sqlite:///{tmp_path / 'other.sqlite'}")
    assert carry_records(desk.ledger, other) == 1
    assert record_of(other, made.record.sha256) == made.record
    other.close()


def test_a_tier_that_takes_synthetic_data_only(desk: Desk) -> None:
    """Denied without a record, let through with one; another tier takes both and tells them apart."""
    strict, open_ = tier_rules(synthetic_only=True), tier_rules()
    with pytest.raises(Denied, match="synthetic data only"):
        require_synthetic(desk.ledger, "1" * 64, strict)
    assert not require_synthetic(desk.ledger, "1" * 64, open_)
    record(desk.settings, "1" * 64)
    assert require_synthetic(desk.ledger, "1" * 64, strict)
    assert require_synthetic(desk.ledger, "1" * 64, open_)


def test_the_policy_denies_jobs_over_real_data(tmp_path: Path) -> None:
    """With the sentence and the identifier, at submission, whatever the gate before it said."""
    write_project(tmp_path / "project")
    policy, standing = load_policy(Settings().policies), Standing(promoted=True, simulated=True, unsigned=())
    plan = plan_for(tmp_path / "project", Settings(home=tmp_path / "home"), tier=tier_rules(synthetic_only=True))
    with pytest.raises(Denied, match=r"takes synthetic data only, and this file's digest is not recorded as synthetic \[not-synthetic\]"):
        ask_submit(policy, plan, 1, "local", DataClass.RESTRICTED, standing)
    minimised = plan.validated.minimised.model_copy(update={"synthetic": True})
    known = plan.model_copy(update={"validated": plan.validated.model_copy(update={"minimised": minimised})})
    assert ask_submit(policy, known, 1, "local", DataClass.RESTRICTED, standing).allowed


def test_the_gates_of_a_tier_for_synthetic_data(tmp_path: Path) -> None:
    """A dry run over the real gates: denied, then let through once the digest is in the installation's ledger, and the plan says so."""
    small = Pipeline(tmp_path / "p", None, "none", tier="prototype", blocks=("secret/nowhere-key", "secret/nowhere-url"))
    tiers = yaml.safe_load(Settings().tiers.read_text())
    tiers["prototype"]["synthetic_only"] = True
    (tmp_path / "tiers.yaml").write_text(yaml.safe_dump(tiers))
    open_ = small.settings.model_copy(update={"identity": small.keys[REQUESTER]})
    settings = open_.model_copy(update={"tiers": tmp_path / "tiers.yaml"})

    def dry(with_settings: Settings) -> str:
        plan = dry_run_plan(with_settings, small.manifest, lambda what: lambda done, total: None)
        return "; ".join(section.summary for section in sections(plan))

    with pytest.raises(Denied, match="synthetic data only"):
        dry(settings)
    assert "synthetic" not in dry(open_)
    record(small.settings, sha256_file(small.manifest.parent / "source.csv"))
    assert "synthetic data, recorded" in dry(settings)
