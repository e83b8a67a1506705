"""A workload's way from the prototype tier into integration as it ships, by the commands of those whose word it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.pipeline.test_operator_commands import command, start  # noqa: F401 - two fixtures
from tests.support.bundles import ROLES, write_bundle
from tests.support.pipeline import APPROVER, REQUESTER, ROWS, TICKETS
from tests.support.promoted import ENTERED, OWNER, into_integration, make_keys

from prefect_gatehouse.ledger.answers import LongLivedKeyUsed

pytestmark = pytest.mark.timeout(600)


def denied(pipeline: Any) -> str:
    run_id = pipeline.start()
    pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "denied", pipeline.log.read_text()
    return str(pipeline.state(run_id).message)


def test_from_the_prototype_tier_to_integration(pipeline: Any, command: Callable[..., tuple[int, str]]) -> None:  # noqa: F811
    """Denied step by step with what is missing, until rules, ticket, classes and workload have somebody's word; then it runs, and each is told."""

    def done(*words: str, who: str) -> str:
        code, said = command(*words, who=who)
        assert code == 0, said
        return said

    pipeline.complete()
    make_keys(pipeline)
    for name, role in ENTERED:
        done("people", "add", name, "--role", role, "--key", f"{pipeline.keys[name]}.pub", who=REQUESTER)
    into_integration(pipeline)

    assert "there is no bundle of policies" in denied(pipeline)
    write_bundle(pipeline.settings)
    pipeline.settings.tickets_file().write_text(TICKETS)
    for each in ROLES.values():
        done("policy", "sign", "--reason", "as agreed", who=each)
    done("policy", "accept", "--reason", "the first one", who=REQUESTER)
    assert {"[class-not-signed]", "[not-promoted]"} <= {word.strip(";") for word in denied(pipeline).split()}
    done("classes", "sign", str(pipeline.manifest), "--reason", "as registered", who=OWNER)
    done("promote", str(pipeline.manifest), "--check", who=APPROVER)
    done("promote", str(pipeline.manifest), "--reason", "it behaves", who=APPROVER)

    run_id = pipeline.complete()
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.log.read_text()
    assert len(pipeline.rows()) == ROWS
    shown = done("show", run_id, "--plan", who=REQUESTER)
    assert all(words in shown for words in ("bundle version 1, signed by", f"signed by {OWNER}", f"by {APPROVER} on ", "the installation's file"))
    decided = json.loads(done("explain", run_id, "--json", who=REQUESTER))["decisions"]
    assert all(each["allowed"] for each in decided) and {each["asked"] for each in decided} >= {"request", "submit", "write_back"}
    done("verify", who=REQUESTER)
    used = [event.fact.person for event in pipeline.ledger.facts(LongLivedKeyUsed, run_id=run_id)]
    assert used == [REQUESTER, APPROVER]  # the tier takes keys that do not end by themselves, and reports each use
