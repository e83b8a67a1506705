"""The service behind the wire: what its model requires, tokens, search, tags, spending limits, faults."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from prefect_gatehouse.testing import BraketEmulator
from prefect_gatehouse.testing.braket import MACHINE, REGION, SIMULATOR

ACTION = json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": "OPENQASM 3.0; qubit[1] q; x q[0];"})


def client(braket: BraketEmulator, seconds: float = 20) -> Any:
    import boto3

    config = Config(retries={"total_max_attempts": 1}, read_timeout=seconds, parameter_validation=False)
    return boto3.Session("testing", "testing", region_name=REGION).client("braket", endpoint_url=braket.url, config=config)


@pytest.fixture(scope="session")
def bucket(braket_server: BraketEmulator) -> str:
    braket_server.create_bucket("results-of-all")
    return "results-of-all"


def asked(bucket: str, token: str = "one", **more: Any) -> dict[str, Any]:
    base = {"clientToken": token, "deviceArn": MACHINE, "shots": 10, "action": ACTION, "outputS3Bucket": bucket, "outputS3KeyPrefix": "p"}
    return {**base, **more}


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("missing", ["clientToken", "deviceArn", "shots", "action", "outputS3Bucket", "outputS3KeyPrefix"])
def test_what_the_model_requires(braket: BraketEmulator, bucket: str, missing: str) -> None:
    """Each required member, left out."""
    given = asked(bucket)
    del given[missing]
    with pytest.raises(ClientError) as caught:
        # botocore fills in a token that is left out, so the one request goes without it.
        _raw(braket, given) if missing == "clientToken" else client(braket).create_quantum_task(**given)
    assert code_of(caught) == ("ValidationException", 400) and braket.tasks() == []


def _raw(braket: BraketEmulator, given: dict[str, Any]) -> None:
    scope = "AWS4-HMAC-SHA256 Credential=testing/20260101/eu-north-1/braket/aws4_request, SignedHeaders=host, Signature=0"
    request = urllib.request.Request(f"{braket.url}/quantum-task", json.dumps(given).encode(), {"Authorization": scope}, method="POST")
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        error.close()
        told = {"Error": {"Code": error.headers["x-amzn-ErrorType"]}, "ResponseMetadata": {"HTTPStatusCode": error.code}}
        raise ClientError(told, "CreateQuantumTask") from None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"clientToken": "x" * 65},
        {"shots": "ten"},
        {"shots": -1},
        {"shots": 0},
        {"shots": 20_001},
        {"action": "{}"},
        {"action": "no json"},
        {"action": json.dumps({"braketSchemaHeader": {"name": "braket.ir.jaqcd.program", "version": "1"}})},
        {"outputS3Bucket": "nowhere-at-all"},
        {"deviceArn": "arn:aws:braket:::device/qpu/x/y"},
        {"tags": {"a": 1}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_is_not_well_formed(braket: BraketEmulator, bucket: str, wrong: dict[str, Any]) -> None:
    """400, and no task."""
    with pytest.raises(ClientError) as caught:
        client(braket).create_quantum_task(**asked(bucket, **wrong))
    assert code_of(caught) == ("ValidationException", 400) and braket.tasks() == []


def test_a_token_is_one_task(braket: BraketEmulator, bucket: str) -> None:
    """The same request gives the same task; with one thing changed it is refused; once forgotten it makes another."""
    found = [client(braket).create_quantum_task(**asked(bucket))["quantumTaskArn"] for _ in range(2)]
    assert found[0] == found[1]
    for changed in ({"shots": 11}, {"tags": {"a": "b"}}, {"outputS3KeyPrefix": "q"}, {"deviceArn": SIMULATOR}):
        with pytest.raises(ClientError, match="other parameters"):
            client(braket).create_quantum_task(**asked(bucket, **changed))
    assert len(braket.tasks()) == 1
    braket.forget_tokens()
    assert client(braket).create_quantum_task(**asked(bucket))["quantumTaskArn"] != found[0]


def test_search(braket: BraketEmulator, bucket: str) -> None:
    """By device, status and time, in pages, newest first; tags come along, a lagging search hides what is new."""
    service = client(braket)
    arns = [service.create_quantum_task(**asked(bucket, token=str(n), tags={"n": str(n)}))["quantumTaskArn"] for n in range(5)]
    service.create_quantum_task(**asked(bucket, token="s", deviceArn=SIMULATOR))
    braket.wait(lambda state: all(task["status"] == "COMPLETED" for task in state["tasks"]))

    def search(*filters: tuple[str, str, list[str]], size: int = 100) -> list[dict[str, Any]]:
        given = [{"name": name, "operator": operator, "values": values} for name, operator, values in filters]
        pages = service.get_paginator("search_quantum_tasks").paginate(filters=given, PaginationConfig={"PageSize": size})
        return [task for page in pages for task in page["quantumTasks"]]

    device = ("deviceArn", "EQUAL", [MACHINE])
    assert [task["quantumTaskArn"] for task in search(device, size=2)] == arns[::-1]
    assert search(device)[0]["tags"] == {"n": "4"}
    assert len(search(("status", "EQUAL", ["COMPLETED"]))) == 6 and search(("status", "EQUAL", ["QUEUED"])) == []
    middle = search(device)[2]["createdAt"].isoformat()
    assert len(search(device, ("createdAt", "GTE", [middle]))) in {2, 3} and search(("createdAt", "LT", ["2020-01-01T00:00:00+00:00"])) == []
    with pytest.raises(ClientError):
        search(("tags", "EQUAL", ["n"]))
    braket.conduct(search_lag_seconds=60)
    assert search() == []


def test_tags(braket: BraketEmulator, bucket: str) -> None:
    """Added, listed, taken away."""
    service = client(braket)
    arn = service.create_quantum_task(**asked(bucket, tags={"a": "b"}))["quantumTaskArn"]
    service.tag_resource(resourceArn=arn, tags={"c": "d"})
    service.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert service.list_tags_for_resource(resourceArn=arn)["tags"] == {"c": "d"}


def test_spending_limits(braket: BraketEmulator, bucket: str) -> None:
    """A limit stops the task that it does not cover, tells what was spent, is raised, searched and deleted."""
    service, now = client(braket), int(time.time())
    arn = service.create_spending_limit(
        clientToken="t", deviceArn=MACHINE, spendingLimit="0.5", timePeriod={"startAt": now - 9, "endAt": now + 900}, tags={"a": "b"}
    )["spendingLimitArn"]
    service.create_quantum_task(**asked(bucket))
    with pytest.raises(ClientError, match="spending limit") as caught:
        service.create_quantum_task(**asked(bucket, token="two"))
    assert code_of(caught) == ("ServiceQuotaExceededException", 402)
    braket.wait(lambda state: state["tasks"][0]["status"] == "COMPLETED")
    (limit,) = service.search_spending_limits(filters=[{"name": "deviceArn", "operator": "EQUAL", "values": [MACHINE]}])["spendingLimits"]
    assert (limit["queuedSpend"], limit["totalSpend"], limit["spendingLimit"], limit["tags"]) == ("0", "0.3145", "0.5", {"a": "b"})
    service.update_spending_limit(spendingLimitArn=arn, clientToken="u", spendingLimit="5")
    service.create_quantum_task(**asked(bucket, token="two"))
    service.delete_spending_limit(spendingLimitArn=arn)
    assert service.search_spending_limits()["spendingLimits"] == []


FAULTS: list[tuple[dict[str, Any], Any, int]] = [
    ({"kind": "throttle"}, "ThrottlingException", 0),
    ({"kind": "error", "code": "InternalServiceException", "status": 500}, "InternalServiceException", 0),
    ({"kind": "drop-before"}, ConnectionClosedError, 0),
    ({"kind": "drop-after"}, ConnectionClosedError, 1),
    ({"kind": "slow-after", "seconds": 1.5}, ReadTimeoutError, 1),
]


@pytest.mark.parametrize(("fault", "seen", "made"), FAULTS, ids=[fault["kind"] for fault, _, _ in FAULTS])
def test_faults(braket: BraketEmulator, bucket: str, fault: dict[str, Any], seen: Any, made: int) -> None:
    """What the client sees, and what the service has done; the next call is as ever."""
    braket.fault("CreateQuantumTask", **fault)
    with pytest.raises(ClientError if isinstance(seen, str) else seen) as caught:
        client(braket, 0.5).create_quantum_task(**asked(bucket))
    if isinstance(seen, str):
        assert caught.value.response["Error"]["Code"] == seen
    assert len(braket.tasks()) == made
    client(braket).create_quantum_task(**asked(bucket))
    assert len(braket.tasks()) == 1


@pytest.mark.parametrize(("status", "expected"), [("OFFLINE", ("DeviceOfflineException", 424)), ("RETIRED", ("DeviceRetiredException", 410))])
def test_devices_that_are_away(braket: BraketEmulator, bucket: str, status: str, expected: tuple[str, int]) -> None:
    """With the codes of the model."""
    braket.device(status=status)
    with pytest.raises(ClientError) as caught:
        client(braket).create_quantum_task(**asked(bucket))
    assert code_of(caught) == expected


def test_a_fault_that_there_is_not(braket: BraketEmulator) -> None:
    """A misspelt fault is told, not ignored: a drill that tests nothing is worse than none."""
    for call in (lambda: braket.fault("X", "boom"), lambda: braket.conduct(lag=1), lambda: braket.fault("X", "throttle", tiems=2)):
        with pytest.raises(ValueError, match=r"has|one of"):
            call()


def test_every_operation_of_the_model_has_an_answer(braket: BraketEmulator) -> None:
    """What the emulator does not do (hybrid jobs) it says with 501; a new operation of a newer model shows here."""
    model = botocore.session.get_session().get_service_model("braket")
    unserved = {"CreateJob", "GetJob", "CancelJob", "SearchJobs"}
    from prefect_gatehouse.emulators.braket.devices import devices
    from prefect_gatehouse.emulators.braket.service import Service

    served = set(Service(devices(), lambda *_: None, lambda _: True)._operations)
    assert served == set(model.operation_names) - unserved
    with pytest.raises(ClientError) as caught:
        client(braket).get_job(jobArn="arn:aws:braket:eu-north-1:123456789012:job/x")
    assert code_of(caught)[1] == 501
