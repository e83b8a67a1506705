"""How much could leave: counted in the plan, capped by the tier, held against what was approved before every round is sent."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.models import Output
from prefect_gatehouse.run import journal
from prefect_gatehouse.run.leaving import frame_bits, leaving_of
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.run.values import Plan
from prefect_gatehouse.workload.batch import Template, joined
from prefect_gatehouse.workload.plain_form import decode
from tests.run.project import Project
from tests.support.gates import TWO_ROUNDS, Desk
from tests.support.plans import plan_for

GROWS = TWO_ROUNDS.replace("counts = yield [circuit(share + random.random() + np.random.random())]", "counts = yield [circuit(share)] * 40")
ON_A_GRID = ("  shots: 64\n", "  shots: 64\n  angle_step: 0.001\n")


def shown(plan: Plan) -> dict[str, str]:
    """The lines of the plan's section."""
    section = next(item for item in sections(plan) if item.title == "How much could leave")
    return {row[0]: row[1] for row in section.rows} | {"": section.summary}


def test_the_plan_says_how_much(tmp_path: Path) -> None:
    """Three circuits of one angle, twice: the bits of the first round, of any, of all; no bound for a frame whose columns have no types."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        plan = desk.planned()
    leaving = plan.body.leaving
    assert (leaving.circuits.angles, leaving.circuits.angle_bits) == (3, 64)
    assert leaving.round_bits == leaving.circuits.bits and leaving.frame_bits is None
    lines = shown(plan)
    assert lines[""].startswith(f"At most 3 angles of 64 bits in the first round, {2 * leaving.round_bits:,} bits in all")
    assert "3 angles of 64 bits" in lines["Circuits, first round"]
    assert (
        lines["Circuits, in all"].startswith(f"at most 2 rounds, {2 * leaving.round_bits:,} bits")
        and "prototype tier has no cap" in lines["Circuits, in all"]
    )
    assert lines["Angles"].startswith("any double") and lines["Frame"].startswith("no bound: up to 3 rows")


def test_a_grid_makes_it_less(tmp_path: Path) -> None:
    """With a step the plan has the grid's bits, everything that is sent stands on the grid, and each submission says its bits."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        desk.change(*ON_A_GRID)
        approved = desk.approved()
        leaving = approved.plan.body.leaving.circuits
        assert (leaving.angles, leaving.angle_bits) == (3, math.ceil(math.log2(4 * math.pi / 0.001)))
        assert shown(approved.plan)["Angles"] == "on a grid of 0.001 rad"
        outcome = run_rounds(desk.attempt, approved)
        payloads = [journal.payload_of(desk.attempt, entry) for entry in journal.entries(desk.attempt)]
    angles = np.concatenate([table.ravel() for payload in payloads for table in decode(payload)[0].angles])
    assert len(angles) == 4 and (np.rint(angles / 0.001) * 0.001 == angles).all()
    first, second = (item.submission.leaving_bits for item in outcome.rounds)
    assert first == leaving.bits > second > 14


def test_a_round_above_what_was_approved_is_not_sent(tmp_path: Path) -> None:
    """A later round of forty circuits where three were approved is denied before anything of it is intended; the first stands."""
    desk = Desk(tmp_path, GROWS, backends="aer", rehearsal="skip")
    with closing(desk.ledger):
        with pytest.raises(Denied, match=r"round 2 could carry 2,\d\d\d bits, \d\d\d are approved for a round") as caught:
            run_rounds(desk.attempt, desk.approved())
        assert "execution.envelope.round_bits" in caught.value.advice
        assert desk.entries() == [(0, 0, "aer", "settled")]


def test_a_round_may_be_larger_where_the_manifest_says_so(tmp_path: Path) -> None:
    """Then that is what people approve, and what the sum over all rounds is made of."""
    desk = Desk(tmp_path, GROWS, backends="aer")
    with closing(desk.ledger):
        desk.change("deadline: 1h}", "deadline: 1h, round_bits: 5000}")
        approved = desk.approved()
        assert "10,000 bits" in shown(approved.plan)["Circuits, in all"]
        assert shown(approved.plan)["Circuits, any round"].startswith("at most 5,000 bits")
        assert len(run_rounds(desk.attempt, approved).rounds) == 2


def test_a_first_round_above_the_manifest_is_not_planned(tmp_path: Path) -> None:
    """Told at the plan, not after a round was paid for."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        desk.change("deadline: 1h}", "deadline: 1h, round_bits: 50}")
        with pytest.raises(Denied, match=r"^execution.envelope.round_bits: the first round could carry \d\d\d bits, the manifest says 50 at most"):
            desk.planned()


def test_the_tier_caps_it(tmp_path: Path) -> None:
    """What the rounds could carry together is held against the tier; a grid gets below its cap."""
    desk = Desk(tmp_path, backends="aer")
    with closing(desk.ledger):
        needed = 2 * desk.planned().body.leaving.round_bits
    tiers = desk.settings.tiers
    tiers.write_text(tiers.read_text().replace("preflight: optional", f"preflight: optional\n  leaving_bits: {needed - 1}", 1))
    capped = Desk(tmp_path / "capped", backends="aer")
    capped.settings = capped.settings.model_copy(update={"tiers": tiers})
    capped.attempt = capped.next_attempt()
    with closing(capped.ledger):
        with pytest.raises(Denied, match=rf"could carry {needed:,} bits in all, the prototype tier allows {needed - 1:,}") as caught:
            capped.planned()
        assert "execution.angle_step" in caught.value.advice
    gridded = Desk(tmp_path / "gridded", backends="aer")
    gridded.settings = gridded.settings.model_copy(update={"tiers": tiers})
    gridded.change(*ON_A_GRID)
    gridded.attempt = gridded.next_attempt()
    with closing(gridded.ledger):
        assert f"the prototype tier allows {needed - 1:,}" in shown(gridded.planned())["Circuits, in all"]


def output(columns: Any) -> Output:
    return Output.model_validate({"suite": "s.json", "target": {"system": "s", "table": "t"}, "key": "k", "columns": columns})


def test_the_bits_of_a_frame() -> None:
    """Rows times the types' bits, the columns' widths, and which keys in which order; nothing bounds undeclared columns of the prototype tier."""
    typed = output({"a": {"type": "boolean"}, "b": {"type": "category", "values": ["x", "y"]}})
    for rows in (1, 3, 5, 100):
        sequences = sum(math.perm(rows, number) for number in range(rows + 1))
        found = frame_bits(typed, rows, "business")
        assert found is not None and 0 <= found - rows * (2 + 2) - 2 * 16 - math.log2(sequences) <= 2
    assert frame_bits(typed, 5, "prototype") == frame_bits(typed, 5, "business")
    assert frame_bits(output(["a"]), 5, "prototype") is None
    assert frame_bits(output(["a"]), 1000, "integration") == frame_bits(output({"a": {"type": "number"}}), 1000, "integration")
    text = frame_bits(output({"a": {"type": "text", "length": 100}}), 10, "business")
    assert text is not None and text > 10 * 100 * 20


def test_free_text_has_the_class_of_everything_the_workload_saw(tmp_path: Path) -> None:
    """The form names each column's type and bits, and for free text the class, which is the run's highest whatever the column is called."""
    project = Project(tmp_path)
    text = (project.folder / "gatehouse.yaml").read_text()
    project.write("gatehouse.yaml", text.replace("columns: [score]", "columns: {score: {type: number}, remark: {type: text, length: 20}}"))
    plan = plan_for(project.folder, project.settings)
    known = {each.column: each.data_class for each in plan.body.classes.outputs}
    assert known["remark"] is plan.body.classes.output_class is DataClass.RESTRICTED
    lines = shown(plan)
    assert lines["Column remark"] == "text, free text of class restricted: 421 bits a row"
    assert lines["Column score"] == "number: 65 bits a row"


def test_a_tier_whose_cap_nobody_knows_lets_nothing_through(tmp_path: Path) -> None:
    """A run that was admitted before tiers had a cap is planned in the prototype tier only."""
    plan = Project(tmp_path).plan
    batch = joined([(Template(1, 1, (("ry", (0,), ()), ("measure", (0,), (0,)))), np.zeros((1, 1)))])
    minimised = plan.validated.minimised
    assert leaving_of(minimised, batch).circuits.angles == 1
    business = minimised.admitted.model_copy(update={"tier": minimised.admitted.tier.model_copy(update={"name": "business"})})
    with pytest.raises(Denied, match="nobody knows how many bits the business tier lets circuits carry"):
        leaving_of(minimised.model_copy(update={"admitted": business}), batch)
