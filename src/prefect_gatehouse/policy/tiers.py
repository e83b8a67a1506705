"""The tiers: a file that says how many approvers, by what method, for which data and backends, and how long things wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.models import DataClass, Duration, Name, Strict
from prefect_gatehouse.values import TierRules, Treatment

TierName = Literal["prototype", "integration", "business"]


class _Tier(Strict):
    approvers: Annotated[int, Field(ge=1, le=20)]
    weakest_method: Literal["totp", "ssh", "ssh-fido"]
    unverified_requests: bool
    highest_class: DataClass
    backends: Annotated[tuple[Name, ...], Field(min_length=1)]
    approval_window: Duration
    resume_window: Duration


def load_tiers(path: Path) -> Mapping[TierName, TierRules]:
    """The tiers of a file.

    Raises:
        InputError: The file is missing or malformed, or a tier is not defined.
    """
    try:
        tiers = TypeAdapter(dict[TierName, _Tier]).validate_python(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError):
        raise InputError("the tiers can't be read", where=str(path), advice="set GATEHOUSE_TIERS") from None
    except yaml.YAMLError:
        raise InputError("the tiers are no valid YAML", where=str(path), advice="compare the file with the one that ships") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(first["msg"], where=f"{path}: {field}", advice="correct the field") from None
    missing = {"prototype", "integration", "business"} - set(tiers)
    if missing:
        raise InputError(f"tiers are missing: {', '.join(sorted(missing))}", where=str(path), advice="define all three")
    return {
        name: TierRules(
            name=name,
            approvers=tier.approvers,
            weakest_method=tier.weakest_method,
            unverified_requests=tier.unverified_requests,
            highest_class=tier.highest_class,
            backends=tier.backends,
            approval_window_seconds=int(tier.approval_window.total_seconds()),
            resume_window_seconds=int(tier.resume_window.total_seconds()),
        )
        for name, tier in tiers.items()
    }


def effective_class(treatments: Sequence[Treatment]) -> DataClass:
    """The class of what leaves: a kept column counts with its class, a tokenised or generalised one counts one class lower."""
    ladder = list(DataClass)
    rank = 0
    for item in treatments:
        if item.rule == "keep":
            rank = max(rank, item.data_class.rank)
        elif item.rule != "drop":
            rank = max(rank, item.data_class.rank - 1)
    return ladder[rank]
