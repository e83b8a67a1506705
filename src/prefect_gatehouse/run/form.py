"""What the resume form says: what is asked, who has answered, and how to answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC

from prefect_gatehouse.identity.methods.oidc import nonce_of
from prefect_gatehouse.identity.statement import Statement
from prefect_gatehouse.policy.rules import TierRules
from prefect_gatehouse.run.approvals import Standing
from prefect_gatehouse.run.matter import Matter, plan_of, terms_of
from prefect_gatehouse.run.outcome import outcome_sections
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.section import Section, as_tables, cell
from prefect_gatehouse.run.values import Plan

_MOST_PEOPLE = 20  # that are named


def sections_of(matter: Matter) -> list[Section]:
    """What people read of it."""
    return sections(matter) if isinstance(matter, Plan) else outcome_sections(matter)


def question(matter: Matter) -> str:
    """What is asked, in a line."""
    name = plan_of(matter).admitted.manifest.name
    return f"Approve {name}?" if isinstance(matter, Plan) else f"Release the outcome of {name} to be written back?"


def as_markdown(matter: Matter, standing: Standing, approve: Statement, reject: Statement, expects: Mapping[str, str]) -> str:
    """The description of the resume form; ``expects`` says of whom which proof is expected, as it was recorded when it was asked."""
    lines = [f"# {question(matter)}", ""]
    if standing.refusals:
        lines += [f"**The last answer did not count: {cell(standing.refusals[-1])}.**", ""]
    have = ", ".join(approval.person for approval in standing.approvals) or "nobody yet"
    admitted = plan_of(matter).admitted
    lines += [
        f"{len(standing.approvals)} of {standing.needed} {terms_of(matter).consents} ({have}){standing.lacks}. "
        f"Weakest method: {admitted.tier.weakest_method}. Open until {approve.expires.astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
        "",
    ]
    lines += [
        *as_tables(sections_of(matter)),
        "## How to answer",
        "",
        *_who_by_what(expects),
        f"Shortest: `gatehouse approve {admitted.run_id}` on a machine with your key, with `--sign-in` at your identity provider. "
        f"Or fill in this form: {_code(admitted.tier)}"
        f"an ID token with the nonce `{nonce_of(approve.message())}` (to reject: `{nonce_of(reject.message())}`), "
        "or an SSH signature of the statement (no line end), with YOUR_KEY-cert.pub where you have a certificate:",
        "",
        "```",
        f"printf %s '{approve.message().decode()}' | ssh-keygen -Y sign -n gatehouse -f YOUR_KEY",
        "```",
        "",
        "To reject, sign this instead:",
        "",
        "```",
        f"printf %s '{reject.message().decode()}' | ssh-keygen -Y sign -n gatehouse -f YOUR_KEY",
        "```",
    ]
    return "\n".join(lines)


def _code(tier: TierRules) -> str:
    """What a one-time code is worth, where the tier takes one at all."""
    if tier.weakest_method != "totp":
        return ""
    return "your identifier and a one-time code (it proves that somebody has your device, names no plan, and is whoever's reads this page first), or "


def _who_by_what(expects: Mapping[str, str]) -> Iterator[str]:
    """Of whom which proof is expected."""
    if expects:
        yield from (f"- `{person}`: {proof}" for person, proof in sorted(expects.items())[:_MOST_PEOPLE])
        if len(expects) > _MOST_PEOPLE:
            yield f"- and {len(expects) - _MOST_PEOPLE} more: `gatehouse people list`"
        yield ""
