"""Whatever somebody writes where an answer should be is refused with a reason: never an exception, never a yes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_gatehouse.errors import Denied
from prefect_gatehouse.run.answer import LARGEST_ANSWER, Answer, read_answer
from tests.run.test_answer import Desk

GOOD = {"decision": "approve", "approver": "bob", "proof": "123456", "reason": ""}
HOSTILE: dict[str, str | None] = {
    "nothing": None,
    "empty": "",
    "number": "17",
    "word": '"approve"',
    "bare-word": "approve",
    "brackets": "[[[",
    "deep-list": "[" * 100_000,
    "deep-list-closed": "[" * 50_000 + "]" * 50_000,
    "deep-form": '{"decision":' * 20_000,
    "deep-value": json.dumps({**GOOD, "reason": "X"}).replace('"X"', "[" * 60_000 + "]" * 60_000),
    "list": "[]",
    "list-of-pairs": json.dumps(list(GOOD.items())),
    "null": "null",
    "true": "true",
    "empty-form": "{}",
    "huge": json.dumps({**GOOD, "reason": "x" * (4 << 20)}),
    "huge-number": '{"decision": ' + "9" * 100_000 + "}",
    "long-reason": json.dumps({**GOOD, "reason": "x" * 501}),
    "no-decision": json.dumps({key: value for key, value in GOOD.items() if key != "decision"}),
    "other-decision": json.dumps({**GOOD, "decision": "APPROVE"}),
    "decision-in-a-list": json.dumps({**GOOD, "decision": ["approve"]}),
    "decision-is-true": json.dumps({**GOOD, "decision": True}),
    "unknown-key": json.dumps({**GOOD, "CANARY": 1}),
    "name-of-python": json.dumps({**GOOD, "__class__": "Answer"}),
    "number-for-text": json.dumps({**GOOD, "proof": 123456}),
    "null-for-text": json.dumps({**GOOD, "approver": None}),
    "not-a-number": '{"decision": "approve", "proof": NaN}',
    "infinity": '{"decision": "approve", "proof": Infinity}',
    "half-a-character": r'{"decision": "approve", "reason": "\ud800"}',
    "half-a-character-alone": r'"\ud800"',
    "half-a-character-raw": '{"decision": "approve", "reason": "\ud800"}',
    "nul": '{"decision": "approve\0"}',
    "two-documents": json.dumps(GOOD) + json.dumps(GOOD),
    "comment": json.dumps(GOOD) + " // yes",
    "single-quotes": str(GOOD),
    "byte-order-mark": "\ufeff" + json.dumps(GOOD),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_form(case: str) -> None:
    """One reason in our words; nothing of what was written is in it."""
    with pytest.raises(Denied) as refused:
        read_answer(HOSTILE[case])
    assert "fill in the form" in refused.value.message
    assert "CANARY" not in str(refused.value) + repr(refused.value.__cause__)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_what_is_a_form() -> None:
    """The fields as they were filled in; those that may be left out are empty. Escaped text counts by what it means."""
    assert read_answer(json.dumps(GOOD)) == Answer.model_validate(GOOD)
    assert read_answer('{"decision": "reject"}') == Answer(decision="reject")
    widest = json.dumps({"decision": "approve", "approver": "\U0001f600" * 200, "proof": "\u20ac" * 15_000, "reason": "\u20ac" * 500})
    assert len(widest) < LARGEST_ANSWER
    assert len(read_answer(widest).proof) == 15_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*GOOD, "x"]) | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON.map(json.dumps) | st.text(max_size=200) | st.text('[]{}":,\\ud0123approvejctisn \0', max_size=200))
def test_any_text(text: str) -> None:
    """Any JSON and any text at all is an answer of the form, or refused."""
    try:
        answer = read_answer(text)
    except Denied:
        return
    assert set(json.loads(text)) <= set(GOOD)
    assert answer.decision == json.loads(text)["decision"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


ODD = ["", "\0", "bob\0", "BOB ", "²", "١٢٣٤٥٦", "123456", "-----BEGIN SSH SIGNATURE-----", "\u202e", "😀" * 50, "../bob", "a" * 200]


@given(
    decision=st.sampled_from(["approve", "reject"]),
    approver=st.sampled_from(ODD) | st.text(max_size=200),
    proof=st.sampled_from(ODD) | st.text(max_size=300) | st.binary(max_size=200).map(lambda raw: armoured(raw)),
    reason=st.sampled_from(ODD) | st.text(max_size=500),
)
def test_any_fields(desk: Desk, decision: Any, approver: str, proof: str, reason: str) -> None:
    """Whatever is filled in by somebody without a code and a key is refused: no field of the form brings an exception about."""
    Answer(decision=decision, approver=approver, proof=proof, reason=reason)
    with pytest.raises(Denied) as refused:
        desk.check(proof, decision=decision, approver=approver)
    assert refused.value.message


def armoured(raw: bytes) -> str:
    return f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(b'SSHSIG' + raw).decode()}\n-----END SSH SIGNATURE-----"
