"""Refused, busy and ambiguous are three things; no fault of the service makes a second job or loses one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.errors import Ambiguous, Denied, InputError, JobFailed, Tampered, Unavailable
from prefect_gatehouse.providers.ibm.provider import IBMProvider
from prefect_gatehouse.providers.interface import Connection
from prefect_gatehouse.testing import IBMEmulator
from prefect_gatehouse.testing.ibm import MACHINE
from tests.providers.circuits import LEASE, flipped
from tests.support.circuit_lists import batch_of
from tests.support.ibm_desk import IBMDesk, lease_of

CREATE = "create_job"


@pytest.fixture
def desk(tmp_path: Path, ibm: IBMEmulator) -> IBMDesk:
    return IBMDesk(tmp_path, ibm, grace_seconds=0.6, call_seconds=0.5, patience_seconds=2.0)


def calls(desk: IBMDesk) -> int:
    return int(desk.emulator.state()["calls"].get(CREATE, 0))


def notes(desk: IBMDesk) -> list[str]:
    """What is noted of sendings on this side."""
    return sorted(path.name for path in (desk.folder / "spool").glob("*"))


def test_the_key_is_a_tag(desk: IBMDesk) -> None:
    """The same key gives the same job, another key another one, and the tags say which, with those of the block."""
    desk.settings["tags"] = ["physics"]
    desk.labels = {"run": "run", "tenant": "clinic", "environment": "local", "ticket": "CHG-7", "requester": "a" * 32, "service": "b" * 32}
    first = desk.submit([flipped(1)])
    assert desk.submit([flipped(1)]) == first != desk.submit([flipped(1)], key="run:0:1:0")
    one, other = desk.emulator.jobs()
    by = [f"gatehouse-by:{'a' * 32}/{'b' * 32}", "gatehouse-for:CHG-7/local/clinic"]
    assert one["tags"] == ["gatehouse", "gatehouse-key:run:0:0:0", "gatehouse-run:run", *by, "physics"]
    backend = desk.backend()
    assert backend.find_by_key("run:0:1:0", desk.lease) == other["id"] and backend.find_by_key("run:0:2:0", desk.lease) is None


def test_a_machine_that_is_retired(desk: IBMDesk) -> None:
    """Gone before the job is made: nothing to ask; gone in between: a definite refusal, and nothing is noted any longer."""
    backend = desk.backend()
    payload = backend.encode(batch_of([flipped(1)]), 10)
    backend.facts(desk.lease)
    desk.emulator.device(status="retired")
    with pytest.raises(Denied, match="404"):
        backend.submit(payload, "run:0:0:0", desk.lease)
    with pytest.raises(Unavailable, match="does not have"):
        desk.backend().facts(desk.lease)
    assert desk.emulator.jobs() == [] and notes(desk) == [] and calls(desk) == 1


def test_a_machine_that_is_offline(desk: IBMDesk) -> None:
    """Its state says so; the service takes jobs all the same, and they wait."""
    desk.emulator.device(status="offline", queue=3)
    state = desk.backend().state(desk.lease)
    assert (state.online, state.queue) == (False, 3)
    handle = desk.submit([flipped(1)])
    assert desk.backend().status(handle, desk.lease).state == "queued"


@pytest.mark.parametrize(("status", "code"), [(400, "8020"), (403, "1201"), (409, "1217")])
def test_a_refusal(desk: IBMDesk, status: int, code: str) -> None:
    """4xx: the service said no."""
    desk.emulator.fault(CREATE, "error", code=code, status=status)
    with pytest.raises(Denied, match=f"HTTP {status}, code {code}"):
        desk.submit([flipped(1)])
    assert desk.emulator.jobs() == [] and notes(desk) == []


def test_the_instance_s_own_limit(desk: IBMDesk) -> None:
    """The second wall: the service refuses what its limit does not cover."""
    desk.emulator.conduct(usage_limit_seconds=1)
    desk.ready(desk.submit([flipped(1)]))
    with pytest.raises(Denied, match="409"):
        desk.submit([flipped(1)], key="run:0:1:0")
    assert len(desk.emulator.jobs()) == 1


def test_throttled_for_a_while(desk: IBMDesk) -> None:
    """It waits and tries again; one job."""
    desk.emulator.fault(CREATE, "throttle", times=1)
    desk.submit([flipped(1)])
    assert len(desk.emulator.jobs()) == 1 and len(notes(desk)) == 1


def test_throttled_for_too_long(desk: IBMDesk) -> None:
    """Beyond its patience: not a refusal, so nothing falls back; the same call may be made again."""
    desk.emulator.fault(CREATE, "throttle", times=99)
    with pytest.raises(Unavailable, match="busy") as caught:
        desk.submit([flipped(1)])
    assert caught.value.retry and desk.emulator.jobs() == [] and notes(desk) == []


@pytest.mark.parametrize("kind", ["drop-before", "drop-after", "error", "error-after", "slow-after"])
def test_an_answer_that_is_lost(desk: IBMDesk, kind: str) -> None:
    """Reset, timeout, 500: it looks for the job by tag, and sends again only if there is none."""
    desk.emulator.fault(CREATE, kind, seconds=1.5)
    handle = desk.submit([flipped(2, 1)])
    (job,) = desk.emulator.jobs()
    assert job["id"] == handle and calls(desk) == 1  # a fault before the service acts is not one of its calls
    assert [dict(counts) for counts in desk.ready(handle).counts] == [{"10": 50}]


def test_an_answer_that_does_not_read(desk: IBMDesk) -> None:
    """A proxy's page instead of the service's: lost like any other."""
    desk.emulator.conduct(search_lag_seconds=0.2)
    desk.emulator.fault(CREATE, "error-after", status=502, code="page")
    assert [desk.submit([flipped(1)])] == [job["id"] for job in desk.emulator.jobs()]


def test_nobody_can_tell(desk: IBMDesk) -> None:
    """Lost twice: ambiguous, with the tag to look for; once the service answers again, the job is found or made, once."""
    desk.emulator.fault(CREATE, "drop-before", times=2)
    with pytest.raises(Ambiguous, match="nobody can tell") as caught:
        desk.submit([flipped(1)])
    assert "gatehouse-key:run:0:0:0" in caught.value.advice
    desk.submit([flipped(1)])
    assert len(desk.emulator.jobs()) == 1


def test_the_search_fails_as_well(desk: IBMDesk) -> None:
    """An answer is lost and the list does not answer either: ambiguous, never sent again."""
    backend = desk.backend()
    backend.facts(desk.lease)
    payload = backend.encode(batch_of([flipped(1)]), 50)
    assert backend.find_by_key("run:0:0:0", desk.lease) is None
    desk.emulator.fault("list_jobs", "slow-after", seconds=0.0)  # the look before the sending passes
    desk.emulator.fault("list_jobs", "error", times=3)
    desk.emulator.fault(CREATE, "drop-after")
    with pytest.raises(Ambiguous):
        backend.submit(payload, "run:0:0:0", desk.lease)
    assert calls(desk) == 1 and len(desk.emulator.jobs()) == 1


def test_no_connection_at_all(desk: IBMDesk) -> None:
    """Nothing was sent, so nothing is ambiguous."""
    with pytest.raises(Unavailable) as caught:
        desk.backend(endpoint="http://127.0.0.1:9").facts(desk.lease)
    assert caught.value.retry


def test_a_service_that_goes_away_before_it_is_sent_to(desk: IBMDesk) -> None:
    """IAM does not answer, so nothing was sent: not ambiguous, and the API key goes nowhere else."""
    desk.emulator.forget_tokens()
    desk.emulator.fault("get_token", "error", times=99)
    with pytest.raises(Unavailable) as caught:
        desk.submit([flipped(1)])
    assert caught.value.retry and desk.emulator.jobs() == [] and notes(desk) == []


def test_several_jobs_of_one_key(desk: IBMDesk) -> None:
    """Somebody gave another job the same tag: it says so, and none is taken for the right one; a cancelled one is none."""
    desk.emulator.conduct(queue_seconds=60)
    first, second = desk.submit([flipped(1)]), desk.submit([flipped(1)], key="run:0:1:0")
    _retag(desk, second, ["gatehouse-key:run:0:0:0"])
    backend = desk.backend()
    with pytest.raises(Ambiguous, match="2 jobs"):
        backend.find_by_key("run:0:0:0", desk.lease)
    with pytest.raises(Ambiguous, match="2 jobs"):
        desk.submit([flipped(1)])
    assert backend.cancel(second, desk.lease) and backend.find_by_key("run:0:0:0", desk.lease) == first
    assert backend.cancel(first, desk.lease) and backend.find_by_key("run:0:0:0", desk.lease) == first


def _retag(desk: IBMDesk, handle: str, tags: list[str]) -> None:
    desk.backend()._connected(desk.lease).program_job(handle).update_tags(tags)


def test_a_token_that_ended_early(desk: IBMDesk) -> None:
    """Signed in again, in the middle of a submission as well: one job."""
    backend = desk.backend()
    payload = backend.encode(batch_of([flipped(1)]), 10)
    backend.facts(desk.lease)
    desk.emulator.forget_tokens()
    backend.submit(payload, "run:0:0:0", desk.lease)
    desk.emulator.fault(CREATE, "error", code="1200", status=401)
    backend.submit(payload, "run:0:1:0", desk.lease)
    assert len(desk.emulator.jobs()) == 2


@pytest.mark.parametrize("where", ["get_token", CREATE])
def test_a_credential_that_has_ended(desk: IBMDesk, where: str) -> None:
    """No refusal of the job: fetched again, the run goes on; nothing is noted."""
    desk.emulator.fault(where, "error", code="1200", status=401, times=2)
    with pytest.raises(Unavailable, match="credential"):
        desk.submit([flipped(1)])
    assert desk.emulator.jobs() == [] and notes(desk) == []


def test_submitted_twice(desk: IBMDesk) -> None:
    """By whoever does not look first: the provider itself looks where something was sent."""
    desk.emulator.conduct(search_lag_seconds=0.3)
    assert desk.submit([flipped(1)]) == desk.submit([flipped(1)])
    assert len(desk.emulator.jobs()) == 1


def test_another_payload_under_the_same_key(desk: IBMDesk) -> None:
    """What was sent is compared before anything is sent again."""
    desk.submit([flipped(1)])
    with pytest.raises(Tampered, match="another payload"):
        desk.submit([flipped(1, 0)])


def test_a_note_that_was_moved(desk: IBMDesk) -> None:
    """What is noted is sealed, and names its key."""
    desk.submit([flipped(1)])
    desk.submit([flipped(1)], key="run:0:1:0")
    one, other = sorted((desk.folder / "spool").glob("*"))
    one.write_bytes(other.read_bytes())
    with pytest.raises(Tampered):
        [desk.backend().find_by_key(f"run:0:{number}:0", desk.lease) for number in range(2)]


def test_all_open_jobs_in_few_calls(desk: IBMDesk) -> None:
    """Among 450 jobs, half of them other people's: where ours are takes three calls, and a key's own job one."""
    started = datetime.now(UTC) - timedelta(seconds=5)
    ended = desk.submit([flipped(1)])
    desk.ready(ended)
    desk.emulator.conduct(queue_seconds=60)
    first = desk.submit([flipped(1)], key="other:0:0:0")
    runtime = desk.backend()._connected(desk.lease)
    params = runtime.program_job(first).session.get(f"/jobs/{first}").json()["params"]
    for number in range(1, 450):
        tags = ["gatehouse", f"gatehouse-key:other:0:{number}:0"] if number % 2 else ["somebody"]
        runtime.program_run("sampler", MACHINE, params, job_tags=tags)
    before = desk.emulator.state()["calls"]["list_jobs"]
    handles = [ended, *(job["id"] for job in desk.emulator.jobs() if "gatehouse" in job["tags"][:1])]
    found = desk.backend().statuses([*handles, "nobody-knows-it"], desk.lease)
    assert set(found) == set(handles) and found[ended].state == "ready" and found[first].state == "queued"
    assert desk.emulator.state()["calls"]["list_jobs"] - before == 3
    assert desk.backend().find_by_key("run:0:0:0", desk.lease) == ended
    assert desk.emulator.state()["calls"]["list_jobs"] - before == 4
    seen = {job.key: job for job in desk.backend().tasks_since(started, desk.lease)}
    assert len(seen) == 227 and seen["run:0:0:0"].state == "ready" and seen["other:0:1:0"].state == "queued"


def test_a_failed_job(desk: IBMDesk) -> None:
    """Its status says so, and its result is an error with the job's name."""
    desk.emulator.conduct(fail_jobs=1)
    handle = desk.submit([flipped(1)])
    desk.emulator.wait(lambda state: state["jobs"][0]["status"] == "Failed")
    assert desk.backend().status(handle, desk.lease).state == "failed"
    with pytest.raises(JobFailed) as caught:
        desk.backend().result(handle, desk.lease)
    assert caught.value.job_id == handle


def test_a_job_that_ran_too_long(desk: IBMDesk) -> None:
    """The service ends it at the limit that it was told, bills it, and it counts as failed."""
    desk.settings["job_minutes"] = "0.05"
    handle = desk.submit([flipped(1)], shots=50_000)
    desk.emulator.wait(lambda state: state["jobs"][0]["status"] == "Cancelled")
    assert desk.backend().status(handle, desk.lease).state == "failed"
    assert desk.backend().billed(handle, desk.lease) == desk.backend().price(1, 50, desk.lease) != 0


def test_a_machine_that_is_retired_while_the_job_waits(desk: IBMDesk) -> None:
    """The queue tells the position; then the job fails."""
    desk.emulator.conduct(queue_seconds=60)
    handles = [desk.submit([flipped(1)]), desk.submit([flipped(1)], key="run:0:1:0")]
    found = [desk.backend().status(handle, desk.lease) for handle in handles]
    assert [(each.state, each.position) for each in found] == [("queued", 0), ("queued", 1)]
    desk.emulator.device(status="retired")
    assert desk.backend().status(handles[0], desk.lease).state == "failed"


def test_a_machine_that_has_changed(desk: IBMDesk) -> None:
    """A new calibration is the same version of it, another set of instructions is not, and decides what it takes."""
    before = desk.backend().facts(desk.lease)
    desk.emulator.device(properties={"last_update_date": "2026-11-29T00:00:00+00:00"})
    assert desk.backend().facts(desk.lease) == before
    desk.emulator.device(configuration={"supported_instructions": ["cz", "id", "delay", "measure", "rz", "sx", "x"], "max_shots": 500})
    after = desk.backend().facts(desk.lease)
    assert before.version != after.version
    assert desk.backend().described(desk.lease)["shots of a circuit"] == 500
    circuit = flipped(1)
    circuit.reset(0)
    with pytest.raises(Denied, match="reset"):
        desk.submit([circuit])


def test_cancelled_while_it_waits(desk: IBMDesk) -> None:
    """Cancelled is told as such and costs nothing; one that has ended can't be."""
    done = desk.submit([flipped(1)])
    desk.ready(done)
    desk.emulator.conduct(queue_seconds=60)
    waiting = desk.submit([flipped(1)], key="run:0:1:0")
    backend = desk.backend()
    assert backend.cancel(waiting, desk.lease) and backend.cancel(waiting, desk.lease)
    assert backend.status(waiting, desk.lease).state == "cancelled" and not backend.cancel(done, desk.lease)
    assert backend.billed(waiting, desk.lease) == 0


def test_deleted(desk: IBMDesk) -> None:
    """Nothing of the job is left at the service; again is no error. Where the service deletes nothing, it is told."""
    handle = desk.submit([flipped(1)])
    desk.ready(handle)
    desk.emulator.conduct(refuse_deletion=True)
    assert "does not delete the job (HTTP 403" in desk.backend().delete(handle, desk.lease)
    desk.emulator.conduct(refuse_deletion=False)
    assert [desk.backend().delete(handle, desk.lease) for _ in range(2)] == ["", ""] and desk.emulator.jobs() == []


def test_not_deleted_while_it_may_still_run(desk: IBMDesk) -> None:
    """What would be kept after the deletion is told, so that somebody comes back for it."""
    desk.emulator.conduct(queue_seconds=60)
    handle = desk.submit([flipped(1)])
    assert "not ended" in desk.backend().delete(handle, desk.lease)
    desk.backend().cancel(handle, desk.lease)
    assert desk.backend().delete(handle, desk.lease) == ""


@pytest.mark.parametrize("kind", ["error", "drop-after"])
def test_reads_are_tried_again(desk: IBMDesk, kind: str) -> None:
    """Once or twice wrong is no outage for what only reads; the result is read as often as it takes."""
    handle = desk.submit([flipped(2, 0)])
    desk.ready(handle)
    desk.emulator.fault("get_job_results", kind, times=2)
    assert [dict(counts) for counts in desk.backend().result(handle, desk.lease).counts] == [{"01": 50}]
    desk.emulator.fault("get_job_results", kind, times=3)
    with pytest.raises(Unavailable, match="does not answer") as caught:
        desk.backend().result(handle, desk.lease)
    assert caught.value.retry


CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789abcdef0123456789abcdef:00000000-0000-4000-8000-000000000000::"
GOOD = {"device": MACHINE, "instance": CRN}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "device"),
        ({**GOOD, "device": "Torino"}, "device"),
        ({**GOOD, "instance": "my-instance"}, "instance"),
        ({**GOOD, "plan": "Open Plan"}, "plan"),
        ({**GOOD, "tgas": ["x"]}, "tgas"),
        ({**GOOD, "tags": ["a,b"]}, "tags"),
        ({**GOOD, "job_minutes": 200}, "job_minutes"),
        ({**GOOD, "endpoint": "http://user:word@host"}, "endpoint"),
        ({**GOOD, "grace_seconds": 1, "call_seconds": 2}, "the grace is shorter"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    """One error that names the setting and where to mend it."""
    with pytest.raises(InputError, match=message) as caught:
        IBMProvider().connect("torino", Connection(tmp_path, _NoSealer(), settings))
    assert caught.value.where == "ibm/torino" and "block" in caught.value.advice


class _NoSealer:
    def seal(self, data: bytes) -> bytes:
        raise AssertionError

    def open(self, sealed: bytes) -> bytes:
        raise AssertionError


def test_a_plan_without_a_price(desk: IBMDesk) -> None:
    """The plan that the block names has to be in the price table."""
    with pytest.raises(InputError, match="no price of ibm/nobody-has-it"):
        desk.backend(plan="nobody-has-it").price(1, 10, desk.lease)


def test_no_lease_no_call(desk: IBMDesk) -> None:
    """Without a secret, with one that is no API key, and after it was revoked: our error, and nobody is asked."""
    revoked = lease_of(desk.emulator.credential)
    backend = desk.backend()
    backend.facts(revoked)
    asked = desk.emulator.state()["calls"]
    revoked.revoke()
    none = [lease_of("two words"), lease_of(json.dumps({"apikey": ""})), lease_of("{")]
    for lease, kind in ((LEASE, Denied), *((each, InputError) for each in none), (revoked, Denied)):
        with pytest.raises(kind):
            backend.facts(lease)
    assert desk.emulator.state()["calls"] == asked


def test_the_file_that_ibm_gives_to_download(desk: IBMDesk) -> None:
    """An API key as JSON, with its name and date, is read as well."""
    lease = lease_of(json.dumps({"name": "ours", "createdAt": "2026-11-29T00:00+0000", "apikey": desk.emulator.credential}))
    assert desk.backend().facts(lease).qubits == 133
