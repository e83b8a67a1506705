"""``gatehouse plan``: the gates up to the plan, over the real data, without a server and without a trace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.pipeline import REQUESTER, ROWS, Pipeline

from prefect_gatehouse.errors import Denied, InputError
from prefect_gatehouse.flows.dry_run import plan_of
from prefect_gatehouse.providers.interface import Progress
from prefect_gatehouse.values import Preflight


def silent(_: str) -> Progress:
    return lambda done, total: None


@pytest.fixture
def strict(tmp_path: Path) -> Pipeline:
    """A pipeline of a tier that admits signed requests only and has the pre-flight left out; its blocks exist nowhere."""
    made = Pipeline(tmp_path / "p", None, "none", tier="integration", blocks=("secret/nowhere-key", "secret/nowhere-url"))
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text(made.settings.tiers.read_text().replace("preflight: required", "preflight: never"))
    made.settings = made.settings.model_copy(update={"tiers": tiers})
    return made


def test_it_is_the_plan_that_a_run_would_have(strict: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed by the caller, from another folder, all rows; nothing is written into the home, the ledger, the target or the folder."""
    settings = strict.settings.model_copy(update={"identity": strict.keys[REQUESTER]})
    before = {path: path.stat().st_mtime_ns for path in strict.folder.rglob("*") if path.is_file()}
    monkeypatch.chdir(strict.zone.parent)
    plan = plan_of(settings, Path(os.path.relpath(strict.manifest)), silent)
    assert (plan.admitted.requester.person, plan.admitted.requester.method) == (REQUESTER, "ssh")
    assert plan.validated.minimised.artifact.rows == ROWS
    assert plan.body.circuits.count == 4
    assert plan.body.preflight == Preflight(looked=False, because="the tier integration never looks")
    assert plan.body.endpoint("target") == f"sqlite:///{strict.target}"
    assert {path: path.stat().st_mtime_ns for path in strict.folder.rglob("*") if path.is_file()} == before
    text = plan.model_dump_json()
    assert not any(canary in text for canary in strict.canaries)


def test_it_is_denied_as_a_run_would_be(strict: Pipeline) -> None:
    """Unsigned, in a tier that wants a signature; and without a key there is nothing to sign with."""
    with pytest.raises(Denied, match="unverified-requester"):
        plan_of(strict.settings, strict.manifest, silent, signed=False)
    with pytest.raises(InputError, match="key"):
        plan_of(strict.settings, strict.manifest, silent)
