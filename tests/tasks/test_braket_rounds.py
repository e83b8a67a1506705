"""Gates 4, 7 and 8 over a Braket device, with the journal: a plan with its price, a round as one task, a lost answer that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from tests.money.tills import treasurer
from tests.support.braket_desk import lease_of
from tests.support.gates import Desk, Fetching
from tests.support.plans import RUN

from prefect_gatehouse.errors import Denied, PlanChanged, Unavailable
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.ledger.jobs import ProviderDrifted, SubmissionIntended
from prefect_gatehouse.operate import provider_check
from prefect_gatehouse.providers.description import describe
from prefect_gatehouse.run.parts import Parts
from prefect_gatehouse.run.plan_view import sections
from prefect_gatehouse.tasks.clean_up import clean_up
from prefect_gatehouse.tasks.submit import submit
from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.braket import ANKAA, FORTE, SIMULATOR

BACKEND, BLOCK = "braket/garnet-eu", "braket-device/garnet-eu"


@pytest.fixture
def run(tmp_path: Path, braket: BraketEmulator) -> Iterator[Desk]:
    """A run whose only backend is the machine, with its block."""
    bucket = f"gates-{tmp_path.name.strip('_').replace('_', '-')[-40:]}"
    braket.create_bucket(bucket)
    made = Desk(tmp_path, backends=BACKEND)
    made.blocks[BLOCK] = braket.settings(bucket, grace_seconds=1.0, call_seconds=0.8)
    made.attempt = made.next_attempt()
    made.change("credentials:\n", "credentials:\n  submit: secret/aws\n")
    made.secrets["secret/aws"] = braket.credential
    tiers = made.settings.tiers
    tiers.write_text(tiers.read_text().replace("backends: [aer, braket-local]", f"backends: [aer, {BACKEND}]"))
    with closing(made.ledger):
        yield made


def test_a_whole_run(run: Desk, braket: BraketEmulator) -> None:
    """Planned with the price of one task, two rounds as two tasks, what is settled equals the bill, the counts decide the second round."""
    approved = run.approved()
    (snapshot,) = approved.plan.body.backends
    assert (snapshot.name, snapshot.simulator) == (BACKEND, False)
    assert snapshot.prepared is not None and snapshot.prepared.settings["sent"] == "verbatim"
    assert (snapshot.prepared.two_qubit_before, snapshot.prepared.two_qubit_after) == (1, 1)
    assert snapshot.prepared.quality is not None and 0.9 < snapshot.prepared.quality < 0.99
    assert snapshot.cost_apart is not None and snapshot.cost_apart - snapshot.cost_first_round == Decimal("0.60")
    shown = {section.title: section.rows for section in sections(approved.plan)}
    ((_, how, depth, gates, quality),) = shown["How circuits are prepared"]
    assert "basis: cz, prx" in how and (depth.split()[0], gates, quality[-1]) == ("3", "1 -> 1", "%")
    assert [row[2] for row in shown["What each way would cost, first round"]] == ["1", "3"]
    outcome = run_rounds(run.attempt, approved)
    tasks = braket.tasks()
    assert [task["executables"] for task in tasks] == [3, 1]
    intended = run.ledger.facts(SubmissionIntended)
    assert intended[0].fact.circuits_digest == snapshot.prepared.circuits_digest != approved.plan.body.circuits.digest
    settled = [Decimal(event.data["cost_usd"]) for event in run.ledger.events(run.attempt.run_id, "job-settled")]
    assert settled == [Decimal(task["billed"]) for task in tasks]
    assert [task["tags"]["gatehouse-key"] for task in tasks] == [f"{run.attempt.run_id}:{number}:0:0" for number in range(2)]
    assert set(run.frame(outcome)["score"]) <= set(range(101)) and run.entries()[0][2:] == (BACKEND, "settled")


def test_a_grid_of_angles(run: Desk, braket: BraketEmulator) -> None:
    """The transpiler's own angles are put on the grid too: what is sent passes the boundary, which refuses any angle beside it."""
    run.change("  shots: 64\n", "  shots: 64\n  angle_step: 1.0e-4\n")
    run_rounds(run.attempt, run.approved())
    assert [task["executables"] for task in braket.tasks()] == [3, 1]


@pytest.mark.parametrize(("arn", "basis", "tasks"), [(ANKAA, "iswap, rx, rz", [3, 1]), (FORTE, "gpi, gpi2, zz", [1, 1, 1, 1])])
def test_machines_of_other_kinds(run: Desk, braket: BraketEmulator, arn: str, basis: str, tasks: list[int]) -> None:
    """What becomes of the circuits is in the plan; with a grid of angles they are still native, which the machine refuses otherwise."""
    run.blocks[BLOCK] |= {"device_arn": arn, "region": arn.split(":")[3]}
    run.change("  shots: 64\n", "  shots: 100\n  angle_step: 1.0e-4\n")
    run.change("cost: 5", "cost: 90")
    approved = run.approved()
    ((_, how, depth, gates, quality),) = {each.title: each.rows for each in sections(approved.plan)}["How circuits are prepared"]
    assert f"basis: {basis}" in how and "sent: verbatim" in how
    assert int(depth.split()[-1]) > 3 and gates == ("1 -> 2" if arn == ANKAA else "1 -> 1") and 80 < float(quality[:-1]) < 99.5
    run_rounds(run.attempt, approved)
    assert [task["executables"] for task in braket.tasks()] == tasks


def test_another_machine_than_was_prepared_for(run: Desk, braket: BraketEmulator) -> None:
    """Pairs of the machine went away while the run waited: the circuits would come out as others, so nothing is sent."""
    approved = run.approved()
    graph = {str(qubit): [str(other) for other in (qubit - 1, qubit + 1) if 0 <= other < 20] for qubit in range(20)}
    braket.device(capabilities={"paradigm": {"connectivity": {"connectivityGraph": graph}}})
    with pytest.raises(PlanChanged, match=r"how circuits are prepared for braket/garnet-eu \(coupling\)"):
        run_rounds(run.attempt, approved)
    assert (braket.tasks(), run.entries()) == ([], [])


def approve(run: Desk) -> None:
    """What `gatehouse provider check --approve` does, with the blocks of this desk."""
    if not run.settings.identity_key().exists():
        treasurer(run.settings)
    backend, lease = run.attempt.backend(BACKEND), lease_of(run.secrets["secret/aws"])
    found = describe(backend, run.settings.prices, lease)
    provider_check.approve(run.settings, run.ledger, provider_check.Looked(BACKEND, found, None, ()), "A test")


def test_a_tier_that_stops_on_drift(run: Desk, braket: BraketEmulator) -> None:
    """Nobody approved the provider: no plan. It changes later: nothing is sent, the ledger tells what, and a new look lets the run go on."""
    run.settings.tiers.write_text(run.settings.tiers.read_text().replace("drift: tell", "drift: stop"))
    with pytest.raises(Unavailable, match="nobody approved this one"):
        run.approved()
    approve(run)
    run.attempt = run.next_attempt()
    approved = run.approved()
    braket.device(capabilities={"service": {"shotsRange": [1, 500]}})
    with pytest.raises(Unavailable, match="not what was approved: shots of a circuit"):
        run_rounds(run.attempt, approved)
    (drift,) = run.ledger.facts(ProviderDrifted)
    assert [(each.item, each.approved, each.found) for each in drift.fact.items] == [("shots of a circuit", [20000], [500])]
    assert (braket.tasks(), run.entries()) == ([], [])
    approve(run)
    run.attempt = run.next_attempt()
    run_rounds(run.attempt, approved)
    assert len(braket.tasks()) == 2


def naming(run: Desk, regions: str) -> Desk:
    """The run under a tier that names regions."""
    tiers = run.settings.tiers
    tiers.write_text(tiers.read_text().replace("  drift: tell\n", f"  drift: tell\n  regions: {regions}\n"))
    return run


def test_a_device_outside_of_the_tier_s_regions(run: Desk, braket: BraketEmulator) -> None:
    """It is not planned, so nobody is asked; the ledger has the policy's no."""
    with pytest.raises(Denied, match=r"\[region-not-in-tier\]"):
        naming(run, "[us-east-1, eu-west-2]").planned()
    assert (run.gates("gate-failed"), braket.tasks()) == (["plan"], [])
    assert [event.data["reasons"] for event in run.ledger.events(RUN, "policy-denied")] == [["region-not-in-tier"]]


def test_a_device_in_one_of_the_tier_s_regions(run: Desk, braket: BraketEmulator) -> None:
    """It is planned and sent to, and the ledger has the policy's yes of either time."""
    run_rounds(run.attempt, naming(run, "[us-east-1, eu-north-1]").approved())
    decided = [event.data["action"] for event in run.ledger.events(RUN, "policy-decided")]
    assert (len(braket.tasks()), decided.count("plan"), decided.count("submit")) == (2, 1, 2)


def test_answers_that_are_lost(run: Desk, braket: BraketEmulator) -> None:
    """Every first answer is lost and the tokens are forgotten: two rounds are two tasks all the same."""
    approved = run.approved()
    braket.conduct(forget_tokens=True, search_lag_seconds=0.2)
    braket.fault("CreateQuantumTask", "drop-after", times=2)
    run_rounds(run.attempt, approved)
    assert len(braket.tasks()) == 2 and [entry[3] for entry in run.entries()] == ["settled", "settled"]


def test_an_outage_between_submission_and_result(run: Desk, braket: BraketEmulator) -> None:
    """The service is away while the round waits: the run is interrupted, not ended, and another attempt takes up the same task."""
    approved = run.approved()
    braket.fault("GetQuantumTask", "error", times=3)
    with pytest.raises(Unavailable):
        run_rounds(run.attempt, approved)
    run.attempt = run.next_attempt()
    run_rounds(run.attempt, approved)
    assert len(braket.tasks()) == 2


def sent_to(braket: BraketEmulator) -> set[str]:
    """The buckets of all tasks."""
    client = braket.client("braket")
    return {client.get_quantum_task(quantumTaskArn=task["arn"])["outputS3Bucket"] for task in braket.tasks()}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("bucket", "somebody-else-s"),
        ("device_arn", SIMULATOR),
        ("region", "us-east-1"),
        ("endpoint", "http://127.0.0.1:9"),
        ("prefix", "elsewhere"),
        ("tags", {"team": "other"}),
        ("task_minutes", "1"),
    ],
)
def test_a_block_that_is_edited_while_the_run_waits(run: Desk, braket: BraketEmulator, setting: str, value: object) -> None:
    """Whoever may edit a block sends no approved run elsewhere: it ends with backend and setting named, no credential fetched and nothing sent."""
    approved = run.approved()
    run.blocks[BLOCK][setting] = value
    run.attempt = run.next_attempt()
    fetched = len(run.attempt.leases)
    with pytest.raises(PlanChanged, match=rf"backend {BACKEND}: {setting} \("):
        run_rounds(run.attempt, approved)
    assert (braket.tasks(), run.entries(), len(run.attempt.leases)) == ([], [], fetched)


def test_a_block_that_is_deleted_while_the_run_waits(run: Desk, braket: BraketEmulator) -> None:
    """A setting that is not there any more is another one, too."""
    approved = run.approved()
    del run.blocks[BLOCK]["endpoint"]
    with pytest.raises(PlanChanged, match="endpoint"):
        run_rounds(run.next_attempt(), approved)
    assert braket.tasks() == []


@pytest.mark.parametrize("both", [False, True])
def test_what_the_comparison_and_the_plan_s_settings_are_for(run: Desk, braket: BraketEmulator, monkeypatch: pytest.MonkeyPatch, both: bool) -> None:
    """Without the comparison jobs still go where the plan says; were settings taken from the block as well, the attack would succeed."""
    approved = run.approved()
    mine = run.blocks[BLOCK]["bucket"]
    run.blocks[BLOCK]["bucket"] = other = f"x{mine}"[:63]
    braket.create_bucket(other)
    monkeypatch.setattr(Parts, "refuse_other_backends", lambda self, plan: None)
    if both:
        monkeypatch.setattr(Parts, "backend_settings", lambda self, name: run.blocks[BLOCK])
    submit(run.next_attempt(), approved, *run.first_round(approved.plan), 0, Fetching())
    assert sent_to(braket) == {other if both else mine}


def test_an_edited_block_loses_no_result_and_keeps_no_task_alive(run: Desk, braket: BraketEmulator) -> None:
    """What was sent is waited for, or cancelled, where it was sent: by the plan, whatever the block says by then."""
    braket.conduct(queue_seconds=60)
    approved = run.approved()
    first, summary = run.first_round(approved.plan)
    submit(run.attempt, approved, first, summary, 0, Fetching())
    run.blocks.clear()
    run.attempt = run.next_attempt()
    receipt = clean_up(run.attempt, "cancelled", Fetching())
    assert (receipt.jobs_cancelled, [task["status"] for task in braket.tasks()]) == (1, ["CANCELLED"])
