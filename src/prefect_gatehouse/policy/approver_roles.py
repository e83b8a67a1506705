"""Which roles those who approve have between them, where a tier asks for more than how many they are; counted here alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.vocabulary import Role


def missing_roles(tier: TierRules, approvers: Iterable[Collection[Role]]) -> tuple[Role, ...]:
    """The tier's roles that nobody of these has.

    Args:
        tier: The tier.
        approvers: The roles of each who approved.
    """
    has = {role for roles in approvers for role in roles}
    return tuple(role for role in tier.approver_roles or () if role not in has)


def in_words(missing: Collection[Role]) -> str:
    """Who has to approve as well."""
    return " and ".join(f"somebody with the role {role}" for role in missing)
