"""The one mechanism around every gate: passed once, stored with its event or not at all, and no foreign text gets out."""

from __future__ import annotations

import pytest
from tests.support.gates import Desk
from tests.support.plans import RUN

from prefect_gatehouse.errors import DataRefused, Interrupted, Superseded
from prefect_gatehouse.ledger.events import EndingDecided
from prefect_gatehouse.ledger.store import Transaction
from prefect_gatehouse.run.attempt import Attempt
from prefect_gatehouse.run.gate_value import GateValue
from prefect_gatehouse.tasks.gate import Gate, gate


class Weight(GateValue):
    """What the gate of these tests returns."""

    gate = "weigh"

    grams: int


class Scale:
    """A gate that remembers how often its function ran."""

    def __init__(self, error: Exception | None = None, after: Exception | None = None) -> None:
        self.ran = 0

        def weigh(attempt: Attempt, grams: int) -> Weight:
            """Weighs."""
            self.ran += 1
            if error is not None:
                raise error
            return Weight(grams=grams)

        def and_then(attempt: Attempt, tx: Transaction, value: Weight) -> None:
            attempt.append(tx, "beside", EndingDecided(ending="completed", reason=str(value.grams)))
            if after is not None:
                raise after

        self.gate: Gate[[int], Weight] = gate(Weight, and_then=and_then)(weigh)


def test_a_gate_is_passed_once(desk: Desk) -> None:
    """The second call, and the call of a later attempt, give what was stored, whatever they are called with; the function does not run."""
    scale = Scale()
    assert scale.gate.kept(desk.attempt) is None
    assert scale.gate(desk.attempt, 5) == Weight(grams=5)
    assert scale.gate(desk.attempt, 6) == scale.gate(desk.next_attempt(), 7) == scale.gate.kept(desk.attempt) == Weight(grams=5)
    assert (scale.ran, desk.gates("gate-entered"), desk.gates()) == (1, ["weigh"], ["weigh"])


def test_a_gate_is_passed_once_for_each_round(desk: Desk) -> None:
    """A round has a value of its own, found again under its number."""
    scale = Scale()
    found = [scale.gate.in_round(number, desk.attempt, grams) for number, grams in ((0, 5), (1, 6), (0, 7))]
    assert [each.grams for each in found] == [5, 6, 5]
    assert scale.gate.kept(desk.attempt) is None and scale.gate.kept(desk.attempt, 1) == Weight(grams=6)
    assert [event.data["round"] for event in desk.ledger.events(RUN, "gate-passed")] == [0, 1]


def test_what_belongs_to_a_passage_commits_with_it(desk: Desk) -> None:
    """Value and what goes along are stored in one transaction: an error in it leaves neither, and the gate can be passed again."""
    with pytest.raises(Interrupted):
        Scale(after=ValueError("CANARY")).gate(desk.attempt, 5)
    assert desk.gates() == [] and desk.attempt.find("beside", EndingDecided) is None
    assert desk.gates("gate-failed") == ["weigh"]
    assert Scale().gate(desk.attempt, 6) == Weight(grams=6)
    assert desk.attempt.find("beside", EndingDecided) is not None


def test_a_foreign_error_s_text_stays_inside(desk: Desk) -> None:
    """Its type and our line are told, to the caller and to the ledger; its text to neither, nor does it hang on as a cause."""
    with pytest.raises(Interrupted, match="weigh: unexpected ValueError") as caught:
        Scale(error=ValueError("CANARY")).gate(desk.attempt, 5)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    (event,) = desk.ledger.events(RUN, "gate-failed")
    assert "ValueError" in str(event.data["message"]) and "CANARY" not in str(dict(event.data))


def test_an_error_of_ours_is_told_as_it_is(desk: Desk) -> None:
    """What the gate says, where and what to do about it are the event's."""
    error = DataRefused("too light", where="scale", advice="eat")
    with pytest.raises(DataRefused) as caught:
        Scale(error=error).gate(desk.attempt, 5)
    assert caught.value is error
    (event,) = desk.ledger.events(RUN, "gate-failed")
    assert {name: event.data[name] for name in ("message", "where", "advice")} == {"message": "too light", "where": "scale", "advice": "eat"}


def test_a_superseded_process_passes_no_gate(desk: Desk) -> None:
    """Once a newer attempt has begun, an older one neither enters a gate nor writes that it failed."""
    desk.next_attempt()
    size, scale = desk.ledger.size(), Scale()
    with pytest.raises(Superseded):
        scale.gate(desk.attempt, 5)
    assert (scale.ran, desk.ledger.size()) == (0, size)


def test_a_value_names_its_own_gate() -> None:
    """A gate that returns another one's value would be found again under the wrong name: refused when it is declared."""

    def measure(attempt: Attempt) -> Weight:
        return Weight(grams=1)

    with pytest.raises(TypeError, match="Weight says that weigh returns it, not measure"):
        gate(Weight)(measure)
