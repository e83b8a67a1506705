"""What is asked under policies that nobody signed: no answer, as nothing is signed by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.bundles import as_
from tests.tasks.test_bundle import LENIENT_RULE, House

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.evidence.supposed import Asked, Supposed, suppose
from prefect_gatehouse.evidence.supposed_acts import suppose_act
from prefect_gatehouse.ledger.by_hand import ActRefused
from prefect_gatehouse.manifest.load import load_manifest
from prefect_gatehouse.operate import exceptions
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.result_question import ask_to_look
from prefect_gatehouse.vocabulary import ActAction


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    with closing(made.ledger):
        yield made


def test_questions_under_edited_policies(house: House) -> None:
    """Whoever opens a result, wants an exception or wonders gets no answer; an emergency and the next version, which are signed all the same, do.

    Who tried something is in the ledger, who wondered is not.
    """
    run_id, manifest = house.admit(), load_manifest(house.desk.manifest).manifest
    file = house.folder / "policies" / "gatehouse.cedar"
    file.write_text(file.read_text().replace(*LENIENT_RULE).replace('@except("granted")\n', ""))
    until = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%d}"
    said = {"rule": "backend-not-in-tier", "tenant": "test-tenant", "owner": "lea", "ticket": "CHG-7", "risk": "x", "control": "x", "reason": "x"}
    about = Asked(manifest, house.desk.manifest.parent, "0" * 64, lambda: pytest.fail("the tier asks for no reviewed commit"))

    def supposed(who: str, action: ActAction) -> Supposed:
        return suppose_act(house.settings, house.ledger, lambda: manifest, who, action, [])

    asked: dict[str, Callable[[], object]] = {
        "a result": lambda: ask_to_look(as_(house.settings, "ann"), house.ledger, Chain(house.ledger, run_id), "show"),
        "an exception": lambda: exceptions.grant(
            as_(house.settings, "bob"), house.ledger, exceptions.Wanted.model_validate({**said, "until": until})
        ),
        "a run": lambda: suppose(house.settings, house.ledger, about, "ann", "request", []),
        "a promotion": lambda: supposed("ann", "promote"),
        "an approval": lambda: supposed("ann", "approve"),
    }
    for question in asked.values():
        with pytest.raises(Denied, match="not those that were signed"):
            question()
    told = [(each.run_id, each.fact.person, each.fact.action, each.fact.reasons, each.fact.policy_digest) for each in house.ledger.facts(ActRefused)]
    not_signed = ("policies-not-signed",)
    assert told == [(run_id, "ann", "read_result", not_signed, ""), ("ledger", "bob", "grant_exception", not_signed, "")]
    assert supposed("ann", "quarantine").allowed and supposed("lea", "change_policy").allowed
