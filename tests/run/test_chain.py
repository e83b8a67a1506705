"""The chain of values in the ledger: each stored once, named by digest, followed and compared when it is read."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.errors import Tampered
from prefect_gatehouse.ledger.events import GatePassed
from prefect_gatehouse.ledger.merkle import leaf_hash
from prefect_gatehouse.ledger.store import Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.treatment import Treatment, undeclared
from prefect_gatehouse.run.chain import Chain
from prefect_gatehouse.run.values import AdmittedRun, MinimisedData, Plan, ValidatedData
from prefect_gatehouse.settings import Settings
from tests.support.plans import RUN, plan_for, write_project


class Desk:
    """A ledger with the first four values of a run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.ledger = Ledger(f"sqlite:///{self.path}")
        write_project(folder)
        self.plan = plan_for(folder, Settings(home=folder / "home"))
        self.ledger.begin_attempt(RUN)
        self.chain = Chain(self.ledger, RUN)
        validated = self.plan.validated
        for value in (validated.minimised.admitted, validated.minimised, validated, self.plan):
            fact = GatePassed(gate=value.gate, value=self.chain.stored(value))
            with self.ledger.transaction() as tx:
                tx.append(f"{RUN}:{value.passage}", RUN, fact, attempt=1)

    def edit(self, passage: str, old: str, new: str) -> None:
        """Changes an event's body as somebody with the file could, without repairing anything."""
        with contextlib.closing(sqlite3.connect(self.path)) as thief:
            thief.execute("DROP TRIGGER gatehouse_events_no_update")
            (body,) = thief.execute("SELECT body FROM gatehouse_events WHERE event_id = ?", (f"{RUN}:{passage}",)).fetchone()
            assert old in body
            thief.execute("UPDATE gatehouse_events SET body = ? WHERE event_id = ?", (body.replace(old, new), f"{RUN}:{passage}"))
            thief.commit()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk."""
    made = Desk(tmp_path)
    with contextlib.closing(made.ledger):
        yield made


def test_a_value_comes_back_with_all_before_it(desk: Desk) -> None:
    """What another process reads is equal to what was stored, to the first value."""
    found = Chain(desk.ledger, RUN).read(Plan.gate, Plan)
    assert found == desk.plan
    assert found is not None and found.admitted.manifest == desk.plan.admitted.manifest


def test_nothing_is_stored_twice(desk: Desk) -> None:
    """The manifest stands in the ledger once, and a later value holds a passage and a digest in its place."""
    bodies = [canonical(event.data).decode() for event in desk.ledger.events(RUN)]
    assert sum('"billing_code"' in body for body in bodies) == 1
    plan = desk.ledger.find(f"{RUN}:plan", GatePassed)
    assert plan is not None and set(plan.fact.value["validated"]) == {"passage", "sha256"}


def test_the_digest_of_the_last_value_covers_the_first(desk: Desk) -> None:
    """Another manifest gives another digest of the plan's value, though the plan's own fields are the same."""
    admitted = desk.plan.admitted.model_copy(update={"folder": "/elsewhere"})
    minimised = desk.plan.validated.minimised.model_copy(update={"admitted": admitted})
    other = desk.plan.model_copy(update={"validated": desk.plan.validated.model_copy(update={"minimised": minimised})})
    assert desk.chain.digest_of(other) != desk.chain.digest_of(desk.plan)


def test_what_was_not_passed_is_none(desk: Desk) -> None:
    """A run that has not come to a gate has no value of it."""
    assert desk.chain.read("await_approval", Plan) is None
    assert Chain(desk.ledger, "another-run").read(Plan.gate, Plan) is None


@pytest.mark.parametrize(
    ("passage", "old", "new"),
    [
        ("admit", '"billing_code":"', '"billing_code":"X'),
        ("minimise", '"source_rows":', '"source_rows":1'),
        ("validate_input", '"success":true', '"success":false'),
    ],
)
def test_an_edited_value_anywhere_before_is_seen(desk: Desk, passage: str, old: str, new: str) -> None:
    """Reading the last value follows every link; the edited one is not what its digest says."""
    desk.edit(passage, old, new)
    with pytest.raises(Tampered):
        Chain(desk.ledger, RUN).read(Plan.gate, Plan)


def test_a_value_of_another_way_is_not_taken(desk: Desk) -> None:
    """A value that is whole in itself, put in the place of the one that was referred to, breaks the link."""
    validated = desk.plan.validated.model_copy(update={"report": desk.plan.validated.report.model_copy(update={"rows": 99})})
    stored = json.dumps(desk.chain.stored(validated))
    event = desk.ledger.find(f"{RUN}:{ValidatedData.gate}", GatePassed)
    assert event is not None
    with contextlib.closing(sqlite3.connect(desk.path)) as thief:
        thief.execute("DROP TRIGGER gatehouse_events_no_update")
        (body,) = thief.execute("SELECT body FROM gatehouse_events WHERE seq = ?", (event.seq,)).fetchone()
        entry = json.loads(body)
        entry["data"]["value"] = json.loads(stored)
        changed = canonical(entry)
        thief.execute("UPDATE gatehouse_events SET body = ?, leaf = ? WHERE seq = ?", (changed.decode(), leaf_hash(changed).hex(), event.seq))
        thief.commit()
    assert Chain(desk.ledger, RUN).read(ValidatedData.gate, ValidatedData) == validated
    with pytest.raises(Tampered, match="does not go on"):
        Chain(desk.ledger, RUN).read(Plan.gate, Plan)


def test_a_gate_s_value_is_of_its_type(desk: Desk) -> None:
    """A value of another gate under a name is refused."""
    with pytest.raises(Tampered):
        desk.chain.read(AdmittedRun.gate, MinimisedData)


def test_the_order_of_columns_and_what_differs_from_the_manifest_come_back(tmp_path: Path) -> None:
    """JSON sorts a manifest's columns; classes, treatments and the plan's body come back in their own order and with their own words."""
    write_project(tmp_path)
    text = (tmp_path / "gatehouse.yaml").read_text()
    mixed = text.replace("    subject: {", "    zeta: {class: internal, rule: keep}\n    subject: {").replace(
        "    x: {", "    alpha: {class: public, rule: generalise, to: year}\n    x: {"
    )
    assert mixed.count("zeta") == mixed.count("alpha") == 1
    (tmp_path / "gatehouse.yaml").write_text(mixed)
    plan = plan_for(tmp_path, Settings(home=tmp_path / "home"))
    treated = (
        *plan.validated.minimised.treatments,
        Treatment(column="zeta", data_class=DataClass.RESTRICTED, rule="keep"),
        undeclared("nobody"),
        Treatment(column="stays", data_class=DataClass.INTERNAL, rule="drop"),
    )
    minimised = plan.validated.minimised.model_copy(update={"treatments": treated})
    body = plan.body.model_copy(update={"cost": Decimal("5.000"), "rounds": 1})
    plan = Plan(validated=plan.validated.model_copy(update={"minimised": minimised}), body=body, digest=body.digest(), made_at=plan.made_at)
    assert [each.column for each in plan.admitted.classes.features] == ["zeta", "subject", "alpha", "x"]
    with contextlib.closing(Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as ledger:
        chain = Chain(ledger, RUN)
        for value in (plan.admitted, minimised, plan.validated, plan):
            with ledger.transaction() as tx:
                tx.append(f"{RUN}:{value.passage}", RUN, GatePassed(gate=value.gate, value=chain.stored(value)))
        found = Chain(ledger, RUN).read(Plan.gate, Plan)
    assert found == plan and found is not None
    assert found.admitted.classes == plan.admitted.classes
    assert (found.body.digest(), str(found.body.cost)) == (plan.digest, "5.000")


def test_a_plan_that_is_not_its_digest_s(desk: Desk) -> None:
    """A value whose body is another than the digest that people approved is refused when it is read, though it is whole in the chain."""
    body = desk.plan.body.model_copy(update={"rounds": 1})
    forged = Plan.model_construct(validated=desk.plan.validated, body=body, digest=desk.plan.digest, made_at=desk.plan.made_at)
    with desk.ledger.transaction() as tx:
        tx.append(f"{RUN}:forged", RUN, GatePassed(gate="plan", value=desk.chain.stored(forged)))
    with pytest.raises(Tampered):
        desk.chain.read("forged", Plan)
