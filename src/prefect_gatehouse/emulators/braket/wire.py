"""The wire protocol, rest-json, read from botocore's model of the service: which operation a request is, whether it is well formed, the answer.

Nothing here knows an operation by name. A newer botocore with another model is another protocol, and what it adds answers as not known.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from prefect_gatehouse.emulators.faults import Fault


@dataclass(frozen=True)
class Call:
    """A request that is well formed.

    Attributes:
        operation: Its model.
        parameters: By the names of the model, defaults left out.
        new_schemas: Whether the client names the version of its Braket schemas, as the SDK does.
    """

    operation: OperationModel
    parameters: dict[str, Any]
    new_schemas: bool = False


@cache
def service() -> ServiceModel:
    """Botocore's model of Amazon Braket."""
    import botocore.session

    return botocore.session.get_session().get_service_model("braket")


@cache
def _routes() -> tuple[tuple[str, re.Pattern[str], str], ...]:
    found = []
    for name in service().operation_names:
        http = service().operation_model(name).http
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(http["requestUri"]))
        found.append((http["method"], re.compile(pattern), name))
    return tuple(found)


def read(method: str, raw_path: str, query: str, body: bytes, agent: str = "") -> Call:
    """The call that a request makes.

    Args:
        method: HTTP's.
        raw_path: Still percent-encoded: an ARN holds slashes.
        query: What follows the question mark.
        body: JSON, or nothing.
        agent: The client's User-Agent.

    Raises:
        Fault: No operation has this address, or a parameter is missing or wrong.
    """
    for wanted, pattern, name in _routes():
        match = pattern.fullmatch(raw_path)
        if wanted == method and match is not None:
            operation = service().operation_model(name)
            path = {key: unquote(value) for key, value in match.groupdict().items()}
            return Call(operation, _parameters(operation, path, query, body), "BraketSchemas/" in agent)
    raise Fault("UnknownOperationException", "there is no such operation", 404)


def _parameters(operation: OperationModel, path: dict[str, str], query: str, body: bytes) -> dict[str, Any]:
    shape = operation.input_shape
    if shape is None:
        return {}
    assert isinstance(shape, StructureShape)
    try:
        given = json.loads(body) if body else {}
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise Fault("ValidationException", "the body is no JSON object")
    asked = parse_qs(query, keep_blank_values=True)
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        place, wire_name = member.serialization.get("location"), member.serialization.get("name", name)
        if place == "uri":
            found[name] = path[wire_name]
        elif place == "querystring" and wire_name in asked:
            found[name] = asked[wire_name] if isinstance(member, ListShape) else asked[wire_name][-1]
        elif place is None and given.get(wire_name) is not None:
            found[name] = given[wire_name]
    _require(shape, found, "")
    return found


def _require(shape: Shape, value: Any, where: str) -> None:
    """Stops what the model does not allow: types, required members, lengths, ranges, patterns, enumerations."""
    if isinstance(shape, StructureShape):
        _require_type(value, dict, where)
        for name in shape.required_members:
            if value.get(name) is None:
                raise Fault("ValidationException", f"{where}{name} is required")
        for name, member in shape.members.items():
            if value.get(name) is not None:
                _require(member, value[name], f"{where}{name}.")
    elif isinstance(shape, ListShape):
        _require_type(value, list, where)
        _require_range(shape, len(value), where)
        for item in value:
            _require(shape.member, item, where)
    elif isinstance(shape, MapShape):
        _require_type(value, dict, where)
        for item in value.values():
            _require(shape.value, item, where)
    else:
        _require_scalar(shape, value, where)


def _require_scalar(shape: Shape, value: Any, where: str) -> None:
    kinds: dict[str, Any] = {"string": str, "long": int, "integer": int, "boolean": bool, "timestamp": (int, float, str)}
    _require_type(value, kinds[shape.type_name], where)
    if shape.type_name == "string":
        _require_range(shape, len(value), where)
        if "pattern" in shape.metadata and not re.fullmatch(shape.metadata["pattern"], value):
            raise Fault("ValidationException", f"{where[:-1]} has not the form that is asked for")
        if getattr(shape, "enum", None) and value not in shape.enum:
            raise Fault("ValidationException", f"{where[:-1]} is none of {', '.join(shape.enum)}")
    elif shape.type_name in {"long", "integer"}:
        _require_range(shape, value, where)


def _require_type(value: Any, kind: Any, where: str) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Fault("ValidationException", f"{where[:-1]} has another type")


def _require_range(shape: Shape, value: int, where: str) -> None:
    if value < shape.metadata.get("min", value) or value > shape.metadata.get("max", value):
        raise Fault("ValidationException", f"{where[:-1]} is too short, too long, too small or too large")


def answer(operation: OperationModel, values: dict[str, Any]) -> tuple[int, bytes]:
    """Status and body of an answer; a value that the model does not have is an error of this emulator's, and raises KeyError."""
    shape = operation.output_shape
    body = {} if shape is None else _written(shape, values)
    return operation.http.get("responseCode", 200), json.dumps(body).encode()


def _written(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        missing = [name for name in shape.required_members if value.get(name) is None]
        if missing:
            raise KeyError(missing[0])
        written = {name: _written(shape.members[name], each) for name, each in value.items() if each is not None}
        return {shape.members[name].serialization.get("name", name): each for name, each in written.items()}
    if isinstance(shape, ListShape):
        return [_written(shape.member, each) for each in value]
    if shape.type_name == "timestamp":
        moment = datetime.fromtimestamp(value, UTC)
        if shape.serialization.get("timestampFormat") == "iso8601":
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return value
    return value


def refusal(operation: OperationModel | None, fault: Fault) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an error."""
    shapes = {shape.name: shape for shape in (operation.error_shapes if operation is not None else ())}
    error = shapes.get(fault.code)
    status = error.metadata.get("error", {}).get("httpStatusCode", fault.status) if error is not None else fault.status
    return status, {"x-amzn-ErrorType": fault.code}, json.dumps({"message": fault.message}).encode()


def knows_error(operation: OperationModel, code: str) -> bool:
    """Whether the model says that an operation may answer with this error."""
    return any(shape.name == code for shape in operation.error_shapes)
