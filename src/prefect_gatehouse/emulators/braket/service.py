"""What each operation does. The names of the operations and of their members are those of botocore's model."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from prefect_gatehouse.emulators.braket.devices import Device
from prefect_gatehouse.emulators.braket.execute import SET, Action, read_action
from prefect_gatehouse.emulators.braket.spending import Limits
from prefect_gatehouse.emulators.braket.tasks import ENDED, Conduct, Store, Task, Tasks, digest_of
from prefect_gatehouse.emulators.braket.verbatim import require_native
from prefect_gatehouse.emulators.braket.wire import Call, knows_error
from prefect_gatehouse.emulators.faults import Fault

Answer = dict[str, Any]
_PAGE = 100


class Service:
    """The state of one emulator and its operations.

    Args:
        devices: By ARN.
        store: Writes results.
        has_bucket: Whether a bucket is there.
    """

    def __init__(self, devices: dict[str, Device], store: Store, has_bucket: Callable[[str], bool]) -> None:
        self.devices = devices
        self.conduct = Conduct()
        self.tasks = Tasks(store, self.conduct)
        self.limits = Limits()
        self.calls: dict[str, int] = {}
        self._has_bucket = has_bucket
        self._operations: dict[str, Callable[[Call, str], Answer]] = {
            "GetDevice": self._get_device,
            "SearchDevices": self._search_devices,
            "CreateQuantumTask": self._create_task,
            "GetQuantumTask": self._get_task,
            "CancelQuantumTask": self._cancel_task,
            "SearchQuantumTasks": self._search_tasks,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
            "CreateSpendingLimit": self._create_limit,
            "UpdateSpendingLimit": self._update_limit,
            "DeleteSpendingLimit": self._delete_limit,
            "SearchSpendingLimits": self._search_limits,
        }

    def act(self, call: Call, region: str) -> Answer:
        """Does what a call asks for.

        Raises:
            Fault: The service refuses, or the operation is none that the emulator has.
        """
        with self.tasks.lock:
            self.calls[call.operation.name] = self.calls.get(call.operation.name, 0) + 1
        operation = self._operations.get(call.operation.name)
        if operation is None:
            raise Fault("NotImplementedException", f"the emulator does not do {call.operation.name}", 501)
        return operation(call, region)

    def _device(self, arn: str) -> Device:
        if arn not in self.devices:
            raise Fault("ResourceNotFoundException", "there is no such device", 404)
        return self.devices[arn]

    def _get_device(self, call: Call, region: str) -> Answer:
        device = self._device(call.parameters["deviceArn"])
        if device.arn.split(":")[3] not in {"", region}:
            raise Fault("ResourceNotFoundException", "there is no such device in this region", 404)
        return device.described(with_openqasm=call.new_schemas)

    def _search_devices(self, call: Call, region: str) -> Answer:
        found = list(self.devices.values())
        for item in call.parameters["filters"]:
            if item["name"] != "deviceArn":
                raise Fault("ValidationException", "devices are searched by deviceArn")
            found = [device for device in found if device.arn in item["values"]]
        found = [device for device in found if device.arn.split(":")[3] in {"", region}]
        page, following = _page(found, call.parameters)
        return {"devices": [device.summary() for device in page], "nextToken": following}

    def _create_task(self, call: Call, region: str) -> Answer:
        asked = call.parameters
        with self.tasks.lock:
            known = self.tasks.known(asked["clientToken"])
            if known is not None:
                if known[1] != digest_of(asked):
                    # The model does not say what a token with other parameters answers; ConflictException where it has one for the operation.
                    code = "ConflictException" if knows_error(call.operation, "ConflictException") else "ValidationException"
                    raise Fault(code, "the client token was used with other parameters", 409 if code == "ConflictException" else 400)
                return {"quantumTaskArn": known[0]}
            device, action = self._accepted(asked)
            task = self.tasks.made(device, region, asked, action)
            self.limits.require_room(self.tasks.all(), device.arn, task.worst())
            self.tasks.commit(task)
            return {"quantumTaskArn": task.arn}

    def _accepted(self, asked: dict[str, Any]) -> tuple[Device, Action]:
        if asked["deviceArn"] not in self.devices:
            raise Fault("ValidationException", "there is no such device")
        device = self.devices[asked["deviceArn"]]
        if device.status == "OFFLINE":
            raise Fault("DeviceOfflineException", "the device is offline", 424)
        if device.status == "RETIRED":
            raise Fault("DeviceRetiredException", "the device is retired", 410)
        if not self._has_bucket(asked["outputS3Bucket"]):
            raise Fault("ValidationException", "the bucket for the results does not exist")
        action = read_action(asked["action"])
        limits = device.capabilities["action"].get(action.kind)
        if limits is None:
            raise Fault("ValidationException", "the device does not support this action")
        require_native(action, device)
        if action.kind == SET:
            if action.executables > limits["maximumExecutables"] or asked["shots"] > limits["maximumTotalShots"]:
                raise Fault("ValidationException", "the program set has too many executables or shots")
            if asked["shots"] % action.executables:
                raise Fault("ValidationException", "the shots do not divide by the executables")
        each = asked["shots"] // action.executables
        low, high = device.capabilities["service"]["shotsRange"]
        if not max(low, 1) <= each <= high:
            raise Fault("ValidationException", f"the device takes from {low} to {high} shots")
        return device, action

    def _task(self, arn: str) -> Task:
        task = self.tasks.get(arn)
        if task is None:
            raise Fault("ResourceNotFoundException", "there is no such quantum task", 404)
        return task

    def _get_task(self, call: Call, region: str) -> Answer:
        task = self._task(call.parameters["quantumTaskArn"])
        with self.tasks.lock:
            found = _summary(task) | {
                "failureReason": task.failure,
                "deviceParameters": task.parameters.get("deviceParameters", "{}"),
                "numSuccessfulShots": task.successful if task.status in ENDED else None,
                "actionMetadata": {"actionType": task.action.kind},
            }
            if task.action.kind == SET:
                found["actionMetadata"] |= {"programCount": task.action.programs, "executableCount": task.action.executables}
            if "QueueInfo" in call.parameters.get("additionalAttributeNames", []):
                queued = task.status == "QUEUED"
                position = str(self.tasks.position(task)) if queued else "None"
                message = None if queued else f"Task is in {task.status} status. AmazonBraket does not show queue position for this status."
                found["queueInfo"] = {"queue": "QUANTUM_TASKS_QUEUE", "position": position, "queuePriority": "Normal", "message": message}
        return found

    def _cancel_task(self, call: Call, region: str) -> Answer:
        task = self._task(call.parameters["quantumTaskArn"])
        if not self.tasks.cancel(task):
            raise Fault("ConflictException", f"the quantum task is {task.status}", 409)
        return {"quantumTaskArn": task.arn, "cancellationStatus": "CANCELLED"}

    def _search_tasks(self, call: Call, region: str) -> Answer:
        visible = time.time() - self.conduct.search_lag_seconds
        found = [task for task in self.tasks.all() if task.created <= visible]
        for item in call.parameters["filters"]:
            found = [task for task in found if _matches(task, item)]
        found.sort(key=lambda task: task.created, reverse=True)
        page, following = _page(found, call.parameters)
        return {"quantumTasks": [_summary(task) for task in page], "nextToken": following}

    def _tags_of(self, arn: str) -> dict[str, str]:
        if arn in self.limits.all:
            return self.limits.all[arn].tags
        return self._task(arn).tags

    def _tag(self, call: Call, region: str) -> Answer:
        self._tags_of(call.parameters["resourceArn"]).update(call.parameters["tags"])
        return {}

    def _untag(self, call: Call, region: str) -> Answer:
        tags = self._tags_of(call.parameters["resourceArn"])
        for key in call.parameters["tagKeys"]:
            tags.pop(key, None)
        return {}

    def _list_tags(self, call: Call, region: str) -> Answer:
        return {"tags": self._tags_of(call.parameters["resourceArn"])}

    def _create_limit(self, call: Call, region: str) -> Answer:
        self._device(call.parameters["deviceArn"])
        return {"spendingLimitArn": self.limits.create(region, call.parameters).arn}

    def _update_limit(self, call: Call, region: str) -> Answer:
        self.limits.update(call.parameters)
        return {}

    def _delete_limit(self, call: Call, region: str) -> Answer:
        del self.limits.all[self.limits.find(call.parameters["spendingLimitArn"]).arn]
        return {}

    def _search_limits(self, call: Call, region: str) -> Answer:
        found = list(self.limits.all.values())
        for item in call.parameters.get("filters", []):
            if item["name"] != "deviceArn":
                raise Fault("ValidationException", "spending limits are searched by deviceArn")
            found = [limit for limit in found if limit.device in item["values"]]
        page, following = _page(found, call.parameters)
        tasks = self.tasks.all()
        return {"spendingLimits": [limit.described(tasks) for limit in page], "nextToken": following}


def _summary(task: Task) -> Answer:
    return {
        "quantumTaskArn": task.arn,
        "status": task.status,
        "deviceArn": task.device.arn,
        "shots": task.parameters["shots"],
        "outputS3Bucket": task.parameters["outputS3Bucket"],
        "outputS3Directory": task.directory,
        "createdAt": task.created,
        "endedAt": task.ended,
        "tags": task.tags,
    }


def _matches(task: Task, item: dict[str, Any]) -> bool:
    if item["name"] == "createdAt":
        return _in_order(task.created, item["operator"], [_moment(value) for value in item["values"]])
    values: dict[str, Any] = {"quantumTaskArn": task.arn, "deviceArn": task.device.arn, "status": task.status, "jobArn": None}
    if item["name"] not in values or item["operator"] != "EQUAL":
        raise Fault("ValidationException", "quantum tasks are searched by quantumTaskArn, deviceArn, jobArn, status or createdAt")
    return values[item["name"]] in item["values"]


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Fault("ValidationException", "createdAt is no moment") from None


def _in_order(value: float, operator: str, bounds: list[float]) -> bool:
    if operator == "BETWEEN":
        if len(bounds) != 2:
            raise Fault("ValidationException", "BETWEEN takes two values")
        return bounds[0] <= value <= bounds[1]
    (bound,) = bounds[:1]
    return {"LT": value < bound, "LTE": value <= bound, "EQUAL": value == bound, "GT": value > bound, "GTE": value >= bound}[operator]


def _page(found: list[Any], parameters: dict[str, Any]) -> tuple[list[Any], str | None]:
    """One page, and the token of the next."""
    try:
        start = int(base64.b64decode(parameters.get("nextToken", "MA=="), validate=True))
    except (ValueError, binascii.Error):
        raise Fault("ValidationException", "nextToken is none of this service's") from None
    end = start + parameters.get("maxResults", _PAGE)
    return found[start:end], base64.b64encode(str(end).encode()).decode() if end < len(found) else None
