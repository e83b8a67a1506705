"""Refused, busy and ambiguous are three things; no fault of the service makes a second task or loses one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefect_gatehouse.errors import Ambiguous, Denied, InputError, JobFailed, Tampered, Unavailable
from prefect_gatehouse.providers.braket.provider import BraketProvider
from prefect_gatehouse.providers.braket.submission import token_of
from prefect_gatehouse.providers.interface import Connection
from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.braket import MACHINE, REGION
from tests.providers.circuits import LEASE, flipped
from tests.support.braket_desk import BraketDesk, lease_of

CREATE = "CreateQuantumTask"


@pytest.fixture
def desk(tmp_path: Path, braket: BraketEmulator) -> BraketDesk:
    return BraketDesk(tmp_path, braket, grace_seconds=0.6, call_seconds=0.5, patience_seconds=2.0)


def calls(desk: BraketDesk) -> int:
    return int(desk.emulator.state()["calls"].get(CREATE, 0))


def test_the_token_is_the_key_s(desk: BraketDesk) -> None:
    """The SDK sends ours; the same key gives the same task, another key another one, and the tags say which."""
    first = desk.submit([flipped(1)])
    assert desk.submit([flipped(1)]) == first
    assert desk.submit([flipped(1)], key="run:0:1:0") != first
    one, other = desk.emulator.tasks()
    assert (one["token"], other["token"]) == (token_of("run:0:0:0"), token_of("run:0:1:0"))
    assert one["tags"] == {"gatehouse-key": "run:0:0:0", "gatehouse-run": "run"}
    backend = desk.backend()
    assert backend.find_by_key("run:0:1:0", desk.lease) == other["arn"] and backend.find_by_key("run:0:2:0", desk.lease) is None


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "offline": ({"status": "OFFLINE"}, "DeviceOfflineException"),
    "retired": ({"status": "RETIRED"}, "DeviceRetiredException"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_device_that_is_away(desk: BraketDesk, name: str) -> None:
    """A definite refusal: no task, one call."""
    change, code = REFUSALS[name]
    desk.emulator.device(**change)
    with pytest.raises(Denied, match=code):
        desk.submit([flipped(1)])
    assert desk.emulator.tasks() == [] and calls(desk) == 1
    assert "Contents" not in desk.emulator.client("s3").list_objects_v2(Bucket=desk.settings["bucket"])


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 403), ("ServiceQuotaExceededException", 402), ("ValidationException", 400)])
def test_a_refusal(desk: BraketDesk, code: str, status: int) -> None:
    """4xx: the provider said no."""
    desk.emulator.fault(CREATE, "error", code=code, status=status)
    with pytest.raises(Denied, match=code):
        desk.submit([flipped(1)])
    assert desk.emulator.tasks() == []


def test_the_provider_s_own_spending_limit(desk: BraketDesk) -> None:
    """The second wall: the service refuses what its limit does not cover."""
    import time

    desk.emulator.client("braket").create_spending_limit(
        deviceArn=MACHINE, spendingLimit="0.40", timePeriod={"startAt": time.time() - 10, "endAt": time.time() + 1000}, clientToken="t"
    )
    desk.ready(desk.submit([flipped(1)]))
    with pytest.raises(Denied, match="ServiceQuotaExceededException"):
        desk.submit([flipped(1)], key="run:0:1:0")
    assert len(desk.emulator.tasks()) == 1
    (limit,) = desk.backend().spending_limits(desk.lease)
    assert (str(limit.amount), str(limit.spent), limit.left) == ("0.40", "0.3725", limit.amount - limit.spent)


def test_throttled_for_a_while(desk: BraketDesk) -> None:
    """It waits and tries again; one task."""
    desk.emulator.fault(CREATE, "throttle", times=1)
    desk.submit([flipped(1)])
    assert len(desk.emulator.tasks()) == 1


def test_throttled_for_too_long(desk: BraketDesk) -> None:
    """Beyond its patience: not a refusal, so nothing falls back; the same call may be made again."""
    desk.emulator.fault(CREATE, "throttle", times=99)
    with pytest.raises(Unavailable, match="busy") as caught:
        desk.submit([flipped(1)])
    assert caught.value.retry and desk.emulator.tasks() == []


@pytest.mark.parametrize("kind", ["drop-before", "drop-after", "error", "slow-after"])
@pytest.mark.parametrize("memory", [{}, {"forget_tokens": True}], ids=["remembers", "forgets"])
def test_an_answer_that_is_lost(desk: BraketDesk, kind: str, memory: dict[str, Any]) -> None:
    """Reset, timeout, 500: it looks for the task by tag, and sends the same token again only if there is none."""
    desk.emulator.conduct(**memory)
    desk.emulator.fault(CREATE, kind, seconds=1.5)
    handle = desk.submit([flipped(2, 1)])
    (task,) = desk.emulator.tasks()
    assert task["arn"] == handle and calls(desk) == 1  # a fault before the service acts is not one of its calls
    assert [dict(counts) for counts in desk.ready(handle).counts] == [{"10": 50}]


def test_nobody_can_tell(desk: BraketDesk) -> None:
    """Lost twice: ambiguous, with the tag to look for; once the service answers again, the task is found or made, once."""
    desk.emulator.fault(CREATE, "drop-before", times=2)
    with pytest.raises(Ambiguous, match="nobody can tell") as caught:
        desk.submit([flipped(1)])
    assert "gatehouse-key run:0:0:0" in caught.value.advice
    desk.submit([flipped(1)])
    assert len(desk.emulator.tasks()) == 1


def test_the_search_fails_as_well(desk: BraketDesk) -> None:
    """An answer is lost and the search does not answer either: ambiguous, never sent again."""
    desk.emulator.fault(CREATE, "drop-after")
    desk.emulator.fault("SearchQuantumTasks", "error", times=3)
    with pytest.raises(Ambiguous):
        desk.submit([flipped(1)])
    assert calls(desk) == 1 and len(desk.emulator.tasks()) == 1


def test_no_connection_at_all(desk: BraketDesk) -> None:
    """Nothing was sent, so nothing is ambiguous."""
    backend = desk.backend(endpoint="http://127.0.0.1:9")
    with pytest.raises(Unavailable) as caught:
        backend.submit(backend.encode(_batch(flipped(1)), 10), "run:0:0:0", desk.lease)
    assert caught.value.retry


def _batch(*circuits: object) -> Any:
    from tests.support.circuit_lists import batch_of

    return batch_of(circuits)


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_a_credential_that_has_ended(desk: BraketDesk, code: str) -> None:
    """No refusal of the job: fetched again, the run goes on."""
    desk.emulator.fault(CREATE, "error", code=code, status=403)
    with pytest.raises(Unavailable, match="credential"):
        desk.submit([flipped(1)])


@pytest.mark.parametrize("memory", [{}, {"forget_tokens": True}], ids=["remembers", "forgets"])
def test_submitted_twice(desk: BraketDesk, memory: dict[str, Any]) -> None:
    """By whoever does not look first: the provider itself looks where something was sent."""
    desk.emulator.conduct(**memory, search_lag_seconds=0.2)
    assert desk.submit([flipped(1)]) == desk.submit([flipped(1)])
    assert len(desk.emulator.tasks()) == 1


def test_all_open_jobs_in_few_calls(desk: BraketDesk) -> None:
    """Among 230 tasks, half of them other people's: a key's own task is found over the pages, and all of ours are seen in three calls."""
    action = json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": "OPENQASM 3.0; qubit[1] q; x q[0];"})
    started = datetime.now(UTC) - timedelta(seconds=5)
    ended = desk.submit([flipped(1)])
    desk.ready(ended)
    desk.emulator.conduct(queue_seconds=60)
    task = {"deviceArn": MACHINE, "shots": 1, "action": action, "outputS3Bucket": desk.settings["bucket"], "outputS3KeyPrefix": "x"}
    for number in range(229):
        tags = {"gatehouse-key": f"other:0:{number}:0"} if number % 2 else {"name": "somebody"}
        desk.emulator.client("braket").create_quantum_task(clientToken=str(number), tags=tags, **task)
    assert desk.backend().find_by_key("run:0:0:0", desk.lease) == ended
    seen = desk.backend().tasks_since(started, desk.lease)
    assert len(seen) == 115 and {task.key: task.state for task in seen}["run:0:0:0"] == "ready"
    assert sum(task.state == "queued" for task in seen) == 114
    assert desk.emulator.state()["calls"]["SearchQuantumTasks"] == 6


def test_another_payload_under_the_same_key(desk: BraketDesk) -> None:
    """What was sent is compared before anything is sent again."""
    desk.submit([flipped(1)])
    with pytest.raises(Tampered, match="another payload"):
        desk.submit([flipped(1, 0)])


def test_a_block_that_was_edited_after_the_task_was_made(desk: BraketDesk) -> None:
    """Another bucket knows of nothing sent; the service refuses the token, and the task is found by its tag: no refusal, no second task."""
    handle = desk.submit([flipped(1)])
    desk.emulator.create_bucket("elsewhere-0")
    backend = desk.backend(bucket="elsewhere-0")
    assert backend.submit(backend.encode(_batch(flipped(1)), 50), "run:0:0:0", desk.lease) == handle
    assert len(desk.emulator.tasks()) == 1


def test_a_failed_task(desk: BraketDesk) -> None:
    """Its status says so, and its result is an error with the task's name."""
    desk.emulator.conduct(fail_tasks=1)
    handle = desk.submit([flipped(1)])
    desk.emulator.wait(lambda state: state["tasks"][0]["status"] == "FAILED")
    assert desk.backend().status(handle, desk.lease).state == "failed"
    with pytest.raises(JobFailed) as caught:
        desk.backend().result(handle, desk.lease)
    assert caught.value.job_id == handle


def test_a_task_of_which_some_circuits_failed(desk: BraketDesk) -> None:
    """A partial result is no result."""
    desk.emulator.conduct(fail_executables=2)
    handle = desk.submit([flipped(2, 0)] * 5)
    with pytest.raises(JobFailed, match="every shot"):
        desk.ready(handle)


def test_a_device_that_is_retired_while_the_task_waits(desk: BraketDesk) -> None:
    """The queue tells the position; then the task fails."""
    desk.emulator.conduct(queue_seconds=60)
    first, second = desk.submit([flipped(1)]), desk.submit([flipped(1)], key="run:0:1:0")
    backend = desk.backend()
    assert [(backend.status(each, desk.lease).state, backend.status(each, desk.lease).position) for each in (first, second)] == [
        ("queued", 0),
        ("queued", 1),
    ]
    desk.emulator.device(status="RETIRED")
    assert backend.status(first, desk.lease).state == "failed"


def test_a_device_that_has_changed(desk: BraketDesk) -> None:
    """What is known of a device is asked, not remembered: fewer circuits in a task, a gate less, and another version of it."""
    before = desk.backend().facts(desk.lease)
    desk.emulator.device(capabilities={"service": {"updatedAt": "2026-12-01T00:00:00+00:00"}, "standardized": {"oneQubitProperties": {}}})
    assert desk.backend().facts(desk.lease) == before  # calibrated anew
    desk.emulator.device(capabilities={"action": {"braket.ir.openqasm.program_set": {"maximumExecutables": 7}}})
    after = desk.backend().facts(desk.lease)
    assert (before.circuits_per_job, after.circuits_per_job) == (100, 7) and before.version != after.version
    assert desk.backend(executables=5).facts(desk.lease).circuits_per_job == 5
    desk.emulator.device(capabilities={"action": {"braket.ir.openqasm.program": {"supportedOperations": ["rx", "rz", "cz"]}}})
    with pytest.raises(Denied, match="does not take x"):
        desk.submit([flipped(1, 0)])


def test_cancelled_while_it_waits(desk: BraketDesk) -> None:
    """Cancelled is told as such and costs nothing; one that has ended can't be."""
    done = desk.submit([flipped(1)])
    desk.ready(done)
    desk.emulator.conduct(queue_seconds=60)
    waiting = desk.submit([flipped(1)], key="run:0:1:0")
    backend = desk.backend()
    assert backend.cancel(waiting, desk.lease) and backend.cancel(waiting, desk.lease)
    assert backend.status(waiting, desk.lease).state == "cancelled" and not backend.cancel(done, desk.lease)
    assert desk.emulator.tasks()[1]["billed"] == "0"


def test_deleted(desk: BraketDesk) -> None:
    """Nothing of the job is left in the bucket, in no version; again is no error."""
    s3 = desk.emulator.client("s3")
    s3.put_bucket_versioning(Bucket=desk.settings["bucket"], VersioningConfiguration={"Status": "Enabled"})
    handle = desk.submit([flipped(1)])
    desk.ready(handle)
    assert [desk.backend().delete(handle, desk.lease) for _ in range(2)] == ["", ""]
    left = s3.list_object_versions(Bucket=desk.settings["bucket"])
    assert "Versions" not in left and "DeleteMarkers" not in left


def test_not_deleted_while_it_may_still_run(desk: BraketDesk) -> None:
    """What would be written after the deletion is told, so that somebody comes back for it."""
    desk.emulator.conduct(queue_seconds=60)
    handle = desk.submit([flipped(1)])
    assert "not ended" in desk.backend().delete(handle, desk.lease)
    desk.backend().cancel(handle, desk.lease)
    assert desk.backend().delete(handle, desk.lease) == ""


def test_a_planted_payload(desk: BraketDesk) -> None:
    """What lies beside the result is not taken for ours because it lies there."""
    one, other = desk.submit([flipped(1)]), desk.submit([flipped(1, 0)], key="run:0:1:0")
    desk.ready(one)
    desk.ready(other)
    s3, bucket, prefix = desk.emulator.client("s3"), desk.settings["bucket"], "gatehouse"
    places = [f"{prefix}/{token_of(key)}/sent" for key in ("run:0:0:0", "run:0:1:0")]
    s3.copy_object(Bucket=bucket, Key=places[0], CopySource={"Bucket": bucket, "Key": places[1]})
    with pytest.raises(Tampered):
        desk.backend().result(one, desk.lease)


GOOD = {"device_arn": MACHINE, "region": REGION, "bucket": "results"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "device_arn"),
        ({**GOOD, "device_arn": "Garnet"}, "device_arn"),
        ({**GOOD, "region": "eu-central-1"}, "the device is in eu-north-1"),
        ({**GOOD, "prefix": "../x"}, "prefix"),
        ({**GOOD, "bukcet": "x"}, "bukcet"),
        ({**GOOD, "tags": {"aws:x": "y"}}, "tags"),
        ({**GOOD, "grace_seconds": 1, "call_seconds": 2}, "the grace is shorter"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    """One error that names the setting and where to mend it."""
    with pytest.raises(InputError, match=message) as caught:
        BraketProvider().connect("garnet-eu", Connection(tmp_path, _NoSealer(), settings))
    assert caught.value.where == "braket/garnet-eu" and "block" in caught.value.advice


class _NoSealer:
    def seal(self, data: bytes) -> bytes:
        raise AssertionError

    def open(self, sealed: bytes) -> bytes:
        raise AssertionError


def test_no_lease_no_call(desk: BraketDesk) -> None:
    """Without a secret, with one that is none of AWS's, and after it was revoked: our error, and nobody is asked."""
    revoked = lease_of(desk.emulator.credential)
    backend = desk.backend()
    backend.facts(revoked)
    asked = desk.emulator.state()["calls"]
    revoked.revoke()
    none = [lease_of("token"), lease_of(json.dumps({"AccessKeyId": "x"}))]
    for lease, kind in ((LEASE, Denied), *((each, InputError) for each in none), (revoked, Denied)):
        with pytest.raises(kind):
            backend.facts(lease)
    assert desk.emulator.state()["calls"] == asked


@pytest.mark.parametrize(
    "names", [("AccessKeyId", "SecretAccessKey", "SessionToken"), ("access_key", "secret_key", "security_token")], ids=["sts", "vault"]
)
def test_the_credential_s_spellings(desk: BraketDesk, names: tuple[str, str, str]) -> None:
    """As STS and as Vault's AWS engine write it."""
    lease = lease_of(json.dumps(dict(zip(names, ("testing", "testing", "session"), strict=True))))
    assert desk.backend().facts(lease).qubits == 20
