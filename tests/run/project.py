"""A small project on disk, an installation beside it, and a plan over both."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect_gatehouse.run.plan import refuse_changes
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.settings import Settings
from tests.support.plans import POLICY_DIGEST, plan_for, tier_rules, write_project, write_tiers


class Project:
    """A project on disk, an installation beside it, and the plan over both."""

    def __init__(self, folder: Path, **change: Any) -> None:
        self.folder = folder / "project"
        write_project(self.folder)
        tiers = write_tiers(folder / "tiers.yaml", change.get("tier", tier_rules()))
        self.settings = Settings(home=folder / "home", image_digest="sha256:" + "5" * 64, tiers=tiers)
        self.settings.folder("")
        self.plan = plan_for(self.folder, self.settings, made_at=datetime.now(UTC), **change)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def refuse(self, plan: Plan | None = None, policy_digest: str = POLICY_DIGEST, **settings: Any) -> None:
        refuse_changes(self.settings.model_copy(update=settings), plan or self.plan, policy_digest)
